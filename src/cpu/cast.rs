//! Elements as other types.

use crate::Element;
use crate::cpu::{GRAIN, chunks};

/// y = x, rounded to nearest; to integers towards zero, saturating.
pub(crate) fn forward<S: Element, D: Element>(x: &[S], y: &mut [D]) {
    chunks(y, GRAIN, |start, y| y.iter_mut().zip(&x[start..]).for_each(|(y, x)| *y = D::from_f64(x.to_f64())));
}
