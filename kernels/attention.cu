// Attention, forward and backward, by tiles of 64 x 64 scores: no matrix of all scores is in memory.
//
// A block computes 64 rows and 64 columns of one result, W X, where W is made of the scores tile by
// tile and X is an operand:
//
//     result   rows of W   W              X
//     y        queries     F P            v         softmax with running maximum and sum
//     dq       queries     dS             k
//     dk       keys        dS^T           scale q
//     dv       keys        (F P)^T        dy
//
// with S = scale q k^T, P = softmax(S), F the factors of dropout, dP = F (dy v^T) and dS = P (dP - r),
// r = sum of dy y over a row. Each result has one writer, so there are no atomics, and all compute S by
// the same instructions: even scores so large that they are rounded by more than 1 have the P that
// belongs to the sums of the forward pass. Heads of up to 64 channels are one block of columns; wider
// ones compute their scores once for each 64. Source: Dao et al., "FlashAttention" (arXiv:2205.14135);
// T. Dao, "FlashAttention-2" (arXiv:2307.08691).
#include "common.cuh"

constexpr int TILE = 64;   // rows and columns of a tile
constexpr int DEPTH = 32;  // terms that a tile of scores takes at a time
constexpr int EACH = 4;    // rows and columns of a thread, every 16th of the tile

// What a block shares: first two operands of the scores, DEPTH terms at a time, then a tile of X; and
// W. Rows are an odd number of words apart, so that 16 of them lie in different banks.
struct Shared {
    union {
        float operands[2][TILE][DEPTH + 1];
        float x[TILE][TILE];
    };
    float weights[TILE][TILE + 1];
};

// One head's operand, `rows` rows of `width` elements, multiplied by `scale` as it is read.
struct Matrix {
    const real* first;
    int rows, width;
    float scale;
    DEVICE Matrix(const real* all, int head, int rows, int width, float scale = 1)
        : first(all + (i64)head * rows * width), rows(rows), width(width), scale(scale) {}
    // 0 outside of it.
    DEVICE float at(int row, int column) const {
        return row < rows && column < width ? to_float(first[(i64)row * width + column]) * scale : 0;
    }
};

// sums = a b^T for rows of a from `row` on and rows of b from `column` on, in the order of the terms.
DEVICE void products(const Matrix& a, int row, const Matrix& b, int column, Shared& shared, float (&sums)[EACH][EACH]) {
    int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
#pragma unroll
    for (int i = 0; i < EACH; i++) {
#pragma unroll
        for (int j = 0; j < EACH; j++) sums[i][j] = 0;
    }
#pragma unroll 1
    for (int k = 0; k < a.width; k += DEPTH) {
        __syncthreads();
#pragma unroll 2
        for (int at = threadIdx.x; at < TILE * DEPTH; at += 256) {
            int i = at / DEPTH, p = at % DEPTH;
            shared.operands[0][i][p] = a.at(row + i, k + p);
            shared.operands[1][i][p] = b.at(column + i, k + p);
        }
        __syncthreads();
#pragma unroll 4
        for (int p = 0; p < DEPTH; p++) {
            float left[EACH], right[EACH];
#pragma unroll
            for (int i = 0; i < EACH; i++) left[i] = shared.operands[0][ty + 16 * i][p], right[i] = shared.operands[1][tx + 16 * i][p];
#pragma unroll
            for (int i = 0; i < EACH; i++) {
#pragma unroll
                for (int j = 0; j < EACH; j++) sums[i][j] += left[i] * right[j];
            }
        }
    }
    __syncthreads();
}

// sums += W X for columns of X from `first` on, and rows from `row` on.
DEVICE void add_products(const Matrix& x, int row, int first, Shared& shared, float (&sums)[EACH][EACH]) {
    int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
#pragma unroll 2
    for (int at = threadIdx.x; at < TILE * TILE; at += 256) shared.x[at / TILE][at % TILE] = x.at(row + at / TILE, first + at % TILE);
    __syncthreads();
#pragma unroll 4
    for (int p = 0; p < TILE; p++) {
        float left[EACH], right[EACH];
#pragma unroll
        for (int i = 0; i < EACH; i++) left[i] = shared.weights[ty + 16 * i][p], right[i] = shared.x[p][tx + 16 * i];
#pragma unroll
        for (int i = 0; i < EACH; i++) {
#pragma unroll
            for (int j = 0; j < EACH; j++) sums[i][j] += left[i] * right[j];
        }
    }
}

// Where a block works: its head, its first row, and its first column of the result.
struct Place {
    int head, row, column;
    DEVICE Place(int rows) {
        int tiles = (rows + TILE - 1) / TILE;
        head = blockIdx.x / tiles, row = blockIdx.x % tiles * TILE, column = blockIdx.y * TILE;
    }
};

// Writes a block's sums.
DEVICE void store_tile(const Place& place, int rows, int width, const float (&sums)[EACH][EACH], real* y) {
    int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
#pragma unroll
    for (int i = 0; i < EACH; i++) {
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            int row = place.row + ty + 16 * i, column = place.column + tx + 16 * j;
            if (row < rows && column < width) from_float(sums[i][j], y[((i64)place.head * rows + row) * width + column]);
        }
    }
}

// Folds a value of each of the 16 threads that share a row.
template <class F> DEVICE float fold_row(float x, F join) {
#pragma unroll
    for (int far = 8; far > 0; far /= 2) x = join(x, __shfl_xor_sync(0xffffffffu, x, far));
    return x;
}

// dropout's factor of one weight.
DEVICE float factor(const Keeper& keeper, i64 weight) {
    Floats<1> one = {{1}};
    keeper.keep(weight, one);
    return one[0];
}

// y, and of each row of scores the largest and ln(sum of e^(score - largest)).
// threshold and keep are threshold and scale of dropout.cu, 0 and 1 without dropout; key may be
// null. Grid (heads ceil(n / 64), ceil(dv / 64)), moves q + k + v + y.
KERNEL(attention, const real* q, const real* k, const real* v, real* y, RowStats* stats, int n, int m, int d, int dv, float scale, int causal,
    u64 seed, u64 stream, const Key* key, u32 threshold, float keep) {
    __shared__ Shared shared;
    Keeper keeper(seed, stream, key, threshold, keep);
    Place place(n);
    Matrix queries(q, place.head, n, d, scale), keys(k, place.head, m, d), values(v, place.head, m, dv);
    int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    float sums[EACH][EACH] = {}, most[EACH], total[EACH] = {};
#pragma unroll
    for (int i = 0; i < EACH; i++) most[i] = -infinity();
    int end = causal ? min(m, place.row + TILE) : m;
#pragma unroll 1
    for (int first = 0; first < end; first += TILE) {
        float scores[EACH][EACH];
        products(queries, place.row, keys, first, shared, scores);
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            int row = place.row + ty + 16 * i;
            float largest = most[i];
#pragma unroll
            for (int j = 0; j < EACH; j++) {
                int column = first + tx + 16 * j;
                if (column >= m || (causal && column > row)) scores[i][j] = -infinity();
                largest = fmaxf(largest, scores[i][j]);
            }
            largest = fold_row(largest, [](float a, float b) { return fmaxf(a, b); });
            // Where all scores up to here are -infinity, their weights beside a later one are 0.
            float base = largest == -infinity() ? 0 : largest, shrink = expf(most[i] - base);
            most[i] = largest, total[i] *= shrink;
#pragma unroll
            for (int j = 0; j < EACH; j++) {
                int column = first + tx + 16 * j;
                float weight = expf(scores[i][j] - base);
                total[i] += weight, sums[i][j] *= shrink;
                if (threshold && weight != 0) weight *= factor(keeper, ((i64)place.head * n + row) * m + column);
                shared.weights[ty + 16 * i][tx + 16 * j] = weight;
            }
        }
        add_products(values, first, place.column, shared, sums);
    }
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        int row = place.row + ty + 16 * i;
        total[i] = fold_row(total[i], [](float a, float b) { return a + b; });
#pragma unroll
        for (int j = 0; j < EACH; j++) sums[i][j] /= total[i];
        if (tx == 0 && blockIdx.y == 0 && row < n) stats[(i64)place.head * n + row] = {most[i], logf(total[i])};
    }
    store_tile(place, n, dv, sums, y);
}

// r = the sum of y dy over each row.
// Grid W(rows), moves 2y.
KERNEL(attention_dots, const real* y, const real* dy, float* r, i64 rows, int dv) {
    each_row(rows, [=](i64 row) {
        const real *own = y + row * dv, *gradient = dy + row * dv;
        float sum = warp_total(dv, [=](int i) { return to_float(own[i]) * to_float(gradient[i]); });
        if (threadIdx.x % 32 == 0) r[row] = sum;
    });
}

// What the backward pass makes of a score.
struct Slope {
    const RowStats* stats;
    const float* r;
    const Keeper& keeper;
    i64 first;  // of the head's queries
    int n, m, causal;
    // F P, or dS if `slope`.
    DEVICE float weight(int query, int key, float score, float dp, bool slope) const {
        if (query >= n || key >= m || (causal && key > query)) return 0;
        i64 row = first + query;
        RowStats own = stats[row];
        float p = expf((score - own.most) - own.log_sum), f = keeper.threshold ? factor(keeper, row * m + key) : 1;
        return slope ? p * (f * dp - r[row]) : p * f;
    }
};

// Writes W to shared memory from scores and dP of rows from `row` on and columns from `column` on, which
// are keys and queries if `transposed`.
template <bool TRANSPOSED, bool SLOPES>
DEVICE void store_weights(const Slope& slope, int row, int column, const float (&scores)[EACH][EACH], const float (&dp)[EACH][EACH], Shared& shared) {
    int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
#pragma unroll
    for (int i = 0; i < EACH; i++) {
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            int own = row + ty + 16 * i, other = column + tx + 16 * j;
            int query = TRANSPOSED ? other : own, key = TRANSPOSED ? own : other;
            shared.weights[ty + 16 * i][tx + 16 * j] = slope.weight(query, key, scores[i][j], dp[i][j], SLOPES);
        }
    }
}

// Grid (heads ceil(n / 64), ceil(d / 64)), moves q + k + v + y.
KERNEL(attention_dq, const real* q, const real* k, const real* v, const real* dy, const RowStats* stats, const float* r, real* dq, int n, int m,
    int d, int dv, float scale, int causal, u64 seed, u64 stream, const Key* key, u32 threshold, float keep) {
    __shared__ Shared shared;
    Keeper keeper(seed, stream, key, threshold, keep);
    Place place(n);
    Matrix queries(q, place.head, n, d, scale), keys(k, place.head, m, d), values(v, place.head, m, dv), gradients(dy, place.head, n, dv);
    Slope slope = {stats, r, keeper, (i64)place.head * n, n, m, causal};
    float sums[EACH][EACH] = {};
    int end = causal ? min(m, place.row + TILE) : m;
#pragma unroll 1
    for (int first = 0; first < end; first += TILE) {
        float scores[EACH][EACH], dp[EACH][EACH];
        products(queries, place.row, keys, first, shared, scores);
        products(gradients, place.row, values, first, shared, dp);
        store_weights<false, true>(slope, place.row, first, scores, dp, shared);
        add_products(keys, first, place.column, shared, sums);
    }
#pragma unroll
    for (int i = 0; i < EACH; i++) {
#pragma unroll
        for (int j = 0; j < EACH; j++) sums[i][j] *= scale;
    }
    store_tile(place, n, d, sums, dq);
}

// Grid (heads ceil(m / 64), ceil(d / 64)), moves q + k + v + y.
KERNEL(attention_dk, const real* q, const real* k, const real* v, const real* dy, const RowStats* stats, const float* r, real* dk, int n, int m,
    int d, int dv, float scale, int causal, u64 seed, u64 stream, const Key* key, u32 threshold, float keep) {
    __shared__ Shared shared;
    Keeper keeper(seed, stream, key, threshold, keep);
    Place place(m);
    Matrix queries(q, place.head, n, d, scale), keys(k, place.head, m, d), values(v, place.head, m, dv), gradients(dy, place.head, n, dv);
    Slope slope = {stats, r, keeper, (i64)place.head * n, n, m, causal};
    float sums[EACH][EACH] = {};
    // Queries before the first key do not see any of this block.
#pragma unroll 1
    for (int first = causal ? place.row : 0; first < n; first += TILE) {
        float scores[EACH][EACH], dp[EACH][EACH];
        products(keys, place.row, queries, first, shared, scores);
        products(values, place.row, gradients, first, shared, dp);
        store_weights<true, true>(slope, place.row, first, scores, dp, shared);
        add_products(queries, first, place.column, shared, sums);
    }
    store_tile(place, m, d, sums, dk);
}

// `width` is that of v. Grid (heads ceil(m / 64), ceil(width / 64)), moves q + k + v + y.
KERNEL(attention_dv, const real* q, const real* k, const real* dy, const RowStats* stats, real* dv, int n, int m, int d, int width, float scale,
    int causal, u64 seed, u64 stream, const Key* key, u32 threshold, float keep) {
    __shared__ Shared shared;
    Keeper keeper(seed, stream, key, threshold, keep);
    Place place(m);
    Matrix queries(q, place.head, n, d, scale), keys(k, place.head, m, d), gradients(dy, place.head, n, width);
    Slope slope = {stats, nullptr, keeper, (i64)place.head * n, n, m, causal};
    float sums[EACH][EACH] = {};
#pragma unroll 1
    for (int first = causal ? place.row : 0; first < n; first += TILE) {
        float scores[EACH][EACH];
        products(keys, place.row, queries, first, shared, scores);
        store_weights<true, false>(slope, place.row, first, scores, scores, shared);
        add_products(gradients, first, place.column, shared, sums);
    }
    store_tile(place, m, width, sums, dv);
}
