// Focal loss: of a position whose label has probability p, -(1 - p)^gamma ln p.
#include "common.cuh"

// 1 - p to the power gamma; gamma 0 makes 1 of everything.
DEVICE float doubt(float q, float gamma) { return gamma == 0 ? 1 : powf(q, gamma); }

KERNEL(focal_loss, const real* x, const i64* labels, float* lse, float* losses, i64 rows, int k, float gamma, int ignores, i64 ignored) {
    each_row(rows, [=](i64 row) {
        const real* own = x + row * k;
        float log = log_sum_exp(own, k);
        if (threadIdx.x % 32 > 0) return;
        i64 label = labels[row];
        float log_p = (u64)label < (u64)k ? to_float(own[label]) - log : not_a_number();
        lse[row] = log;
        losses[row] = ignores && label == ignored ? 0 : -doubt(fmaxf(1 - expf(log_p), 0), gamma) * log_p;
    });
}

// The gradient of cross-entropy, each position times (1 - p)^gamma (1 - gamma p ln p / (1 - p)).
KERNEL(focal_loss_backward, const real* x, const float* lse, const i64* labels, const float* dy, const int* counted, real* dx, i64 n, int k,
    float gamma, int ignores, i64 ignored) {
    float weight = *counted < 0 ? not_a_number() : *dy / max(*counted, 1);
    for (i64 i = first_item(); i < n; i += item_stride()) {
        i64 class_ = i, row = divide(class_, k), label = labels[row];
        if (ignores && label == ignored) {
            from_float(0, dx[i]);
            continue;
        }
        float log_p = (u64)label < (u64)k ? to_float(x[row * k + label]) - lse[row] : not_a_number();
        float q = fmaxf(1 - expf(log_p), 0);
        // ln p / (1 - p) tends to -1 as p does to 1.
        float ratio = q > 0 ? log_p / q : -1, own = doubt(q, gamma) * (1 - gamma * (1 - q) * ratio);
        from_float((expf(to_float(x[i]) - lse[row]) - (label == class_ ? 1 : 0)) * own * weight, dx[i]);
    }
}
