// Mean and variance of each channel of x [rows, c], the normalisation by them, and the backward pass.
//
// A thread has V channels and loops over rows, so that statistics and coefficients of a channel
// stay in registers. Statistics are merged as (count, mean, sum of squared deviations): E[x^2] -
// E[x]^2 would cancel where the mean is large compared with the standard deviation.
#include "common.cuh"

// Count, mean and sum of squared deviations (m2) of V channels.
template <int V> struct Moments {
    float count;
    Floats<V> mean, m2;
    // Merges the moments of another set of rows (Chan, Golub and LeVeque 1979).
    DEVICE void merge(float more, const Floats<V>& mean2, const Floats<V>& m2_2) {
        if (more == 0) return;
        float part = more / (count + more), weight = count * part;
#pragma unroll
        for (int i = 0; i < V; i++) {
            float delta = mean2[i] - mean[i];
            mean[i] += delta * part;
            m2[i] += m2_2[i] + delta * delta * weight;
        }
        count += more;
    }
};

// Takes four rows at a time, about their own mean: four loads are in flight at once, and one
// division serves them all.
template <int V> DEVICE Moments<V> moments_of(const real* x, int c, int row, int end, int step) {
    Moments<V> sum = {};
    for (; row < end; row += 4 * step) {
        Floats<V> rows[4];
        int count = min(4, (end - row + step - 1) / step);
#pragma unroll
        for (int k = 0; k < 4; k++) rows[k] = load<V>(x + (i64)(k < count ? row + k * step : row) * c);
        Floats<V> mean, m2;
        float share = 1.0f / count;
#pragma unroll
        for (int i = 0; i < V; i++) {
            // About the first row, which is near the mean.
            float first = rows[0][i], total = 0;
#pragma unroll
            for (int k = 1; k < 4; k++) total += k < count ? rows[k][i] - first : 0;
            mean[i] = first + total * share, m2[i] = 0;
#pragma unroll
            for (int k = 0; k < 4; k++) {
                float delta = rows[k][i] - mean[i];
                m2[i] += k < count ? delta * delta : 0;
            }
        }
        sum.merge((float)count, mean, m2);
    }
    return sum;
}

template <int V> DEVICE void stats_block(const real* x, float* part, int rows, int c, int span) {
    __shared__ float scratch[2 * V + 1][256];
    Share<V> share(c);
    int start = blockIdx.y * span, end = min(rows, start + span), channel = share.channel(blockIdx.x), t = threadIdx.x;
    Moments<V> sum = {};
    bool works = share.works(blockIdx.x, c);
    if (works) sum = moments_of<V>(x + channel, c, start + share.lane, end, share.lanes);
    for (int left = share.lanes; left > 1; left = (left + 1) / 2) {
        int half = (left + 1) / 2, other = t + half * share.columns;
        scratch[2 * V][t] = sum.count;
#pragma unroll
        for (int i = 0; i < V; i++) scratch[i][t] = sum.mean[i], scratch[V + i][t] = sum.m2[i];
        __syncthreads();
        if (share.lane + half < left) {
            Floats<V> mean, m2;
#pragma unroll
            for (int i = 0; i < V; i++) mean[i] = scratch[i][other], m2[i] = scratch[V + i][other];
            sum.merge(scratch[2 * V][other], mean, m2);
        }
        __syncthreads();
    }
    if (!works || share.lane > 0) return;
    part += (i64)blockIdx.y * 3 * c + channel;
#pragma unroll
    for (int i = 0; i < V; i++) part[i] = sum.count, part[c + i] = sum.mean[i], part[2 * c + i] = sum.m2[i];
}

// part is [splits, 3, c]. Grid C(rows, c), moves x.
KERNEL(batch_norm_stats, const real* x, float* part, int rows, int c, int v, int span) {
    with_width(v, [=](auto width) { stats_block<width.value>(x, part, rows, c, span); });
}

// The sum of term(split) over all splits for this thread's channel: a block has eight channels, and
// the 32 threads of each share the splits. All of them get the result.
template <class F> DEVICE float over_splits(int splits, bool works, float (*scratch)[8], F term) {
    int lane = threadIdx.x / 8, column = threadIdx.x % 8;
    float sum = 0;
    if (works) {
#pragma unroll 4
        for (int s = lane; s < splits; s += 32) sum += term(s);
    }
    scratch[lane][column] = sum;
    __syncthreads();
    for (int far = 16; far > 0; far /= 2) {
        if (lane < far) scratch[lane][column] += scratch[lane + far][column];
        __syncthreads();
    }
    sum = scratch[0][column];
    __syncthreads();
    return sum;
}

// Mean and biased variance of all rows, from the moments of each split: the weighted mean of means,
// then the deviations within splits plus those of the splits' means.
// Grid ceil(c / 8).
KERNEL(batch_norm_finish, const float* part, float* mean, float* var, int splits, int c) {
    __shared__ float scratch[32][8];
    int channel = blockIdx.x * 8 + threadIdx.x % 8;
    bool works = channel < c;
    auto of = [=](int split, int what) { return part[((i64)split * 3 + what) * c + channel]; };
    float count = over_splits(splits, works, scratch, [=](int s) { return of(s, 0); });
    // Relative to the first split's mean, which is close: sums of large means would lose digits.
    float pivot = works ? of(0, 1) : 0;
    float centre = pivot + over_splits(splits, works, scratch, [=](int s) { return of(s, 0) * (of(s, 1) - pivot); }) / count;
    float m2 = over_splits(splits, works, scratch, [=](int s) {
        float delta = of(s, 1) - centre;
        return of(s, 2) + of(s, 0) * delta * delta;
    });
    if (works && threadIdx.x < 8) mean[channel] = centre, var[channel] = m2 / count;
}

// y = (x - mean) scale + shift + residual.
template <int V> DEVICE void normalise_block(const real* x, const real* residual, real* y, const float* mean, const float* var,
    const void* gamma, const void* beta, int wide, float eps, int rows, int c, int span) {
    Share<V> share(c);
    int channel = share.channel(blockIdx.x), start = blockIdx.y * span, end = min(rows, start + span);
    if (!share.works(blockIdx.x, c)) return;
    Floats<V> centre, scale, shift;
#pragma unroll
    for (int i = 0; i < V; i++) {
        centre[i] = mean[channel + i];
        scale[i] = wide_or_real(gamma, wide, channel + i) * inverse_std(var[channel + i], eps);
        shift[i] = wide_or_real(beta, wide, channel + i);
    }
#pragma unroll 4
    for (int row = start + share.lane; row < end; row += share.lanes) {
        i64 at = (i64)row * c + channel;
        Floats<V> values = load<V>(x + at);
#pragma unroll
        for (int i = 0; i < V; i++) values[i] = (values[i] - centre[i]) * scale[i] + shift[i];
        if (residual) {
            Floats<V> more = load<V>(residual + at);
#pragma unroll
            for (int i = 0; i < V; i++) values[i] += more[i];
        }
        store(y + at, values);
    }
}

// y = x normalised, scaled and shifted, + residual, which may be null. In place: y may be x. Grid
// C(rows, c), moves 2x, or 3x.
KERNEL(batch_norm, const real* x, const real* residual, real* y, const float* mean, const float* var, const void* gamma, const void* beta,
    int wide, float eps, int rows, int c, int v, int span) {
    with_width(v, [=](auto width) {
        normalise_block<width.value>(x, residual, y, mean, var, gamma, beta, wide, eps, rows, c, span);
    });
}

// For each channel, the sums of dy (x - mean) (`slope`) and of dy (`pull`).
template <int V> DEVICE void sums_block(const real* x, const real* dy, const float* mean, float* part, int rows, int c, int span) {
    __shared__ float scratch[V][256];
    Share<V> share(c);
    int channel = share.channel(blockIdx.x), start = blockIdx.y * span, end = min(rows, start + span);
    bool works = share.works(blockIdx.x, c);
    Floats<V> slope = {}, pull = {}, centre = {};
    if (works) {
#pragma unroll
        for (int i = 0; i < V; i++) centre[i] = mean[channel + i];
#pragma unroll 4
        for (int row = start + share.lane; row < end; row += share.lanes) {
            i64 at = (i64)row * c + channel;
            Floats<V> values = load<V>(x + at), gradient = load<V>(dy + at);
#pragma unroll
            for (int i = 0; i < V; i++) slope[i] += gradient[i] * (values[i] - centre[i]), pull[i] += gradient[i];
        }
    }
    sum_lanes(share, slope, scratch);
    sum_lanes(share, pull, scratch);
    part += (i64)blockIdx.y * 2 * c + channel;
    if (works && share.lane == 0) {
#pragma unroll
        for (int i = 0; i < V; i++) part[i] = slope[i], part[c + i] = pull[i];
    }
}

// part is [splits, 2, c]. Grid C(rows, c), moves 2x.
KERNEL(batch_norm_sums, const real* x, const real* dy, const float* mean, float* part, int rows, int c, int v, int span) {
    with_width(v, [=](auto width) { sums_block<width.value>(x, dy, mean, part, rows, c, span); });
}

// Grid ceil(c / 8).
KERNEL(batch_norm_finish_sums, const float* part, const float* var, float eps, float* dgamma, float* dbeta, int splits, int c) {
    __shared__ float scratch[32][8];
    int channel = blockIdx.x * 8 + threadIdx.x % 8;
    bool works = channel < c;
    float slope = over_splits(splits, works, scratch, [=](int s) { return part[(i64)s * 2 * c + channel]; });
    float pull = over_splits(splits, works, scratch, [=](int s) { return part[((i64)s * 2 + 1) * c + channel]; });
    if (works && threadIdx.x < 8) dgamma[channel] = slope * inverse_std(var[channel], eps), dbeta[channel] = pull;
}

// dx = (dy - pull - (x - mean) slope) scale, with pull = dbeta / rows, the mean of dy, and slope =
// dgamma / (rows std), the mean of dy (x - mean) over var + eps: the paths through the mean and the
// variance. Both are 0 where the statistics are constants.
template <int V> DEVICE void backward_block(const real* x, const real* dy, real* dx, const float* mean, const float* var, const void* gamma,
    int wide, float eps, const float* dgamma, const float* dbeta, float share_of_row, int rows, int c, int span) {
    Share<V> share(c);
    int channel = share.channel(blockIdx.x), start = blockIdx.y * span, end = min(rows, start + span);
    if (!share.works(blockIdx.x, c)) return;
    Floats<V> centre, scale, pull = {}, slope = {};
#pragma unroll
    for (int i = 0; i < V; i++) {
        float inv_std = inverse_std(var[channel + i], eps);
        centre[i] = mean[channel + i];
        scale[i] = wide_or_real(gamma, wide, channel + i) * inv_std;
        if (share_of_row != 0) {
            pull[i] = dbeta[channel + i] * share_of_row;
            slope[i] = dgamma[channel + i] * share_of_row * inv_std;
        }
    }
#pragma unroll 4
    for (int row = start + share.lane; row < end; row += share.lanes) {
        i64 at = (i64)row * c + channel;
        Floats<V> values = load<V>(x + at), gradient = load<V>(dy + at);
#pragma unroll
        for (int i = 0; i < V; i++) values[i] = (gradient[i] - pull[i] - (values[i] - centre[i]) * slope[i]) * scale[i];
        store(dx + at, values);
    }
}

// share is 1 / rows, or 0 for given statistics; dgamma and dbeta are not read then. In place: dx
// may be dy. Grid C(rows, c), moves 3x.
KERNEL(batch_norm_backward, const real* x, const real* dy, real* dx, const float* mean, const float* var, const void* gamma, int wide,
    float eps, const float* dgamma, const float* dbeta, float share, int rows, int c, int v, int span) {
    with_width(v, [=](auto width) {
        backward_block<width.value>(x, dy, dx, mean, var, gamma, wide, eps, dgamma, dbeta, share, rows, c, span);
    });
}
