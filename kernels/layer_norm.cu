// Normalises each row to mean 0 and variance 1, then scales and shifts each column; without a beta,
// to mean square 1, and scales. One warp takes a row; its second and third reads hit the cache.
#include "common.cuh"

// stats is [rows, 2]: the mean, 0 without a beta (which is null then), and 1 / std. Grid W(rows),
// moves 2x.
KERNEL(layer_norm, const real* x, real* y, float* stats, const void* gamma, const void* beta, int wide, float eps, i64 rows, int c) {
    each_row(rows, [=](i64 row) {
        const real* own = x + row * c;
        float mean = beta ? warp_total(c, [=](int i) { return to_float(own[i]); }) / c : 0;
        float var = warp_total(c, [=](int i) { return (to_float(own[i]) - mean) * (to_float(own[i]) - mean); }) / c;
        float inv_std = inverse_std(var, eps);
        if (threadIdx.x % 32 == 0) stats[2 * row] = mean, stats[2 * row + 1] = inv_std;
        for (int i = threadIdx.x % 32; i < c; i += 32) {
            float xhat = (to_float(own[i]) - mean) * inv_std;
            from_float(xhat * wide_or_real(gamma, wide, i) + (beta ? wide_or_real(beta, wide, i) : 0), y[row * c + i]);
        }
    });
}

// dx = (g - mean of g - xhat mean of (g xhat)) inv_std, with g = gamma dy; without the mean of g where
// the rows were not centered.
// In place: dx may be dy. Grid W(rows), moves 3x.
KERNEL(layer_norm_backward, const real* x, const real* dy, real* dx, const float* stats, const void* gamma, int wide, int centered, i64 rows, int c) {
    each_row(rows, [=](i64 row) {
        float mean = stats[2 * row], inv_std = stats[2 * row + 1];
        auto xhat = [=](int i) { return (to_float(x[row * c + i]) - mean) * inv_std; };
        auto g = [=](int i) { return to_float(dy[row * c + i]) * wide_or_real(gamma, wide, i); };
        float pull = centered ? warp_total(c, g) / c : 0;
        float slope = warp_total(c, [=](int i) { return g(i) * xhat(i); }) / c;
        for (int i = threadIdx.x % 32; i < c; i += 32) from_float((g(i) - pull - xhat(i) * slope) * inv_std, dx[row * c + i]);
    });
}

// For each column, the sums of dy xhat and of dy over a block's rows.
template <int V> DEVICE void sums_block(const real* x, const real* dy, const float* stats, float* part, int rows, int c, int span) {
    __shared__ float scratch[V][256];
    Share<V> share(c);
    int channel = share.channel(blockIdx.x), start = blockIdx.y * span, end = min(rows, start + span);
    bool works = share.works(blockIdx.x, c);
    Floats<V> dgamma = {}, dbeta = {};
    if (works) {
#pragma unroll 4
        for (int row = start + share.lane; row < end; row += share.lanes) {
            i64 at = (i64)row * c + channel;
            float mean = stats[2 * (i64)row], inv_std = stats[2 * (i64)row + 1];
            Floats<V> values = load<V>(x + at), gradient = load<V>(dy + at);
#pragma unroll
            for (int i = 0; i < V; i++) dgamma[i] += gradient[i] * ((values[i] - mean) * inv_std), dbeta[i] += gradient[i];
        }
    }
    sum_lanes(share, dgamma, scratch);
    sum_lanes(share, dbeta, scratch);
    part += (i64)blockIdx.y * 2 * c + channel;
    if (works && share.lane == 0) {
#pragma unroll
        for (int i = 0; i < V; i++) part[i] = dgamma[i], part[c + i] = dbeta[i];
    }
}

// part is [splits, 2, c], of dgamma and dbeta; sum_finish_f32 with inner = 2c follows. Grid C(rows,
// c), moves 2x.
KERNEL(layer_norm_sums, const real* x, const real* dy, const float* stats, float* part, int rows, int c, int v, int span) {
    with_width(v, [=](auto width) { sums_block<width.value>(x, dy, stats, part, rows, c, span); });
}
