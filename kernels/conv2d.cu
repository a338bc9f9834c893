// Convolution from the big image to the small one, and the gradient of the weight, which both directions share.
#include "common.cuh"
#include "tiles.cuh"

DEVICE Gather to_small(const real* big, const real* weight, const real* bias, real* small, const Window& g) {
    Side down = Side::of_small(g.small_h, g.stride_h, g.pad_h, g.dil_h, g.kh), right = Side::of_small(g.small_w, g.stride_w, g.pad_w, g.dil_w, g.kw);
    return Gather{big, weight, bias, small, g.n, g.groups, g.big_h, g.big_w, g.big_c, g.small_h, g.small_w, g.small_c,
        g.kh * g.kw * (g.big_c / g.groups), g.kw, down, right};
}

#define CONV2D(name, blocks, core)                                                                                              \
    KERNEL_OF(core::THREADS, blocks, name, const real* big, const real* weight, const real* bias, real* small, Window g, int v) { \
        convolution<core>(to_small(big, weight, bias, small, g), v);                                                            \
    }

#if REAL == 0
CONV2D(conv2d_32, 2, InF32<32>)
CONV2D(conv2d_64, 1, InF32<64>)
CONV2D(conv2d_128, 1, InF32<128>)
CONV2D(conv2d_tf32_32, 2, OnTensorCores<32>)
CONV2D(conv2d_tf32_64, 2, OnTensorCores<64>)
CONV2D(conv2d_tf32_128, 2, OnTensorCores<128>)
CONV2D(conv2d_tf32_144, 2, OnTensorCores<144>)
#else
CONV2D(conv2d_32, 2, OnTensorCores<32>)
CONV2D(conv2d_64, 2, OnTensorCores<64>)
CONV2D(conv2d_128, 2, OnTensorCores<128>)
CONV2D(conv2d_144, 2, OnTensorCores<144>)
#endif
