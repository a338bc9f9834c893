//! What is done to gradients as one long array before a step.

use crate::Float;
use crate::cpu::{GRAIN, chunks, map_over_threads, vectorize};

/// Partial sums that run side by side, one a vector lane.
const LANES: usize = 16;

/// The sum of squares, in f64: no f32 is large enough to overflow it, so it is finite exactly where
/// all of `x` is.
pub(crate) fn sum_squares<T: Float>(x: &[T]) -> f64 {
    let partial = map_over_threads(x.len(), GRAIN, &|range| block(&x[range]));
    partial.iter().sum()
}

vectorize! {
    fn block<T: Float>(x: &[T]) -> f64 {
        let mut lanes = [0.0; LANES];
        let (full, rest) = x.split_at(x.len() / LANES * LANES);
        for x in full.chunks_exact(LANES) {
            for (lane, x) in lanes.iter_mut().zip(x) {
                *lane += x.to_f64() * x.to_f64();
            }
        }
        rest.iter().zip(&mut lanes).for_each(|(x, lane)| *lane += x.to_f64() * x.to_f64());
        lanes.iter().sum()
    }
}

/// x *= factor.
pub(crate) fn scale<T: Float>(x: &mut [T], factor: T) {
    chunks(x, GRAIN, |_, x| scale_chunk(x, factor));
}

/// x moved into [-limit, limit]; not-a-number stays.
pub(crate) fn clamp<T: Float>(x: &mut [T], limit: T) {
    chunks(x, GRAIN, |_, x| clamp_chunk(x, limit));
}

vectorize! {
    fn scale_chunk<T: Float>(x: &mut [T], factor: T) {
        for x in x {
            *x = *x * factor;
        }
    }

    fn clamp_chunk<T: Float>(x: &mut [T], limit: T) {
        for x in x {
            let low = if *x < -limit { -limit } else { *x };
            *x = if low > limit { limit } else { low };
        }
    }
}
