// Comparison of two operands, and selection between them.
#include "common.cuh"

// The relations of two values, one bit each. A comparison is the set of relations for which it
// holds.
enum { LESS = 1, EQUAL = 2, GREATER = 4, UNORDERED = 8 };

template <class T> DEVICE int relation(T a, T b) { return a < b ? LESS : a == b ? EQUAL : a > b ? GREATER : UNORDERED; }
DEVICE int relation(bf16 a, bf16 b) { return relation(to_float(a), to_float(b)); }
DEVICE int relation(f16 a, f16 b) { return relation(to_float(a), to_float(b)); }

template <class T> DEVICE void compare_all(int holds, const T* a, const T* b, u8* y, i64 n, const Axes& axes) {
    for (i64 i = first_item(); i < n; i += item_stride()) {
        i64 at_a, at_b;
        locate(axes, i, at_a, at_b);
        y[i] = (relation(a[at_a], b[at_b]) & holds) != 0;
    }
}

// Grid E(n). `holds` is the set of relations for which y is 1, as in src/cpu/compare.rs.
KERNEL(compare, int holds, const real* a, const real* b, u8* y, i64 n, Axes axes) { compare_all(holds, a, b, y, n, axes); }
KERNEL(compare_u8, int holds, const u8* a, const u8* b, u8* y, i64 n, Axes axes) { compare_all(holds, a, b, y, n, axes); }
KERNEL(compare_i64, int holds, const i64* a, const i64* b, u8* y, i64 n, Axes axes) { compare_all(holds, a, b, y, n, axes); }

// y = a where the mask is not 0, else b.
template <class T> DEVICE void choose(const u8* mask, const T* a, const T* b, T* y, i64 n) {
    for (i64 i = first_item(); i < n; i += item_stride()) y[i] = mask[i] ? a[i] : b[i];
}

// Grid E(n).
KERNEL(select_1, const u8* mask, const u8* a, const u8* b, u8* y, i64 n) { choose(mask, a, b, y, n); }
KERNEL(select_2, const u8* mask, const u16* a, const u16* b, u16* y, i64 n) { choose(mask, a, b, y, n); }
KERNEL(select_4, const u8* mask, const u32* a, const u32* b, u32* y, i64 n) { choose(mask, a, b, y, n); }
KERNEL(select_8, const u8* mask, const u64* a, const u64* b, u64* y, i64 n) { choose(mask, a, b, y, n); }
