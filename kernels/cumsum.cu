// Sums of all elements of a row up to each, by one warp: 32 OWN elements at a time, OWN neighbours a
// lane.
#include "common.cuh"

// Neighbouring elements of a lane.
constexpr int OWN = 8;

// From the ends of the rows where `reverse` is set. Grid W(rows), moves 2x.
KERNEL(cumsum, const real* x, real* y, i64 rows, int length, int reverse) {
    each_row(rows, [=](i64 row) {
        const real* from = x + row * length;
        real* to = y + row * length;
        int lane = threadIdx.x % 32;
        // What all elements before add up to.
        float before = 0;
        for (int start = 0; start < length; start += 32 * OWN) {
            int first = start + lane * OWN;
            float sums[OWN], sum = 0;
#pragma unroll
            for (int j = 0; j < OWN; j++) {
                int i = first + j;
                sum += i < length ? to_float(from[reverse ? length - 1 - i : i]) : 0;
                sums[j] = sum;
            }
            // The sum of this lane and of all lanes before.
            float up_to = sum;
#pragma unroll
            for (int far = 1; far < 32; far *= 2) {
                float other = __shfl_sync(0xffffffffu, up_to, lane >= far ? lane - far : lane);
                if (lane >= far) up_to += other;
            }
            float lanes_before = __shfl_sync(0xffffffffu, up_to, lane > 0 ? lane - 1 : 0);
            float base = lane > 0 ? before + lanes_before : before;
#pragma unroll
            for (int j = 0; j < OWN; j++) {
                int i = first + j;
                if (i < length) from_float(base + sums[j], to[reverse ? length - 1 - i : i]);
            }
            before += __shfl_sync(0xffffffffu, up_to, 31);
        }
    });
}
