// Dropout by counter-based random bits: keeps the same elements as src/cpu/dropout.rs.
#include "common.cuh"

// Grid E(n / P), moves 2n. threshold = p 2^16, scale = 1 / (1 - p); key may be null. In place: y
// may be x. The backward pass is the same with dy for x.
KERNEL(dropout, const real* x, real* y, i64 n, u64 seed, u64 stream, const Key* key, u32 threshold, float scale) {
    Keeper keeper(seed, stream, key, threshold, scale);
    each(n, aligned(x, y), [=](auto width, i64 i) {
        auto values = load<width.value>(x + i);
        keeper.keep(i, values);
        store(y + i, values);
    });
}
