//! Exponentials of rows over their sum.
//!
//! The maximum of a row is subtracted first, so nothing overflows, and it is never added back: with
//! logits of 1e8, whose neighbours in f32 are 8 apart, max + ln(sum of e^(x - max)) would round the
//! logarithm away.

use crate::Float;
use crate::cpu::reduce::fold_rows;
use crate::cpu::{GRAIN, chunks, vectorize};

/// y = e^x / sum of e^x over each row of k; the logarithm of that where `log` is set.
pub(crate) fn forward<T: Float>(log: bool, x: &[T], k: usize, y: &mut [T]) {
    if !y.is_empty() {
        chunks(y, (GRAIN / k).max(1) * k, |start, y| {
            forward_rows(log, &x[start..], k, y)
        });
    }
}

/// dx = y (dy - sum of dy y); dx = dy - e^y sum of dy where `log` is set.
pub(crate) fn backward<T: Float>(log: bool, y: &[T], dy: &[T], k: usize, dx: &mut [T]) {
    if !dx.is_empty() {
        chunks(dx, (GRAIN / k).max(1) * k, |start, dx| {
            backward_rows(log, &y[start..], &dy[start..], k, dx)
        });
    }
}

/// What ln(softmax) of each row of k is made of: stats `[rows, 2]`, the maximum m of the row and l
/// = ln(sum of e^(x - m)). ln(softmax) is (x - m) - l.
pub(crate) fn stats<T: Float>(x: &[T], k: usize, stats: &mut [T]) {
    chunks(stats, (GRAIN / k).max(1) * 2, |start, stats| {
        stats_rows(&x[start / 2 * k..], k, stats)
    });
}

vectorize! {
    fn forward_rows<T: Float>(log: bool, x: &[T], k: usize, y: &mut [T]) {
        for (y, x) in y.chunks_exact_mut(k).zip(x.chunks_exact(k)) {
            if log {
                let [largest, log_sum] = stats_of(x);
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = (x - largest) - log_sum;
                }
                continue;
            }
            let largest = maximum(x);
            for (y, &x) in y.iter_mut().zip(x) {
                *y = (x - largest).exp();
            }
            let scale = T::ONE / fold_rows([y, y], T::ZERO, |y, _| y, |a, b| a + b);
            for y in y {
                *y = *y * scale;
            }
        }
    }

    fn backward_rows<T: Float>(log: bool, y: &[T], dy: &[T], k: usize, dx: &mut [T]) {
        for ((dx, y), dy) in dx.chunks_exact_mut(k).zip(y.chunks_exact(k)).zip(dy.chunks_exact(k)) {
            let inputs = dx.iter_mut().zip(y).zip(dy);
            if log {
                let sum = fold_rows([dy, dy], T::ZERO, |dy, _| dy, |a, b| a + b);
                for ((dx, &y), &dy) in inputs {
                    *dx = dy - y.exp() * sum;
                }
            } else {
                let sum = fold_rows([y, dy], T::ZERO, |y, dy| y * dy, |a, b| a + b);
                for ((dx, &y), &dy) in inputs {
                    *dx = y * (dy - sum);
                }
            }
        }
    }

    fn stats_rows<T: Float>(x: &[T], k: usize, stats: &mut [T]) {
        for (stats, x) in stats.chunks_exact_mut(2).zip(x.chunks_exact(k)) {
            stats.copy_from_slice(&stats_of(x));
        }
    }
}

#[inline(always)]
fn stats_of<T: Float>(x: &[T]) -> [T; 2] {
    let largest = maximum(x);
    [
        largest,
        fold_rows([x, x], T::ZERO, |x, _| (x - largest).exp(), |a, b| a + b).ln(),
    ]
}

#[inline(always)]
fn maximum<T: Float>(x: &[T]) -> T {
    fold_rows([x, x], x[0], |x, _| x, |a, b| a.max(b))
}
