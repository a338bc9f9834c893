// What is done to gradients as one long array before a step: measured, checked, scaled. And the
// step's own numbers, which live in device memory, so that a captured step is the same launches
// each time.
#include "common.cuh"

// The sum of squares of a block's share of a segment, in f64: no f32 is large enough to overflow
// it, so it is finite exactly where all are.
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

// Counts the step, or skips it; see README.md for what becomes of each number.
KERNEL(begin_step, Step* step, const double* part, int parts, int growth, double beta1, double beta2) {
    double sum = 0;
    for (int i = threadIdx.x; i < parts; i += 256) sum += part[i];
    sum = block_sum(sum);
    if (threadIdx.x > 0) return;
    Step s = *step;
    // The difference of a number with itself is 0 only where it is finite.
    s.skip = !(sum - sum == 0);
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

// dw moved into [-limit, limit]; not-a-number stays.
KERNEL(clamp, float* dw, float limit, i64 n) {
    for (i64 i = first_item(); i < n; i += item_stride()) dw[i] = dw[i] < -limit ? -limit : dw[i] > limit ? limit : dw[i];
}

KERNEL(scale, float* dw, float factor, i64 n) {
    for (i64 i = first_item(); i < n; i += item_stride()) dw[i] *= factor;
}
