// Bias, GELU and dropout in one pass over memory.
#include "common.cuh"

template <int V> DEVICE void add_bias(Floats<V>& x, const real* bias, i64 i, int c) {
    if (!bias) return;
    int channel = rest(i, c);
#pragma unroll
    for (int j = 0; j < V; j++) {
        x[j] += to_float(bias[channel]);
        channel = channel + 1 == c ? 0 : channel + 1;
    }
}

// y = dropout(gelu(x + bias)).
KERNEL(gelu_dropout, const real* x, const real* bias, real* y, i64 n, int c, u64 seed, u64 stream, const Key* key, u32 threshold,
    float scale) {
    Keeper keeper(seed, stream, key, threshold, scale);
    each(n, aligned(x, y), [=](auto width, i64 i) {
        auto values = load<width.value>(x + i);
        add_bias(values, bias, i, c);
#pragma unroll
        for (int j = 0; j < width.value; j++) values[j] = gelu(values[j]);
        keeper.keep(i, values);
        store(y + i, values);
    });
}

// dx = dropout(dy) gelu'(x + bias): mask and GELU are recomputed.
KERNEL(gelu_dropout_backward, const real* x, const real* bias, const real* dy, real* dx, i64 n, int c, u64 seed, u64 stream,
    const Key* key, u32 threshold, float scale) {
    Keeper keeper(seed, stream, key, threshold, scale);
    each(n, aligned(x, dy, dx), [=](auto width, i64 i) {
        auto values = load<width.value>(x + i);
        auto slope = load<width.value>(dy + i);
        add_bias(values, bias, i, c);
        keeper.keep(i, slope);
#pragma unroll
        for (int j = 0; j < width.value; j++) slope[j] *= gelu_slope(values[j]);
        store(dx + i, slope);
    });
}
