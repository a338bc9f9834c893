//! Mean squared error.

use rayon::prelude::*;

use crate::Float;
use crate::cpu::reduce::fold_rows;
use crate::cpu::{GRAIN, chunks, vectorize};

/// Numbers summed in their own type before f64 takes over.
const BLOCK: usize = 4096;

/// The sum of (a - b)^2.
pub(crate) fn forward<T: Float>(a: &[T], b: &[T]) -> f64 {
    let block =
        |(a, b): (&[T], &[T])| vectorize::<T, _>(|| fold_rows([a, b], T::ZERO, |a, b| (a - b) * (a - b), |x, y| x + y)).to_f64();
    let run = |(a, b): (&[T], &[T])| a.chunks(BLOCK).zip(b.chunks(BLOCK)).map(block).sum::<f64>();
    let parts: Vec<f64> = a.par_chunks(GRAIN).zip(b.par_chunks(GRAIN)).map(run).collect();
    parts.iter().sum()
}

/// da = (a - b) scale.
pub(crate) fn backward<T: Float>(a: &[T], b: &[T], scale: f64, da: &mut [T]) {
    let scale = T::from_f64(scale);
    chunks(da, GRAIN, |start, da| {
        vectorize::<T, _>(|| da.iter_mut().zip(&a[start..]).zip(&b[start..]).for_each(|((da, &a), &b)| *da = (a - b) * scale));
    });
}
