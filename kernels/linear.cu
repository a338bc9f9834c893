// The bias of a linear layer, whose matrix product is cuBLAS's.
#include "common.cuh"

// y += bias along the last axis.
// Grid E(n / P), moves 2n. y is dense [.., c], c up to 2^16.
KERNEL(add_bias, real* y, const real* bias, i64 n, int c) {
    each(n, aligned(y) && c % P == 0, [=](auto width, i64 i) {
        auto values = load<width.value>(y + i);
        u32 channel = rest(i, c);
#pragma unroll
        for (int j = 0; j < width.value; j++) values[j] += to_float(bias[channel + j]);
        store(y + i, values);
    });
}
