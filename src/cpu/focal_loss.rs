//! Focal loss, position by position: a function of ln p, where p is the probability of the
//! position's label.

use crate::Float;
use crate::cpu::cross_entropy::{RowLoss, Rows};
use crate::cpu::{GRAIN, chunks, vectorize};

/// Focal loss.
#[derive(Clone, Copy)]
pub(crate) struct FocalLoss {
    /// The power of 1 - p.
    pub gamma: f64,
    pub ignored: Option<i64>,
}

impl RowLoss for FocalLoss {
    fn ignored(self) -> Option<i64> {
        self.ignored
    }

    fn smoothing(self) -> f64 {
        0.0
    }

    /// -(1 - p)^gamma ln p.
    fn losses<T: Float>(self, rows: Rows<T>, stats: &[T]) -> Vec<T> {
        let mut each = log_probabilities(rows, stats, self.ignored);
        chunks(&mut each, GRAIN, |_, each| losses_chunk(self.gamma, each));
        each
    }

    /// The loss's derivative by -ln p: (1 - p)^gamma (1 - gamma p ln p / (1 - p)).
    fn weights<T: Float>(self, rows: Rows<T>, stats: &[T]) -> Vec<T> {
        let mut each = log_probabilities(rows, stats, self.ignored);
        chunks(&mut each, GRAIN, |_, each| weights_chunk(self.gamma, each));
        each
    }
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

vectorize! {
    /// The loss in place of ln p.
    fn losses_chunk<T: Float>(gamma: f64, log_p: &mut [T]) {
        for log_p in log_p {
            *log_p = -doubt(*log_p, gamma).1 * *log_p;
        }
    }

    /// The weight in place of ln p.
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
