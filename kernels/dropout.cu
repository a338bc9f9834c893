// Dropout by counter-based random bits: keeps the same elements as src/cpu/dropout.rs.
#include "common.cuh"

KERNEL(dropout, const real* x, real* y, i64 n, u64 seed, u64 stream, const Key* key, u32 threshold, float scale) {
    Keeper keeper(seed, stream, key, threshold, scale);
    each(n, aligned(x, y), [=](auto width, i64 i) {
        auto values = load<width.value>(x + i);
        keeper.keep(i, values);
        store(y + i, values);
    });
}
