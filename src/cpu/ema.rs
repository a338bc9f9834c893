//! Running means.

use crate::Float;
use crate::cpu::{GRAIN, chunks, vectorize};

/// mean = keep mean + (1 - keep) x.
pub(crate) fn update<T: Float>(mean: &mut [T], x: &[T], keep: f64) {
    let (keep, rest) = (T::from_f64(keep), T::from_f64(1.0 - keep));
    chunks(mean, GRAIN, |start, mean| {
        vectorize::<T, _>(|| mean.iter_mut().zip(&x[start..]).for_each(|(mean, &x)| *mean = keep * *mean + rest * x));
    });
}
