//! Batched matrix products.

use super::runtime::launch::Axes;
use super::{Matrix, Product, Slice, SliceMut, gemm};
use crate::Result;
use crate::cpu::matmul::Batch;

/// y = a b for each pair of the batch. One call of cuBLAS takes the innermost axis of the batch
/// along which the strides of both operands are constant.
pub(crate) fn forward(
    batch: &Batch,
    a: Slice,
    b: Slice,
    tf32: bool,
    y: &mut SliceMut,
) -> Result<()> {
    let [m, k, n] = batch.size;
    let [steps_a, steps_b] = &batch.steps;
    let axes = Axes::new(
        (0..batch.shape.len())
            .map(|i| (batch.shape[i], [steps_a[i] as isize, steps_b[i] as isize])),
    );
    let axes: Vec<(usize, [isize; 2])> = axes.iter().collect();
    let Some((&(count, [step_a, step_b]), outer)) = axes.split_last() else {
        return Ok(());
    };
    let calls: usize = outer.iter().map(|(length, _)| length).product();
    for call in 0..calls {
        let (mut at, mut rest) = ([0, 0], call);
        for &(length, steps) in outer.iter().rev() {
            (0..2).for_each(|side| at[side] += rest % length * steps[side] as usize);
            rest /= length;
        }
        let [a, b] = [(a, 0, m * k, step_a), (b, 1, k * n, step_b)].map(|(x, side, size, step)| {
            let start = at[side] * size;
            Matrix {
                data: x.part(start, x.elements - start),
                transposed: batch.transposed[side],
                step: step as usize * size,
            }
        });
        let product = Product {
            batch: count,
            m,
            k,
            n,
            a,
            b,
            tf32,
        };
        gemm(product, &mut y.part(call * count * m * n, count * m * n))?;
    }
    Ok(())
}
