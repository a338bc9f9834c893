//! Losses of rows of logits, each from its own label, and their gradients.

use crate::Float;
use crate::cpu::reduce::fold_rows;
use crate::cpu::{GRAIN, chunks, vectorize};

/// losses = lse - (1 - smoothing) logit of the label - smoothing (mean of the logits); 0 where the label is `ignored`.
pub(crate) fn losses<T: Float>([x, lse]: [&[T]; 2], labels: &[i64], (smoothing, ignored): (f64, Option<i64>), losses: &mut [T]) {
    let k = x.len() / lse.len().max(1);
    let (own, all) = (T::from_f64(1.0 - smoothing), T::from_f64(smoothing / k as f64));
    chunks(losses, (GRAIN / k.max(1)).max(1), |start, losses| {
        for (i, loss) in losses.iter_mut().enumerate() {
            let (row, lse, label) = (&x[(start + i) * k..][..k], lse[start + i], labels[start + i]);
            *loss = match ignored {
                Some(ignored) if ignored == label => T::ZERO,
                _ if smoothing == 0.0 => lse - row[label as usize],
                _ => own * (lse - row[label as usize]) + all * distances(row, lse),
            };
        }
    });
}

/// dx = weight (softmax - target) for each row of k, where the target is 1 - smoothing at the label and smoothing / k
/// everywhere. Rows of weight 0 may have any label.
pub(crate) fn backward<T: Float>([x, lse, weight]: [&[T]; 3], labels: &[i64], smoothing: f64, dx: &mut [T]) {
    if dx.is_empty() {
        return;
    }
    let k = dx.len() / lse.len();
    chunks(dx, (GRAIN / k).max(1) * k, |start, dx| {
        let row = start / k;
        backward_rows(&x[start..], [&lse[row..], &weight[row..]], &labels[row..], k, smoothing, dx);
    });
}

vectorize! {
    /// The sum of lse - x.
    fn distances<T: Float>(x: &[T], lse: T) -> T {
        fold_rows([x, x], T::ZERO, |x, _| lse - x, |a, b| a + b)
    }

    fn backward_rows<T: Float>(x: &[T], of_rows: [&[T]; 2], labels: &[i64], k: usize, smoothing: f64, dx: &mut [T]) {
        let (own, all) = (T::from_f64(1.0 - smoothing), T::from_f64(smoothing / k as f64));
        let rows = of_rows[0].iter().zip(of_rows[1]).zip(labels);
        for ((dx, x), ((&lse, &weight), &label)) in dx.chunks_exact_mut(k).zip(x.chunks_exact(k)).zip(rows) {
            if weight == T::ZERO {
                dx.fill(T::ZERO);
                continue;
            }
            for (dx, &x) in dx.iter_mut().zip(x) {
                *dx = ((x - lse).exp() - all) * weight;
            }
            let own_dx = &mut dx[label as usize];
            *own_dx = *own_dx - own * weight;
        }
    }
}
