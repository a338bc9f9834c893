// Adam and AdamW, in one pass over weights, gradients and both moments: the formula of src/cpu/adamw.rs.
#include "common.cuh"

// Grid (E(longest / 4), segments).
KERNEL(adamw, float* w, const float* dw, float* m, float* v, const Segment* segments, const Step* step, float beta1, float rest1,
    float beta2, float rest2, float eps, float decay, int decoupled) {
    Segment segment = segments[blockIdx.y];
    if (step->skip || segment.frozen) return;
    float factor = step->factor, unbias = step->unbias, lr = step->lr * segment.lr_scale, pace = lr / step->correction;
    float own_decay = decay * segment.decay_scale, keep = decoupled ? 1 - lr * own_decay : 1, coupled = decoupled ? 0 : own_decay;
    w += segment.start, dw += segment.start, m += segment.start, v += segment.start;
    each_pack<4>(segment.length, aligned(w, dw, m, v), [=](auto width, i64 i) {
        constexpr int V = width.value;
        Floats<V> weight = load<V>(w + i);
        Floats<V> gradient = load<V>(dw + i), first = load<V>(m + i), second = load<V>(v + i);
#pragma unroll
        for (int j = 0; j < V; j++) {
            float g = gradient[j] * factor + coupled * weight[j];
            first[j] = beta1 * first[j] + rest1 * g;
            second[j] = beta2 * second[j] + rest2 * (g * g);
            weight[j] = keep * weight[j] - pace * first[j] / (sqrtf(second[j]) * unbias + eps);
        }
        store(m + i, first);
        store(v + i, second);
        store(w + i, weight);
    });
}
