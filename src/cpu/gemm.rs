//! Matrix products. The only place that calls the `matrixmultiply` crate, behind a function that checks its bounds.

use rayon::prelude::*;

use crate::cpu::binary::add_assign;
use crate::cpu::lanes::Lanes;
use crate::{DType, Float};

/// A matrix inside a slice: element (i, j) is `data[i * row + j * col]`. Transposing one is swapping the steps.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    pub data: &'a [T],
    pub row: usize,
    pub col: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// A dense matrix of `columns` columns, row after row; with `transposed` its transpose, as a view.
    pub fn new(data: &'a [T], columns: usize, transposed: bool) -> Self {
        if transposed { Matrix { data, row: 1, col: columns } } else { Matrix { data, row: columns, col: 1 } }
    }

    fn skip(self, rows: usize, cols: usize) -> Self {
        Matrix { data: &self.data[rows * self.row + cols * self.col..], ..self }
    }
}

/// Rows of C a task works on. Each task packs B again, so blocks are tall; 128 rows are ten times the packing's work.
const ROWS: usize = 128;

/// Terms of a sum a task adds up when C is too small to be cut by rows, as in a weight's gradient over all pixels.
const TERMS: usize = 2048;

/// Multiply-adds below which a second thread costs more than it saves: some twenty microseconds' worth.
const SMALL: usize = 1 << 20;

/// C = A B, or C + A B where `accumulate` is set; A is m x k, B k x n, and C m x n, dense, row after row.
///
/// Large products are cut into blocks of rows, or of terms where there are many of those; by size alone.
pub(crate) fn gemm<T: Float>([m, k, n]: [usize; 3], a: Matrix<'_, T>, b: Matrix<'_, T>, c: &mut [T], accumulate: bool) {
    assert_eq!(c.len(), m * n, "C is dense");
    if m * n == 0 {
        return;
    }
    if m * k * n <= SMALL {
        return block([m, k, n], a, b, c, accumulate);
    }
    if k >= 2 * TERMS && m * n <= 1 << 18 {
        return terms([m, k, n], a, b, c, accumulate);
    }
    c.par_chunks_mut(ROWS * n).enumerate().for_each(|(i, c)| block([c.len() / n, k, n], a.skip(i * ROWS, 0), b, c, accumulate));
}

/// As [`gemm`], by blocks of terms: each into a matrix of its own, then summed pairwise, neighbours first.
fn terms<T: Float>([m, k, n]: [usize; 3], a: Matrix<'_, T>, b: Matrix<'_, T>, c: &mut [T], accumulate: bool) {
    // No more than 64 partial sums, for the memory they take.
    let length = TERMS.max(k.div_ceil(64));
    let partial = (0..k.div_ceil(length)).into_par_iter().map(|i| {
        let mut c = vec![T::ZERO; m * n];
        let first = i * length;
        block([m, length.min(k - first), n], a.skip(0, first), b.skip(first, 0), &mut c, false);
        c
    });
    let sum = sum_pairwise(partial.collect());
    if accumulate { add_assign(c, &sum) } else { c.copy_from_slice(&sum) }
}

/// The sum of equally long vectors by a tree that depends on their number alone. At least one is given.
pub(crate) fn sum_pairwise<T: Float>(mut parts: Vec<Vec<T>>) -> Vec<T> {
    let mut apart = 1;
    while apart < parts.len() {
        for pair in parts.chunks_mut(2 * apart).filter(|pair| pair.len() > apart) {
            let (left, right) = pair.split_at_mut(apart);
            add_assign(&mut left[0], &right[0]);
        }
        apart *= 2;
    }
    parts.swap_remove(0)
}

/// One product on this thread.
fn block<T: Float>([m, k, n]: [usize; 3], a: Matrix<'_, T>, b: Matrix<'_, T>, c: &mut [T], accumulate: bool) {
    let last = |x: Matrix<'_, T>, rows: usize, cols: usize| (rows.max(1) - 1) * x.row + (cols.max(1) - 1) * x.col;
    assert!(k == 0 || (last(a, m, k) < a.data.len() && last(b, k, n) < b.data.len()), "A and B lie within their slices");
    assert_eq!(c.len(), m * n, "C is dense");
    let steps = [a.row, a.col, b.row, b.col, n].map(|step| step as isize);
    let [ra, ca, rb, cb, rc] = steps;
    let beta = if accumulate { 1.0 } else { 0.0 };
    let (a, b, c) = (a.data.as_ptr(), b.data.as_ptr(), c.as_mut_ptr());
    // SAFETY: the largest index into A and into B was just compared with their lengths (with k = 0 neither is read), C
    // has m * n elements, exclusively borrowed, and T is the type that its DTYPE names.
    unsafe {
        match T::DTYPE {
            DType::F32 => matrixmultiply::sgemm(m, k, n, 1.0, a.cast(), ra, ca, b.cast(), rb, cb, beta as f32, c.cast(), rc, 1),
            DType::F64 => matrixmultiply::dgemm(m, k, n, 1.0, a.cast(), ra, ca, b.cast(), rb, cb, beta, c.cast(), rc, 1),
            other => unreachable!("{other} is no Float"),
        }
    }
}

/// Rows of a tile of C.
pub(crate) const TILE: usize = 8;

/// Columns of a tile of f32; a tile of f64 has half as many. Either fills two of the widest vector registers, so that
/// a tile is 16 registers, and each element of A, loaded once for all lanes, serves two multiplications.
const WIDEST: usize = 32;

/// Columns of a tile of C.
pub(crate) const fn panel<T>() -> usize {
    WIDEST * size_of::<f32>() / size_of::<T>()
}

/// A tile of C: row i begins at element `i * panel`.
pub(crate) type Tile<T> = [T; TILE * WIDEST];

/// `len` consecutive terms of the sums in a tile, and where they begin in A and B.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub a: usize,
    pub b: usize,
    pub len: usize,
}

/// The sums that tiles of C are made of. The rows of A need no order: they may overlap, repeat, or lie anywhere. That is
/// what makes a convolution a matrix product without a copy of its windows.
pub(crate) struct Sums<'a, T> {
    a: &'a [T],
    b: &'a [T],
    /// From one term to the next, in A and in B.
    steps: [usize; 2],
    runs: &'a [Run],
    /// Behind the last term, in A and in B.
    reach: [usize; 2],
}

impl<'a, T: Float> Sums<'a, T> {
    pub fn new(a: &'a [T], b: &'a [T], steps: [usize; 2], runs: &'a [Run]) -> Self {
        let reach = |start: fn(&Run) -> usize, step: usize| {
            runs.iter().filter(|run| run.len > 0).map(|run| start(run) + (run.len - 1) * step + 1).max().unwrap_or(0)
        };
        let reach = [reach(|run| run.a, steps[0]), reach(|run| run.b, steps[1])];
        Sums { a, b, steps, runs, reach }
    }

    /// tile[i, j] = the sum over all terms p of a[rows[i] + p] b[at + p + j], for the first `columns` j at least.
    pub fn tile(&self, rows: &[usize; TILE], at: usize, columns: usize, tile: &mut Tile<T>) {
        assert!(columns <= panel::<T>(), "a tile is as wide as a panel");
        if self.reach[0] > 0 {
            let last = rows.iter().fold(0, |last, &row| last.max(row));
            assert!(last + self.reach[0] <= self.a.len() && at + self.reach[1] + panel::<T>() - 1 <= self.b.len());
        }
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                // SAFETY: the processor was just asked, and the largest indices compared with the lengths.
                return unsafe { x86::avx512(self, rows, at, columns, tile) };
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                // SAFETY: as above.
                return unsafe { x86::avx2(self, rows, at, columns, tile) };
            }
        }
        for first in (0..columns).step_by(4) {
            // SAFETY: the largest indices were compared with the lengths.
            unsafe { self.columns::<[T; 4], 1>(rows, at, first, tile) };
        }
    }

    /// C vectors of columns of a tile, from column `first` on.
    ///
    /// # Safety
    /// `tile` has compared the largest indices with the lengths; V's instructions exist.
    #[inline(always)]
    unsafe fn columns<V: Lanes<T>, const C: usize>(&self, rows: &[usize; TILE], at: usize, first: usize, tile: &mut Tile<T>) {
        let mut sum = [[V::splat(T::ZERO); C]; TILE];
        // SAFETY: every index is at most the one that was compared, and `first` + C N at most the width of a panel.
        unsafe {
            let b = self.b.as_ptr().add(at + first);
            for run in self.runs {
                let a = rows.map(|row| self.a.as_ptr().wrapping_add(row + run.a));
                let (mut b, mut p) = (b.wrapping_add(run.b), 0);
                for _ in 0..run.len {
                    let mut columns = [V::splat(T::ZERO); C];
                    for c in 0..C {
                        columns[c] = V::load(b.add(c * V::N));
                    }
                    for i in 0..TILE {
                        let x = V::splat(*a[i].add(p));
                        for c in 0..C {
                            sum[i][c] = sum[i][c].add_product(x, columns[c]);
                        }
                    }
                    b = b.wrapping_add(self.steps[1]);
                    p += self.steps[0];
                }
            }
            for (i, sum) in sum.iter().enumerate() {
                for (c, sum) in sum.iter().enumerate() {
                    sum.store(tile.as_mut_ptr().add(i * panel::<T>() + first + c * V::N));
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;
    use std::arch::x86_64::{__m256, __m256d, __m512, __m512d};

    /// # Safety
    /// As `Sums::columns`.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn avx512<T: Float>(sums: &Sums<'_, T>, rows: &[usize; TILE], at: usize, columns: usize, tile: &mut Tile<T>) {
        // SAFETY: the caller's promise; T is the type that its DTYPE names.
        unsafe {
            match (T::DTYPE, 2 * columns > panel::<T>()) {
                (DType::F32, true) => same::<T, f32>(sums).columns::<__m512, 2>(rows, at, 0, same_tile(tile)),
                (DType::F32, false) => same::<T, f32>(sums).columns::<__m512, 1>(rows, at, 0, same_tile(tile)),
                (_, true) => same::<T, f64>(sums).columns::<__m512d, 2>(rows, at, 0, same_tile(tile)),
                (_, false) => same::<T, f64>(sums).columns::<__m512d, 1>(rows, at, 0, same_tile(tile)),
            }
        }
    }

    /// # Safety
    /// As `Sums::columns`.
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn avx2<T: Float>(sums: &Sums<'_, T>, rows: &[usize; TILE], at: usize, columns: usize, tile: &mut Tile<T>) {
        for first in (0..columns).step_by(panel::<T>() / 4) {
            // SAFETY: the caller's promise; T is the type that its DTYPE names.
            unsafe {
                match T::DTYPE {
                    DType::F32 => same::<T, f32>(sums).columns::<__m256, 1>(rows, at, first, same_tile(tile)),
                    _ => same::<T, f64>(sums).columns::<__m256d, 1>(rows, at, first, same_tile(tile)),
                }
            }
        }
    }

    /// # Safety
    /// T and U are the same type.
    #[inline(always)]
    unsafe fn same<'a, T, U>(sums: &'a Sums<'_, T>) -> &'a Sums<'a, U> {
        // SAFETY: a reference to a type is a reference to that type.
        unsafe { &*(&raw const *sums).cast() }
    }

    /// # Safety
    /// T and U are the same type.
    #[inline(always)]
    unsafe fn same_tile<T, U>(tile: &mut Tile<T>) -> &mut Tile<U> {
        // SAFETY: a reference to a type is a reference to that type.
        unsafe { &mut *(&raw mut *tile).cast() }
    }
}
