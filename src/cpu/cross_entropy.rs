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
    pub(super) fn divisor(&self) -> f64 {
        self.counted[0].max(1) as f64
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Options {
    /// The share of each target's probability that is spread evenly over all classes.
    pub smoothing: f64,
    /// The label of rows that do not count.
    pub ignored: Option<i64>,
}

/// The mean loss of the rows that count, and the statistics of all, those of [`softmax::stats`].
pub(crate) fn forward<T: Float>(rows: Rows<T>, options: Options, stats: &mut [T], loss: &mut [T]) {
    mean_loss(rows, stats, loss, |stats| {
        let mut each = vec![T::ZERO; rows.labels.len()];
        losses([rows.x, stats], rows.labels, options, &mut each);
        each
    });
}

/// The statistics of x's rows, and the mean of what `losses` makes of them.
pub(super) fn mean_loss<T: Float>(
    rows: Rows<T>,
    stats: &mut [T],
    loss: &mut [T],
    losses: impl FnOnce(&[T]) -> Vec<T>,
) {
    let Rows { x, labels, .. } = rows;
    softmax::stats(x, x.len().checked_div(labels.len()).unwrap_or(1), stats);
    let sum = sum_all(&losses(stats)).to_f64();
    loss[0] = T::from_f64(sum / rows.divisor());
}

/// -ln p of the label times 1 - smoothing, plus the mean of -ln p times smoothing; 0 where the
/// label is `ignored`.
fn losses<T: Float>(
    [x, stats]: [&[T]; 2],
    labels: &[i64],
    Options { smoothing, ignored }: Options,
    losses: &mut [T],
) {
    let k = x.len() / losses.len().max(1);
    let (own, all) = (
        T::from_f64(1.0 - smoothing),
        T::from_f64(smoothing / k as f64),
    );
    chunks(losses, (GRAIN / k.max(1)).max(1), |start, losses| {
        for (i, loss) in losses.iter_mut().enumerate() {
            let (row, label) = (start + i, labels[start + i]);
            let (x, stats) = (&x[row * k..][..k], [stats[2 * row], stats[2 * row + 1]]);
            let own_loss = || stats[1] - (x[label as usize] - stats[0]);
            *loss = match ignored {
                Some(ignored) if ignored == label => T::ZERO,
                _ if smoothing == 0.0 => own_loss(),
                _ => own * own_loss() + all * sum_of_losses(x, stats),
            };
        }
    });
}

/// dx = (softmax - target) dy / N for the N rows that count.
pub(crate) fn backward<T: Float>(
    rows: Rows<T>,
    stats: &[T],
    dy: &[T],
    Options { smoothing, ignored }: Options,
    dx: &mut [T],
) {
    let weight = T::from_f64(dy[0].to_f64() / rows.divisor());
    let counts = |label: &i64| ignored != Some(*label);
    let weights: Vec<T> = rows
        .labels
        .iter()
        .map(|label| if counts(label) { weight } else { T::ZERO })
        .collect();
    weighted([rows.x, stats, &weights], rows.labels, smoothing, dx);
}

/// dx = weight (softmax - target) for each row of k, where the target is 1 - smoothing at the label
/// and smoothing / k everywhere. Rows of weight 0 may have any label.
pub(super) fn weighted<T: Float>(
    [x, stats, weight]: [&[T]; 3],
    labels: &[i64],
    smoothing: f64,
    dx: &mut [T],
) {
    if dx.is_empty() {
        return;
    }
    let k = dx.len() / weight.len();
    chunks(dx, (GRAIN / k).max(1) * k, |start, dx| {
        let (row, rows) = (start / k, dx.len() / k);
        backward_rows(
            &x[start..],
            [&stats[2 * row..], &weight[row..]],
            &labels[row..][..rows],
            smoothing,
            dx,
        );
    });
}

vectorize! {
    /// The sum of -ln p over a row.
    fn sum_of_losses<T: Float>(x: &[T], stats: [T; 2]) -> T {
        let [largest, log_sum] = stats;
        fold_rows([x, x], T::ZERO, |x, _| log_sum - (x - largest), |a, b| a + b)
    }

    fn backward_rows<T: Float>(x: &[T], of_rows: [&[T]; 2], labels: &[i64], smoothing: f64, dx: &mut [T]) {
        let k = dx.len() / labels.len();
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
