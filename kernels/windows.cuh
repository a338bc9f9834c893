// Loops over pixels and their windows for ops that do not mix channels: pooling and depthwise
// convolution. A thread computes V channels of one output pixel and gathers what they depend on, so
// that no two threads add to the same element.
#pragma once

struct Pixel {
    i64 image;
    int row, column, channel;
    // Item i of images of h x w pixels of c channels, where an item is V channels of a pixel.
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

// A grid-stride loop that calls body(Width<V>, pixel) for the pixels of images of h x w.
template <class F> DEVICE void pixels(const Window& g, int h, int w, int v, F body) {
    with_width(v, [&](auto width) {
        i64 items = (i64)g.n * h * w * (g.big_c / width.value);
        for (i64 i = first_item(); i < items; i += item_stride()) body(width, Pixel::of(i, h, w, g.big_c, width));
    });
}

// Calls body(offset in the big image, tap) for each element of a small pixel's window, in the order
// of the taps.
template <class F> DEVICE void window_of(const Window& g, const Pixel& p, F body) {
    for (int ky = 0; ky < g.kh; ky++) {
        int row = p.row * g.stride_h + ky * g.dil_h - g.pad_h;
        if (row < 0 || row >= g.big_h) continue;
        for (int kx = 0; kx < g.kw; kx++) {
            int column = p.column * g.stride_w + kx * g.dil_w - g.pad_w;
            if (column >= 0 && column < g.big_w) body(in_big(g, p, row, column), ky * g.kw + kx);
        }
    }
}

// Calls body(small row, small column, tap) for each window that a big pixel lies in, in the order
// of the taps.
template <class F> DEVICE void windows_over(const Window& g, const Pixel& p, F body) {
    for (int ky = 0; ky < g.kh; ky++) {
        int down = p.row + g.pad_h - ky * g.dil_h, row = down / g.stride_h;
        if (down < 0 || down % g.stride_h || row >= g.small_h) continue;
        for (int kx = 0; kx < g.kw; kx++) {
            int right = p.column + g.pad_w - kx * g.dil_w, column = right / g.stride_w;
            if (right >= 0 && right % g.stride_w == 0 && column < g.small_w) body(row, column, ky * g.kw + kx);
        }
    }
}
