//! Keeping some elements and zeroing the others, by numbered random bits: 16 for each element, as drawing them takes longer than
//! anything else here.

use crate::cpu::lanes::{Kernel, Lanes, run_widest};
use crate::cpu::wide::{PIECE, edited, narrowed, widened};
use crate::cpu::{GRAIN, chunks, vectorize};
use crate::{Float, Real, Rng};

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

/// y = f(a, y) / (1 - p) where the element's 16 bits, as a fraction of 2^16, reach p, else 0. Elements 2 i and 2 i + 1 have the
/// lower and the upper half of word i of the stream.
pub(crate) fn apply<T: Real>(kind: Kind, p: f64, rng: &Rng, a: &[T], y: &mut [T]) {
    const { assert!(GRAIN.is_multiple_of(PIECE), "pieces begin with whole blocks") };
    chunks(y, GRAIN, |start, y| {
        let (mut words, [mut room_a, mut room_y]) = ([0; PIECE / 4], [const { None }; 2]);
        for (i, (a, y)) in a[start..].chunks(PIECE).zip(y.chunks_mut(PIECE)).enumerate() {
            let a = widened(a, &mut room_a);
            run_widest(Draw { rng, first: (start + i * PIECE) / 8, words: &mut words });
            let body = |y: &mut [T::Wide]| apply_piece(kind, p, &words, a, y);
            match kind {
                Kind::GeluBackward => edited(y, &mut room_y, body),
                _ => narrowed(y, &mut room_y, body),
            }
        }
    });
}

/// The words of a piece, two in a number, from random block `first` on.
struct Draw<'a> {
    rng: &'a Rng,
    first: usize,
    words: &'a mut [u64; PIECE / 4],
}

impl Kernel for Draw<'_> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        self.rng.fill::<V::Words, 2>(self.first as u64, self.words);
    }
}

vectorize! {
    fn apply_piece<T: Float>(kind: Kind, p: f64, words: &[u64; PIECE / 4], a: &[T], y: &mut [T]) {
        let mut halves = [0; PIECE];
        for (halves, &word) in halves.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *halves = [word as u16, (word >> 16) as u16, (word >> 32) as u16, (word >> 48) as u16];
        }
        match kind {
            Kind::Identity => keep(p, &halves, a, y, |a, _| a),
            Kind::Gelu => keep(p, &halves, a, y, |a, _| a * a.normal_cdf::<FUSED>()),
            Kind::GeluBackward => keep(p, &halves, a, y, |a, y| y * a.gelu_slope::<FUSED>()),
        }
    }
}

/// The 16-bit number from which on elements are kept: with p = 1 none is, with p = 0 all are.
pub(crate) fn threshold(p: f64) -> u32 {
    (p * f64::from(1u32 << 16)).round() as u32
}

#[inline(always)]
fn keep<T: Float>(p: f64, halves: &[u16; PIECE], a: &[T], y: &mut [T], f: impl Fn(T, T) -> T) {
    let (threshold, scale) = (threshold(p), T::from_f64(1.0 / (1.0 - p)));
    for ((y, &a), &half) in y.iter_mut().zip(a).zip(halves) {
        *y = if u32::from(half) >= threshold { f(a, *y) * scale } else { T::ZERO };
    }
}
