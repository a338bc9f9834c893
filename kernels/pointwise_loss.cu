// Losses of a prediction a and a target b, element by element, and their sum. The kinds are those
// of src/cpu/pointwise_loss.rs; the switch is evaluated once a pack.
#include "common.cuh"

enum { MSE, L1, HUBER, BCE };

// |x| or -|x|, at most this far from 0; NaN passes through.
DEVICE float within(float x, float limit) { return x > limit ? limit : x < -limit ? -limit : x; }

// max(x, 0) - x t + ln(1 + e^-|x|). A t that leaves nothing of |x| leaves nothing of an infinite one.
DEVICE float binary_cross_entropy(float x, float t) {
    float share = x > 0 ? 1 - t : t;
    return (share == 0 ? 0 : fabsf(x) * share) + log1pf(expf(-fabsf(x)));
}

template <int V, class F> DEVICE float total(const Floats<V>& a, const Floats<V>& b, F term) {
    float sum = 0;
#pragma unroll
    for (int i = 0; i < V; i++) sum += term(a[i], b[i]);
    return sum;
}

template <int V> DEVICE float sum_of_losses(int kind, float delta, const Floats<V>& a, const Floats<V>& b) {
    switch (kind) {
    case MSE: return total(a, b, [](float a, float b) { return (a - b) * (a - b); });
    case L1: return total(a, b, [](float a, float b) { return fabsf(a - b); });
    case HUBER: return total(a, b, [=](float a, float b) {
        float size = fabsf(a - b), near = within(size, delta);
        return near * (size - 0.5f * near);
    });
    case BCE: return total(a, b, [](float x, float t) { return binary_cross_entropy(x, t); });
    default: return trap();
    }
}

// part has an element for each block; sum_finish_f32 with scale 1 / n follows. Grid E(n / P), at
// most 1024; moves 2n.
KERNEL(pointwise_loss, int kind, float delta, const real* a, const real* b, float* part, i64 n) {
    float sum = 0;
    each(n, aligned(a, b), [&](auto width, i64 i) {
        sum += sum_of_losses(kind, delta, load<width.value>(a + i), load<width.value>(b + i));
    });
    sum = block_sum(sum);
    if (threadIdx.x == 0) part[blockIdx.x] = sum;
}

// a becomes the slope times `factor`.
template <int V, class F> DEVICE void zip(Floats<V>& a, const Floats<V>& b, F f) {
#pragma unroll
    for (int i = 0; i < V; i++) a[i] = f(a[i], b[i]);
}

template <int V> DEVICE void slope(int kind, float delta, int side, float factor, Floats<V>& a, const Floats<V>& b) {
    // The loss of a difference has the opposite slope with respect to what is subtracted.
    float one = side == 0 ? factor : -factor;
    switch (kind) {
    case MSE: return zip(a, b, [=](float a, float b) { return (a - b) * (2 * one); });
    case L1: return zip(a, b, [=](float a, float b) { return a > b ? one : a < b ? -one : 0; });
    case HUBER: return zip(a, b, [=](float a, float b) { return within(a - b, delta) * one; });
    case BCE: return zip(a, b, [=](float x, float t) { return side == 0 ? (sigmoid(x) - t) * one : x * one; });
    default: trap();
    }
}

// dx = the slope with respect to a (side 0) or b (side 1), times scale dy.
// scale = 1 / n. Grid E(n / P), moves 3n.
KERNEL(pointwise_loss_backward, int kind, float delta, int side, const real* a, const real* b, const float* dy, float scale, real* dx, i64 n) {
    float factor = scale * *dy;
    each(n, aligned(a, b, dx), [=](auto width, i64 i) {
        auto left = load<width.value>(a + i);
        slope(kind, delta, side, factor, left, load<width.value>(b + i));
        store(dx + i, left);
    });
}
