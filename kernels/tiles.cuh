// Implicit GEMM: a convolution as one matrix product, C[m, n] += A[m, k] B[k, n], whose operand A is
// gathered from the image while it is multiplied (im2col without the copy). m counts output pixels,
// n output channels, k kernel elements times input channels.
//
// A block multiplies tiles in shared memory by tensor cores (mma.sync). For each of its rows a tile
// holds 64 bytes along k: 32 elements of 16 bits or 16 of f32, in four chunks of 16 bytes. Tiles are
// filled several steps ahead by asynchronous copies (cp.async), which overlap with the arithmetic.
#pragma once

constexpr int CHUNKS = 4;           // of a row
constexpr int DEPTH = CHUNKS * P;   // elements of a row: the step along k

// The index of a chunk of a row in a tile. A warp reads one chunk of each of eight rows at once:
// chunks are swizzled (xor with the row), so that these lie in different banks of shared memory.
DEVICE int chunk_at(int row, int chunk) { return row * CHUNKS + (chunk ^ (row >> 1 & 3)); }

// ---- Addressing of A: which input element each row and each k of the product reads.
//
// Along each axis, output j of a phase reads for its tap t the input at index stride j + offset + t
// apart, which is multiplied by kernel element first + t every. A convolution has one phase. A
// transposed one has as many as its stride: outputs of one phase, a stride apart, have the same
// taps.
struct Side {
    int start, step, count;             // outputs of the phase: start + j step for j < count
    int stride, offset, apart;          // inputs
    int taps, first, every;             // kernel elements
    static DEVICE Side of_small(int small, int stride, int pad, int dil, int kernel) {
        return Side{0, 1, small, stride, -pad, dil, kernel, 0, 1};
    }
    static DEVICE Side of_big(int big, int stride, int pad, int dil, int kernel, int phase) {
        Side s = {phase, stride, phase < big ? (big - phase + stride - 1) / stride : 0, 1, 0, 0, 0, 0, 1};
        // Input i and kernel element k reach output o = stride i - pad + dil k. For o = phase +
        // stride j that is i = j + (phase + pad - dil k) / stride, for those k where it is an
        // integer.
        for (int k = 0; k < kernel; k++) {
            int reach = phase + pad - dil * k;
            if (reach % stride) continue;
            if (s.taps == 0) s.first = k, s.offset = reach / stride;
            if (s.taps == 1) s.every = k - s.first, s.apart = reach / stride - s.offset;
            s.taps++;
        }
        return s;
    }
};

struct Gather {
    const real *input, *weight, *bias;
    real* output;
    int images, groups, in_h, in_w, in_c, out_h, out_w, out_c, weights, kw;  // `weights`: elements of one output channel's kernel; kw: the kernel's width
    Side down, right;
    DEVICE int rows() const { return images * down.count * right.count; }
    DEVICE int depth() const { return down.taps * right.taps * (in_c / groups); }
    DEVICE float bias_of(int group, int channel) const {
        return bias && channel < out_c / groups ? to_float(bias[group * (out_c / groups) + channel]) : 0;
    }
};

// The first input pixel that a row of the product (an output pixel) reads, maybe outside of the image.
struct Origin {
    int image, y, x;
    Origin() = default;
    DEVICE Origin(const Gather& g, const Divider& width, const Divider& height, int row) {
        u32 left = row;
        x = (int)width.split(left) * g.right.stride + g.right.offset;
        y = (int)height.split(left) * g.down.stride + g.down.offset;
        // All taps of rows beyond the last lie outside of the image, so that these read zeros.
        if (row >= g.rows()) y = -0x40000000;
        image = min((int)left, g.images - 1);
    }
};

// A position along k: tap (ty, tx) and input channel. It advances by DEPTH without divisions.
struct Place {
    int ty, tx, channel;
    DEVICE Place(const Gather& g, int k) {
        int channels = g.in_c / g.groups, tap = k / channels;
        channel = k - tap * channels, ty = tap / max(g.right.taps, 1), tx = tap - ty * max(g.right.taps, 1);
    }
    DEVICE void move(const Gather& g) {
        channel += DEPTH;
        while (channel >= g.in_c / g.groups) {
            channel -= g.in_c / g.groups;
            if (++tx == g.right.taps) tx = 0, ty++;
        }
    }
    DEVICE bool within(const Gather& g) const { return ty < g.down.taps; }
    // The address of its input element, and whether that lies within the image; `input` is the
    // first element of the group.
    DEVICE const real* of(const Gather& g, const real* input, const Origin& origin, bool& there) const {
        int y = origin.y + ty * g.down.apart, x = origin.x + tx * g.right.apart;
        there = within(g) && (u32)y < (u32)g.in_h && (u32)x < (u32)g.in_w;
        return input + (there ? ((i64)origin.image * g.in_h * g.in_w + y * g.in_w + x) * g.in_c + channel : 0);
    }
    // Its offset among an output channel's weights.
    DEVICE int of_weights(const Gather& g) const {
        int tap = (g.down.first + ty * g.down.every) * g.kw + g.right.first + tx * g.right.every;
        return within(g) ? tap * (g.in_c / g.groups) + channel : 0;
    }
};

// Copies tiles to shared memory: 128 rows of the gathered input (left) and N rows of the weights
// (right). A thread copies one chunk of every STEP-th row. PACKS: a chunk is 16 contiguous, aligned
// bytes in global memory; else its elements are copied one by one.
template <int N, int THREADS, bool PACKS> struct Filler {
    static constexpr int STEP = THREADS / CHUNKS, ROWS = 128 / STEP, COLUMNS = (N + STEP - 1) / STEP;
    const Gather& g;
    Origin origin[ROWS];
    Place place;
    const real *input, *weight;
    int k, row, chunk, columns;

    // For a block that computes output channels from `first` on, of its group.
    DEVICE Filler(const Gather& g, const Divider& width, const Divider& height, int group, int first)
        : g(g), place(g, threadIdx.x % CHUNKS * P), k(threadIdx.x % CHUNKS * P), row(threadIdx.x / CHUNKS),
          chunk(threadIdx.x % CHUNKS) {
#pragma unroll
        for (int i = 0; i < ROWS; i++) origin[i] = Origin(g, width, height, blockIdx.x * 128 + row + i * STEP);
        input = g.input + group * (g.in_c / g.groups);
        int channels = g.out_c / g.groups;
        columns = channels - first - row;
        weight = g.weight + (i64)(group * channels + first + row) * g.weights;
    }

    DEVICE void fill(uint4* left, uint4* right) {
        if constexpr (PACKS) {
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                bool there;
                const real* from = place.of(g, input, origin[i], there);
                copy_chunk(left + chunk_at(row + i * STEP, chunk), from, there);
            }
            int at = place.of_weights(g);
#pragma unroll
            for (int i = 0; i < COLUMNS; i++) {
                bool there = place.within(g) && i * STEP < columns;
                if (row + i * STEP < N) copy_chunk(right + chunk_at(row + i * STEP, chunk), weight + (there ? (i64)i * STEP * g.weights + at : 0), there);
            }
            place.move(g);
        } else {
#pragma unroll 1
            for (int e = 0; e < P; e++) {
                Place one(g, k + e);
                for (int i = 0; i < ROWS; i++) {
                    bool there;
                    const real* from = one.of(g, input, origin[i], there);
                    ((real*)(left + chunk_at(row + i * STEP, chunk)))[e] = there ? *from : real{};
                }
                int at = one.of_weights(g);
                for (int i = 0; i < COLUMNS && row + i * STEP < N; i++) {
                    bool there = one.within(g) && i * STEP < columns;
                    ((real*)(right + chunk_at(row + i * STEP, chunk)))[e] = there ? weight[(i64)i * STEP * g.weights + at] : real{};
                }
            }
            k += DEPTH;
        }
    }
};

// The offset in the output at which a row of the product (an output pixel) begins, or -1 for rows
// beyond the last.
struct Target {
    const Gather& g;
    const Divider &width, &height;
    DEVICE i64 at(int row) const {
        u32 left = row;
        int x = (int)width.split(left) * g.right.step + g.right.start, y = (int)height.split(left) * g.down.step + g.down.start;
        return row < g.rows() ? (((i64)left * g.out_h + y) * g.out_w + x) * g.out_c : -1;
    }
};

// One block's product on tensor cores: four warps, each of which accumulates 64 x N / 2 outputs in
// registers.
template <int N> struct OnTensorCores {
    static constexpr int COLUMNS = N, THREADS = 128, BLOCKS = 2, TILES = N / 16;
    float sum[4][TILES][4] = {};

    DEVICE void multiply(const uint4* left, const uint4* right) {
        int top = threadIdx.x / 64 * 64, first = threadIdx.x / 32 % 2 * (N / 2);
#pragma unroll
        for (int half = 0; half < CHUNKS; half += 2) {
            u32 a[4][4], b[4];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                load_matrices(a[i], [=](int lane) { return left + chunk_at(top + i * 16 + lane % 16, half + lane / 16); });
                for (u32& word : a[i]) word = operand(word);
            }
#pragma unroll UNROLLED<TILES>
            for (int j = 0; j < TILES; j += 2) {
                // One load brings two columns of tiles; where their number is odd, the last load
                // reads the last column twice.
                load_matrices(b, [=](int lane) {
                    return right + chunk_at(first + min(j + lane / 16, TILES - 1) * 8 + lane % 8, half + lane / 8 % 2);
                });
                for (u32& word : b) word = operand(word);
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    multiply_add(sum[i][j], a[i], b[0], b[1]);
                    if (j + 1 < TILES) multiply_add(sum[i][min(j + 1, TILES - 1)], a[i], b[2], b[3]);
                }
            }
        }
    }

    // The end of the kernel: adds the bias and stores. A lane holds pairs of neighbouring channels;
    // where pairs are aligned, each is one store.
    DEVICE void write(const Gather& g, const Target& target, int group, int first) const {
        int lane = threadIdx.x % 32, top = blockIdx.x * 128 + threadIdx.x / 64 * 64 + lane / 4, channels = g.out_c / g.groups;
        int column = first + threadIdx.x / 32 % 2 * (N / 2) + lane % 4 * 2;
        bool pairs = g.out_c % 2 == 0 && channels % 2 == 0 && (u64)g.output % (2 * sizeof(real)) == 0;
#pragma unroll
        for (int i = 0; i < 8; i++) {
            i64 at = target.at(top + i * 8);
            if (at < 0) continue;
            real* to = g.output + at + group * channels;
#pragma unroll
            for (int j = 0; j < TILES; j++) {
                int c = column + j * 8;
                float low = sum[i / 2][j][i % 2 * 2] + g.bias_of(group, c), high = sum[i / 2][j][i % 2 * 2 + 1] + g.bias_of(group, c + 1);
                if (pairs && c < channels) {
                    store_pair(to + c, low, high);
                } else {
                    if (c < channels) from_float(low, to[c]);
                    if (c + 1 < channels) from_float(high, to[c + 1]);
                }
            }
        }
    }
};

// The same by f32 multiply-adds: 16 x 16 threads, each of which accumulates every 16th row and
// column, four elements along k at a time.
template <int N> struct InF32 {
    static constexpr int COLUMNS = N, THREADS = 256, BLOCKS = 1;
    float sum[8][N / 16] = {};

    DEVICE void multiply(const uint4* left, const uint4* right) {
        int y = threadIdx.x / 16, x = threadIdx.x % 16;
#pragma unroll
        for (int chunk = 0; chunk < CHUNKS; chunk++) {
            float4 a[8];
#pragma unroll
            for (int i = 0; i < 8; i++) a[i] = *(const float4*)(left + chunk_at(y + i * 16, chunk));
#pragma unroll
            for (int j = 0; j < N / 16; j++) {
                float4 b = *(const float4*)(right + chunk_at(x + j * 16, chunk));
#pragma unroll
                for (int i = 0; i < 8; i++) sum[i][j] += a[i].x * b.x + a[i].y * b.y + a[i].z * b.z + a[i].w * b.w;
            }
        }
    }

    DEVICE void write(const Gather& g, const Target& target, int group, int first) const {
        int channels = g.out_c / g.groups, column = first + threadIdx.x % 16;
#pragma unroll
        for (int i = 0; i < 8; i++) {
            i64 at = target.at(blockIdx.x * 128 + threadIdx.x / 16 + i * 16);
            if (at < 0) continue;
#pragma unroll
            for (int j = 0; j < N / 16; j++) {
                int c = column + j * 16;
                if (c < channels) from_float(sum[i][j] + g.bias_of(group, c), g.output[at + group * channels + c]);
            }
        }
    }
};

// Stages of the pipeline: pairs of tiles that fit the 48 KiB of static shared memory, four at most.
// One is multiplied while the others are filled.
template <int N> constexpr int STAGES = 3072 / ((128 + N) * CHUNKS) < 4 ? 3072 / ((128 + N) * CHUNKS) : 4;

// The main loop of a block: a software pipeline over `steps` steps along k, with S stages in a ring
// in shared memory (`scratch`). A stage is a pair of tiles of SIZE chunks together; the second tile
// begins at MIDDLE.
template <int S, int SIZE, int MIDDLE, class Filler, class Core> DEVICE void multiply_all(uint4* scratch, int steps, Filler& filler, Core& core) {
    int to = 0, from = 0;
    for (; to < S - 1; to++) {
        if (to < steps) filler.fill(scratch + to * SIZE, scratch + to * SIZE + MIDDLE);
        copies_begun();
    }
    for (int step = 0; step < steps; step++) {
        copies_done<S - 2>();
        // Now all threads' copies of this step are visible, and no thread still reads the stage
        // that is filled next.
        __syncthreads();
        if (step + S - 1 < steps) filler.fill(scratch + to * SIZE, scratch + to * SIZE + MIDDLE);
        copies_begun();
        core.multiply(scratch + from * SIZE, scratch + from * SIZE + MIDDLE);
        to = to + 1 == S ? 0 : to + 1, from = from + 1 == S ? 0 : from + 1;
    }
}

template <class Core, bool PACKS> DEVICE void convolve(const Gather& g, uint4* scratch) {
    constexpr int N = Core::COLUMNS;
    int tiles = (g.out_c / g.groups + N - 1) / N, group = blockIdx.y / tiles, first = blockIdx.y % tiles * N;
    if (blockIdx.x * 128 >= g.rows()) return;
    Divider width(g.right.count), height(g.down.count);
    Filler<N, Core::THREADS, PACKS> filler(g, width, height, group, first);
    Core core;
    multiply_all<STAGES<N>, (128 + N) * CHUNKS, 128 * CHUNKS>(scratch, (g.depth() + DEPTH - 1) / DEPTH, filler, core);
    core.write(g, Target{g, width, height}, group, first);
}

template <class Core> DEVICE void convolution(const Gather& g, int v) {
    __shared__ uint4 scratch[STAGES<Core::COLUMNS> * (128 + Core::COLUMNS) * CHUNKS];
    if (v == P) convolve<Core, true>(g, scratch);
    else convolve<Core, false>(g, scratch);
}

// The kernels of one direction, conv2d_N and conv_transpose2d_N: one for each tile width N, 32, 64,
// 128 and, for REAL 1 and 2, 144, and for f32 also conv2d_tf32_N with TF32 operands on tensor cores.
// A launch takes the width with the fewest columns ceil(c / N) N, where c is the number of output
// channels a group, and of equals the widest. Tiles are 128 rows high.
//
// weight is [c_small, kh, kw, c_big / groups] for conv2d, transposed as by transpose_weight for
// conv_transpose2d; bias may be null, as it is where one computes the input gradient of the other. v
// is P where P divides the input's channels a group and input and weight are aligned, else 1. Block
// 128 threads (InF32: 256). Grid, rows being pixels, (ceil(rows / 128), groups ceil(c / N), phases):
// n small_h small_w rows and 1 phase, or n ceil(big_h / stride_h) ceil(big_w / stride_w) rows and
// stride_h stride_w phases.
#define CONVOLUTION(name, gather, core)                                                                                                    \
    KERNEL_OF(core::THREADS, core::BLOCKS, name, const real* in, const real* weight, const real* bias, real* out, Window g, int v) {      \
        convolution<core>(gather(in, weight, bias, out, g), v);                                                                              \
    }
#if REAL == 0
#define OTHER_CONVOLUTIONS(name, gather) CONVOLUTION(name##_tf32_32, gather, OnTensorCores<32>) \
    CONVOLUTION(name##_tf32_64, gather, OnTensorCores<64>) CONVOLUTION(name##_tf32_128, gather, OnTensorCores<128>)
template <int N> using Usual = InF32<N>;
#else
#define OTHER_CONVOLUTIONS(name, gather) CONVOLUTION(name##_144, gather, OnTensorCores<144>)
template <int N> using Usual = OnTensorCores<N>;
#endif
#define CONVOLUTIONS(name, gather) CONVOLUTION(name##_32, gather, Usual<32>) CONVOLUTION(name##_64, gather, Usual<64>) \
    CONVOLUTION(name##_128, gather, Usual<128>) OTHER_CONVOLUTIONS(name, gather)
