// Copies and transposes of elements of any type, by their size in bytes.
#include "common.cuh"

// y[sum of i b] = x[sum of i a] over all indices of a box.
template <class T> DEVICE void copy_box(const T* x, T* y, i64 n, const Axes& axes) {
    for (i64 i = first_item(); i < n; i += item_stride()) {
        i64 from, to;
        locate(axes, i, from, to);
        y[to] = x[from];
    }
}

// Slices, padding (into zeros), concat, flip, expansion, permutation. x and y point to the first
// elements. The suffix is the size of an element: a launch takes a larger one where the first axis
// is contiguous in both arrays and all is aligned. Grid E(n), moves 2n.
KERNEL(copy_box_1, const u8* x, u8* y, i64 n, Axes axes) { copy_box(x, y, n, axes); }
KERNEL(copy_box_2, const u16* x, u16* y, i64 n, Axes axes) { copy_box(x, y, n, axes); }
KERNEL(copy_box_4, const u32* x, u32* y, i64 n, Axes axes) { copy_box(x, y, n, axes); }
KERNEL(copy_box_8, const u64* x, u64* y, i64 n, Axes axes) { copy_box(x, y, n, axes); }
KERNEL(copy_box_16, const uint4* x, uint4* y, i64 n, Axes axes) { copy_box(x, y, n, axes); }

// y[b, j, i] = x[b, i, j], by tiles of 32 x 32 in shared memory, so that both loads and stores are
// coalesced. The 33rd column is padding: it puts the elements of a tile's column into different
// banks.
template <class T> DEVICE void transpose(const T* x, T* y, int batch, int rows, int columns) {
    __shared__ T square[32][33];
    int left = blockIdx.x * 32, i = threadIdx.x;
    for (i64 b = blockIdx.z; b < batch; b += gridDim.z) {
        const T* from = x + b * rows * columns;
        T* to = y + b * rows * columns;
        for (u32 top = blockIdx.y * 32; top < (u32)rows; top += gridDim.y * 32) {
            for (int j = threadIdx.y; j < 32; j += 8) {
                if (top + j < (u32)rows && left + i < columns) square[j][i] = from[(i64)(top + j) * columns + left + i];
            }
            __syncthreads();
            for (int j = threadIdx.y; j < 32; j += 8) {
                if (left + j < columns && top + i < (u32)rows) to[(i64)(left + j) * rows + top + i] = square[i][j];
            }
            __syncthreads();
        }
    }
}

// y[b, j, i] = x[b, i, j]. Block (32, 8). Grid (ceil(columns / 32), min(ceil(rows / 32), 65535),
// min(batch, 65535)), moves 2n.
KERNEL(transpose_1, const u8* x, u8* y, int batch, int rows, int columns) { transpose(x, y, batch, rows, columns); }
KERNEL(transpose_2, const u16* x, u16* y, int batch, int rows, int columns) { transpose(x, y, batch, rows, columns); }
KERNEL(transpose_4, const u32* x, u32* y, int batch, int rows, int columns) { transpose(x, y, batch, rows, columns); }
KERNEL(transpose_8, const u64* x, u64* y, int batch, int rows, int columns) { transpose(x, y, batch, rows, columns); }

// The lower triangle of each matrix [rows, columns] of x, zeros above it, or the upper one.
template <class T> DEVICE void triangle(const T* x, T* y, i64 n, int rows, int columns, i64 diagonal, int upper) {
    for (i64 i = first_item(); i < n; i += item_stride()) {
        i64 column = i, row = divide(column, columns);
        divide(row, rows);
        bool kept = upper ? column - row >= diagonal : column - row <= diagonal;
        y[i] = kept ? x[i] : (T)0;
    }
}

// y[b, i, j] = x[b, i, j] where j - i <= diagonal, or >= diagonal for an upper one, else 0. Grid
// E(n), moves 2n.
KERNEL(triangle_1, const u8* x, u8* y, i64 n, int rows, int columns, i64 diagonal, int upper) { triangle(x, y, n, rows, columns, diagonal, upper); }
KERNEL(triangle_2, const u16* x, u16* y, i64 n, int rows, int columns, i64 diagonal, int upper) { triangle(x, y, n, rows, columns, diagonal, upper); }
KERNEL(triangle_4, const u32* x, u32* y, i64 n, int rows, int columns, i64 diagonal, int upper) { triangle(x, y, n, rows, columns, diagonal, upper); }
KERNEL(triangle_8, const u64* x, u64* y, i64 n, int rows, int columns, i64 diagonal, int upper) { triangle(x, y, n, rows, columns, diagonal, upper); }
