// Gathers of elements and of rows by index, and their gradients. x is [outer, length, inner].
#include "common.cuh"

// The indices (o, j, k) of element i of [outer, m, inner].
DEVICE void split(i64 i, int m, int inner, i64& o, int& j, int& k) {
    i64 at = i;
    i = divide(at, inner), k = (int)at;
    at = i, o = divide(at, m), j = (int)at;
}

// y[o, m, i] = x[o, at[o, m, i], i].
template <class T> DEVICE void gather(const T* x, const i64* at, T* y, i64 n, int length, int m, int inner) {
    for (i64 i = first_item(); i < n; i += item_stride()) {
        i64 o;
        int j, k;
        split(i, m, inner, o, j, k);
        y[i] = x[(o * length + at[i]) * inner + k];
    }
}

// y[o, m, i] = x[o, at[o, m, i], i]. n is the elements of y. Grid E(n).
KERNEL(gather_1, const u8* x, const i64* at, u8* y, i64 n, int length, int m, int inner) { gather(x, at, y, n, length, m, inner); }
KERNEL(gather_2, const u16* x, const i64* at, u16* y, i64 n, int length, int m, int inner) { gather(x, at, y, n, length, m, inner); }
KERNEL(gather_4, const u32* x, const i64* at, u32* y, i64 n, int length, int m, int inner) { gather(x, at, y, n, length, m, inner); }
KERNEL(gather_8, const u64* x, const i64* at, u64* y, i64 n, int length, int m, int inner) { gather(x, at, y, n, length, m, inner); }

// y[o, m, :] = x[o, at[m], :].
template <class T> DEVICE void rows(const T* x, const i64* at, T* y, i64 n, int length, int m, int inner) {
    for (i64 i = first_item(); i < n; i += item_stride()) {
        i64 o;
        int j, k;
        split(i, m, inner, o, j, k);
        y[i] = x[(o * length + at[j]) * inner + k];
    }
}

// y[o, m, :] = x[o, at[m], :]. n is the elements of y. Grid E(n).
KERNEL(rows_1, const u8* x, const i64* at, u8* y, i64 n, int length, int m, int inner) { rows(x, at, y, n, length, m, inner); }
KERNEL(rows_2, const u16* x, const i64* at, u16* y, i64 n, int length, int m, int inner) { rows(x, at, y, n, length, m, inner); }
KERNEL(rows_4, const u32* x, const i64* at, u32* y, i64 n, int length, int m, int inner) { rows(x, at, y, n, length, m, inner); }
KERNEL(rows_8, const u64* x, const i64* at, u64* y, i64 n, int length, int m, int inner) { rows(x, at, y, n, length, m, inner); }
KERNEL(rows_16, const uint4* x, const i64* at, uint4* y, i64 n, int length, int m, int inner) { rows(x, at, y, n, length, m, inner); }

// The backward pass: for each element of dx [outer, length, inner] a thread searches all indices
// for the element's own, in order. That reads more than a scatter with atomic additions, but it
// gives the same bits in every run, and the indices stay in the cache.
template <class F> DEVICE void collect(const real* dy, float* dx, i64 n, int length, int m, int inner, F picked) {
    for (i64 i = first_item(); i < n; i += item_stride()) {
        i64 o;
        int j, k;
        split(i, length, inner, o, j, k);
        float sum = 0;
        for (int l = 0; l < m; l++) {
            i64 from = (o * m + l) * inner + k;
            if (picked(from, l) == j) sum += to_float(dy[from]);
        }
        dx[i] = sum;
    }
}

// The gradient of a gather. n is the elements of dx, all of which are written. Grid E(n).
KERNEL(gather_backward, const real* dy, const i64* at, float* dx, i64 n, int length, int m, int inner) {
    collect(dy, dx, n, length, m, inner, [=](i64 from, int) { return at[from]; });
}

// The same for rows. Grid E(n).
KERNEL(rows_backward, const real* dy, const i64* at, float* dx, i64 n, int length, int m, int inner) {
    collect(dy, dx, n, length, m, inner, [=](i64, int l) { return at[l]; });
}

// n = labels * classes. Grid E(n).
KERNEL(one_hot, const i64* labels, real* y, i64 n, int classes) {
    for (i64 i = first_item(); i < n; i += item_stride()) {
        i64 class_ = i, row = divide(class_, classes);
        from_float(labels[row] == class_ ? 1 : 0, y[i]);
    }
}

// The first position whose index is outside of 0..length. A minimum of integers does not depend on
// the order of the atomics.
// The launch sets *bad to 2^31 - 1 before. Grid E(n), moves 8n bytes.
KERNEL(check_range, const i64* at, i64 n, i64 length, int* bad) {
    for (i64 i = first_item(); i < n; i += item_stride()) {
        if ((u64)at[i] >= (u64)length) atomicMin(bad, i < 0x7ffffffe ? (int)i : 0x7ffffffe);
    }
}
