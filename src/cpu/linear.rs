//! One matrix for all rows.

use crate::Stored;
use crate::cpu::gemm::{Begin, Matrix, gemm};

/// y = x w^T + bias; x is [rows, k], w [n, k], y [rows, n].
pub(crate) fn linear<T: Stored>(
    x: &[T],
    w: &[T],
    bias: Option<&[T]>,
    [n, k]: [usize; 2],
    y: &mut [T],
) {
    let rows = y.len().checked_div(n).unwrap_or(0);
    gemm(
        [rows, k, n],
        Matrix::new(x, k, false),
        Matrix::new(w, k, true),
        bias.map_or(Begin::Zero, Begin::Bias),
        y,
    );
}

/// dx = dy w.
pub(crate) fn backward_input<T: Stored>(dy: &[T], w: &[T], [n, k]: [usize; 2], dx: &mut [T]) {
    let rows = dx.len().checked_div(k).unwrap_or(0);
    gemm(
        [rows, n, k],
        Matrix::new(dy, n, false),
        Matrix::new(w, k, false),
        Begin::Zero,
        dx,
    );
}

/// dw = dy^T x.
pub(crate) fn backward_weight<T: Stored>(
    dy: &[T],
    x: &[T],
    [n, k]: [usize; 2],
    dw: &mut [T::Compute],
) {
    let rows = x.len().checked_div(k).unwrap_or(0);
    gemm(
        [n, rows, k],
        Matrix::new(dy, n, true),
        Matrix::new(x, k, false),
        Begin::Zero,
        dw,
    );
}
