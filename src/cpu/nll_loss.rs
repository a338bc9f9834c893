//! Of each row of log-probabilities, the one at its label.

use crate::Float;
use crate::cpu::reduce::sum_all;
use crate::cpu::{GRAIN, chunks};

pub(crate) use crate::cpu::cross_entropy::Rows;

/// The mean of -x at the label over the rows that count.
pub(crate) fn forward<T: Float>(rows: Rows<T>, ignored: Option<i64>, loss: &mut [T]) {
    let Rows { x, labels, .. } = rows;
    let k = x.len() / labels.len().max(1);
    let mut losses = vec![T::ZERO; labels.len()];
    chunks(&mut losses, GRAIN, |start, losses| {
        for (row, loss) in (start..).zip(losses) {
            if Some(labels[row]) != ignored {
                *loss = -x[row * k + labels[row] as usize];
            }
        }
    });
    loss[0] = T::from_f64(sum_all(&losses).to_f64() / rows.divisor());
}

/// dx = -dy / N at the labels of the N rows that count, 0 elsewhere.
pub(crate) fn backward<T: Float>(
    [labels, counted]: [&[i64]; 2],
    dy: &[T],
    ignored: Option<i64>,
    dx: &mut [T],
) {
    if dx.is_empty() {
        return;
    }
    let k = dx.len() / labels.len();
    let own = T::from_f64(-dy[0].to_f64() / counted[0].max(1) as f64);
    chunks(dx, (GRAIN / k).max(1) * k, |start, dx| {
        dx.fill(T::ZERO);
        for (dx, &label) in dx.chunks_exact_mut(k).zip(&labels[start / k..]) {
            if Some(label) != ignored {
                dx[label as usize] = own;
            }
        }
    });
}
