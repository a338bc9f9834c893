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
                _ => {
                    let rest = vectorize::<T, _>(|| fold_rows([row, row], T::ZERO, |x, _| lse - x, |a, b| a + b));
                    own * (lse - row[label as usize]) + all * rest
                }
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
    let (own, all) = (T::from_f64(1.0 - smoothing), T::from_f64(smoothing / k as f64));
    chunks(dx, (GRAIN / k).max(1) * k, |start, dx| {
        vectorize::<T, _>(|| {
            let rows = dx.chunks_exact_mut(k).zip(x[start..].chunks_exact(k));
            for (r, (dx, x)) in (start / k..).zip(rows) {
                if weight[r] == T::ZERO {
                    dx.fill(T::ZERO);
                    continue;
                }
                let (lse, weight) = (lse[r], weight[r]);
                dx.iter_mut().zip(x).for_each(|(dx, &x)| *dx = ((x - lse).exp() - all) * weight);
                let label = &mut dx[labels[r] as usize];
                *label = *label - own * weight;
            }
        });
    });
}
