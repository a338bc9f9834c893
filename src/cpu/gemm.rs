//! Matrix products. The only place that calls the `matrixmultiply` crate, behind a function that checks its bounds.

use rayon::prelude::*;

use crate::cpu::binary::add_assign;
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
