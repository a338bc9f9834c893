// Exponential moving average: mean = keep mean + (1 - keep) x. The host computes both factors, so
// that each is rounded once.
#include "common.cuh"

// Grid E(n / 4), moves 3n. keep is {d, 1 - d} in device memory.
KERNEL(ema, float* mean, const float* x, i64 n, const float* keep) {
    float kept = keep[0], rest = keep[1];
    each_pack<4>(n, aligned(mean, x), [=](auto width, i64 i) {
        auto values = load<width.value>(mean + i);
        auto more = load<width.value>(x + i);
#pragma unroll
        for (int j = 0; j < width.value; j++) values[j] = kept * values[j] + rest * more[j];
        store(mean + i, values);
    });
}
