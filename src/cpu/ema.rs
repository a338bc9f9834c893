//! Running means.

use crate::Float;
use crate::cpu::{GRAIN, chunks, vectorize};

/// mean = keep mean + (1 - keep) x.
pub(crate) fn update<T: Float>(mean: &mut [T], x: &[T], keep: f64) {
    chunks(mean, GRAIN, |start, mean| {
        update_chunk(
            mean,
            &x[start..],
            T::from_f64(keep),
            T::from_f64(1.0 - keep),
        )
    });
}

vectorize! {
    fn update_chunk<T: Float>(mean: &mut [T], x: &[T], keep: T, rest: T) {
        for (mean, &x) in mean.iter_mut().zip(x) {
            *mean = keep * *mean + rest * x;
        }
    }
}
