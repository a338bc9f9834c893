// Average and maximum pooling. A thread computes V channels of one output pixel by gathering, in
// the backward pass too, so that no two threads add to the same element.
#include "common.cuh"
#include "windows.cuh"

// Grid E(elements of y / v).
KERNEL_OF(256, 2, avg_pool, const real* x, real* y, Window g, int v) {
    float share = 1.0f / (g.kh * g.kw);
    pixels(g, g.small_h, g.small_w, v, [=](auto width, const Pixel& p) {
        constexpr int V = width.value;
        Floats<V> sum = {};
        window_of(g, p, [&](i64 at, int) {
            Floats<V> values = load<V>(x + at);
#pragma unroll
            for (int i = 0; i < V; i++) sum[i] += values[i] * share;
        });
        store(y + in_small(g, p, p.row, p.column), sum);
    });
}

// Grid E(elements of dx / v).
KERNEL_OF(256, 2, avg_pool_backward, const real* dy, real* dx, Window g, int v) {
    float share = 1.0f / (g.kh * g.kw);
    pixels(g, g.big_h, g.big_w, v, [=](auto width, const Pixel& p) {
        constexpr int V = width.value;
        Floats<V> sum = {};
        windows_over(g, p, [&](int row, int column, int) {
            Floats<V> values = load<V>(dy + in_small(g, p, row, column));
#pragma unroll
            for (int i = 0; i < V; i++) sum[i] += values[i] * share;
        });
        store(dx + in_big(g, p, p.row, p.column), sum);
    });
}

// Grid E(elements of y / v).
KERNEL_OF(256, 2, max_pool, const real* x, real* y, Window g, int v) {
    pixels(g, g.small_h, g.small_w, v, [=](auto width, const Pixel& p) {
        constexpr int V = width.value;
        Floats<V> most;
#pragma unroll
        for (int i = 0; i < V; i++) most[i] = -infinity();
        window_of(g, p, [&](i64 at, int) {
            Floats<V> values = load<V>(x + at);
#pragma unroll
            for (int i = 0; i < V; i++) most[i] = values[i] > most[i] || values[i] != values[i] ? values[i] : most[i];
        });
        store(y + in_small(g, p, p.row, p.column), most);
    });
}

// dx = the sum of dy over the windows in which this element is the first that equals the maximum;
// the first is searched for again.
// Grid E(elements of dx / v).
KERNEL_OF(256, 2, max_pool_backward, const real* x, const real* y, const real* dy, real* dx, Window g, int v) {
    pixels(g, g.big_h, g.big_w, v, [=](auto width, const Pixel& p) {
        constexpr int V = width.value;
        i64 own = in_big(g, p, p.row, p.column);
        Floats<V> sum = {};
        windows_over(g, p, [&](int row, int column, int) {
            i64 at_y = in_small(g, p, row, column);
            Floats<V> most = load<V>(y + at_y);
            // One bit a channel: whether the window's maximum has been found, and whether it is
            // this element.
            u32 taken = 0, mine = 0;
            Pixel window = {p.image, row, column, p.channel};
            window_of(g, window, [&](i64 at, int) {
                Floats<V> values = load<V>(x + at);
                u32 found = 0;
#pragma unroll
                for (int i = 0; i < V; i++) {
                    if (values[i] == most[i] || values[i] != values[i]) found |= 1u << i;
                }
                if (at == own) mine = found & ~taken;
                taken |= found;
            });
            Floats<V> gradient = load<V>(dy + at_y);
#pragma unroll
            for (int i = 0; i < V; i++) sum[i] += mine >> i & 1 ? gradient[i] : 0;
        });
        store(dx + own, sum);
    });
}
