// Averages and maxima over windows. A thread takes V channels of one pixel of its output, and gathers: the way back too, so that nothing
// is added by two threads.
#include "common.cuh"

struct Pixel {
    i64 image;
    int row, column, channel;
    // Of item i over images of h x w pixels of c channels, V at a time.
    template <int V> static DEVICE Pixel of(i64 i, int h, int w, int c, Width<V>) {
        Pixel p;
        i64 at = i;
        i = divide(at, c / V), p.channel = (int)at * V;
        at = i, i = divide(at, w), p.column = (int)at;
        at = i, p.image = divide(at, h), p.row = (int)at;
        return p;
    }
};

DEVICE i64 element(const Pixel& p, int row, int column, int h, int w, int c) { return ((p.image * h + row) * w + column) * c + p.channel; }
DEVICE i64 in_big(const Window& g, const Pixel& p, int row, int column) { return element(p, row, column, g.big_h, g.big_w, g.big_c); }
DEVICE i64 in_small(const Window& g, const Pixel& p, int row, int column) { return element(p, row, column, g.small_h, g.small_w, g.small_c); }

// Calls body(Width<V>, pixel) for the pixels of one of the images.
template <class F> DEVICE void pixels(const Window& g, int h, int w, int v, F body) {
    with_width(v, [&](auto width) {
        i64 items = (i64)g.n * h * w * (g.big_c / width.value);
        for (i64 i = first_item(); i < items; i += item_stride()) body(width, Pixel::of(i, h, w, g.big_c, width));
    });
}

// Calls body(offset in the big image) for each element of a small pixel's window, in the order of the taps.
template <class F> DEVICE void window_of(const Window& g, const Pixel& p, F body) {
    for (int ky = 0; ky < g.kh; ky++) {
        int row = p.row * g.stride_h + ky * g.dil_h - g.pad_h;
        if (row < 0 || row >= g.big_h) continue;
        for (int kx = 0; kx < g.kw; kx++) {
            int column = p.column * g.stride_w + kx * g.dil_w - g.pad_w;
            if (column >= 0 && column < g.big_w) body(in_big(g, p, row, column));
        }
    }
}

// Calls body(small row, small column) for each window that a big pixel lies in, in the order of the taps.
template <class F> DEVICE void windows_over(const Window& g, const Pixel& p, F body) {
    for (int ky = 0; ky < g.kh; ky++) {
        int down = p.row + g.pad_h - ky * g.dil_h, row = down / g.stride_h;
        if (down < 0 || down % g.stride_h || row >= g.small_h) continue;
        for (int kx = 0; kx < g.kw; kx++) {
            int right = p.column + g.pad_w - kx * g.dil_w, column = right / g.stride_w;
            if (right >= 0 && right % g.stride_w == 0 && column < g.small_w) body(row, column);
        }
    }
}

KERNEL_OF(256, 2, avg_pool, const real* x, real* y, Window g, int v) {
    float share = 1.0f / (g.kh * g.kw);
    pixels(g, g.small_h, g.small_w, v, [=](auto width, const Pixel& p) {
        constexpr int V = width.value;
        Floats<V> sum = {};
        window_of(g, p, [&](i64 at) {
            Floats<V> values = load<V>(x + at);
#pragma unroll
            for (int i = 0; i < V; i++) sum[i] += values[i] * share;
        });
        store(y + in_small(g, p, p.row, p.column), sum);
    });
}

KERNEL_OF(256, 2, avg_pool_backward, const real* dy, real* dx, Window g, int v) {
    float share = 1.0f / (g.kh * g.kw);
    pixels(g, g.big_h, g.big_w, v, [=](auto width, const Pixel& p) {
        constexpr int V = width.value;
        Floats<V> sum = {};
        windows_over(g, p, [&](int row, int column) {
            Floats<V> values = load<V>(dy + in_small(g, p, row, column));
#pragma unroll
            for (int i = 0; i < V; i++) sum[i] += values[i] * share;
        });
        store(dx + in_big(g, p, p.row, p.column), sum);
    });
}

KERNEL_OF(256, 2, max_pool, const real* x, real* y, Window g, int v) {
    pixels(g, g.small_h, g.small_w, v, [=](auto width, const Pixel& p) {
        constexpr int V = width.value;
        Floats<V> most;
#pragma unroll
        for (int i = 0; i < V; i++) most[i] = -infinity();
        window_of(g, p, [&](i64 at) {
            Floats<V> values = load<V>(x + at);
#pragma unroll
            for (int i = 0; i < V; i++) most[i] = values[i] > most[i] || values[i] != values[i] ? values[i] : most[i];
        });
        store(y + in_small(g, p, p.row, p.column), most);
    });
}

// dx = dy of the windows where this element is the first that is equal to the largest; which one is first is found out again.
KERNEL_OF(256, 2, max_pool_backward, const real* x, const real* y, const real* dy, real* dx, Window g, int v) {
    pixels(g, g.big_h, g.big_w, v, [=](auto width, const Pixel& p) {
        constexpr int V = width.value;
        i64 own = in_big(g, p, p.row, p.column);
        Floats<V> sum = {};
        windows_over(g, p, [&](int row, int column) {
            i64 at_y = in_small(g, p, row, column);
            Floats<V> most = load<V>(y + at_y);
            // A bit for each channel: whether the window's largest has been met, and whether here.
            u32 taken = 0, mine = 0;
            Pixel window = {p.image, row, column, p.channel};
            window_of(g, window, [&](i64 at) {
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
