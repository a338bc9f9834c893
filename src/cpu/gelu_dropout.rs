//! GELU and dropout in one pass over memory.

use crate::cpu::dropout;
use crate::{Float, Rng};

/// y = dropout(x Phi(x)).
pub(crate) fn forward<T: Float>(p: f64, rng: &Rng, x: &[T], y: &mut [T]) {
    dropout::apply(p, rng, [x, x], y, |x, _| x * x.normal_cdf());
}

/// dx = dropout(dy) (Phi(x) + x phi(x)).
pub(crate) fn backward<T: Float>(p: f64, rng: &Rng, [x, dy]: [&[T]; 2], dx: &mut [T]) {
    dropout::apply(p, rng, [x, dy], dx, |x, dy| dy * (x.normal_cdf() + x * x.normal_density()));
}
