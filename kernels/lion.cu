// Lion, in one pass over weights, gradients and momentum: the formula of src/cpu/lion.rs.
#include "common.cuh"

// Grid (E(longest / 4), segments).
KERNEL(lion, float* w, const float* dw, float* m, const Segment* segments, const Step* step, float beta1, float rest1, float beta2,
    float rest2, float decay) {
    Segment segment = segments[blockIdx.y];
    if (step->skip || segment.frozen) return;
    float factor = step->factor, lr = step->lr * segment.lr_scale, keep = 1 - lr * decay * segment.decay_scale;
    w += segment.start, dw += segment.start, m += segment.start;
    each_pack<4>(segment.length, aligned(w, dw, m), [=](auto width, i64 i) {
        constexpr int V = width.value;
        Floats<V> weight = load<V>(w + i);
        Floats<V> gradient = load<V>(dw + i), mean = load<V>(m + i);
#pragma unroll
        for (int j = 0; j < V; j++) {
            float g = gradient[j] * factor, c = beta1 * mean[j] + rest1 * g;
            // sign(c) lr; NaN passes through.
            weight[j] = keep * weight[j] - (c > 0 ? lr : c < 0 ? -lr : lr * c);
            mean[j] = beta2 * mean[j] + rest2 * g;
        }
        store(m + i, mean);
        store(w + i, weight);
    });
}
