//! Keeping some elements and zeroing the others, by numbered random words.

use crate::cpu::{GRAIN, chunks, vectorize};
use crate::{Float, Rng};

/// Random blocks drawn side by side, and the words they give.
const BLOCKS: usize = 16;
const WORDS: usize = 4 * BLOCKS;

/// y = f(a, b) / (1 - p) where the element's uniform number reaches p, else 0. Element i has word i of the stream.
pub(crate) fn apply<T: Float>(p: f64, rng: &Rng, [a, b]: [&[T]; 2], y: &mut [T], f: impl Fn(T, T) -> T + Sync) {
    // unit_f32(word) >= p without the division by 2^24: p = 1 keeps nothing, p = 0 everything.
    let threshold = (p * f64::from(1u32 << 24)).ceil() as u32;
    let scale = T::from_f64(1.0 / (1.0 - p));
    const { assert!(GRAIN.is_multiple_of(WORDS), "chunks begin with whole blocks") };
    chunks(y, GRAIN, |start, y| {
        let (a, b) = (&a[start..][..y.len()], &b[start..][..y.len()]);
        vectorize::<T, _>(|| {
            let mut words = [0; WORDS];
            let pieces = y.chunks_mut(WORDS).zip(a.chunks(WORDS)).zip(b.chunks(WORDS));
            for (first, ((y, a), b)) in (start / 4..).step_by(BLOCKS).zip(pieces) {
                rng.blocks::<BLOCKS>(first as u64, &mut words);
                for (((y, &a), &b), word) in y.iter_mut().zip(a).zip(b).zip(&words) {
                    *y = if word >> 8 >= threshold { f(a, b) * scale } else { T::ZERO };
                }
            }
        });
    });
}
