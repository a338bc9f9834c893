// Cross-entropy of each row of logits with its label, and the gradients. A label out of range makes
// the loss NaN.
//
// The mean takes two launches more: sum_columns (REAL 0, outer 1, inner 1) sums the losses of all
// positions, and mean_of_counted divides. `counted` is one int in device memory, -1 where a label is
// out of range; dy is one f32 there. focal_loss and nll_loss share all of this.
#include "common.cuh"

// The number of labels that are not ignored, or -1 if one of them is not in 0..k.
// Grid 1, moves 8n bytes.
KERNEL(count_labels, const i64* labels, i64 n, int k, int ignores, i64 ignored, int* counted) {
    int count = 0, bad = 0;
    for (i64 i = threadIdx.x; i < n; i += 256) {
        bool skip = ignores && labels[i] == ignored;
        count += !skip, bad |= !skip && (u64)labels[i] >= (u64)k;
    }
    count = block_sum(count), bad = block_sum(bad);
    if (threadIdx.x == 0) *counted = bad ? -1 : count;
}

// -ln p of the label times 1 - smoothing, plus the mean of -ln p times smoothing; 0 where the label
// is ignored.
// Grid W(rows), moves x.
KERNEL(cross_entropy, const real* x, const i64* labels, RowStats* stats, float* losses, i64 rows, int k, float smoothing, int ignores, i64 ignored) {
    each_row(rows, [=](i64 row) {
        const real* own = x + row * k;
        RowStats of = stats_of_row(own, k);
        float spread = smoothing == 0 ? 0 : smoothing / k * warp_total(k, [=](int i) { return -of.log_p(to_float(own[i])); });
        if (threadIdx.x % 32 > 0) return;
        i64 label = labels[row];
        float at_label = (u64)label < (u64)k ? -of.log_p(to_float(own[label])) : not_a_number();
        stats[row] = of;
        losses[row] = ignores && label == ignored ? 0 : (1 - smoothing) * at_label + spread;
    });
}

// The sum of all losses, from partial sums, over the number of labels that are not ignored; 0 if
// there are none.
// Grid 1.
KERNEL(mean_of_counted, const float* part, int splits, const int* counted, float* y) {
    float sum = 0;
    for (int i = threadIdx.x; i < splits; i += 256) sum += part[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) *y = *counted < 0 ? not_a_number() : sum / max(*counted, 1);
}

// dx = dy / N (softmax - target), where the target is 1 - smoothing at the label and smoothing / k
// everywhere.
// n is the elements of dx. Grid E(n), moves 2x.
KERNEL(cross_entropy_backward, const real* x, const RowStats* stats, const i64* labels, const float* dy, const int* counted, real* dx, i64 n, int k,
    float smoothing, int ignores, i64 ignored) {
    float weight = *counted < 0 ? not_a_number() : *dy / max(*counted, 1);
    for (i64 i = first_item(); i < n; i += item_stride()) {
        i64 class_ = i, row = divide(class_, k), label = labels[row];
        float target = smoothing / k + (label == class_ ? 1 - smoothing : 0);
        from_float(ignores && label == ignored ? 0 : (expf(stats[row].log_p(to_float(x[i]))) - target) * weight, dx[i]);
    }
}
