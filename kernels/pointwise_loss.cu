// Mean squared error.
#include "common.cuh"

KERNEL(mse, const real* a, const real* b, float* part, i64 n) {
    float sum = 0;
    each(n, aligned(a, b), [&](auto width, i64 i) {
        auto left = load<width.value>(a + i), right = load<width.value>(b + i);
#pragma unroll
        for (int j = 0; j < width.value; j++) sum += (left[j] - right[j]) * (left[j] - right[j]);
    });
    sum = block_sum(sum);
    if (threadIdx.x == 0) part[blockIdx.x] = sum;
}

// da = (a - b) scale dy.
KERNEL(mse_backward, const real* a, const real* b, const float* dy, float scale, real* da, i64 n) {
    float factor = scale * *dy;
    each(n, aligned(a, b, da), [=](auto width, i64 i) {
        auto left = load<width.value>(a + i), right = load<width.value>(b + i);
#pragma unroll
        for (int j = 0; j < width.value; j++) left[j] = (left[j] - right[j]) * factor;
        store(da + i, left);
    });
}
