// Instructions that C++ has no word for: copies beside the arithmetic, products on tensor cores;
// each with a plain definition.
#pragma once

// 16 bytes from global to shared memory, beside whatever else is done; zeros where they are not
// there.
DEVICE void copy_chunk(uint4* to, const void* from, bool there) {
#if !defined(STAND_IN) && __CUDA_ARCH__ >= 800
    u32 shared = (u32)__cvta_generic_to_shared(to);
    int bytes = there ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(from), "r"(bytes) : "memory");
#else
    *to = there ? *(const uint4*)from : make_uint4(0, 0, 0, 0);
#endif
}

// Ends a group of copies.
DEVICE void copies_begun() {
#if !defined(STAND_IN) && __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;");
#endif
}

// Waits for all groups of copies but the last N.
template <int N> DEVICE void copies_done() {
#if !defined(STAND_IN) && __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}

// Four 8 x 8 matrices of 16-bit numbers (or 8 x 4 of 32-bit ones), of which address(i) is row i % 8
// of matrix i / 8. A lane gets, of each, the two numbers 2 (lane % 4) and the next of row lane / 4.
template <class F> DEVICE void load_matrices(u32 (&r)[4], F address) {
    int lane = threadIdx.x % 32;
#if !defined(STAND_IN) && __CUDA_ARCH__ >= 750
    u32 shared = (u32)__cvta_generic_to_shared(address(lane));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared) : "memory");
#else
    for (int i = 0; i < 4; i++) r[i] = ((const u32*)address(8 * i + lane / 4))[lane % 4];
#endif
}

// The same of the matrices' transposes: rows 2 (lane % 4) and the next of column lane / 4.
template <class F> DEVICE void load_transposed(u32 (&r)[4], F address) {
    int lane = threadIdx.x % 32;
#if !defined(STAND_IN) && __CUDA_ARCH__ >= 750
    u32 shared = (u32)__cvta_generic_to_shared(address(lane));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared) : "memory");
#else
    for (int i = 0; i < 4; i++) {
        u16 first = ((const u16*)address(8 * i + lane % 4 * 2))[lane / 4], second = ((const u16*)address(8 * i + lane % 4 * 2 + 1))[lane / 4];
        r[i] = first | (u32)second << 16;
    }
#endif
}

// How far loops over tiles are unrolled: wholly, but not where a processor lacks such products (the
// definition below would take minutes to compile), nor where its registers do not hold so many
// tiles.
#if defined(STAND_IN) || __CUDA_ARCH__ >= 800
template <int TILES> constexpr int UNROLLED = TILES;
#else
template <int TILES> constexpr int UNROLLED = REAL == 2 && __CUDA_ARCH__ >= 750 && TILES <= 8 ? TILES : 1;
#endif
#if REAL == 0
#define TERMS "m16n8k8.row.col.f32.tf32.tf32.f32"
#elif REAL == 1
#define TERMS "m16n8k16.row.col.f32.bf16.bf16.f32"
#else
#define TERMS "m16n8k16.row.col.f32.f16.f16.f32"
#endif

// d += a b of a warp: a is 16 x K, b is K x 8, for K = 16 of 16-bit floats or 8 of TF32 (f32 with
// ten bits of fraction). With g = lane / 4 and t = lane % 4, a lane holds d[g + 8 i / 2][2 t + i %
// 2], and words: a_0..3 from rows g, g + 8, g, g + 8, the first two from the lower half of K, and
// b_0, b_1 of column g from the lower and the upper half; within a half, word t.
DEVICE void multiply_add(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
#if defined(STAND_IN) || __CUDA_ARCH__ < 750 || (REAL != 2 && __CUDA_ARCH__ < 800)
    // By its definition, from the other lanes' words.
    int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
#ifdef STAND_IN
    struct { u32 a[4], b[2]; } mine = {{a[0], a[1], a[2], a[3]}, {b0, b1}};
    const stand_in::Slot* all = stand_in::exchange(&mine, sizeof mine, 0xffffffffu, 4);
    auto word = [=](int, int from, int i) { return ((const u32*)all[from].bytes)[i]; };
#else
    auto word = [=](u32 mine, int from, int) { return __shfl_sync(0xffffffffu, mine, from); };
#endif
#pragma unroll
    for (int half = 0; half < 2; half++) {
#pragma unroll 1
        for (int k = 0; k < 4; k++) {
            u32 upper = word(a[2 * half], 4 * g + k, 2 * half), lower = word(a[2 * half + 1], 4 * g + k, 2 * half + 1);
            u32 left = word(half ? b1 : b0, 8 * t + k, 4 + half), right = word(half ? b1 : b0, 8 * t + 4 + k, 4 + half);
#if REAL == 0
            auto add = [](float& d, u32 x, u32 y) { d += __uint_as_float(x & 0xffffe000u) * __uint_as_float(y & 0xffffe000u); };
#else
            auto add = [](float& d, u32 x, u32 y) {
                d += first_of<real>(x) * first_of<real>(y);
                d += second_of<real>(x) * second_of<real>(y);
            };
#endif
            add(d[0], upper, left), add(d[1], upper, right), add(d[2], lower, left), add(d[3], lower, right);
        }
    }
#elif __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned." TERMS " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(b0));
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[2]), "r"(a[3]), "r"(b1));
#endif
}

// A word as the tensor cores take it: f32 is rounded to TF32, which they only cut off. 16-bit
// floats stay.
DEVICE u32 operand(u32 word) { return REAL == 0 ? word + 0x1000u : word; }
