//! Exponentials of rows over their sum. The largest element is subtracted first, so nothing overflows.

use crate::Float;
use crate::cpu::reduce::fold_rows;
use crate::cpu::{GRAIN, chunks, vectorize};

/// y = e^x / sum of e^x over each row of k; the logarithm of that where `log` is set.
pub(crate) fn forward<T: Float>(log: bool, x: &[T], k: usize, y: &mut [T]) {
    rows(k, y, |start, y| {
        let x = &x[start..][..k];
        if log {
            let lse = log_sum_exp(x);
            return y.iter_mut().zip(x).for_each(|(y, &x)| *y = x - lse);
        }
        let largest = maximum(x);
        y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - largest).exp());
        let scale = T::ONE / fold_rows([y, y], T::ZERO, |y, _| y, |a, b| a + b);
        y.iter_mut().for_each(|y| *y = *y * scale);
    });
}

/// dx = y (dy - sum of dy y); dx = dy - e^y sum of dy where `log` is set.
pub(crate) fn backward<T: Float>(log: bool, y: &[T], dy: &[T], k: usize, dx: &mut [T]) {
    rows(k, dx, |start, dx| {
        let (y, dy) = (&y[start..][..k], &dy[start..][..k]);
        let inputs = dx.iter_mut().zip(y).zip(dy);
        if log {
            let sum = fold_rows([dy, dy], T::ZERO, |dy, _| dy, |a, b| a + b);
            inputs.for_each(|((dx, &y), &dy)| *dx = dy - y.exp() * sum);
        } else {
            let sum = fold_rows([y, dy], T::ZERO, |y, dy| y * dy, |a, b| a + b);
            inputs.for_each(|((dx, &y), &dy)| *dx = y * (dy - sum));
        }
    });
}

/// The logarithm of the sum of e^x over each row of k.
pub(crate) fn log_sum_exps<T: Float>(x: &[T], k: usize, lse: &mut [T]) {
    chunks(lse, (GRAIN / k).max(1), |start, lse| {
        let rows = x[start * k..].chunks_exact(k);
        vectorize::<T, _>(|| lse.iter_mut().zip(rows).for_each(|(lse, x)| *lse = log_sum_exp(x)));
    });
}

#[inline(always)]
fn log_sum_exp<T: Float>(x: &[T]) -> T {
    let largest = maximum(x);
    largest + fold_rows([x, x], T::ZERO, |x, _| (x - largest).exp(), |a, b| a + b).ln()
}

#[inline(always)]
fn maximum<T: Float>(x: &[T]) -> T {
    fold_rows([x, x], x[0], |x, _| x, |a, b| a.max(b))
}

/// Calls `body(start, row)` for each row of k.
fn rows<T: Float>(k: usize, out: &mut [T], body: impl Fn(usize, &mut [T]) + Sync) {
    if out.is_empty() {
        return;
    }
    chunks(out, (GRAIN / k).max(1) * k, |start, out| {
        vectorize::<T, _>(|| out.chunks_exact_mut(k).enumerate().for_each(|(i, out)| body(start + i * k, out)));
    });
}
