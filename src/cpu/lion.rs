//! Lion, one pass over weights, gradients and momentum.

use crate::Float;
use crate::cpu::vectorize;

/// w = keep w - lr sign(beta1 m + (1 - beta1) dw), then m = beta2 m + (1 - beta2) dw.
pub(crate) fn step<T: Float>(wm: [&mut [T]; 2], dw: &[T], lr: T, keep: T, betas: [f64; 2]) {
    let mix = betas.map(|beta| [T::from_f64(beta), T::from_f64(1.0 - beta)]);
    update(wm, dw, lr, keep, mix);
}

vectorize! {
    fn update<T: Float>(wm: [&mut [T]; 2], dw: &[T], lr: T, keep: T, mix: [[T; 2]; 2]) {
        let ([w, m], [[b1, r1], [b2, r2]]) = (wm, mix);
        for ((w, m), &dw) in w.iter_mut().zip(m).zip(dw) {
            let c = b1 * *m + r1 * dw;
            // Two selections rather than three branches; NaN passes through.
            let up = if c > T::ZERO { lr } else { lr * c };
            let by = if c < T::ZERO { -lr } else { up };
            *w = keep * *w - by;
            *m = b2 * *m + r2 * dw;
        }
    }
}
