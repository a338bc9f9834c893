// The 2-D Haar transform, on blocks of 2 x 2 pixels, and its inverse. A thread takes V channels of
// one block, and loads and stores them in packs.
#include "common.cuh"

// The image, the row and column in the sub-bands, and the first of V channels of item i.
template <int V> DEVICE void place(i64 i, int hh, int ww, int c, i64& image, int& row, int& column, int& channel) {
    i64 at = i;
    i = divide(at, c / V), channel = (int)at * V;
    at = i, i = divide(at, ww), column = (int)at;
    at = i, image = divide(at, hh), row = (int)at;
}

// y is [n, ceil(h / 2), ceil(w / 2), 4 c]: the low band of all channels, then the three high bands
// of each channel.
template <int V> DEVICE void analyse(const real* x, real* y, int n, int h, int w, int c) {
    int hh = (h + 1) / 2, ww = (w + 1) / 2;
    i64 items = (i64)n * hh * ww * (c / V);
    for (i64 i = first_item(); i < items; i += item_stride()) {
        i64 image;
        int row, column, channel;
        place<V>(i, hh, ww, c, image, row, column, channel);
        const real* from = x + ((image * h + 2 * row) * w + 2 * column) * c + channel;
        // Images of odd size are padded with zeros.
        bool right = 2 * column + 1 < w, below = 2 * row + 1 < h;
        Floats<V> tl = load<V>(from), tr = {}, bl = {}, br = {}, low, high[3];
        if (right) tr = load<V>(from + c);
        if (below) bl = load<V>(from + (i64)w * c);
        if (right && below) br = load<V>(from + (i64)w * c + c);
#pragma unroll
        for (int j = 0; j < V; j++) {
            float top = tl[j] + tr[j], bottom = bl[j] + br[j], diff_top = tl[j] - tr[j], diff_bottom = bl[j] - br[j];
            low[j] = (top + bottom) * 0.5f;
            high[3 * j / V][3 * j % V] = (top - bottom) * 0.5f;
            high[(3 * j + 1) / V][(3 * j + 1) % V] = (diff_top + diff_bottom) * 0.5f;
            high[(3 * j + 2) / V][(3 * j + 2) % V] = (diff_top - diff_bottom) * 0.5f;
        }
        real* to = y + ((image * hh + row) * ww + column) * 4 * c;
        store(to + channel, low);
#pragma unroll
        for (int j = 0; j < 3; j++) store(to + c + 3 * channel + j * V, high[j]);
    }
}

template <int V> DEVICE void synthesise(const real* y, real* x, int n, int h, int w, int c) {
    int hh = (h + 1) / 2, ww = (w + 1) / 2;
    i64 items = (i64)n * hh * ww * (c / V);
    for (i64 i = first_item(); i < items; i += item_stride()) {
        i64 image;
        int row, column, channel;
        place<V>(i, hh, ww, c, image, row, column, channel);
        const real* from = y + ((image * hh + row) * ww + column) * 4 * c;
        Floats<V> low = load<V>(from + channel), high[3], pixel[4];
#pragma unroll
        for (int j = 0; j < 3; j++) high[j] = load<V>(from + c + 3 * channel + j * V);
#pragma unroll
        for (int j = 0; j < V; j++) {
            float lh = high[3 * j / V][3 * j % V], hl = high[(3 * j + 1) / V][(3 * j + 1) % V], hh = high[(3 * j + 2) / V][(3 * j + 2) % V];
            float sum = low[j] + lh, diff = hl + hh;
            pixel[0][j] = (sum + diff) * 0.5f, pixel[1][j] = (sum - diff) * 0.5f;
            sum = low[j] - lh, diff = hl - hh;
            pixel[2][j] = (sum + diff) * 0.5f, pixel[3][j] = (sum - diff) * 0.5f;
        }
        real* to = x + ((image * h + 2 * row) * w + 2 * column) * c + channel;
        bool right = 2 * column + 1 < w, below = 2 * row + 1 < h;
        store(to, pixel[0]);
        if (right) store(to + c, pixel[1]);
        if (below) store(to + (i64)w * c, pixel[2]);
        if (right && below) store(to + (i64)w * c + c, pixel[3]);
    }
}

// Sizes are those of x. Grid E(n ceil(h / 2) ceil(w / 2) c / v), moves 2x.
KERNEL(dwt, const real* x, real* y, int n, int h, int w, int c, int v) {
    with_width(v, [=](auto width) { analyse<width.value>(x, y, n, h, w, c); });
}

// Sizes are those of x. Grid E(n ceil(h / 2) ceil(w / 2) c / v), moves 2x.
KERNEL(idwt, const real* y, real* x, int n, int h, int w, int c, int v) {
    with_width(v, [=](auto width) { synthesise<width.value>(y, x, n, h, w, c); });
}
