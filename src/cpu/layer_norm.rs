//! Rows brought to mean 0 and variance 1, then scaled and shifted column by column; or to mean
//! square 1, then scaled.

use crate::Float;
use crate::cpu::reduce::fold_rows;
use crate::cpu::{GRAIN, Parts, chunks, map_over_threads, pairs_over_threads, vectorize};

/// Numbers whose gradients are summed in their own type before f64 takes over.
const BLOCK: usize = 8 * 1024;

/// y = (x - mean) inv_std gamma + beta for each row of c; `stats` gets each row's mean and inv_std.
/// Without a beta the mean counts as 0, so inv_std is 1 / sqrt(mean of x^2 + eps): the RMS norm.
pub(crate) fn forward<T: Float>(
    x: &[T],
    gamma: &[T],
    beta: Option<&[T]>,
    eps: f64,
    stats: &mut [T],
    y: &mut [T],
) {
    let c = gamma.len();
    let rows = (GRAIN / c).max(1);
    pairs_over_threads(
        Parts(y, rows * c),
        Parts(stats, rows * 2),
        &|i, y, stats| {
            let x = &x[i * rows * c..][..y.len()];
            forward_rows([x, gamma], beta, eps, y, stats);
        },
    );
}

/// dx = (g - mean of g - xhat mean of (g xhat)) inv_std for each row of c, with g = gamma dy;
/// without the mean of g where the forward pass took no mean off.
pub(crate) fn backward_input<T: Float>(
    [x, dy, stats]: [&[T]; 3],
    gamma: &[T],
    centered: bool,
    dx: &mut [T],
) {
    let c = gamma.len();
    chunks(dx, (GRAIN / c).max(1) * c, |start, dx| {
        let stats = &stats[start / c * 2..];
        backward_rows([&x[start..], &dy[start..], gamma, stats], centered, dx);
    });
}

vectorize! {
    fn forward_rows<T: Float>(inputs: [&[T]; 2], beta: Option<&[T]>, eps: f64, y: &mut [T], stats: &mut [T]) {
        let [x, gamma] = inputs;
        let c = gamma.len();
        let (eps, share) = (T::from_f64(eps), T::from_f64(1.0 / c as f64));
        for ((y, stats), x) in y.chunks_exact_mut(c).zip(stats.chunks_exact_mut(2)).zip(x.chunks_exact(c)) {
            let mean = match beta {
                Some(_) => fold_rows([x, x], T::ZERO, |x, _| x, |a, b| a + b) * share,
                None => T::ZERO,
            };
            let var = fold_rows([x, x], T::ZERO, |x, _| (x - mean) * (x - mean), |a, b| a + b) * share;
            // A row of equal elements without an eps is beta, and has no gradient: 0 times infinity
            // is neither.
            let inv_std = if var + eps == T::ZERO { T::ZERO } else { T::ONE / (var + eps).sqrt() };
            stats.copy_from_slice(&[mean, inv_std]);
            let Some(beta) = beta else {
                for ((y, &x), &gamma) in y.iter_mut().zip(x).zip(gamma) {
                    *y = x * inv_std * gamma;
                }
                continue;
            };
            for (((y, &x), &gamma), &beta) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
                *y = (x - mean) * inv_std * gamma + beta;
            }
        }
    }

    fn backward_rows<T: Float>(inputs: [&[T]; 4], centered: bool, dx: &mut [T]) {
        let [x, dy, gamma, stats] = inputs;
        let c = gamma.len();
        let share = T::from_f64(1.0 / c as f64);
        let inputs = x.chunks_exact(c).zip(dy.chunks_exact(c)).zip(stats.chunks_exact(2));
        for (dx, ((x, dy), stats)) in dx.chunks_exact_mut(c).zip(inputs) {
            let (mean, inv_std) = (stats[0], stats[1]);
            for ((g, &dy), &gamma) in dx.iter_mut().zip(dy).zip(gamma) {
                *g = dy * gamma;
            }
            let pull = if centered {
                fold_rows([dx, dx], T::ZERO, |g, _| g, |a, b| a + b) * share
            } else {
                T::ZERO
            };
            let slope = fold_rows([dx, x], T::ZERO, |g, x| g * (x - mean), |a, b| a + b) * share * inv_std * inv_std;
            for (dx, &x) in dx.iter_mut().zip(x) {
                *dx = (*dx - pull - (x - mean) * slope) * inv_std;
            }
        }
    }

    fn add_gradients<T: Float>(inputs: [&[T]; 3], dgamma: &mut [T], dbeta: &mut [T]) {
        let [x, dy, stats] = inputs;
        let c = dgamma.len();
        for ((x, dy), stats) in x.chunks_exact(c).zip(dy.chunks_exact(c)).zip(stats.chunks_exact(2)) {
            for (((dgamma, dbeta), &x), &dy) in dgamma.iter_mut().zip(&mut *dbeta).zip(x).zip(dy) {
                *dgamma = *dgamma + dy * ((x - stats[0]) * stats[1]);
                *dbeta = *dbeta + dy;
            }
        }
    }
}

/// dgamma, then dbeta, in one row of 2 c: of each column, the sums of dy xhat and of dy over the
/// rows.
pub(crate) fn gradient_sums<T: Float>([x, dy, stats]: [&[T]; 3], out: &mut [T]) {
    let c = out.len() / 2;
    let rows = (BLOCK / c).max(1);
    let parts = map_over_threads(stats.len() / 2, rows, &|rows| {
        let [mut dgamma, mut dbeta] = [vec![T::ZERO; c], vec![T::ZERO; c]];
        let [x, dy] = [x, dy].map(|v| &v[rows.start * c..rows.end * c]);
        let stats = &stats[rows.start * 2..rows.end * 2];
        add_gradients([x, dy, stats], &mut dgamma, &mut dbeta);
        [dgamma, dbeta]
    });
    let mut sums = [vec![0.0; c], vec![0.0; c]];
    for part in &parts {
        sums.iter_mut()
            .flatten()
            .zip(part.iter().flatten())
            .for_each(|(sum, x)| *sum += x.to_f64());
    }
    out.iter_mut()
        .zip(sums.iter().flatten())
        .for_each(|(out, &sum)| *out = T::from_f64(sum));
}
