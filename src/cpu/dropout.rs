//! Keeping some elements and zeroing the others, by numbered random words.

use crate::cpu::wide::{PIECE, edited, narrowed, widened};
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
    /// What y holds, times the slope of GELU at a.
    GeluBackward,
}

/// y = f(a, y) / (1 - p) where the element's uniform number reaches p, else 0. Element i has word i of the stream.
pub(crate) fn apply<T: Real>(kind: Kind, p: f64, rng: &Rng, a: &[T], y: &mut [T]) {
    const { assert!(GRAIN.is_multiple_of(PIECE) && PIECE.is_multiple_of(4 * BLOCKS), "pieces begin with whole blocks") };
    chunks(y, GRAIN, |start, y| {
        let (mut words, [mut room_a, mut room_y]) = ([0; PIECE], [const { None }; 2]);
        for (i, (a, y)) in a[start..].chunks(PIECE).zip(y.chunks_mut(PIECE)).enumerate() {
            let (a, first) = (widened(a, &mut room_a), (start + i * PIECE) / 4);
            let body = |y: &mut [T::Wide]| apply_piece(kind, p, (rng, first, &mut words), a, y);
            match kind {
                Kind::GeluBackward => edited(y, &mut room_y, body),
                _ => narrowed(y, &mut room_y, body),
            }
        }
    });
}

vectorize! {
    /// From random block `first` on.
    fn apply_piece<T: Float>(kind: Kind, p: f64, random: (&Rng, usize, &mut [u32; PIECE]), a: &[T], y: &mut [T]) {
        let (rng, first, words) = random;
        for (j, words) in words.chunks_exact_mut(4 * BLOCKS).enumerate() {
            rng.blocks::<BLOCKS>((first + j * BLOCKS) as u64, words);
        }
        match kind {
            Kind::Identity => keep(p, words, a, y, |a, _| a),
            Kind::Gelu => keep(p, words, a, y, |a, _| a * a.normal_cdf()),
            Kind::GeluBackward => keep(p, words, a, y, |a, y| y * a.gelu_slope()),
        }
    }
}

#[inline(always)]
fn keep<T: Float>(p: f64, words: &[u32; PIECE], a: &[T], y: &mut [T], f: impl Fn(T, T) -> T) {
    // unit_f32(word) >= p without the division by 2^24: p = 1 keeps nothing, p = 0 everything.
    let threshold = (p * f64::from(1u32 << 24)).ceil() as u32;
    let scale = T::from_f64(1.0 / (1.0 - p));
    for ((y, &a), word) in y.iter_mut().zip(a).zip(words) {
        *y = if word >> 8 >= threshold { f(a, *y) * scale } else { T::ZERO };
    }
}
