//! Gradient descent, one pass over weights, gradients and velocities.

use crate::Float;
use crate::cpu::{GRAIN, chunks, chunks_of, vectorize};

/// w -= lr (dw + decay w).
pub(crate) fn plain<T: Float>(w: &mut [T], dw: &[T], lr: T, decay: T) {
    chunks(w, GRAIN, |start, w| plain_chunk(w, &dw[start..], lr, decay));
}

/// v = momentum v + dw + decay w, then w -= lr v, or with Nesterov w -= lr (dw + decay w + momentum
/// v).
pub(crate) fn momentum<T: Float>(
    wv: [&mut [T]; 2],
    dw: &[T],
    lr: T,
    decay: T,
    (momentum, nesterov): (T, bool),
) {
    chunks_of(0, wv, GRAIN, &|start, wv| {
        momentum_chunk(wv, &dw[start..], lr, decay, momentum, nesterov)
    });
}

vectorize! {
    fn plain_chunk<T: Float>(w: &mut [T], dw: &[T], lr: T, decay: T) {
        for (w, &dw) in w.iter_mut().zip(dw) {
            *w = *w - lr * (dw + decay * *w);
        }
    }

    fn momentum_chunk<T: Float>(wv: [&mut [T]; 2], dw: &[T], lr: T, decay: T, momentum: T, nesterov: bool) {
        let [w, v] = wv;
        for ((w, v), &dw) in w.iter_mut().zip(v).zip(dw) {
            let g = dw + decay * *w;
            *v = momentum * *v + g;
            *w = *w - lr * if nesterov { g + momentum * *v } else { *v };
        }
    }
}
