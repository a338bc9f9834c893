// conv2d, from the big image to the small one; the weight gradient, which conv2d and
// conv_transpose2d share; depthwise convolution.
#include "common.cuh"
#include "mma.cuh"
#include "tiles.cuh"
#include "windows.cuh"

DEVICE Gather to_small(const real* big, const real* weight, const real* bias, real* small, const Window& g) {
    Side down = Side::of_small(g.small_h, g.stride_h, g.pad_h, g.dil_h, g.kh), right = Side::of_small(g.small_w, g.stride_w, g.pad_w, g.dil_w, g.kw);
    return Gather{big, weight, bias, small, g.n, g.groups, g.big_h, g.big_w, g.big_c, g.small_h, g.small_w, g.small_c,
        g.kh * g.kw * (g.big_c / g.groups), g.kw, down, right};
}

CONVOLUTIONS(conv2d, to_small)

// ---- The gradient of the weight: dw[s, tap, b] = the sum over pixels p of small[p, s] big[under p at the tap, b].
//
// A matrix product whose rows are channels s, whose columns are taps and channels b, and whose k
// are pixels. Pixels are the outer axis of both images, so both tiles are stored k-major: DEPTH
// pixels of 128 channels or columns. The pixels are split over blocks (split-k); a second kernel
// adds up the partial sums in a fixed order.

constexpr int LINE = 128 / P;       // chunks of a tile's pixel

// The index of a chunk of a pixel in a tile, swizzled so that the chunks that a warp reads at once
// lie in different banks: one of each of eight pixels in 16 bits, two of each of four in f32.
DEVICE int line_at(int pixel, int chunk) { return pixel * LINE + (chunk ^ (REAL == 0 ? (pixel & 3) << 1 : pixel & 7)); }

struct Pixels {
    const real *small, *big;
    Window g;
    Divider width, height;
    int v_small, v_big, small_share, big_share, columns;   // *_share: channels a group; columns of the product
    int group, row, column, start, end;                    // of this block
};

// A column of the product: the offset of its tap in the big image, and its channel.
struct Column {
    int down, right, channel;
    bool there;
    DEVICE Column(const Pixels& p, int column) : there(column < p.columns) {
        int tap = column / p.big_share, ky = tap / p.g.kw;
        channel = p.group * p.big_share + column - tap * p.big_share;
        down = ky * p.g.dil_h - p.g.pad_h, right = (tap - ky * p.g.kw) * p.g.dil_w - p.g.pad_w;
    }
    // The address of its element in the window of pixel (y, x) of the small image; null outside of
    // the big image.
    DEVICE const real* at(const Pixels& p, int image, int y, int x) const {
        y = y * p.g.stride_h + down, x = x * p.g.stride_w + right;
        bool inside = there && (u32)y < (u32)p.g.big_h && (u32)x < (u32)p.g.big_w;
        return inside ? p.big + (((i64)image * p.g.big_h + y) * p.g.big_w + x) * p.g.big_c + channel : nullptr;
    }
};

// Copies tiles to shared memory; a thread copies one chunk of every STEP-th pixel.
template <int THREADS> struct PixelFiller {
    static constexpr int STEP = THREADS / LINE;
    const Pixels& p;
    int chunk, pixel, row, first;
    Column column;
    DEVICE PixelFiller(const Pixels& p)
        : p(p), chunk(threadIdx.x % LINE), pixel(p.start + threadIdx.x / LINE), row(p.row + chunk * P), first(p.column + chunk * P),
          column(p, first) {}

    // Copies a chunk whose elements have the addresses at(0), at(1), ..; null stands for zero. With
    // `pack` they are contiguous from at(0) on.
    template <class F> static DEVICE void put(uint4* to, bool pack, const void* base, F at) {
        if (pack) {
            const real* from = at(0);
            copy_chunk(to, from ? from : base, from);
        } else {
            for (int e = 0; e < P; e++) {
                const real* from = at(e);
                ((real*)to)[e] = from ? *from : real{};
            }
        }
    }

    DEVICE void fill(uint4* left, uint4* right) {
#pragma unroll
        for (int i = 0; i < DEPTH; i += STEP) {
            int at = line_at(i + threadIdx.x / LINE, chunk), now = pixel + i;
            bool there = now < p.end;
            u32 image = now, x = p.width.split(image), y = p.height.split(image);
            const real* small = p.small + (i64)now * p.g.small_c + p.group * p.small_share + row;
            put(left + at, p.v_small == P, p.small, [=](int e) { return there && row + e < p.small_share ? small + e : nullptr; });
            put(right + at, p.v_big == P, p.big, [=](int e) {
                if (e == 0) return there ? column.at(p, image, y, x) : nullptr;
                return there ? Column(p, first + e).at(p, image, y, x) : nullptr;
            });
        }
        pixel += DEPTH;
    }
};

// One block's product on tensor cores: four warps, each of which accumulates 64 x 64 outputs in
// registers.
struct WeightOnTensorCores {
    static constexpr int THREADS = 128;
    float sum[4][8][4] = {};

    // Fragments for multiply_add from a k-major tile: four 8 x 8 matrices that cover 16 pixels (8
    // for f32) by 16 columns if WIDE, else 32 pixels (16) by 8 columns, from `pixel` and `column`
    // on.
    template <bool WIDE> static DEVICE void words(u32 (&r)[4], const uint4* tile, int pixel, int column) {
#if REAL == 0
        int lane = threadIdx.x % 32;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int at = pixel + lane % 4 + 4 * (WIDE ? i / 2 : i), c = column + lane / 4 + (WIDE ? i % 2 * 8 : 0);
            r[i] = operand(((const u32*)(tile + line_at(at, c / 4)))[c % 4]);
        }
#else
        load_transposed(r, [=](int lane) {
            int at = pixel + lane % 8 + 8 * (WIDE ? lane / 16 : lane / 8), c = column + (WIDE ? lane / 8 % 2 * 8 : 0);
            return tile + line_at(at, c / 8);
        });
#endif
    }

    DEVICE void multiply(const uint4* left, const uint4* right) {
        int top = threadIdx.x / 64 * 64, first = threadIdx.x / 32 % 2 * 64;
        u32 a[2][4][4], b[4];
#pragma unroll
        for (int half = 0; half < 2; half++) {
#pragma unroll
            for (int i = 0; i < 4; i++) words<true>(a[half][i], left, half * DEPTH / 2, top + i * 16);
        }
#pragma unroll UNROLLED<8>
        for (int j = 0; j < 8; j++) {
            words<false>(b, right, 0, first + j * 8);
#pragma unroll
            for (int half = 0; half < 2; half++) {
#pragma unroll
                for (int i = 0; i < 4; i++) multiply_add(sum[i][j], a[half][i], b[2 * half], b[2 * half + 1]);
            }
        }
    }

    // Calls body(row, column, value) for this thread's outputs.
    template <class F> DEVICE void each(F body) const {
        int lane = threadIdx.x % 32, top = threadIdx.x / 64 * 64 + lane / 4, first = threadIdx.x / 32 % 2 * 64 + lane % 4 * 2;
#pragma unroll
        for (int i = 0; i < 4; i++) {
#pragma unroll
            for (int j = 0; j < 8; j++) {
#pragma unroll
                for (int e = 0; e < 4; e++) body(top + i * 16 + e / 2 * 8, first + j * 8 + e % 2, sum[i][j][e]);
            }
        }
    }
};

// The same by f32 multiply-adds: 16 x 16 threads, each of which accumulates 8 x 8 outputs, four
// rows and columns in each half of the tile.
struct WeightInF32 {
    static constexpr int THREADS = 256;
    float sum[8][8] = {};

    DEVICE void multiply(const uint4* left, const uint4* right) {
        int y = threadIdx.x / 16, x = threadIdx.x % 16;
#pragma unroll
        for (int pixel = 0; pixel < DEPTH; pixel++) {
            Floats<8> a, b;
#pragma unroll
            for (int i = 0; i < 2; i++) {
                Floats<4> rows = load<4>((const float*)(left + line_at(pixel, y + 16 * i)));
                Floats<4> columns = load<4>((const float*)(right + line_at(pixel, x + 16 * i)));
#pragma unroll
                for (int e = 0; e < 4; e++) a[4 * i + e] = rows[e], b[4 * i + e] = columns[e];
            }
#pragma unroll
            for (int i = 0; i < 8; i++) {
#pragma unroll
                for (int j = 0; j < 8; j++) sum[i][j] += a[i] * b[j];
            }
        }
    }

    template <class F> DEVICE void each(F body) const {
        int y = threadIdx.x / 16 * 4, x = threadIdx.x % 16 * 4;
#pragma unroll
        for (int i = 0; i < 8; i++) {
#pragma unroll
            for (int j = 0; j < 8; j++) body(y + i % 4 + i / 4 * 64, x + j % 4 + j / 4 * 64, sum[i][j]);
        }
    }
};

template <class Core> DEVICE void weight_gradient(const real* small, const real* big, float* part, const Window& g, int v_small, int v_big, int span) {
    constexpr int S = 3, SIZE = 2 * DEPTH * LINE;
    __shared__ uint4 scratch[S * SIZE];
    int small_share = g.small_c / g.groups, big_share = g.big_c / g.groups, columns = g.kh * g.kw * big_share;
    int across = (columns + 127) / 128, down = (small_share + 127) / 128, start = blockIdx.y * span;
    Pixels p = {small, big, g, Divider(g.small_w), Divider(g.small_h), v_small, v_big, small_share, big_share, columns,
        (int)blockIdx.x / across / down, (int)blockIdx.x / across % down * 128, (int)blockIdx.x % across * 128, start,
        min(start + span, g.n * g.small_h * g.small_w)};
    PixelFiller<Core::THREADS> filler(p);
    Core core;
    multiply_all<S, SIZE, SIZE / 2>(scratch, (p.end - start + DEPTH - 1) / DEPTH, filler, core);
    part += ((i64)blockIdx.y * g.small_c + p.group * small_share + p.row) * columns + p.column;
    core.each([=](int row, int column, float sum) {
        if (p.row + row < small_share && p.column + column < columns) part[(i64)row * columns + column] = sum;
    });
}

// part is [splits, c_small, kh, kw, c_big / groups]: pixels of the small image, `span` at a time;
// sum_finish_f32 with inner = all weights follows. A launch takes splits so that the grid has some
// 264 blocks and span is at least 1024. v_small and v_big are P where an image's channels a group are
// a multiple of it and the image is aligned, else 1. Block 128 threads (REAL 0: 256). Grid (groups
// ceil(c_small / groups / 128) ceil(kh kw c_big / groups / 128), splits).
#define CONV2D_WEIGHT(name, core)                                                                                                            \
    KERNEL_OF(core::THREADS, 1, name, const real* small, const real* big, float* part, Window g, int v_small, int v_big, int span) {        \
        weight_gradient<core>(small, big, part, g, v_small, v_big, span);                                                                    \
    }

#if REAL == 0
CONV2D_WEIGHT(conv2d_weight, WeightInF32)
CONV2D_WEIGHT(conv2d_weight_tf32, WeightOnTensorCores)
#else
CONV2D_WEIGHT(conv2d_weight, WeightOnTensorCores)
#endif

// ---- Depthwise convolution: each channel has its own kernel, which is no matrix product. Weights
// are transposed to [kh, kw, c] first, so that a thread loads those of its V channels at once.

// sum += x * weight for V channels.
template <int V> DEVICE void add_tap(Floats<V>& sum, const real* x, i64 at, const real* transposed, i64 weight) {
    Floats<V> values = load<V>(x + at), weights = load<V>(transposed + weight);
#pragma unroll
    for (int i = 0; i < V; i++) sum[i] += values[i] * weights[i];
}

// groups = c_big = c_small; bias may be null. Grid E(elements of the result / v).
KERNEL_OF(256, 2, depthwise, const real* big, const real* transposed, const real* bias, real* small, Window g, int v) {
    pixels(g, g.small_h, g.small_w, v, [=](auto width, const Pixel& p) {
        Floats<width.value> sum = {};
        if (bias) sum = load<width.value>(bias + p.channel);
        window_of(g, p, [&](i64 at, int tap) { add_tap(sum, big, at, transposed, (i64)tap * g.big_c + p.channel); });
        store(small + in_small(g, p, p.row, p.column), sum);
    });
}

// Grid E(elements of the result / v).
KERNEL_OF(256, 2, depthwise_transposed, const real* small, const real* transposed, const real* bias, real* big, Window g, int v) {
    pixels(g, g.big_h, g.big_w, v, [=](auto width, const Pixel& p) {
        Floats<width.value> sum = {};
        if (bias) sum = load<width.value>(bias + p.channel);
        windows_over(g, p, [&](int row, int column, int tap) {
            add_tap(sum, small, in_small(g, p, row, column), transposed, (i64)tap * g.big_c + p.channel);
        });
        store(big + in_big(g, p, p.row, p.column), sum);
    });
}

// dw[c, tap] = the sum over pixels p of small[p, c] big[under p at the tap, c]. A block sums over
// `span` pixels of the small image, for up to RUN taps of one kernel row: they share each load of
// the small image, and the cache lines of the big one.
constexpr int RUN = 5;

template <int V> DEVICE void depthwise_sums(const real* small, const real* big, float* part, const Window& g, int span) {
    __shared__ float scratch[V][256];
    int c = g.big_c, runs = (g.kw + RUN - 1) / RUN, ky = blockIdx.z / runs, first = blockIdx.z % runs * RUN;
    int start = blockIdx.y * span, end = min(start + span, g.n * g.small_h * g.small_w);
    Share<V> share(c);
    Divider width(g.small_w), height(g.small_h);
    bool works = share.works(blockIdx.x, c);
    int channel = share.channel(blockIdx.x);
    Floats<V> sum[RUN] = {};
    for (int p = works ? start + share.lane : end; p < end; p += share.lanes) {
        u32 image = p, x = width.split(image), y = height.split(image);
        int row = (int)y * g.stride_h + ky * g.dil_h - g.pad_h, column = (int)x * g.stride_w + first * g.dil_w - g.pad_w;
        if ((u32)row >= (u32)g.big_h) continue;
        Floats<V> own = load<V>(small + (i64)p * c + channel);
        const real* line = big + ((i64)image * g.big_h + row) * g.big_w * c + channel;
#pragma unroll
        for (int t = 0; t < RUN; t++) {
            int at = column + t * g.dil_w;
            if (first + t < g.kw && (u32)at < (u32)g.big_w) {
                Floats<V> values = load<V>(line + (i64)at * c);
#pragma unroll
                for (int i = 0; i < V; i++) sum[t][i] += own[i] * values[i];
            }
        }
    }
    int taps = g.kh * g.kw;
#pragma unroll
    for (int t = 0; t < RUN; t++) {
        sum_lanes(share, sum[t], scratch);
        if (!works || share.lane > 0 || first + t >= g.kw) continue;
        for (int i = 0; i < V; i++) part[((i64)blockIdx.y * c + channel + i) * taps + ky * g.kw + first + t] = sum[t][i];
    }
}

// part is [splits, c, kh, kw], and sum_finish_f32 follows; rows are pixels of the small image. Grid
// C(rows, c) in x and y, kh ceil(kw / 5) in z.
KERNEL(depthwise_weight, const real* small, const real* big, float* part, Window g, int v, int span) {
    with_width(v, [=](auto width) { depthwise_sums<width.value>(small, big, part, g, span); });
}

// Measures the peak rate of multiply-adds, with operands in registers, for the kernels above to be
// compared with. Eight independent accumulators hide the latency of the instruction.
// out has an element for each thread. Grid any.
KERNEL(matrix_rate, float* out, int rounds, int on_tensor_cores) {
    float sum[8][4] = {}, total = 0;
    u32 a[4] = {threadIdx.x, threadIdx.x + 1, threadIdx.x + 2, threadIdx.x + 3};
    for (int round = 0; round < rounds; round++) {
#pragma unroll UNROLLED<8>
        for (int i = 0; i < 8; i++) {
            if (on_tensor_cores) multiply_add(sum[i], a, a[0], a[1]);
            else sum[i][0] = sum[i][0] * (float)a[i % 4] + 1.0f;
        }
    }
    for (int i = 0; i < 8; i++) total += sum[i][0] + sum[i][1] + sum[i][2] + sum[i][3];
    out[first_item()] = total;
}
