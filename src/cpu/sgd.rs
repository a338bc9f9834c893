//! Gradient descent, one pass over weights, gradients and velocities.

use crate::Float;
use crate::cpu::vectorize;

/// The constants of a step with momentum.
#[derive(Clone, Copy)]
pub(crate) struct Settings<T> {
    /// The learning rate.
    pub lr: T,
    /// Weight decay, which is added to the gradient.
    pub decay: T,
    /// How much of the velocity stays from step to step.
    pub momentum: T,
    pub nesterov: bool,
}

vectorize! {
    /// w -= lr (dw + decay w).
    pub(crate) fn plain<T: Float>(w: &mut [T], dw: &[T], lr: T, decay: T) {
        for (w, &dw) in w.iter_mut().zip(dw) {
            *w = *w - lr * (dw + decay * *w);
        }
    }

    /// v = momentum v + dw + decay w, then w -= lr v, or with Nesterov w -= lr (dw + decay w +
    /// momentum v).
    pub(crate) fn momentum<T: Float>(wv: [&mut [T]; 2], dw: &[T], s: Settings<T>) {
        let [w, v] = wv;
        for ((w, v), &dw) in w.iter_mut().zip(v).zip(dw) {
            let g = dw + s.decay * *w;
            *v = s.momentum * *v + g;
            *w = *w - s.lr * if s.nesterov { g + s.momentum * *v } else { *v };
        }
    }
}
