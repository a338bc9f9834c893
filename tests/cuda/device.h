// The part of CUDA's language that kernels/*.cu use, for a C++ compiler: the stand-in runs them on
// the CPU.
//
// A block runs on one thread of the system, its CUDA threads as fibers that take turns: one runs
// until it meets a barrier or an exchange with its warp, where it waits until the others have come.
// Shared memory is thread-local, hence one to a running block.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#define STAND_IN
#define __global__
#define __device__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __shared__ static __thread

struct uint2 { unsigned x, y; };
struct uint3 { unsigned x, y, z; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(16) float4 { float x, y, z, w; };
static inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
struct alignas(8) float2 { float x, y; };
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

#define OWN_TO_A_THREAD __thread
extern OWN_TO_A_THREAD uint3 threadIdx, blockIdx, blockDim, gridDim;

namespace stand_in {

// A kernel as launches see it: its name, its file, the storage type it was compiled for, the sizes
// of its arguments, and a function that takes them as cuLaunchKernel does, as pointers.
struct Kernel {
    const char* name;
    const char* file;
    int real, threads;
    const size_t* sizes;
    size_t count;
    void (*call)(void** arguments);
    Kernel* next;
};
extern Kernel* kernels;

struct Registration {
    Kernel kernel;
    Registration(Kernel k) : kernel(k) { kernel.next = kernels, kernels = &kernel; }
};

template <auto F> struct Call;
template <class... A, void (*F)(A...)> struct Call<F> {
    static constexpr size_t sizes[] = {sizeof(A)...};
    template <size_t... I> static void with(void** a, std::index_sequence<I...>) { F(*(A*)a[I]...); }
    static void run(void** a) { with(a, std::index_sequence_for<A...>{}); }
};

// Runs a grid; 0, or the error a driver would give.
int launch(const Kernel& kernel, uint3 grid, uint3 block, void** arguments);

// What __syncthreads and warp operations wait with. `line` tells one barrier from another.
void barrier(int line);

// What a lane shows the others of its warp, and what they showed, valid until the next exchange.
struct alignas(16) Slot { unsigned char bytes[64]; };
const Slot* exchange(const void* mine, size_t size, unsigned mask, int line);
unsigned lane();

// Ends the kernel with the error of a device that met the instruction `trap`.
[[noreturn]] void trap();

float half_to_float(unsigned short bits);
unsigned short float_to_half(float x);

}  // namespace stand_in

#define KERNEL_OF(most, blocks, name, ...)                                                                          \
    static void name(__VA_ARGS__);                                                                                  \
    static stand_in::Registration registration_of_##name({#name, __FILE__, REAL, most,                              \
        stand_in::Call<&name>::sizes, std::size(stand_in::Call<&name>::sizes), &stand_in::Call<&name>::run, nullptr}); \
    static void name(__VA_ARGS__)
#define KERNEL(name, ...) KERNEL_OF(256, 1, name, __VA_ARGS__)

#define __syncthreads() stand_in::barrier(__LINE__)

static inline void __syncwarp(unsigned mask = ~0u) {
    int nothing = 0;
    stand_in::exchange(&nothing, sizeof nothing, mask, 1);
}

template <class T> static inline T __shfl_sync(unsigned mask, T x, int from) {
    T y;
    memcpy(&y, stand_in::exchange(&x, sizeof x, mask, 2)[from & 31].bytes, sizeof y);
    return y;
}

template <class T> static inline T __shfl_xor_sync(unsigned mask, T x, int far) {
    T y;
    memcpy(&y, stand_in::exchange(&x, sizeof x, mask, 3)[(stand_in::lane() ^ far) & 31].bytes, sizeof y);
    return y;
}

static inline int atomicMin(int* p, int x) {
    int old = __atomic_load_n(p, __ATOMIC_SEQ_CST);
    while (x < old && !__atomic_compare_exchange_n(p, &old, x, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {}
    return old;
}

static inline int atomicAdd(int* p, int x) { return __atomic_fetch_add(p, x, __ATOMIC_SEQ_CST); }
static inline int atomicExch(int* p, int x) { return __atomic_exchange_n(p, x, __ATOMIC_SEQ_CST); }

template <class To, class From> static inline To same_bits(From x) {
    static_assert(sizeof(To) == sizeof(From), "bits of one size");
    To y;
    memcpy(&y, &x, sizeof y);
    return y;
}
static inline float __int_as_float(int x) { return same_bits<float>(x); }
static inline float __uint_as_float(unsigned x) { return same_bits<float>(x); }
static inline int __float_as_int(float x) { return same_bits<int>(x); }
static inline unsigned __float_as_uint(float x) { return same_bits<unsigned>(x); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((unsigned long long)a * b >> 32); }
static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
static inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
static inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
