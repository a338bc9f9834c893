// Gradient descent, in one pass over weights, gradients and velocities: the formulas of
// src/cpu/sgd.rs. v is null without momentum.
#include "common.cuh"

// Grid (E(longest / 4), segments).
KERNEL(sgd, float* w, const float* dw, float* v, const Segment* segments, const Step* step, float momentum, int nesterov, float decay) {
    Segment segment = segments[blockIdx.y];
    if (step->skip || segment.frozen) return;
    float factor = step->factor, lr = step->lr * segment.lr_scale, own_decay = decay * segment.decay_scale;
    w += segment.start, dw += segment.start;
    if (v) v += segment.start;
    each_pack<4>(segment.length, aligned(w, dw, v), [=](auto width, i64 i) {
        constexpr int V = width.value;
        Floats<V> weight = load<V>(w + i);
        Floats<V> gradient = load<V>(dw + i), velocity = {};
        if (v) velocity = load<V>(v + i);
#pragma unroll
        for (int j = 0; j < V; j++) {
            float g = gradient[j] * factor + own_decay * weight[j];
            velocity[j] = momentum * velocity[j] + g;
            weight[j] -= lr * (!v ? g : nesterov ? g + momentum * velocity[j] : velocity[j]);
        }
        if (v) store(v + i, velocity);
        store(w + i, weight);
    });
}
