// Resizing, by tables that list the input rows and columns of each output row and column with their
// weights. Both axes are resampled in one pass: pixels that neighbouring outputs share hit the
// cache.
#include "common.cuh"

struct Table { const int* first; const int* element; const float* weight; };

// Output i is made of the entries first[i] .. first[i + 1]; the backward pass has transposed
// tables. Grid E(elements of y / v), moves x + y.
KERNEL(upsample, const real* x, real* y, Table rows, Table columns, int n, int h, int w, int oh, int ow, int c, int v) {
    with_width(v, [=](auto width) {
        constexpr int V = width.value;
        i64 items = (i64)n * oh * ow * (c / V);
        for (i64 i = first_item(); i < items; i += item_stride()) {
            i64 channel = i, left = divide(channel, c / V), column = left, image = divide(column, ow), row = image;
            image = divide(row, oh), channel *= V;
            Floats<V> sum = {};
            for (int j = rows.first[row]; j < rows.first[row + 1]; j++) {
                const real* line = x + (image * h + rows.element[j]) * w * c + channel;
                for (int k = columns.first[column]; k < columns.first[column + 1]; k++) {
                    float weight = rows.weight[j] * columns.weight[k];
                    Floats<V> values = load<V>(line + (i64)columns.element[k] * c);
#pragma unroll
                    for (int l = 0; l < V; l++) sum[l] += values[l] * weight;
                }
            }
            store(y + i * V, sum);
        }
    });
}
