// What the kernels share: the storage type, packs of 16 bytes, sums over warps and blocks, random
// words, walks over axes.
//
// No header of CUDA's is needed: 16-bit floats are bits in a struct, and instructions that C++ has
// no word for stand in small functions of three branches each: for the processors that have them,
// for older ones, and for the stand-in of the tests, which runs these files on the CPU.
#pragma once

#ifndef STAND_IN
// A kernel of blocks of 256 threads, and one that says how many threads, and how many blocks one
// multiprocessor is to hold.
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

// Elements in 16 bytes.
constexpr int P = 16 / sizeof(real);

// The structs that launches pass; kernels/README.md describes them.
struct Axes { int rank; u32 length[6]; i64 a[6], b[6]; };
struct Window { int n, big_h, big_w, big_c, small_h, small_w, small_c, kh, kw, stride_h, stride_w, pad_h, pad_w, dil_h, dil_w, groups; };
struct Key { u64 seed, stream; };
struct Segment { i64 start, length; float lr_scale, decay_scale; int frozen, unused; };
struct Step { i64 steps; float lr, loss_scale; int good, skipped, skip; float factor, correction, unbias; };

// Ends the kernel with an error: for a number of an op, or a kind, that no case of a switch stands
// for.
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

// 1 / sqrt(var + eps), and 0 where that sum is 0: equal elements have no spread to be divided by,
// and 0 times infinity is no number.
DEVICE float inverse_std(float var, float eps) { return var + eps == 0 ? 0 : 1 / sqrtf(var + eps); }

// ---- 16-bit floats: to f32 exactly, from f32 to the nearest, to even among equals.

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
    // Adding just below half of the last bit that stays, or half where that bit is odd, carries
    // where rounding goes up.
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

// Two of them in one word, the first in the lower half.
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

// ---- Packs: V numbers as f32, of which V = 1 or V elements are 16 bytes in memory, loaded and stored in one go.

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

// Two numbers in one go.
DEVICE void store_pair(float* p, float first, float second) { *(float2*)p = make_float2(first, second); }
template <class T> DEVICE void store_pair(T* p, float first, float second) { *(u32*)p = pair_of<T>(first, second); }

// One number of an f32 or a storage array.
DEVICE float wide_or_real(const void* p, int wide, i64 i) { return wide ? ((const float*)p)[i] : to_float(((const real*)p)[i]); }

DEVICE bool aligned(const void* p) { return (u64)p % 16 == 0; }
template <class... Q> DEVICE bool aligned(const void* p, Q... others) { return aligned(p) && aligned(others...); }

// ---- Ways to share work out. A thread's first item, and how far it is to its next.

DEVICE i64 first_item() { return (i64)blockIdx.x * blockDim.x + threadIdx.x; }
DEVICE i64 item_stride() { return (i64)gridDim.x * blockDim.x; }

// Calls body(Width<V>, i) for elements i .. i + V of 0..n: packs of W as far as they go (W = 1:
// none), then one by one.
template <int W, class F> DEVICE void each_pack(i64 n, bool packs, F body) {
    i64 full = W > 1 && packs ? n / W : 0;
    for (i64 i = first_item(); i < full; i += item_stride()) body(Width<W>{}, i * W);
    for (i64 i = full * W + first_item(); i < n; i += item_stride()) body(Width<1>{}, i);
}
template <class F> DEVICE void each(i64 n, bool packs, F body) { each_pack<P>(n, packs, body); }

// Calls body(Width<V>) for V = v, which is P or 1.
template <class F> DEVICE void with_width(int v, F body) {
    if (v == P) body(Width<P>{});
    else body(Width<1>{});
}

// A block's share of a matrix of rows of c channels: V channels of some rows for each thread.
// Threads lie along the row as far as it goes, then along the rows, so that neighbours read
// neighbouring memory.
template <int V> struct Share {
    int columns, lanes, column, lane;
    DEVICE Share(int c) {
        int packs = (c + V - 1) / V, blocks = (packs + 255) / 256;
        columns = (packs + blocks - 1) / blocks;
        lanes = 256 / columns;
        column = threadIdx.x % columns;
        lane = threadIdx.x / columns;
    }
    // The first channel in the `block`-th group of columns.
    DEVICE int channel(int block) const { return (block * columns + column) * V; }
    DEVICE bool works(int block, int c) const { return lane < lanes && channel(block) < c; }
};

// The sum over all lanes of a column, for lane 0 of each; `room` has 256 numbers for each of the V.
// The tree depends on the number of lanes alone. All threads must come.
template <int V> DEVICE void sum_lanes(const Share<V>& share, Floats<V>& x, float (*room)[256]) {
#pragma unroll
    for (int i = 0; i < V; i++) room[i][threadIdx.x] = x[i];
    __syncthreads();
    for (int left = share.lanes; left > 1; left = (left + 1) / 2) {
        int half = (left + 1) / 2;
        if (share.lane + half < left) {
#pragma unroll
            for (int i = 0; i < V; i++) room[i][threadIdx.x] += room[i][threadIdx.x + half * share.columns];
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < V; i++) x[i] = room[i][threadIdx.x];
    __syncthreads();
}

// ---- Sums over a warp and over a block of 256; every thread gets the result.

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

// The sum of term(i) over i in 0..n by one warp, each lane every 32nd.
template <class F> DEVICE float warp_total(int n, F term) {
    float sum = 0;
    for (int i = threadIdx.x % 32; i < n; i += 32) sum += term(i);
    return warp_sum(sum);
}

// What ln(softmax) of a row is made of, by one warp: its maximum m and l = ln(sum of e^(x - m)). m
// is subtracted first, so that nothing overflows, and never added back, which would round l away
// where m is large.
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

// Calls body(row) with the whole warp, for every row some warp of the grid.
template <class F> DEVICE void each_row(i64 rows, F body) {
    i64 warps = (i64)gridDim.x * (blockDim.x / 32);
    for (i64 row = (i64)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32; row < rows; row += warps) body(row);
}

// ---- Division by a number that is not known when compiling, as a product and a shift: n / d for n below 2^31.
// With s = ceil(log2 d) and m = floor(2^32 (2^s - d) / d) + 1, n / d = (n m / 2^32 + n) / 2^s,
// rounded down. Source: Granlund and Montgomery, "Division by invariant integers using
// multiplication" (PLDI 1994), figure 4.1.
struct Divider {
    u32 d, m, s;
    DEVICE Divider(u32 divisor) : d(divisor), s(0) {
        while (s < 32 && (1ull << s) < d) s++;
        m = (u32)((((1ull << s) - d) << 32) / d + 1);
    }
    DEVICE u32 quotient(u32 n) const { return (__umulhi(n, m) + n) >> s; }
    // n becomes n / d; its rest is returned.
    DEVICE u32 split(u32& n) const {
        u32 q = quotient(n), rest = n - q * d;
        n = q;
        return rest;
    }
};

// n / d, and n becomes the rest; d below 2^31. 32-bit division is several times as fast, and most
// numbers allow it; beyond, the upper 32 bits are divided so, and the other 31 one by one (64-bit
// division would be a call, for which registers are spilled).
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

// The rest of n / d alone, for d up to 2^16: by 16 bits at a time where n has more than 32.
DEVICE u32 rest(i64 n, u32 d) {
    if (n >> 32 == 0) return (u32)n % d;
    u32 rest = 0;
#pragma unroll
    for (int shift = 48; shift >= 0; shift -= 16) rest = (rest << 16 | (u32)(n >> shift & 0xffff)) % d;
    return rest;
}

// Where element i of a box lies in both operands of a walk.
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

// ---- Random words: Philox4x32-10, the words of src/rng.rs.

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

// Element i of a tensor is kept where its bits of the stream reach the threshold, a fraction of
// 2^16: 1, 2, 4, 8 or 16 bits from `bits * i` on, as many as the threshold has digits. Those that
// are not drawn count as zeros on both sides.
struct Keeper {
    u64 seed, stream;
    u32 threshold;
    int bits;
    float scale;
    DEVICE Keeper(u64 seed, u64 stream, const Key* key, u32 threshold, float scale)
        : seed(key ? key->seed : seed), stream(key ? key->stream : stream), threshold(threshold), bits(16), scale(scale) {
        while (bits > 1 && !(threshold & 0xffffu >> bits / 2)) bits /= 2;
    }
    // x scaled or 0, for elements i .. i + V. Packs begin at multiples of their size, so their bits
    // are of one block of words.
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

// ---- The normal distribution, and GELU: x Phi(x), with the exact error function.

DEVICE float normal_cdf(float x) { return 0.5f + 0.5f * erff(x * 0.707106781186547524f); }
DEVICE float normal_density(float x) { return expf(-0.5f * x * x) * 0.398942280401432678f; }
// At infinity the limits: 0 times infinity would be not-a-number.
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
