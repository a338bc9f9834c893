// y = x tanh(ln(1 + e^x)).
#include "common.cuh"

DEVICE float tanh_softplus(float x) { return tanhf(fmaxf(x, 0) + log1pf(expf(-fabsf(x)))); }

KERNEL(mish, const real* x, real* y, i64 n) {
    each(n, aligned(x, y), [=](auto width, i64 i) {
        auto v = load<width.value>(x + i);
#pragma unroll
        for (int j = 0; j < width.value; j++) v[j] *= tanh_softplus(v[j]);
        store(y + i, v);
    });
}

// dx = dy (t + x (1 - t^2) sigmoid(x)), t = tanh(ln(1 + e^x)).
KERNEL(mish_backward, const real* x, const real* dy, real* dx, i64 n) {
    each(n, aligned(x, dy, dx), [=](auto width, i64 i) {
        auto v = load<width.value>(x + i), d = load<width.value>(dy + i);
#pragma unroll
        for (int j = 0; j < width.value; j++) {
            float t = tanh_softplus(v[j]);
            d[j] *= t + v[j] * (1 - t * t) / (1 + expf(-v[j]));
        }
        store(dx + i, d);
    });
}
