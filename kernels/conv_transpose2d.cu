// conv_transpose2d, from the small image to the big one. Each phase (an output's remainder by the
// stride) is an implicit GEMM over the taps that reach it, so each output is written once.
#include "common.cuh"
#include "mma.cuh"
#include "tiles.cuh"

DEVICE Gather to_big(const real* small, const real* transposed, const real* bias, real* big, const Window& g) {
    int phase_h = blockIdx.z / g.stride_w, phase_w = blockIdx.z % g.stride_w;
    Side down = Side::of_big(g.big_h, g.stride_h, g.pad_h, g.dil_h, g.kh, phase_h);
    Side right = Side::of_big(g.big_w, g.stride_w, g.pad_w, g.dil_w, g.kw, phase_w);
    return Gather{small, transposed, bias, big, g.n, g.groups, g.small_h, g.small_w, g.small_c, g.big_h, g.big_w, g.big_c,
        g.kh * g.kw * (g.small_c / g.groups), g.kw, down, right};
}

CONVOLUTIONS(conv_transpose2d, to_big)

// Transposes the weight [c_small, kh, kw, c_big / groups] to [c_big, kh, kw, c_small / groups], so
// that the weights of one output channel are contiguous along k.
// Grid E(elements of the weight).
KERNEL(transpose_weight, const real* weight, real* transposed, Window g) {
    int taps = g.kh * g.kw, from = g.big_c / g.groups, to = g.small_c / g.groups;
    i64 n = (i64)g.big_c * taps * to;
    for (i64 i = first_item(); i < n; i += item_stride()) {
        i64 s = i, tap = divide(s, to), b = divide(tap, taps), group = b;
        b = divide(group, from);
        i64 swap = group;
        group = b, b = swap;
        transposed[i] = weight[((group * to + s) * taps + tap) * from + b];
    }
}
