//! Matrix products of batches, pair by pair.

use crate::Shape;
use crate::cpu::binary::locate;
use crate::cpu::gemm::{Accumulate, GemmElement, Operand, Size, gemm};
use crate::cpu::{GRAIN, over_threads};

/// How the matrices of a batch lie in the slices of both operands.
pub(crate) struct Batch {
    /// The broadcast batch dimensions.
    pub shape: Shape,
    /// For each operand, how many matrices to move for a step along each of them; 0 where it is
    /// repeated.
    pub steps: [Shape; 2],
    /// m, k, n.
    pub size: [usize; 3],
    /// Whether the operands are stored transposed.
    pub transposed: [bool; 2],
}

/// y = a b for each pair of the batch.
pub(crate) fn forward<T: GemmElement>(batch: &Batch, a: &[T], b: &[T], y: &mut [T]) {
    let [m, k, n] = batch.size;
    let one = |i: usize, y: &mut [T]| {
        let [at_a, at_b] = batch.steps.map(|steps| locate(i, &steps, &batch.shape));
        let a = Operand::new(
            &a[at_a * m * k..][..m * k],
            if batch.transposed[0] { m } else { k },
            batch.transposed[0],
        );
        let b = Operand::new(
            &b[at_b * k * n..][..k * n],
            if batch.transposed[1] { k } else { n },
            batch.transposed[1],
        );
        // [m, k] x [k, n] -> [m, n]
        gemm(Size::new(m, k, n), a, b, Accumulate::Zero, y);
    };
    match batch.shape.elements() {
        1 => one(0, y),
        _ if m * n == 0 => (),
        // Products of so many multiplications that a second thread is worth while.
        _ => over_threads(y, m * n, (GRAIN / (m * k * n).max(1)).max(1) * m * n, &one),
    }
}
