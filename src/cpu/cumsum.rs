//! Sums of all elements of a row up to each, in f64.

use crate::Float;
use crate::cpu::{GRAIN, chunks, map_over_threads};

/// y[r, i] = x[r, 0] + .. + x[r, i] for rows of `length`; x[r, i] + .. + x[r, length - 1] where
/// `reverse` is set.
pub(crate) fn forward<T: Float>(x: &[T], length: usize, reverse: bool, y: &mut [T]) {
    if y.is_empty() {
        return;
    }
    if length <= GRAIN {
        return chunks(y, GRAIN / length * length, |start, y| {
            let rows = y
                .chunks_exact_mut(length)
                .zip(x[start..].chunks_exact(length));
            rows.for_each(|(y, x)| sums_from(0.0, x, reverse, y));
        });
    }
    for (x, y) in x.chunks_exact(length).zip(y.chunks_exact_mut(length)) {
        long_row(x, reverse, y);
    }
}

/// Blocks of a row are summed side by side, then each begins where those before it end.
fn long_row<T: Float>(x: &[T], reverse: bool, y: &mut [T]) {
    let totals = map_over_threads(x.len(), GRAIN, &|block| {
        x[block].iter().map(|x| x.to_f64()).sum::<f64>()
    });
    let mut starts = vec![0.0; totals.len()];
    let mut sum = 0.0;
    for i in 0..totals.len() {
        let block = if reverse { totals.len() - 1 - i } else { i };
        starts[block] = sum;
        sum += totals[block];
    }
    chunks(y, GRAIN, |start, y| {
        sums_from(starts[start / GRAIN], &x[start..][..y.len()], reverse, y)
    });
}

fn sums_from<T: Float>(mut sum: f64, x: &[T], reverse: bool, y: &mut [T]) {
    let mut next = |(y, x): (&mut T, &T)| {
        sum += x.to_f64();
        *y = T::from_f64(sum);
    };
    let pairs = y.iter_mut().zip(x);
    if reverse {
        pairs.rev().for_each(&mut next);
    } else {
        pairs.for_each(&mut next);
    }
}
