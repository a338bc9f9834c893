// GELU and dropout in one pass over memory.
#include "common.cuh"

// y = dropout(gelu(x)).
// Grid E(n / P), moves 2n. threshold, scale and key as in dropout.cu.
KERNEL(gelu_dropout, const real* x, real* y, i64 n, u64 seed, u64 stream, const Key* key, u32 threshold, float scale) {
    Keeper keeper(seed, stream, key, threshold, scale);
    each(n, aligned(x, y), [=](auto width, i64 i) {
        auto values = load<width.value>(x + i);
#pragma unroll
        for (int j = 0; j < width.value; j++) values[j] = gelu(values[j]);
        keeper.keep(i, values);
        store(y + i, values);
    });
}

// dx = dropout(dy) gelu'(x): mask and GELU are recomputed.
// Grid E(n / P), moves 3n. In place: dx may be dy.
KERNEL(gelu_dropout_backward, const real* x, const real* dy, real* dx, i64 n, u64 seed, u64 stream, const Key* key, u32 threshold,
    float scale) {
    Keeper keeper(seed, stream, key, threshold, scale);
    each(n, aligned(x, dy, dx), [=](auto width, i64 i) {
        auto values = load<width.value>(x + i);
        auto slope = load<width.value>(dy + i);
        keeper.keep(i, slope);
#pragma unroll
        for (int j = 0; j < width.value; j++) slope[j] *= gelu_slope(values[j]);
        store(dx + i, slope);
    });
}
