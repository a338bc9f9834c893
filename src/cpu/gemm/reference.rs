//! The definition of a GEMM in three plain loops: what all other files of this folder compute, the
//! oracle of their tests, and what runs where there is nothing to multiply.

use super::blocking::Size;
use super::epilogue::Accumulate;
use super::operand::Operand;
use crate::Stored;

/// [m, k] x [k, n] -> [m, n]: c[i, j] = `accumulate` + the sum over p of a[i, p] b[p, j], in the
/// compute type, rounded once.
pub(super) fn gemm<T: Stored, O: Stored<Compute = T::Compute>>(
    Size { m, k, n }: Size,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    accumulate: Accumulate<'_, O>,
    c: &mut [O],
) {
    for i in 0..m {
        for j in 0..n {
            let c = &mut c[i * n + j];
            let mut sum = accumulate.start(j, *c);
            for p in 0..k {
                sum = sum + a.at(i, p).to_compute() * b.at(p, j).to_compute();
            }
            *c = O::from_compute(sum);
        }
    }
}
