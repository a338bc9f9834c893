//! One matrix for all rows.

use crate::Float;
use crate::cpu::gemm::{Matrix, gemm};
use crate::cpu::{GRAIN, chunks};

/// y = x w^T + bias; x is [rows, k], w [n, k], y [rows, n].
pub(crate) fn linear<T: Float>(x: &[T], w: &[T], bias: Option<&[T]>, k: usize, y: &mut [T]) {
    let n = if k == 0 { bias.map_or(0, <[T]>::len) } else { w.len() / k };
    if let (Some(bias), 1..) = (bias, n) {
        chunks(y, (GRAIN / n).max(1) * n, |_, y| y.chunks_mut(n).for_each(|row| row.copy_from_slice(bias)));
    } else if k == 0 {
        return y.fill(T::ZERO);
    }
    let rows = y.len().checked_div(n).unwrap_or(0);
    gemm([rows, k, n], Matrix::new(x, k, false), Matrix::new(w, k, true), y, bias.is_some());
}

/// dx = dy w.
pub(crate) fn backward_input<T: Float>(dy: &[T], w: &[T], [n, k]: [usize; 2], dx: &mut [T]) {
    let rows = dx.len().checked_div(k).unwrap_or(0);
    gemm([rows, n, k], Matrix::new(dy, n, false), Matrix::new(w, k, false), dx, false);
}

/// dw = dy^T x.
pub(crate) fn backward_weight<T: Float>(dy: &[T], x: &[T], [n, k]: [usize; 2], dw: &mut [T]) {
    let rows = x.len().checked_div(k).unwrap_or(0);
    gemm([n, rows, k], Matrix::new(dy, n, true), Matrix::new(x, k, false), dw, false);
}
