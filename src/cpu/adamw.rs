//! Adam, one pass over weights, gradients and both moments.

use crate::Float;
use crate::cpu::vectorize;

/// The constants of one step.
#[derive(Clone, Copy)]
pub(crate) struct Settings<T> {
    pub beta1: T,
    /// 1 - beta1, rounded once.
    pub rest1: T,
    pub beta2: T,
    /// 1 - beta2, rounded once.
    pub rest2: T,
    /// The learning rate over 1 - beta1^t.
    pub step: T,
    /// 1 / sqrt(1 - beta2^t).
    pub unbias: T,
    pub eps: T,
    /// What decoupled weight decay leaves of a weight.
    pub keep: T,
    /// Weight decay that is added to the gradient.
    pub coupled: T,
}

vectorize! {
    /// The formula of `optim::Adam`.
    pub(crate) fn step<T: Float>(wmv: [&mut [T]; 3], dw: &[T], s: Settings<T>) {
        let [w, m, v] = wmv;
        for (((w, m), v), &dw) in w.iter_mut().zip(m).zip(v).zip(dw) {
            let g = dw + s.coupled * *w;
            *m = s.beta1 * *m + s.rest1 * g;
            *v = s.beta2 * *v + s.rest2 * (g * g);
            *w = s.keep * *w - s.step * *m / (v.sqrt() * s.unbias + s.eps);
        }
    }
}
