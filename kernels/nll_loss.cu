// Negative log-likelihood: of each row of k log-probabilities, the one at its label.
#include "common.cuh"

// The mean follows as in cross_entropy.cu. Grid E(rows), moves 8 rows bytes.
KERNEL(nll_loss, const real* x, const i64* labels, float* losses, i64 rows, int k, int ignores, i64 ignored) {
    for (i64 row = first_item(); row < rows; row += item_stride()) {
        i64 label = labels[row];
        float own = (u64)label < (u64)k ? -to_float(x[row * k + label]) : not_a_number();
        losses[row] = ignores && label == ignored ? 0 : own;
    }
}

// dx = -dy / N at the labels, 0 elsewhere.
// n is the elements of dx, all of which are written. Grid E(n), moves dx.
KERNEL(nll_loss_backward, const i64* labels, const float* dy, const int* counted, real* dx, i64 n, int k, int ignores, i64 ignored) {
    float own = *counted < 0 ? not_a_number() : -*dy / max(*counted, 1);
    for (i64 i = first_item(); i < n; i += item_stride()) {
        i64 class_ = i, row = divide(class_, k), label = labels[row];
        from_float(label == class_ && !(ignores && label == ignored) ? own : 0, dx[i]);
    }
}
