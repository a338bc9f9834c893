// Elementwise functions of one operand. The kinds are those of src/cpu/unary.rs, in its order; the
// switch is evaluated once a pack.
#include "common.cuh"

enum { NEG, ABS, EXP, LOG, SQRT, SQUARE, RECIP, POWF, TANH, SIGMOID, RELU, SILU, GELU, CLAMP, ADD_SCALAR, MUL_SCALAR, DIV_SCALAR, LEAKY_RELU, ELU, RELU6, HARDSWISH, SOFTPLUS, LOG1P, SIN, COS, ERF };

template <int V, class F> DEVICE void map(Floats<V>& x, F f) {
#pragma unroll
    for (int i = 0; i < V; i++) x[i] = f(x[i]);
}

template <int V> DEVICE void apply(int kind, float p, float q, Floats<V>& x) {
    switch (kind) {
    case NEG: return map(x, [](float x) { return -x; });
    case ABS: return map(x, [](float x) { return fabsf(x); });
    case EXP: return map(x, [](float x) { return expf(x); });
    case LOG: return map(x, [](float x) { return logf(x); });
    case SQRT: return map(x, [](float x) { return sqrtf(x); });
    case SQUARE: return map(x, [](float x) { return x * x; });
    case RECIP: return map(x, [](float x) { return 1 / x; });
    case POWF: return map(x, [=](float x) { return powf(x, p); });
    case TANH: return map(x, [](float x) { return tanhf(x); });
    case SIGMOID: return map(x, [](float x) { return sigmoid(x); });
    // Written so that NaN passes through.
    case RELU: return map(x, [](float x) { return x < 0 ? 0 : x; });
    case SILU: return map(x, [](float x) { return x * sigmoid(x); });
    case GELU: return map(x, [](float x) { return gelu(x); });
    case CLAMP: return map(x, [=](float x) { return x < p ? p : x > q ? q : x; });
    case ADD_SCALAR: return map(x, [=](float x) { return x + p; });
    case MUL_SCALAR: return map(x, [=](float x) { return x * p; });
    case DIV_SCALAR: return map(x, [=](float x) { return x / p; });
    case LEAKY_RELU: return map(x, [=](float x) { return x > 0 ? x : p * x; });
    case ELU: return map(x, [=](float x) { return x > 0 ? x : p * expm1f(x); });
    case RELU6: return map(x, [](float x) { return x < 0 ? 0 : x > 6 ? 6 : x; });
    case HARDSWISH: return map(x, [](float x) { return x * (x < -3 ? 0 : x > 3 ? 6 : x + 3) / 6; });
    case SOFTPLUS: return map(x, [](float x) { return (x < 0 ? 0 : x) + log1pf(expf(-fabsf(x))); });
    case LOG1P: return map(x, [](float x) { return log1pf(x); });
    case SIN: return map(x, [](float x) { return sinf(x); });
    case COS: return map(x, [](float x) { return cosf(x); });
    case ERF: return map(x, [](float x) { return erff(x); });
    default: trap();
    }
}

// dy becomes dx = f'(x) dy; kept is x or y, as Kind::saves says.
template <int V, class F> DEVICE void zip(const Floats<V>& kept, Floats<V>& dy, F f) {
#pragma unroll
    for (int i = 0; i < V; i++) dy[i] = f(kept[i], dy[i]);
}

template <int V> DEVICE void slope(int kind, float p, float q, const Floats<V>& kept, Floats<V>& dy) {
    switch (kind) {
    case NEG: return zip(kept, dy, [](float, float dy) { return -dy; });
    case ABS: return zip(kept, dy, [](float x, float dy) { return x > 0 ? dy : x < 0 ? -dy : 0; });
    case EXP: return zip(kept, dy, [](float y, float dy) { return y * dy; });
    case LOG: return zip(kept, dy, [](float x, float dy) { return dy / x; });
    case SQRT: return zip(kept, dy, [](float y, float dy) { return dy / (2 * y); });
    case SQUARE: return zip(kept, dy, [](float x, float dy) { return 2 * x * dy; });
    case RECIP: return zip(kept, dy, [](float y, float dy) { return -(y * y * dy); });
    case POWF: return zip(kept, dy, [=](float x, float dy) { return p == 0 ? 0 : p * powf(x, p - 1) * dy; });
    case TANH: return zip(kept, dy, [](float y, float dy) { return (1 - y * y) * dy; });
    case SIGMOID: return zip(kept, dy, [](float y, float dy) { return y * (1 - y) * dy; });
    case RELU: return zip(kept, dy, [](float y, float dy) { return y <= 0 ? 0 : dy; });
    case SILU: return zip(kept, dy, [](float x, float dy) {
        float s = sigmoid(x);
        return s * (1 + x * (1 - s)) * dy;
    });
    case GELU: return zip(kept, dy, [](float x, float dy) { return gelu_slope(x) * dy; });
    case CLAMP: return zip(kept, dy, [=](float x, float dy) { return x >= p && x <= q ? dy : 0; });
    case ADD_SCALAR: return;
    case MUL_SCALAR: return zip(kept, dy, [=](float, float dy) { return dy * p; });
    case DIV_SCALAR: return zip(kept, dy, [=](float, float dy) { return dy / p; });
    case LEAKY_RELU: return zip(kept, dy, [=](float x, float dy) { return x > 0 ? dy : p * dy; });
    case ELU: return zip(kept, dy, [=](float x, float dy) { return x > 0 ? dy : p * expf(x) * dy; });
    case RELU6: return zip(kept, dy, [](float x, float dy) { return x > 0 && x < 6 ? dy : 0; });
    case HARDSWISH: return zip(kept, dy, [](float x, float dy) { return x <= -3 ? 0 : x >= 3 ? dy : dy * (x / 3 + 0.5f); });
    case SOFTPLUS: return zip(kept, dy, [](float x, float dy) { return sigmoid(x) * dy; });
    case LOG1P: return zip(kept, dy, [](float x, float dy) { return dy / (1 + x); });
    case SIN: return zip(kept, dy, [](float x, float dy) { return cosf(x) * dy; });
    case COS: return zip(kept, dy, [](float x, float dy) { return -sinf(x) * dy; });
    case ERF: return zip(kept, dy, [](float x, float dy) { return 1.12837916710f * expf(-x * x) * dy; });
    default: trap();
    }
}

// Grid E(n / P), moves 2n. In place: y may be x. p and q are the scalars of a kind; a kind that is
// none of these traps.
KERNEL(unary, int kind, float p, float q, const real* x, real* y, i64 n) {
    each(n, aligned(x, y), [=](auto width, i64 i) {
        auto values = load<width.value>(x + i);
        apply(kind, p, q, values);
        store(y + i, values);
    });
}

// Five blocks a multiprocessor leave 48 registers a thread. By itself the compiler aims at 40 and
// spills some, around the slow path of sinf and cosf for large arguments.
// Grid E(n / P), moves 3n. In place: dx may be dy. `kept` is x or y, as the kind saves.
KERNEL_OF(256, 5, unary_backward, int kind, float p, float q, const real* kept, const real* dy, real* dx, i64 n) {
    each(n, aligned(kept, dy, dx), [=](auto width, i64 i) {
        auto values = load<width.value>(dy + i);
        slope(kind, p, q, load<width.value>(kept + i), values);
        store(dx + i, values);
    });
}
