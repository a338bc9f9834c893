// m = beta m + (1 - beta) dw, then w -= lr sign(m), with weights of a frozen segment as they are.
#include "common.cuh"

KERNEL(signum, float* w, const float* dw, float* m, const Segment* segments, const Step* step, float beta) {
    Segment segment = segments[blockIdx.y];
    if (step->skip || segment.frozen) return;
    float factor = step->factor, lr = step->lr * segment.lr_scale;
    w += segment.start, dw += segment.start, m += segment.start;
    each_pack<4>(segment.length, aligned(w, dw, m), [=](auto width, i64 i) {
        constexpr int V = width.value;
        Floats<V> weight = load<V>(w + i), gradient = load<V>(dw + i), mean = load<V>(m + i);
#pragma unroll
        for (int j = 0; j < V; j++) {
            mean[j] = beta * mean[j] + (1 - beta) * gradient[j] * factor;
            weight[j] -= mean[j] > 0 ? lr : mean[j] < 0 ? -lr : 0;
        }
        store(m + i, mean);
        store(w + i, weight);
    });
}
