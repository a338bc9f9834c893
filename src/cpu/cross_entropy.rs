//! Losses of rows of logits, each from its own label, and their gradients.

use crate::Float;
use crate::cpu::reduce::{fold_rows, sum_all};
use crate::cpu::softmax;
use crate::cpu::{GRAIN, chunks, vectorize};

/// Rows of logits, and the label of each.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a, T> {
    /// Logits `[rows, k]`.
    pub x: &'a [T],
    pub labels: &'a [i64],
    /// One number: how many labels are not ignored.
    pub counted: &'a [i64],
}

impl<T> Rows<'_, T> {
    /// What a sum over all rows is divided by: the number of labels that count.
    pub fn divisor(&self) -> f64 {
        self.counted[0].max(1) as f64
    }
}

/// A loss of one row each, whose gradient is that of cross-entropy times a weight.
pub(crate) trait RowLoss: Copy {
    /// The label of rows that do not count.
    fn ignored(self) -> Option<i64>;

    /// The share of each target's probability that is spread evenly over all classes.
    fn smoothing(self) -> f64;

    /// The loss of each row; 0 where it does not count. `stats` are those of [`softmax::stats`].
    fn losses<T: Float>(self, rows: Rows<T>, stats: &[T]) -> Vec<T>;

    /// The weight of each row's gradient; any where it does not count.
    fn weights<T: Float>(self, rows: Rows<T>, stats: &[T]) -> Vec<T>;
}

/// The mean loss of the rows that count, and the statistics of all, those of [`softmax::stats`].
pub(crate) fn forward<T: Float>(rows: Rows<T>, of: impl RowLoss, stats: &mut [T], loss: &mut [T]) {
    let Rows { x, labels, .. } = rows;
    softmax::stats(x, x.len().checked_div(labels.len()).unwrap_or(1), stats);
    let sum = sum_all(&of.losses(rows, stats)).to_f64();
    loss[0] = T::from_f64(sum / rows.divisor());
}

/// dx = weight (softmax - target) dy / N for the N rows that count.
pub(crate) fn backward<T: Float>(
    rows: Rows<T>,
    stats: &[T],
    dy: &[T],
    of: impl RowLoss,
    dx: &mut [T],
) {
    let scale = T::from_f64(dy[0].to_f64() / rows.divisor());
    let mut weights = of.weights(rows, stats);
    for (weight, &label) in weights.iter_mut().zip(rows.labels) {
        *weight = if of.ignored() == Some(label) {
            T::ZERO
        } else {
            *weight * scale
        };
    }
    weighted([rows.x, stats, &weights], rows.labels, of.smoothing(), dx);
}

/// Cross-entropy.
#[derive(Clone, Copy)]
pub(crate) struct CrossEntropy {
    pub smoothing: f64,
    pub ignored: Option<i64>,
}

impl RowLoss for CrossEntropy {
    fn ignored(self) -> Option<i64> {
        self.ignored
    }

    fn smoothing(self) -> f64 {
        self.smoothing
    }

    /// -ln p of the label times 1 - smoothing, plus the mean of -ln p times smoothing.
    fn losses<T: Float>(self, Rows { x, labels, .. }: Rows<T>, stats: &[T]) -> Vec<T> {
        let mut losses = vec![T::ZERO; labels.len()];
        let k = x.len() / labels.len().max(1);
        let (own, all) = (
            T::from_f64(1.0 - self.smoothing),
            T::from_f64(self.smoothing / k as f64),
        );
        chunks(&mut losses, (GRAIN / k.max(1)).max(1), |start, losses| {
            for (i, loss) in losses.iter_mut().enumerate() {
                let (row, label) = (start + i, labels[start + i]);
                let (x, stats) = (&x[row * k..][..k], [stats[2 * row], stats[2 * row + 1]]);
                let own_loss = || stats[1] - (x[label as usize] - stats[0]);
                *loss = match self.ignored {
                    Some(ignored) if ignored == label => T::ZERO,
                    _ if self.smoothing == 0.0 => own_loss(),
                    _ => own * own_loss() + all * sum_of_losses(x, stats),
                };
            }
        });
        losses
    }

    fn weights<T: Float>(self, rows: Rows<T>, _stats: &[T]) -> Vec<T> {
        vec![T::ONE; rows.labels.len()]
    }
}

/// dx = weight (softmax - target) for each row of k, where the target is 1 - smoothing at the label
/// and smoothing / k everywhere. Rows of weight 0 may have any label.
fn weighted<T: Float>([x, stats, weight]: [&[T]; 3], labels: &[i64], smoothing: f64, dx: &mut [T]) {
    if dx.is_empty() {
        return;
    }
    let k = dx.len() / weight.len();
    chunks(dx, (GRAIN / k).max(1) * k, |start, dx| {
        let row = start / k;
        backward_rows(
            &x[start..],
            [&stats[2 * row..], &weight[row..]],
            &labels[row..],
            Target { k, smoothing },
            dx,
        );
    });
}

/// What softmax is compared with: 1 - smoothing at the label and smoothing / k everywhere. k is not
/// taken from lengths in the loop: rows of 47 would be 7 % slower.
#[derive(Clone, Copy)]
struct Target {
    k: usize,
    smoothing: f64,
}

vectorize! {
    /// The sum of -ln p over a row.
    fn sum_of_losses<T: Float>(x: &[T], stats: [T; 2]) -> T {
        let [largest, log_sum] = stats;
        fold_rows([x, x], T::ZERO, |x, _| log_sum - (x - largest), |a, b| a + b)
    }

    fn backward_rows<T: Float>(x: &[T], of_rows: [&[T]; 2], labels: &[i64], target: Target, dx: &mut [T]) {
        let Target { k, smoothing } = target;
        let (own, all) = (T::from_f64(1.0 - smoothing), T::from_f64(smoothing / k as f64));
        let rows = of_rows[0].chunks_exact(2).zip(of_rows[1]).zip(labels);
        for ((dx, x), ((stats, &weight), &label)) in dx.chunks_exact_mut(k).zip(x.chunks_exact(k)).zip(rows) {
            if weight == T::ZERO {
                dx.fill(T::ZERO);
                continue;
            }
            let (largest, log_sum) = (stats[0], stats[1]);
            for (dx, &x) in dx.iter_mut().zip(x) {
                *dx = (((x - largest) - log_sum).exp() - all) * weight;
            }
            let own_dx = &mut dx[label as usize];
            *own_dx = *own_dx - own * weight;
        }
    }
}
