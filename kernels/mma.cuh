// Inline PTX: asynchronous copies (cp.async), matrix loads (ldmatrix), tensor-core multiply-adds
// (mma.sync). Each has a plain definition, for older architectures and for the stand-in.
#pragma once

// Copies 16 bytes from global to shared memory, asynchronously from sm_80 on; writes zeros if
// `there` is false.
DEVICE void copy_chunk(uint4* to, const void* from, bool there) {
#if !defined(STAND_IN) && __CUDA_ARCH__ >= 800
    u32 shared = (u32)__cvta_generic_to_shared(to);
    int bytes = there ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(from), "r"(bytes) : "memory");
#else
    *to = there ? *(const uint4*)from : make_uint4(0, 0, 0, 0);
#endif
}

// Commits the copies issued so far as one group.
DEVICE void copies_begun() {
#if !defined(STAND_IN) && __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;");
#endif
}

// Waits until all groups of copies but the newest N are complete.
template <int N> DEVICE void copies_done() {
#if !defined(STAND_IN) && __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}

// Loads four 8 x 8 matrices of 16-bit elements (or 8 x 4 of 32-bit ones) from shared memory;
// address(i) is row i % 8 of matrix i / 8. Of each, a lane gets the 32-bit word lane % 4 of row
// lane / 4: the fragment that mma.sync takes.
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

// The same with each matrix of 16-bit elements transposed: a lane gets rows 2 (lane % 4) and 2
// (lane % 4) + 1 of column lane / 4.
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

// Unroll factor of loops over tiles: all TILES, but 1 on an architecture without the mma.sync
// instruction, where the plain definition below would take minutes to compile, or with too few
// registers for so many tiles.
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

// d += a b by one warp (mma.sync): a is [16, K], b is [K, 8], d is [16, 8], with K = 16 for 16-bit
// floats and 8 for TF32 (f32 with a 10-bit fraction). With g = lane / 4 and t = lane % 4, a lane's
// fragments are: d[i] = element (g + 8 (i / 2), 2 t + i % 2); a[0], a[1] = word t of rows g and g +
// 8 in the lower half of K, a[2], a[3] = the same in the upper half; b0, b1 = word t of column g in
// the lower and the upper half. A word holds one element of TF32 or two of 16 bits.
DEVICE void multiply_add(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
#if defined(STAND_IN) || __CUDA_ARCH__ < 750 || (REAL != 2 && __CUDA_ARCH__ < 800)
    // The plain definition, which reads the other lanes' fragments.
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

// A word of an operand as mma.sync takes it: f32 is rounded to TF32 here, to nearest with ties away
// from 0, as the instruction ignores the lower 13 bits. 16-bit floats stay as they are.
DEVICE u32 operand(u32 word) {
#if REAL != 0
    return word;
#elif defined(STAND_IN) || __CUDA_ARCH__ < 800
    // Adding to a not-a-number could carry into its sign, and dropping bits could make it infinite.
    bool is_nan = (word & 0x7fffffffu) > 0x7f800000u;
    return is_nan ? word | 0x400000u : word + 0x1000u;
#else
    u32 rounded;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(__uint_as_float(word)));
    return rounded;
#endif
}
