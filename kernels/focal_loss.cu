// Focal loss of each position: -(1 - p)^gamma ln p, where p is the probability of its label.
#include "common.cuh"

// 1 - p, clamped to 0; NaN stays NaN, which fmaxf would turn into 0.
DEVICE float rest_of(float log_p) {
    float q = 1 - expf(log_p);
    return q < 0 ? 0 : q;
}

// (1 - p)^gamma; 1 where gamma is 0, also for NaN.
DEVICE float doubt(float q, float gamma) { return gamma == 0 ? 1 : powf(q, gamma); }

// The mean follows as in cross_entropy.cu. Grid W(rows), moves x.
KERNEL(focal_loss, const real* x, const i64* labels, RowStats* stats, float* losses, i64 rows, int k, float gamma, int ignores, i64 ignored) {
    each_row(rows, [=](i64 row) {
        const real* own = x + row * k;
        RowStats of = stats_of_row(own, k);
        if (threadIdx.x % 32 > 0) return;
        i64 label = labels[row];
        float log_p = (u64)label < (u64)k ? of.log_p(to_float(own[label])) : not_a_number();
        stats[row] = of;
        losses[row] = ignores && label == ignored ? 0 : -doubt(rest_of(log_p), gamma) * log_p;
    });
}

// The gradient of cross-entropy, each position times (1 - p)^gamma (1 - gamma p ln p / (1 - p)).
// n is the elements of dx. Grid E(n), moves 2x.
KERNEL(focal_loss_backward, const real* x, const RowStats* stats, const i64* labels, const float* dy, const int* counted, real* dx, i64 n, int k,
    float gamma, int ignores, i64 ignored) {
    float weight = *counted < 0 ? not_a_number() : *dy / max(*counted, 1);
    for (i64 i = first_item(); i < n; i += item_stride()) {
        i64 class_ = i, row = divide(class_, k), label = labels[row];
        if (ignores && label == ignored) {
            from_float(0, dx[i]);
            continue;
        }
        float log_p = (u64)label < (u64)k ? stats[row].log_p(to_float(x[row * k + label])) : not_a_number();
        float q = rest_of(log_p), p = 1 - q;
        // p ln p / (1 - p) tends to 0 as p does to 0, where ln p may be infinite, and to -1 as p
        // does to 1.
        float ratio = q == 0 ? -1 : (p == 0 ? 0 : p * log_p) / q, own = doubt(q, gamma) * (1 - gamma * ratio);
        from_float((expf(stats[row].log_p(to_float(x[i]))) - (label == class_ ? 1 : 0)) * own * weight, dx[i]);
    }
}
