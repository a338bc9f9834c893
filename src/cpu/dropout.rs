//! Keeping some elements and zeroing the others, by numbered random words.

use crate::cpu::wide::{PIECE, pieces};
use crate::cpu::{GRAIN, chunks, vectorize};
use crate::{Float, Real, Rng};

/// Random blocks drawn side by side.
const BLOCKS: usize = 32;

/// Of what some elements are kept.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// a itself.
    Identity,
    /// GELU of a.
    Gelu,
    /// b times the slope of GELU at a.
    GeluBackward,
}

/// y = f(a, b) / (1 - p) where the element's uniform number reaches p, else 0. Element i has word i of the stream.
pub(crate) fn apply<T: Real>(kind: Kind, p: f64, rng: &Rng, [a, b]: [&[T]; 2], y: &mut [T]) {
    const { assert!(GRAIN.is_multiple_of(PIECE) && PIECE.is_multiple_of(4 * BLOCKS), "pieces begin with whole blocks") };
    chunks(y, GRAIN, |start, y| {
        let inputs = [a, b].map(|x| &x[start..][..y.len()]);
        pieces(inputs, y, PIECE, |at, inputs, y| apply_chunk(kind, p, rng, (start + at) / 4, inputs, y));
    });
}

vectorize! {
    /// From random block `first` on.
    fn apply_chunk<T: Float>(kind: Kind, p: f64, rng: &Rng, first: usize, inputs: [&[T]; 2], y: &mut [T]) {
        let mut words = [0; PIECE];
        let [a, b] = inputs.map(|x| x.chunks(PIECE));
        for (i, ((y, a), b)) in y.chunks_mut(PIECE).zip(a).zip(b).enumerate() {
            for (j, words) in words.chunks_exact_mut(4 * BLOCKS).enumerate() {
                rng.blocks::<BLOCKS>((first + i * (PIECE / 4) + j * BLOCKS) as u64, words);
            }
            match kind {
                Kind::Identity => keep(p, &words, [a, b], y, |a, _| a),
                Kind::Gelu => keep(p, &words, [a, b], y, |a, _| a * a.normal_cdf()),
                Kind::GeluBackward => keep(p, &words, [a, b], y, |a, b| b * a.gelu_slope()),
            }
        }
    }
}

#[inline(always)]
fn keep<T: Float>(p: f64, words: &[u32; PIECE], [a, b]: [&[T]; 2], y: &mut [T], f: impl Fn(T, T) -> T) {
    // unit_f32(word) >= p without the division by 2^24: p = 1 keeps nothing, p = 0 everything.
    let threshold = (p * f64::from(1u32 << 24)).ceil() as u32;
    let scale = T::from_f64(1.0 / (1.0 - p));
    for (((y, &a), &b), word) in y.iter_mut().zip(a).zip(b).zip(words) {
        *y = if word >> 8 >= threshold { f(a, b) * scale } else { T::ZERO };
    }
}
