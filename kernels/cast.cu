// Conversion of elements to another type, and of image bytes to normalised floats.
#include "common.cuh"

enum { F32, BF16, F16, U8, I64 };

// By way of f64, which represents all of these exactly but i64 beyond 2^53. 16-bit results are
// rounded from f32, which is exact for every type but i64.
DEVICE double value_of(int type, const void* x, i64 i) {
    switch (type) {
    case F32: return ((const float*)x)[i];
    case BF16: return to_float(((const bf16*)x)[i]);
    case F16: return to_float(((const f16*)x)[i]);
    case U8: return ((const u8*)x)[i];
    case I64: return (double)((const i64*)x)[i];
    default: return trap();
    }
}

// Integers saturate; NaN becomes 0.
DEVICE void put(int type, void* y, i64 i, double x) {
    switch (type) {
    case F32: ((float*)y)[i] = (float)x; return;
    case BF16: from_float((float)x, ((bf16*)y)[i]); return;
    case F16: from_float((float)x, ((f16*)y)[i]); return;
    case U8: ((u8*)y)[i] = x >= 255 ? 255 : x > 0 ? (u8)x : 0; return;
    case I64:
        // 2^63 is representable as a double; the largest i64, 2^63 - 1, is not.
        ((i64*)y)[i] = x >= 9223372036854775808.0 ? 0x7fffffffffffffffll
            : x > -9223372036854775808.0          ? (i64)x
            : x == x                              ? (i64)0x8000000000000000ull
                                                  : 0;
        return;
    default: trap();
    }
}

// Grid E(n). Types are numbered as above; integers round to zero and saturate.
KERNEL(cast, int from, const void* x, int to, void* y, i64 n) {
    for (i64 i = first_item(); i < n; i += item_stride()) put(to, y, i, value_of(from, x, i));
}

// Grid E(n / P), moves x and y.
KERNEL(narrow, const float* x, real* y, i64 n) {
    each(n, aligned(x, y), [=](auto width, i64 i) { store(y + i, load<width.value>(x + i)); });
}

// Grid E(n / P), moves x and y.
KERNEL(widen, const real* x, float* y, i64 n) {
    each(n, aligned(x, y), [=](auto width, i64 i) { store(y + i, load<width.value>(x + i)); });
}

// Pieces of a flat array: each is read from its own address, in f32, bf16 or f16.
struct Pieces { struct { const void* x; i64 start, length, type; } list[100]; };

// y[start + i] = x[i] for each piece; types as above, floats only. Grid (E(longest piece), at most
// 512; pieces), moves 2n.
KERNEL(gather_pieces, Pieces pieces, float* y) {
    auto [x, start, length, type] = pieces.list[blockIdx.y];
    for (i64 i = first_item(); i < length; i += item_stride()) {
        switch (type) {
        case F32: y[start + i] = ((const float*)x)[i]; break;
        case BF16: y[start + i] = to_float(((const bf16*)x)[i]); break;
        case F16: y[start + i] = to_float(((const f16*)x)[i]); break;
        default: trap();
        }
    }
}

// y = scale x + shift for dense pixels of c channels; with scale 1 / (255 std) and shift -mean /
// std that is (x / 255 - mean) / std.
// Grid E(n / P), moves x and y. c is up to 2^16.
KERNEL(images, const u8* x, real* y, i64 n, int c, const float* scale, const float* shift) {
    each(n, aligned(y) && (u64)x % P == 0, [=](auto width, i64 i) {
        constexpr int V = width.value;
        Floats<V> values;
        int channel = rest(i, c);
        u32 word = 0;
#pragma unroll
        for (int j = 0; j < V; j++) {
            // A pack's bytes are loaded four at a time.
            if (V == 1) word = x[i];
            else if (j % 4 == 0) word = *(const u32*)(x + i + j);
            values[j] = (float)(word >> 8 * (j % 4) & 255) * scale[channel] + shift[channel];
            channel = channel + 1 == c ? 0 : channel + 1;
        }
        store(y + i, values);
    });
}
