//! Sums over the middle of `[outer, length, inner]`, in an order that depends on the sizes alone.

use rayon::prelude::*;

use crate::Float;
use crate::cpu::{GRAIN, chunks, vectorize};

/// Partial sums that run side by side, one a vector lane: breaks the chain of dependent additions.
const LANES: usize = 16;

/// y[o, i] = sum over l of x[o, l, i].
pub(crate) fn sum<T: Float>(x: &[T], outer: usize, inner: usize, y: &mut [T]) {
    let length = if y.is_empty() { 0 } else { x.len() / y.len() };
    if length == 0 {
        return y.fill(T::ZERO);
    }
    if inner == 1 {
        let rows = (GRAIN / length).max(1);
        return chunks(y, rows, |start, y| {
            y.iter_mut().enumerate().for_each(|(o, y)| *y = sum_all(&x[(start + o) * length..][..length]));
        });
    }
    let block_rows = (GRAIN / inner).max(1);
    for (o, y) in (0..outer).zip(y.chunks_mut(inner)) {
        let x = &x[o * length * inner..][..length * inner];
        // Blocks of rows are summed side by side, then their sums one after the other.
        let partial: Vec<Vec<T>> = x.par_chunks(block_rows * inner).map(|block| sum_rows(block, inner)).collect();
        y.copy_from_slice(&partial[0]);
        partial[1..].iter().for_each(|p| y.iter_mut().zip(p).for_each(|(y, &p)| *y = *y + p));
    }
}

/// The sum of a slice: large ones in blocks, so that rounding errors grow with the logarithm of the length.
pub(crate) fn sum_all<T: Float>(x: &[T]) -> T {
    const BLOCK: usize = 4096;
    if x.len() > BLOCK {
        let middle = (x.len() / 2).next_multiple_of(LANES);
        return sum_all(&x[..middle]) + sum_all(&x[middle..]);
    }
    vectorize(|| {
        let mut lanes = [T::ZERO; LANES];
        let (full, rest) = x.split_at(x.len() / LANES * LANES);
        full.chunks_exact(LANES).for_each(|x| (0..LANES).for_each(|l| lanes[l] = lanes[l] + x[l]));
        rest.iter().zip(&mut lanes).for_each(|(&x, lane)| *lane = *lane + x);
        let mut width = LANES;
        while width > 1 {
            width /= 2;
            (0..width).for_each(|l| lanes[l] = lanes[l] + lanes[l + width]);
        }
        lanes[0]
    })
}

fn sum_rows<T: Float>(x: &[T], inner: usize) -> Vec<T> {
    let mut sum = vec![T::ZERO; inner];
    vectorize(|| x.chunks_exact(inner).for_each(|row| sum.iter_mut().zip(row).for_each(|(s, &x)| *s = *s + x)));
    sum
}

/// Folds the terms of two rows of one length: `LANES` folds side by side, joined by halves.
#[inline(always)]
pub(crate) fn fold_rows<T: Float>([a, b]: [&[T]; 2], start: T, term: impl Fn(T, T) -> T, join: impl Fn(T, T) -> T) -> T {
    let mut lanes = [start; LANES];
    let full = a.len() / LANES * LANES;
    let ((a, a_rest), (b, b_rest)) = (a.split_at(full), b.split_at(full));
    for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        (0..LANES).for_each(|l| lanes[l] = join(lanes[l], term(a[l], b[l])));
    }
    for ((lane, &a), &b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
        *lane = join(*lane, term(a, b));
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        (0..width).for_each(|l| lanes[l] = join(lanes[l], lanes[l + width]));
    }
    lanes[0]
}
