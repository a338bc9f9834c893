// Softmax of each row, or its logarithm ln p; the softmax is e^(ln p). One warp takes a row.
#include "common.cuh"

// In place: y may be x. Grid W(rows), moves 2x.
KERNEL(softmax, int log, const real* x, real* y, i64 rows, int k) {
    each_row(rows, [=](i64 row) {
        const real* own = x + row * k;
        RowStats stats = stats_of_row(own, k);
        for (int i = threadIdx.x % 32; i < k; i += 32) {
            float value = stats.log_p(to_float(own[i]));
            from_float(log ? value : expf(value), y[row * k + i]);
        }
    });
}

// dx = y (dy - sum of dy y); dx = dy - e^y sum of dy where `log` is set.
// In place: dx may be dy. Grid W(rows), moves 3x.
KERNEL(softmax_backward, int log, const real* y, const real* dy, real* dx, i64 rows, int k) {
    each_row(rows, [=](i64 row) {
        const real *own = y + row * k, *gradient = dy + row * k;
        float sum = warp_total(k, [=](int i) { return to_float(gradient[i]) * (log ? 1 : to_float(own[i])); });
        for (int i = threadIdx.x % 32; i < k; i += 32) {
            float value = to_float(own[i]), g = to_float(gradient[i]);
            from_float(log ? g - expf(value) * sum : value * (g - sum), dx[row * k + i]);
        }
    });
}
