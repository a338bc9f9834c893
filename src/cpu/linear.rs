//! One matrix for all rows.

use crate::cpu::gemm::{Accumulate, GemmElement, Operand, Size, gemm};

/// y = x w^T + bias; x is [rows, k], w [n, k], y [rows, n].
pub(crate) fn forward<T: GemmElement>(
    x: &[T],
    w: &[T],
    bias: Option<&[T]>,
    [n, k]: [usize; 2],
    y: &mut [T],
) {
    let rows = y.len().checked_div(n).unwrap_or(0);
    // [rows, k] x [k, n] -> [rows, n]
    gemm(
        Size::new(rows, k, n),
        Operand::new(x, k, false),
        Operand::new(w, k, true),
        bias.map_or(Accumulate::Zero, Accumulate::Bias),
        y,
    );
}

/// dx = dy w.
pub(crate) fn backward_input<T: GemmElement>(dy: &[T], w: &[T], [n, k]: [usize; 2], dx: &mut [T]) {
    let rows = dx.len().checked_div(k).unwrap_or(0);
    // [rows, n] x [n, k] -> [rows, k]
    gemm(
        Size::new(rows, n, k),
        Operand::new(dy, n, false),
        Operand::new(w, k, false),
        Accumulate::Zero,
        dx,
    );
}

/// dw = dy^T x.
pub(crate) fn backward_weight<T: GemmElement>(
    dy: &[T],
    x: &[T],
    [n, k]: [usize; 2],
    dw: &mut [T::Compute],
) {
    let rows = x.len().checked_div(k).unwrap_or(0);
    // [n, rows] x [rows, k] -> [n, k]
    gemm(
        Size::new(n, rows, k),
        Operand::new(dy, n, true),
        Operand::new(x, k, false),
        Accumulate::Zero,
        dw,
    );
}
