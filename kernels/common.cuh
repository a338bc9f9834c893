// What the kernels share: the storage type, vectorized loads and stores of 16 bytes, reductions
// over warps and thread blocks, random numbers, indexing by strides.
//
// No CUDA header is included: a 16-bit float is a struct of its bits, and an instruction that CUDA
// C++ does not expose is inline PTX in a small function with up to three branches: for
// architectures that have it, for older ones, and for the stand-in of the tests, which runs these
// files on the CPU.
#pragma once

#ifndef STAND_IN
// KERNEL has 256 threads a block. KERNEL_OF sets the threads of a block and the minimum of resident
// blocks per multiprocessor, from which the compiler derives its limit of registers.
#define KERNEL(name, ...) extern "C" __global__ void __launch_bounds__(256) name(__VA_ARGS__)
#define KERNEL_OF(threads, blocks, name, ...) extern "C" __global__ void __launch_bounds__(threads, blocks) name(__VA_ARGS__)
#endif
#define DEVICE __device__ __forceinline__

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;

struct bf16 { u16 bits; };
struct f16 { u16 bits; };
#if REAL == 0
typedef float real;
#elif REAL == 1
typedef bf16 real;
#else
typedef f16 real;
#endif

// Elements in 16 bytes, the widest load or store of a thread.
constexpr int P = 16 / sizeof(real);

// Structs that are kernel arguments, or lie in device memory.
//
// Axes of a box, the innermost first, one or more, with the strides of two operands in elements.
struct Axes { int rank; u32 length[6]; i64 a[6], b[6]; };
struct Window { int n, big_h, big_w, big_c, small_h, small_w, small_c, kh, kw, stride_h, stride_w, pad_h, pad_w, dil_h, dil_w, groups; };
// The seed and stream of random numbers of a captured step, in device memory: they change from step
// to step. Where `key` is null, the arguments seed and stream count.
struct Key { u64 seed, stream; };
// A part of the arena that an optimizer treats alike.
struct Segment { i64 start, length; float lr_scale, decay_scale; int frozen, unused; };
// The state of an optimizer's step: clip.cu describes each field.
struct Step { i64 steps; float lr, loss_scale; int good, skipped, skip; float factor, correction, unbias, norm; int unused; };

// Aborts the kernel with an error: for a switch on a number that none of its cases handles.
DEVICE float trap() {
#ifdef STAND_IN
    stand_in::trap();
#else
    asm volatile("trap;");
    return 0;
#endif
}

DEVICE float infinity() { return __int_as_float(0x7f800000); }
DEVICE float not_a_number() { return __int_as_float(0x7fffffff); }

// 1 / sqrt(var + eps), or 0 if var + eps is 0: x - mean is then 0 too, and 0 times infinity would
// be NaN.
DEVICE float inverse_std(float var, float eps) { return var + eps == 0 ? 0 : 1 / sqrtf(var + eps); }

// ---- 16-bit floats: converted to f32 exactly, and rounded from f32 to nearest, ties to even.

DEVICE float to_float(float x) { return x; }

DEVICE float to_float(bf16 x) { return __uint_as_float((u32)x.bits << 16); }

DEVICE float to_float(f16 x) {
#ifdef STAND_IN
    return stand_in::half_to_float(x.bits);
#else
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
#endif
}

DEVICE void from_float(float x, float& y) { y = x; }

DEVICE void from_float(float x, bf16& y) {
#if !defined(STAND_IN) && __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
#else
    // Round to nearest even in integers: adds 0x7fff, or 0x8000 where the last bit that is kept is
    // odd, and drops the lower half. NaN would overflow and is set apart.
    u32 bits = __float_as_uint(x);
    y.bits = (bits & 0x7fffffffu) > 0x7f800000u ? 0x7fff : (u16)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
#endif
}

DEVICE void from_float(float x, f16& y) {
#ifdef STAND_IN
    y.bits = stand_in::float_to_half(x);
#else
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
#endif
}

// Two 16-bit floats packed into a 32-bit word, the first in the lower half.
template <class T> DEVICE u32 pair_of(float first, float second) {
    T low, high;
    from_float(first, low);
    from_float(second, high);
    return low.bits | (u32)high.bits << 16;
}
#if !defined(STAND_IN) && __CUDA_ARCH__ >= 800
template <> DEVICE u32 pair_of<bf16>(float first, float second) {
    u32 pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    return pair;
}
template <> DEVICE u32 pair_of<f16>(float first, float second) {
    u32 pair;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    return pair;
}
#endif
template <class T> DEVICE float first_of(u32 pair) { return to_float(T{(u16)pair}); }
template <class T> DEVICE float second_of(u32 pair) { return to_float(T{(u16)(pair >> 16)}); }

// ---- Packs: V elements, converted to f32 in registers. V is 1, or as many elements as one vectorized load or store moves.

template <int V> struct Floats {
    float x[V];
    DEVICE float& operator[](int i) { return x[i]; }
    DEVICE float operator[](int i) const { return x[i]; }
};

template <int V> struct Width { static constexpr int value = V; };

template <int V> DEVICE Floats<V> load(const float* p) {
    Floats<V> y;
    if constexpr (V == 1) {
        y[0] = *p;
    } else {
        static_assert(V % 4 == 0, "whole 16 bytes");
#pragma unroll
        for (int i = 0; i < V; i += 4) {
            float4 q = *(const float4*)(p + i);
            y[i] = q.x, y[i + 1] = q.y, y[i + 2] = q.z, y[i + 3] = q.w;
        }
    }
    return y;
}

template <int V> DEVICE void store(float* p, const Floats<V>& x) {
    if constexpr (V == 1) {
        *p = x[0];
    } else {
#pragma unroll
        for (int i = 0; i < V; i += 4) *(float4*)(p + i) = make_float4(x[i], x[i + 1], x[i + 2], x[i + 3]);
    }
}

template <int V, class T> DEVICE Floats<V> load(const T* p) {
    Floats<V> y;
    if constexpr (V == 1) {
        y[0] = to_float(*p);
    } else if constexpr (V == 4) {
        uint2 q = *(const uint2*)p;
        y[0] = first_of<T>(q.x), y[1] = second_of<T>(q.x), y[2] = first_of<T>(q.y), y[3] = second_of<T>(q.y);
    } else {
        uint4 q = *(const uint4*)p;
        u32 pair[4] = {q.x, q.y, q.z, q.w};
#pragma unroll
        for (int i = 0; i < 8; i++) y[i] = i % 2 ? second_of<T>(pair[i / 2]) : first_of<T>(pair[i / 2]);
    }
    return y;
}

template <int V, class T> DEVICE void store(T* p, const Floats<V>& x) {
    if constexpr (V == 1) {
        from_float(x[0], *p);
    } else if constexpr (V == 4) {
        *(uint2*)p = make_uint2(pair_of<T>(x[0], x[1]), pair_of<T>(x[2], x[3]));
    } else {
        *(uint4*)p = make_uint4(pair_of<T>(x[0], x[1]), pair_of<T>(x[2], x[3]), pair_of<T>(x[4], x[5]), pair_of<T>(x[6], x[7]));
    }
}

// Two neighbouring elements in one store.
DEVICE void store_pair(float* p, float first, float second) { *(float2*)p = make_float2(first, second); }
template <class T> DEVICE void store_pair(T* p, float first, float second) { *(u32*)p = pair_of<T>(first, second); }

// Element i of an array of f32 (`wide`) or of the storage type.
DEVICE float wide_or_real(const void* p, int wide, i64 i) { return wide ? ((const float*)p)[i] : to_float(((const real*)p)[i]); }

DEVICE bool aligned(const void* p) { return (u64)p % 16 == 0; }
template <class... Q> DEVICE bool aligned(const void* p, Q... others) { return aligned(p) && aligned(others...); }

// ---- Work distribution: grid-stride loops. A thread's first item, and the stride to its next.

DEVICE i64 first_item() { return (i64)blockIdx.x * blockDim.x + threadIdx.x; }
DEVICE i64 item_stride() { return (i64)gridDim.x * blockDim.x; }

// A grid-stride loop that calls body(Width<V>, i) for elements i .. i + V of 0..n: packs of V = W
// if `packs` is set, then V = 1 for the tail or for all.
template <int W, class F> DEVICE void each_pack(i64 n, bool packs, F body) {
    i64 full = W > 1 && packs ? n / W : 0;
    for (i64 i = first_item(); i < full; i += item_stride()) body(Width<W>{}, i * W);
    for (i64 i = full * W + first_item(); i < n; i += item_stride()) body(Width<1>{}, i);
}
template <class F> DEVICE void each(i64 n, bool packs, F body) { each_pack<P>(n, packs, body); }

// Calls body(Width<V>), with V = v as a compile-time constant; v is P or 1.
template <class F> DEVICE void with_width(int v, F body) {
    if (v == P) body(Width<P>{});
    else body(Width<1>{});
}

// How a block of 256 threads covers a matrix of rows of c channels. Each thread has V neighbouring
// channels, `column`, and every `lanes`-th row, from `lane` on. Neighbouring threads have
// neighbouring columns, so that loads are coalesced.
template <int V> struct Share {
    int columns, lanes, column, lane;
    DEVICE Share(int c) {
        int packs = (c + V - 1) / V, blocks = (packs + 255) / 256;
        columns = (packs + blocks - 1) / blocks;
        lanes = 256 / columns;
        column = threadIdx.x % columns;
        lane = threadIdx.x / columns;
    }
    // The thread's first channel in the `block`-th group of columns.
    DEVICE int channel(int block) const { return (block * columns + column) * V; }
    DEVICE bool works(int block, int c) const { return lane < lanes && channel(block) < c; }
};

// Sums x over all lanes of a column; lane 0 gets the result. `scratch` is shared memory. The order of
// the tree reduction depends on the number of lanes alone. All threads of the block must call it.
template <int V> DEVICE void sum_lanes(const Share<V>& share, Floats<V>& x, float (*scratch)[256]) {
#pragma unroll
    for (int i = 0; i < V; i++) scratch[i][threadIdx.x] = x[i];
    __syncthreads();
    for (int left = share.lanes; left > 1; left = (left + 1) / 2) {
        int half = (left + 1) / 2;
        if (share.lane + half < left) {
#pragma unroll
            for (int i = 0; i < V; i++) scratch[i][threadIdx.x] += scratch[i][threadIdx.x + half * share.columns];
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < V; i++) x[i] = scratch[i][threadIdx.x];
    __syncthreads();
}

// ---- Reductions over a warp and over a block of 256 threads; every thread gets the result.

template <class T, class F> DEVICE T warp_fold(T x, F join) {
#pragma unroll
    for (int far = 16; far > 0; far /= 2) x = join(x, __shfl_xor_sync(0xffffffffu, x, far));
    return x;
}

template <class T> DEVICE T warp_sum(T x) {
    return warp_fold(x, [](T a, T b) { return a + b; });
}

template <class T> DEVICE T block_sum(T x) {
    __shared__ T warps[8];
    x = warp_sum(x);
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = x;
    __syncthreads();
    x = warp_sum(threadIdx.x % 32 < 8 ? warps[threadIdx.x % 32] : T(0));
    __syncthreads();
    return x;
}

// The sum of term(i) over i in 0..n by one warp: a lane takes every 32nd i.
template <class F> DEVICE float warp_total(int n, F term) {
    float sum = 0;
    for (int i = threadIdx.x % 32; i < n; i += 32) sum += term(i);
    return warp_sum(sum);
}

// Statistics of a row of logits: its maximum m and l = ln(sum of e^(x - m)). ln(softmax) is (x - m)
// - l. Subtracting m first avoids overflow; m + l is never formed, as adding a large m would round
// l away.
struct RowStats {
    float most, log_sum;
    // ln(softmax) of an element.
    DEVICE float log_p(float x) const { return (x - most) - log_sum; }
};

DEVICE RowStats stats_of_row(const real* row, int k) {
    float most = -infinity();
    for (int i = threadIdx.x % 32; i < k; i += 32) most = fmaxf(most, to_float(row[i]));
    most = warp_fold(most, [](float a, float b) { return fmaxf(a, b); });
    return {most, logf(warp_total(k, [=](int i) { return expf(to_float(row[i]) - most); }))};
}

// Calls body(row) for each row, with all threads of one warp: a grid-stride loop of warps.
template <class F> DEVICE void each_row(i64 rows, F body) {
    i64 warps = (i64)gridDim.x * (blockDim.x / 32);
    for (i64 row = (i64)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32; row < rows; row += warps) body(row);
}

// ---- Division by a divisor that is known at run time only, as a multiplication and a shift: n / d for n below 2^31. With s = ceil(log2 d) and m = floor(2^32 (2^s - d) / d) + 1, n / d = (n m / 2^32 + n) / 2^s, rounded down. Source: Granlund and Montgomery, "Division by invariant integers using multiplication" (PLDI 1994), figure 4.1.
struct Divider {
    u32 d, m, s;
    DEVICE Divider(u32 divisor) : d(divisor), s(0) {
        while (s < 32 && (1ull << s) < d) s++;
        m = (u32)((((1ull << s) - d) << 32) / d + 1);
    }
    DEVICE u32 quotient(u32 n) const { return (__umulhi(n, m) + n) >> s; }
    // Sets n to n / d and returns the remainder.
    DEVICE u32 split(u32& n) const {
        u32 q = quotient(n), rest = n - q * d;
        n = q;
        return rest;
    }
};

// Returns n / d and sets n to the remainder; d is below 2^31. Most n fit 32 bits, whose division is
// several times as fast. For larger n the bits above the lowest 31 are divided so, and long
// division brings down the other 31 one by one: the compiler's 64-bit division is a function call,
// which spills registers.
DEVICE i64 divide(i64& n, u32 d) {
    if (n >> 32 == 0) {
        u32 whole = (u32)n;
        n = whole % d;
        return whole / d;
    }
    u32 high = (u32)(n >> 31), left = high % d;
    i64 q = high / d;
#pragma unroll 1
    for (int bit = 30; bit >= 0; bit--) {
        left = left << 1 | (u32)(n >> bit & 1);
        q = q << 1 | (left >= d);
        if (left >= d) left -= d;
    }
    n = left;
    return q;
}

// The remainder of n / d, for d up to 2^16; an n of more than 32 bits is reduced 16 bits at a time.
DEVICE u32 rest(i64 n, u32 d) {
    if (n >> 32 == 0) return (u32)n % d;
    u32 rest = 0;
#pragma unroll
    for (int shift = 48; shift >= 0; shift -= 16) rest = (rest << 16 | (u32)(n >> shift & 0xffff)) % d;
    return rest;
}

// Offsets a and b of element i of a box in both operands, by their strides.
DEVICE void locate(const Axes& axes, i64 i, i64& a, i64& b) {
    a = 0, b = 0;
#pragma unroll
    for (int axis = 0; axis < 6; axis++) {
        if (axis >= axes.rank) break;
        i64 at = i;
        i = divide(at, axes.length[axis]);
        a += at * axes.a[axis], b += at * axes.b[axis];
    }
}

// ---- Random numbers: Philox4x32-10, with the same output as src/tensor/rng.rs.

struct Words { u32 x[4]; };

DEVICE Words philox(u64 block, u64 stream, u64 seed) {
    u32 c0 = (u32)block, c1 = (u32)(block >> 32), c2 = (u32)stream, c3 = (u32)(stream >> 32);
    u32 k0 = (u32)seed, k1 = (u32)(seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        u32 high0 = __umulhi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
        u32 high1 = __umulhi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
        c0 = high1 ^ c1 ^ k0, c1 = low1, c2 = high0 ^ c3 ^ k1, c3 = low0;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    return Words{{c0, c1, c2, c3}};
}

// The mask of dropout, which recomputes it from a counter instead of storing it. Element i has
// `bits` random bits of the stream, from bit `bits * i` on: 1, 2, 4, 8 or 16, as many as the
// threshold has binary digits. It is kept where they, as the highest of 16 bits, reach the
// threshold.
struct Keeper {
    u64 seed, stream;
    u32 threshold;
    int bits;
    float scale;
    DEVICE Keeper(u64 seed, u64 stream, const Key* key, u32 threshold, float scale)
        : seed(key ? key->seed : seed), stream(key ? key->stream : stream), threshold(threshold), bits(16), scale(scale) {
        while (bits > 1 && !(threshold & 0xffffu >> bits / 2)) bits /= 2;
    }
    // Scales x or sets it to 0, for elements i .. i + V. i is a multiple of V, so that the random
    // bits of a pack come from one Philox block.
    template <int V> DEVICE void keep(i64 i, Floats<V>& x) const {
        if (threshold == 0) return;
        u64 start = (u64)i * bits;
        Words words = philox(start / 128, stream, seed);
        int first = V == 8 && bits == 16 ? 0 : (int)(start % 128);
#pragma unroll
        for (int j = 0; j < V; j++) {
            int at = first + j * bits;
            u32 word = words.x[0];
#pragma unroll
            for (int k = 1; k < 4; k++) word = at / 32 == k ? words.x[k] : word;
            x[j] = (word >> at % 32 << (16 - bits) & 0xffff) >= threshold ? x[j] * scale : 0;
        }
    }
};

// ---- The standard normal distribution, and GELU: x Phi(x), by erff, not by the approximation with tanh.

DEVICE float normal_cdf(float x) { return 0.5f + 0.5f * erff(x * 0.707106781186547524f); }
DEVICE float normal_density(float x) { return expf(-0.5f * x * x) * 0.398942280401432678f; }
// At both infinities these are the limits: 0 times infinity would be NaN.
DEVICE float gelu(float x) {
    float cdf = normal_cdf(x);
    return cdf == 0 ? 0 : x * cdf;
}
DEVICE float gelu_slope(float x) {
    float density = normal_density(x);
    return normal_cdf(x) + (density == 0 ? 0 : x * density);
}
DEVICE float sigmoid(float x) {
    float e = expf(-fabsf(x));
    return (x > 0 ? 1 : e) / (1 + e);
}
