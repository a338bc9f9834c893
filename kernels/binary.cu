// Elementwise functions of two operands, with broadcasting. The kinds are those of
// src/cpu/binary.rs, in its order.
#include "common.cuh"

enum { ADD, SUB, MUL, DIV, MAX, MIN };

DEVICE float apply(int kind, float a, float b) {
    switch (kind) {
    case ADD: return a + b;
    case SUB: return a - b;
    case MUL: return a * b;
    case DIV: return a / b;
    case MAX: return a != a || a > b ? a : b;
    case MIN: return a != a || a < b ? a : b;
    default: return trap();
    }
}

// 0 where a < b, dy / 2 where they are equal, else dy, also where one is NaN. No multiplication by
// 0: dy may be infinite.
DEVICE float unless_less(float a, float b, float dy) { return a < b ? 0 : a == b ? 0.5f * dy : dy; }

// dy times the partial derivative with respect to operand `side`.
DEVICE float slope(int kind, int side, float a, float b, float dy) {
    switch (kind) {
    case ADD: return dy;
    case SUB: return side == 0 ? dy : -dy;
    case MUL: return (side == 0 ? b : a) * dy;
    // Not a / b^2, as b^2 overflows for large b.
    case DIV: return side == 0 ? dy / b : -dy * (a / b / b);
    case MAX: return side == 0 ? unless_less(a, b, dy) : unless_less(b, a, dy);
    case MIN: return side == 0 ? unless_less(b, a, dy) : unless_less(a, b, dy);
    default: return trap();
    }
}

// Grid E(n / P), moves 3n. For operands of one shape. In place: y may be a or b.
KERNEL(binary, int kind, const real* a, const real* b, real* y, i64 n) {
    each(n, aligned(a, b, y), [=](auto width, i64 i) {
        constexpr int V = width.value;
        Floats<V> left = load<V>(a + i), right = load<V>(b + i);
#pragma unroll
        for (int j = 0; j < V; j++) left[j] = apply(kind, left[j], right[j]);
        store(y + i, left);
    });
}

// V elements of an operand whose stride is 1, or 0: the same element V times.
template <int V> DEVICE Floats<V> take(const real* x, i64 step) {
    if (V > 1 && step == 1) return load<V>(x);
    Floats<V> y;
    float first = to_float(*x);
#pragma unroll
    for (int i = 0; i < V; i++) y[i] = first;
    return y;
}

// Calls body(Width<V>, i, a at i, b at i) for all elements of a box. Packs are used if the last
// axis is a multiple of P and each operand is, along it, either contiguous and aligned in every row
// or broadcast.
template <class F> DEVICE void walk(const Axes& axes, const real* a, const real* b, i64 n, bool packs, F body) {
    i64 step_a = axes.a[0], step_b = axes.b[0];
    packs = packs && axes.length[0] % P == 0 && (step_a == 0 || (step_a == 1 && aligned(a)))
        && (step_b == 0 || (step_b == 1 && aligned(b)));
#pragma unroll
    for (int axis = 1; axis < 6; axis++) {
        packs = packs && (axis >= axes.rank || ((step_a == 0 || axes.a[axis] % P == 0) && (step_b == 0 || axes.b[axis] % P == 0)));
    }
    each(n, packs, [&](auto width, i64 i) {
        constexpr int V = width.value;
        i64 at_a, at_b;
        locate(axes, i, at_a, at_b);
        body(width, i, take<V>(a + at_a, step_a), take<V>(b + at_b, step_b));
    });
}

// Grid E(n / P), moves y and the operands. Broadcasts: a stride along a repeated axis is 0; y is
// dense.
KERNEL(binary_axes, int kind, const real* a, const real* b, real* y, i64 n, Axes axes) {
    walk(axes, a, b, n, aligned(y), [=](auto width, i64 i, auto left, auto right) {
#pragma unroll
        for (int j = 0; j < width.value; j++) left[j] = apply(kind, left[j], right[j]);
        store(y + i, left);
    });
}

// Grid E(n / P), moves 4n. dx has the shape of dy: the gradient of a (side 0) or b (side 1) before
// it is summed over repeated axes.
KERNEL(binary_backward, int kind, int side, const real* a, const real* b, const real* dy, real* dx, i64 n, Axes axes) {
    walk(axes, a, b, n, aligned(dy, dx), [=](auto width, i64 i, auto left, auto right) {
        auto out = load<width.value>(dy + i);
#pragma unroll
        for (int j = 0; j < width.value; j++) out[j] = slope(kind, side, left[j], right[j], out[j]);
        store(dx + i, out);
    });
}

template <class T> DEVICE void add(T* sum, const real* x, i64 n) {
    each(n, aligned(sum, x), [=](auto width, i64 i) {
        auto total = load<width.value>(sum + i);
        auto more = load<width.value>(x + i);
#pragma unroll
        for (int j = 0; j < width.value; j++) total[j] += more[j];
        store(sum + i, total);
    });
}

// Grid E(n / P), moves 3n. The mixed one adds to a sum in f32.
KERNEL(add_assign, real* sum, const real* x, i64 n) { add(sum, x, n); }
KERNEL(add_assign_mixed, float* sum, const real* x, i64 n) { add(sum, x, n); }
