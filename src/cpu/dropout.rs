//! Keeping some elements and zeroing the others, by numbered random words.

use crate::cpu::unary::{gelu, gelu_slope};
use crate::cpu::{GRAIN, chunks, vectorize};
use crate::{Float, Rng};

/// Random blocks drawn side by side, and the words they give.
const BLOCKS: usize = 16;
const WORDS: usize = 4 * BLOCKS;

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
pub(crate) fn apply<T: Float>(kind: Kind, p: f64, rng: &Rng, [a, b]: [&[T]; 2], y: &mut [T]) {
    const { assert!(GRAIN.is_multiple_of(WORDS), "chunks begin with whole blocks") };
    chunks(y, GRAIN, |start, y| {
        let inputs = [a, b].map(|x| &x[start..][..y.len()]);
        apply_chunk(kind, p, rng, start / 4, inputs, y);
    });
}

vectorize! {
    /// From random block `first` on.
    fn apply_chunk<T: Float>(kind: Kind, p: f64, rng: &Rng, first: usize, inputs: [&[T]; 2], y: &mut [T]) {
        match kind {
            Kind::Identity => keep(p, rng, first, inputs, y, |a, _| a),
            Kind::Gelu => keep(p, rng, first, inputs, y, |a, _| gelu(a)),
            Kind::GeluBackward => keep(p, rng, first, inputs, y, |a, b| b * gelu_slope(a)),
        }
    }
}

#[inline(always)]
fn keep<T: Float>(p: f64, rng: &Rng, first: usize, [a, b]: [&[T]; 2], y: &mut [T], f: impl Fn(T, T) -> T) {
    // unit_f32(word) >= p without the division by 2^24: p = 1 keeps nothing, p = 0 everything.
    let threshold = (p * f64::from(1u32 << 24)).ceil() as u32;
    let scale = T::from_f64(1.0 / (1.0 - p));
    let mut words = [0; WORDS];
    let pieces = y.chunks_mut(WORDS).zip(a.chunks(WORDS)).zip(b.chunks(WORDS));
    for (block, ((y, a), b)) in (first..).step_by(BLOCKS).zip(pieces) {
        rng.blocks::<BLOCKS>(block as u64, &mut words);
        for (((y, &a), &b), word) in y.iter_mut().zip(a).zip(b).zip(&words) {
            *y = if word >> 8 >= threshold { f(a, b) * scale } else { T::ZERO };
        }
    }
}
