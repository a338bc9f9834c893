//! Mean squared error.

use rayon::prelude::*;

use crate::Float;
use crate::cpu::reduce::fold_rows;
use crate::cpu::{GRAIN, chunks, vectorize};

/// Numbers summed in their own type before f64 takes over.
const BLOCK: usize = 4096;

/// The mean of (a - b)^2.
pub(crate) fn forward<T: Float>(a: &[T], b: &[T], loss: &mut [T]) {
    let block = |(a, b): (&[T], &[T])| forward_block(a, b).to_f64();
    let run = |(a, b): (&[T], &[T])| a.chunks(BLOCK).zip(b.chunks(BLOCK)).map(block).sum::<f64>();
    let parts: Vec<f64> = a
        .par_chunks(GRAIN)
        .zip(b.par_chunks(GRAIN))
        .map(run)
        .collect();
    loss[0] = T::from_f64(parts.iter().sum::<f64>() / a.len() as f64);
}

/// da = scale (a - b) dy.
pub(crate) fn backward<T: Float>(a: &[T], b: &[T], dy: &[T], scale: f64, da: &mut [T]) {
    let scale = T::from_f64(scale * dy[0].to_f64());
    chunks(da, GRAIN, |start, da| {
        backward_chunk(&a[start..], &b[start..], scale, da)
    });
}

vectorize! {
    fn forward_block<T: Float>(a: &[T], b: &[T]) -> T {
        fold_rows([a, b], T::ZERO, |a, b| (a - b) * (a - b), |x, y| x + y)
    }

    fn backward_chunk<T: Float>(a: &[T], b: &[T], scale: T, da: &mut [T]) {
        for ((da, &a), &b) in da.iter_mut().zip(a).zip(b) {
            *da = (a - b) * scale;
        }
    }
}
