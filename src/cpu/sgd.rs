//! Gradient descent, one pass over weights, gradients and velocities.

use crate::Float;
use crate::cpu::{GRAIN, chunks, chunks_of, vectorize};

/// w -= lr (dw + decay w).
pub(crate) fn plain<T: Float>(w: &mut [T], dw: &[T], lr: T, decay: T) {
    chunks(w, GRAIN, |start, w| {
        vectorize::<T, _>(|| w.iter_mut().zip(&dw[start..]).for_each(|(w, &dw)| *w = *w - lr * (dw + decay * *w)));
    });
}

/// v = momentum v + dw + decay w, then w -= lr v, or with Nesterov w -= lr (dw + decay w + momentum v).
pub(crate) fn momentum<T: Float>(wv: [&mut [T]; 2], dw: &[T], lr: T, decay: T, (momentum, nesterov): (T, bool)) {
    chunks_of(0, wv, GRAIN, &|start, [w, v]| {
        vectorize::<T, _>(|| {
            for ((w, v), &dw) in w.iter_mut().zip(v).zip(&dw[start..]) {
                let g = dw + decay * *w;
                *v = momentum * *v + g;
                *w = *w - lr * if nesterov { g + momentum * *v } else { *v };
            }
        });
    });
}
