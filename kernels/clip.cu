// Gradients before a step, as one long array: their norm, the check that they are finite, clipping
// by value and scaling. And the state of the optimizer's step, which is kept in device memory so
// that the launches of a captured step have the same arguments each time.
//
// A step is sum_squares, begin_step and one of the optimizers, which multiplies gradients by
// step.factor as it reads them, so that unscaling costs no pass; with step.skip weights and moments
// stay as they are. All arrays are f32, laid out as the arena.
#include "common.cuh"

// The sum of squares of a block's part of a segment, in f64. The square of an f32 cannot overflow
// it, so it is finite exactly if all elements are.
// part has a double for each block, 0 for frozen segments. Grid (E(longest / 4), at most 512; segments).
KERNEL(sum_squares, const float* dw, double* part, const Segment* segments) {
    Segment segment = segments[blockIdx.y];
    double sum = 0;
    if (!segment.frozen) {
        dw += segment.start;
        each_pack<4>(segment.length, aligned(dw), [&](auto width, i64 i) {
            auto values = load<width.value>(dw + i);
#pragma unroll
            for (int j = 0; j < width.value; j++) sum += (double)values[j] * values[j];
        });
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) part[blockIdx.y * gridDim.x + blockIdx.x] = sum;
}

// Counts the step, or skips it if a gradient is not finite.
//
// Sum finite: steps and good + 1, factor = 1 / loss scale, and after `growth` good steps (0: never)
// the scale doubles. Else skip = 1, skipped + 1, and the scale halves where growth is not 0.
// correction = 1 - beta1^steps, unbias = 1 / sqrt(1 - beta2^steps). norm is that of the gradients without the scale. Grid 1.
KERNEL(begin_step, Step* step, const double* part, int parts, int growth, double beta1, double beta2) {
    double sum = 0;
    for (int i = threadIdx.x; i < parts; i += 256) sum += part[i];
    sum = block_sum(sum);
    if (threadIdx.x > 0) return;
    Step s = *step;
    // x - x is 0 only for finite x.
    s.skip = !(sum - sum == 0);
    s.norm = (float)(sqrt(sum) / s.loss_scale);
    if (s.skip) {
        s.skipped++, s.good = 0, s.factor = 0;
        if (growth > 0) s.loss_scale *= 0.5f;
    } else {
        s.factor = 1 / s.loss_scale;
        s.steps++, s.good++;
        if (growth > 0 && s.good == growth) s.loss_scale *= 2, s.good = 0;
        s.correction = (float)(1 - pow(beta1, (double)s.steps));
        s.unbias = (float)(1 / sqrt(1 - pow(beta2, (double)s.steps)));
    }
    *step = s;
}

// Clamps dw to [-limit, limit]; NaN stays.
// Grid E(n / 4).
KERNEL(clamp, float* dw, float limit, i64 n) {
    for (i64 i = first_item(); i < n; i += item_stride()) dw[i] = dw[i] < -limit ? -limit : dw[i] > limit ? limit : dw[i];
}

// Grid E(n / 4).
KERNEL(scale, float* dw, float factor, i64 n) {
    for (i64 i = first_item(); i < n; i += item_stride()) dw[i] *= factor;
}
