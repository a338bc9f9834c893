// Sums over the middle axis of [outer, length, inner], in an order that depends on the sizes alone;
// products, maxima and minima of rows, and where those are.
//
// A long sum takes two launches: partial sums of `span` rows each, then the sum of those. There are
// no atomics, so the same input gives the same bits.
#include "common.cuh"

template <class T> DEVICE void sum_of_rows(const real* x, T* y, i64 rows, int length, float scale) {
    each_row(rows, [=](i64 row) {
        float sum = warp_total(length, [=](int i) { return to_float(x[row * length + i]); });
        if (threadIdx.x % 32 == 0) from_float(sum * scale, y[row]);
    });
}

// Short rows. Grid W(rows), moves x.
KERNEL(sum_rows, const real* x, real* y, i64 rows, int length, float scale) { sum_of_rows(x, y, rows, length, scale); }
KERNEL(sum_rows_f32, const real* x, float* y, i64 rows, int length, float scale) { sum_of_rows(x, y, rows, length, scale); }

// One long row: a block sums `span` elements of it.
template <int V> DEVICE void sum_stretch(const real* x, float* part, int length, int span) {
    i64 start = (i64)blockIdx.y * span;
    i64 end = start + span < length ? start + span : length;
    float sum = 0;
#pragma unroll 4
    for (i64 i = start + threadIdx.x * V; i < end; i += 256 * V) {
        Floats<V> values = load<V>(x + i);
#pragma unroll
        for (int j = 0; j < V; j++) sum += values[j];
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) *part = sum;
}

// Columns: a block sums `span` rows, for up to 256 V columns.
template <int V> DEVICE void sum_block(const real* x, float* part, int length, int inner, int span, int block) {
    __shared__ float scratch[V][256];
    Share<V> share(inner);
    int start = blockIdx.y * span, end = min(length, start + span);
    bool works = share.works(block, inner);
    Floats<V> sum = {};
    if (works) {
        x += share.channel(block);
#pragma unroll 4
        for (int row = start + share.lane; row < end; row += share.lanes) {
            Floats<V> values = load<V>(x + (i64)row * inner);
#pragma unroll
            for (int j = 0; j < V; j++) sum[j] += values[j];
        }
    }
    sum_lanes(share, sum, scratch);
    if (works && share.lane == 0) store(part + share.channel(block), sum);
}

// part is [outer, splits, inner]. With inner = 1 that is one long row: v is P where x is aligned
// and P divides length and span. Grid (outer * ceil(inner / v / 256), splits = ceil(length /
// span)), moves x.
KERNEL(sum_columns, const real* x, float* part, int outer, int length, int inner, int v, int span) {
    int blocks = inner == 1 ? 1 : ((inner + v - 1) / v + 255) / 256;
    int o = blockIdx.x / blocks, block = blockIdx.x % blocks;
    x += (i64)o * length * inner;
    part += ((i64)o * gridDim.y + blockIdx.y) * inner;
    with_width(v, [=](auto width) {
        if (inner == 1) sum_stretch<width.value>(x, part, length, span);
        else sum_block<width.value>(x, part, length, inner, span, block);
    });
}

// y = scale times the sum of the partial sums [outer, splits, inner] over the splits.
template <class T> DEVICE void finish(const float* part, T* y, int splits, int inner, float scale) {
    __shared__ float scratch[256];
    int columns = inner >= 8192 ? 256 : inner == 1 ? 1 : 8, lanes = 256 / columns, blocks = (inner + columns - 1) / columns;
    int o = blockIdx.x / blocks, i = blockIdx.x % blocks * columns + threadIdx.x % columns, lane = threadIdx.x / columns;
    float sum = 0;
    if (i < inner) {
#pragma unroll 4
        for (int s = lane; s < splits; s += lanes) sum += part[((i64)o * splits + s) * inner + i];
    }
    scratch[threadIdx.x] = sum;
    __syncthreads();
    for (int far = lanes / 2; far > 0; far /= 2) {
        if (lane < far) scratch[threadIdx.x] += scratch[threadIdx.x + far * columns];
        __syncthreads();
    }
    if (lane == 0 && i < inner) from_float(scratch[threadIdx.x] * scale, y[(i64)o * inner + i]);
}

// Grid outer * ceil(inner / q), with q = 256 for inner from 8192 on, 1 for inner 1, else 8.
KERNEL(sum_finish, const float* part, real* y, int splits, int inner, float scale) { finish(part, y, splits, inner, scale); }
KERNEL(sum_finish_f32, const float* part, float* y, int splits, int inner, float scale) { finish(part, y, splits, inner, scale); }

// ---- Products.

DEVICE float times(float a, float b) { return a * b; }

// The product of term(i) over i in 0..n by one warp.
template <class F> DEVICE float warp_product(int n, F term) {
    float product = 1;
    for (int i = threadIdx.x % 32; i < n; i += 32) product *= term(i);
    return warp_fold(product, times);
}

// Grid W(rows), moves x.
KERNEL(product, const real* x, real* y, i64 rows, int length) {
    each_row(rows, [=](i64 row) {
        float all = warp_product(length, [=](int i) { return to_float(x[row * length + i]); });
        if (threadIdx.x % 32 == 0) from_float(all, y[row]);
    });
}

// With the product of all elements but zeros: over x where there is no 0; that of the others for
// the only 0; else 0.
// All of dx is written. Grid W(rows), moves 2x.
KERNEL(product_backward, const real* x, const real* dy, real* dx, i64 rows, int length) {
    each_row(rows, [=](i64 row) {
        const real* own = x + row * length;
        float zeros = warp_total(length, [=](int i) { return to_float(own[i]) == 0 ? 1.0f : 0.0f; });
        float others = warp_product(length, [=](int i) {
            float x = to_float(own[i]);
            return x == 0 ? 1 : x;
        });
        float slope = to_float(dy[row]);
        for (int i = threadIdx.x % 32; i < length; i += 32) {
            float x = to_float(own[i]), other = zeros == 0 ? others / x : zeros == 1 && x == 0 ? others : 0;
            from_float(zeros == 0 || x == 0 ? other * slope : 0, dx[row * length + i]);
        }
    });
}

// ---- Maxima and minima.

DEVICE float key_of(float x) { return x; }
DEVICE float key_of(bf16 x) { return to_float(x); }
DEVICE float key_of(f16 x) { return to_float(x); }
DEVICE int key_of(u8 x) { return x; }
DEVICE i64 key_of(i64 x) { return x; }

// A value and its index in the row; an index of -1 means none yet.
template <class T> struct Best { T value; int place; };

// Whether a ranks before b: NaN first, then the larger (or smaller) value, then the smaller index.
template <class T> DEVICE bool ahead(const Best<T>& a, const Best<T>& b, bool largest) {
    if (a.place < 0 || b.place < 0) return b.place < 0;
    bool odd_a = a.value != a.value, odd_b = b.value != b.value;
    if (odd_a != odd_b) return odd_a;
    if (!odd_a && a.value != b.value) return largest ? a.value > b.value : a.value < b.value;
    return a.place < b.place;
}

// The element that ranks first by `ahead` among those that rank after `last`, by one warp.
template <class T, class K> DEVICE Best<K> first_after(const T* row, int length, bool largest, const Best<K>& last) {
    Best<K> best = {K(0), -1};
    for (int i = threadIdx.x % 32; i < length; i += 32) {
        Best<K> one = {key_of(row[i]), i};
        if ((last.place < 0 || ahead(last, one, largest)) && ahead(one, best, largest)) best = one;
    }
#pragma unroll
    for (int far = 16; far > 0; far /= 2) {
        Best<K> other = {__shfl_xor_sync(0xffffffffu, best.value, far), __shfl_xor_sync(0xffffffffu, best.place, far)};
        if (ahead(other, best, largest)) best = other;
    }
    return best;
}

template <class K, class T> DEVICE void extremes(const T* x, i64* at, i64 rows, int length, bool largest) {
    each_row(rows, [=](i64 row) {
        Best<K> best = first_after(x + row * length, length, largest, Best<K>{K(0), -1});
        if (threadIdx.x % 32 == 0) at[row] = best.place;
    });
}

// Grid W(rows), moves x.
KERNEL(extreme, const real* x, i64* at, i64 rows, int length, int largest) { extremes<float>(x, at, rows, length, largest); }
KERNEL(extreme_u8, const u8* x, i64* at, i64 rows, int length, int largest) { extremes<int>(x, at, rows, length, largest); }
KERNEL(extreme_i64, const i64* x, i64* at, i64 rows, int length, int largest) { extremes<i64>(x, at, rows, length, largest); }

// Grid W(rows), moves k x.
KERNEL(topk, const real* x, i64* at, i64 rows, int length, int k) {
    each_row(rows, [=](i64 row) {
        Best<float> best = {0, -1};
        for (int j = 0; j < k; j++) {
            best = first_after(x + row * length, length, true, best);
            if (threadIdx.x % 32 == 0) at[row * k + j] = best.place;
        }
    });
}

// y[r, j] = x[r, at[r, j]], with k indices a row.
template <class T> DEVICE void pick(const T* x, const i64* at, T* y, i64 n, int length, int k) {
    for (i64 i = first_item(); i < n; i += item_stride()) {
        i64 j = i, row = divide(j, k);
        y[i] = x[row * length + at[i]];
    }
}

// y[r, j] = x[r, at[r, j]], n = rows k. Grid E(n).
KERNEL(pick_1, const u8* x, const i64* at, u8* y, i64 n, int length, int k) { pick(x, at, y, n, length, k); }
KERNEL(pick_2, const u16* x, const i64* at, u16* y, i64 n, int length, int k) { pick(x, at, y, n, length, k); }
KERNEL(pick_4, const u32* x, const i64* at, u32* y, i64 n, int length, int k) { pick(x, at, y, n, length, k); }
KERNEL(pick_8, const u64* x, const i64* at, u64* y, i64 n, int length, int k) { pick(x, at, y, n, length, k); }

// dx = dy at the maximum (or minimum) of each row, 0 elsewhere.
// n is the elements of dx, all of which are written. Grid E(n).
KERNEL(extreme_backward, const i64* at, const real* dy, real* dx, i64 n, int length) {
    for (i64 i = first_item(); i < n; i += item_stride()) {
        i64 place = i, row = divide(place, length);
        dx[i] = at[row] == place ? dy[row] : real{};
    }
}
