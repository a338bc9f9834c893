//! Focal loss, position by position: a function of ln p, where p is the probability of the
//! position's label.

use crate::Float;
pub(crate) use crate::cpu::cross_entropy::Rows;
use crate::cpu::cross_entropy::{mean_loss, weighted};
use crate::cpu::{GRAIN, chunks, vectorize};

#[derive(Clone, Copy)]
pub(crate) struct Options {
    /// The power of 1 - p.
    pub gamma: f64,
    /// The label of rows that do not count.
    pub ignored: Option<i64>,
}

/// The mean loss of the rows that count, and the statistics of all.
pub(crate) fn forward<T: Float>(
    rows: Rows<T>,
    Options { gamma, ignored }: Options,
    stats: &mut [T],
    loss: &mut [T],
) {
    mean_loss(rows, stats, loss, |stats| {
        let mut each = log_probabilities(rows, stats, ignored);
        losses(gamma, &mut each);
        each
    });
}

/// dx = w (softmax - target) dy / N for the N rows that count.
pub(crate) fn backward<T: Float>(
    rows: Rows<T>,
    stats: &[T],
    dy: &[T],
    Options { gamma, ignored }: Options,
    dx: &mut [T],
) {
    let scale = T::from_f64(dy[0].to_f64() / rows.divisor());
    let mut each = log_probabilities(rows, stats, ignored);
    weights(gamma, &mut each);
    for (weight, &label) in each.iter_mut().zip(rows.labels) {
        *weight = if ignored == Some(label) {
            T::ZERO
        } else {
            *weight * scale
        };
    }
    weighted([rows.x, stats, &each], rows.labels, 0.0, dx);
}

/// ln p of the label; 0, for certainty, where the label is `ignored`. `stats` are those of
/// [`softmax::stats`](crate::cpu::softmax::stats).
fn log_probabilities<T: Float>(rows: Rows<T>, stats: &[T], ignored: Option<i64>) -> Vec<T> {
    let Rows { x, labels, .. } = rows;
    let k = x.len() / labels.len().max(1);
    let of = |(stats, (r, &label)): (&[T], (usize, &i64))| {
        if Some(label) == ignored {
            T::ZERO
        } else {
            (x[r * k + label as usize] - stats[0]) - stats[1]
        }
    };
    stats
        .chunks_exact(2)
        .zip(labels.iter().enumerate())
        .map(of)
        .collect()
}

/// -(1 - p)^gamma ln p in place of ln p.
fn losses<T: Float>(gamma: f64, log_p: &mut [T]) {
    chunks(log_p, GRAIN, |_, log_p| losses_chunk(gamma, log_p));
}

/// Its derivative by -ln p in place of ln p: (1 - p)^gamma (1 - gamma p ln p / (1 - p)).
fn weights<T: Float>(gamma: f64, log_p: &mut [T]) {
    chunks(log_p, GRAIN, |_, log_p| weights_chunk(gamma, log_p));
}

vectorize! {
    fn losses_chunk<T: Float>(gamma: f64, log_p: &mut [T]) {
        for log_p in log_p {
            *log_p = -doubt(*log_p, gamma).1 * *log_p;
        }
    }

    fn weights_chunk<T: Float>(gamma: f64, log_p: &mut [T]) {
        let factor = T::from_f64(gamma);
        for log_p in log_p {
            let (q, power) = doubt(*log_p, gamma);
            // p ln p / (1 - p) tends to 0 as p does to 0, where ln p may be infinite, and to -1 as
            // p does to 1.
            let p = T::ONE - q;
            let p_log_p = if p == T::ZERO { T::ZERO } else { p * *log_p };
            let ratio = if q == T::ZERO { -T::ONE } else { p_log_p / q };
            *log_p = power * (T::ONE - factor * ratio);
        }
    }
}

/// 1 - p, and that to the power gamma. Not-a-number stays what it is.
#[inline(always)]
fn doubt<T: Float>(log_p: T, gamma: f64) -> (T, T) {
    let q = T::ONE - log_p.exp();
    let q = if q < T::ZERO { T::ZERO } else { q };
    (
        q,
        if gamma == 0.0 {
            T::ONE
        } else {
            (T::from_f64(gamma) * q.ln()).exp()
        },
    )
}
