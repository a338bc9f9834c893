// The order of the elements of rows. Runs of a few elements are sorted by counting, for each
// element, those that go before it; then runs are merged two by two, where each element finds its
// place in the other run by bisection. All passes are over indices; the elements stay where they are.
#include "common.cuh"

DEVICE float key_of(float x) { return x; }
DEVICE float key_of(bf16 x) { return to_float(x); }
DEVICE float key_of(f16 x) { return to_float(x); }
DEVICE int key_of(u8 x) { return x; }
DEVICE i64 key_of(i64 x) { return x; }

// Whether element i goes before element j of a row: by its value, with NaN as the largest; of equals
// the first.
template <class T> DEVICE bool before(const T* row, int i, int j, bool descending) {
    auto a = key_of(row[i]), b = key_of(row[j]);
    bool odd_a = a != a, odd_b = b != b;
    bool less = odd_a != odd_b ? odd_b : a < b, more = odd_a != odd_b ? odd_a : a > b;
    if (less || more) return descending ? more : less;
    return i < j;
}

// at = the order within each run of `run` elements of each row.
template <class T> DEVICE void sort_each_run(const T* x, i64* at, i64 n, int length, int run, bool descending) {
    for (i64 item = first_item(); item < n; item += item_stride()) {
        i64 left = item, row = divide(left, length);
        int i = (int)left, start = i / run * run, end = min(length - start, run) + start, place = start;
        for (int j = start; j < end; j++) place += j != i && before(x + row * length, j, i, descending);
        at[row * length + place] = i;
    }
}

// at = the order within each run of `run` elements of rows of `length`. Grid E(n).
KERNEL(sort_runs, const real* x, i64* at, i64 n, int length, int run, int descending) { sort_each_run(x, at, n, length, run, descending); }
KERNEL(sort_runs_u8, const u8* x, i64* at, i64 n, int length, int run, int descending) { sort_each_run(x, at, n, length, run, descending); }
KERNEL(sort_runs_i64, const i64* x, i64* at, i64 n, int length, int run, int descending) { sort_each_run(x, at, n, length, run, descending); }

DEVICE i64 smaller(i64 a, i64 b) { return a < b ? a : b; }

// to = the order within each two runs of `run` elements, each of which is in order in `from`.
template <class T> DEVICE void merge(const T* x, const i64* from, i64* to, i64 n, int length, int run, bool descending) {
    for (i64 item = first_item(); item < n; item += item_stride()) {
        i64 left = item, row = divide(left, length);
        const T* own = x + row * length;
        const i64* order = from + row * length;
        // In 64 bits: two runs may be longer than 2^31.
        i64 start = left - (u32)left % (2u * (u32)run), middle = smaller(start + run, length), end = smaller(middle + run, length);
        // The other run, in which all elements before `low` go before this one.
        i64 low = left < middle ? middle : start, first = low, high = left < middle ? end : middle;
        int i = (int)order[left];
        while (low < high) {
            i64 half = (low + high) / 2;
            if (before(own, (int)order[half], i, descending)) low = half + 1;
            else high = half;
        }
        i64 place = left < middle ? left + (low - first) : start + (left - middle) + (low - first);
        to[row * length + place] = i;
    }
}

// to = the order within each two runs, from that within each. Grid E(n).
KERNEL(merge_runs, const real* x, const i64* from, i64* to, i64 n, int length, int run, int descending) { merge(x, from, to, n, length, run, descending); }
KERNEL(merge_runs_u8, const u8* x, const i64* from, i64* to, i64 n, int length, int run, int descending) { merge(x, from, to, n, length, run, descending); }
KERNEL(merge_runs_i64, const i64* x, const i64* from, i64* to, i64 n, int length, int run, int descending) { merge(x, from, to, n, length, run, descending); }

// dx[r, at[r, j]] = dy[r, j], with k different indices a row.
template <class T> DEVICE void place(const i64* at, const T* dy, T* dx, i64 n, int length, int k) {
    for (i64 i = first_item(); i < n; i += item_stride()) {
        i64 j = i, row = divide(j, k);
        dx[row * length + at[i]] = dy[i];
    }
}

// dx[r, at[r, j]] = dy[r, j], n = rows k. Grid E(n).
KERNEL(place_1, const i64* at, const u8* dy, u8* dx, i64 n, int length, int k) { place(at, dy, dx, n, length, k); }
KERNEL(place_2, const i64* at, const u16* dy, u16* dx, i64 n, int length, int k) { place(at, dy, dx, n, length, k); }
KERNEL(place_4, const i64* at, const u32* dy, u32* dx, i64 n, int length, int k) { place(at, dy, dx, n, length, k); }
KERNEL(place_8, const i64* at, const u64* dy, u64* dx, i64 n, int length, int k) { place(at, dy, dx, n, length, k); }
