//! Elements as other types.

use half::bf16;

use crate::Element;
use crate::cpu::simd::convert;
use crate::cpu::{GRAIN, chunks};
use crate::tensor::dtype::{as_type, as_type_mut};

/// y = x, rounded to nearest; to integers towards zero, saturating.
pub(crate) fn forward<S: Element, D: Element>(x: &[S], y: &mut [D]) {
    // Every step in 16 bits makes these two, of all weights and of all images.
    if let (Some(x), Some(y)) = (as_type::<S, bf16>(x), as_type_mut::<D, f32>(y)) {
        return chunks(y, GRAIN, |start, y| convert::convert(&x[start..], y));
    }
    if let (Some(x), Some(y)) = (as_type::<S, f32>(x), as_type_mut::<D, bf16>(y)) {
        return chunks(y, GRAIN, |start, y| convert::round(&x[start..], y));
    }
    chunks(y, GRAIN, |start, y| {
        y.iter_mut()
            .zip(&x[start..])
            .for_each(|(y, x)| *y = D::from_f64(x.to_f64()))
    });
}
