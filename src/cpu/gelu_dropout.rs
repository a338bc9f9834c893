//! GELU and dropout in one pass over memory.

use crate::cpu::dropout::{Kind, apply};
use crate::{Real, Rng};

/// y = dropout(x Phi(x)).
pub(crate) fn forward<T: Real>(p: f64, rng: &Rng, x: &[T], y: &mut [T]) {
    apply(Kind::Gelu, p, rng, x, y);
}

/// dx = dropout(dy) (Phi(x) + x phi(x)), in the place of dy.
pub(crate) fn backward<T: Real>(p: f64, rng: &Rng, x: &[T], dy: &mut [T]) {
    apply(Kind::GeluBackward, p, rng, x, dy);
}
