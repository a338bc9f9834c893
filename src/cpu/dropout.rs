//! Dropout by counter-based random bits. Each element takes as few bits as p needs, since
//! generating them takes most of the time.

use crate::cpu::float::{LoopFloat, LoopStored};
use crate::cpu::simd::convert::{BLOCK, update_as_compute, write_as_compute};
use crate::cpu::simd::{Kernel, Lanes, run_widest};
use crate::cpu::{GRAIN, Scratch, chunks, vectorize};
use crate::{Element, Rng};

/// y = x / (1 - p) where the element's random bits reach p, else 0.
pub(crate) fn forward<T: LoopStored>(p: f64, rng: &Rng, x: &[T], y: &mut [T]) {
    apply(Kind::Identity, p, (rng, 0), x, y);
}

/// What dropout is applied to.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// a itself.
    Identity,
    /// GELU of a.
    Gelu,
    /// What y holds, times the slope of GELU at a.
    GeluBackward,
}

/// Random 32-bit words drawn at a time, counted in pairs, as u64.
const DRAWN: usize = BLOCK / 4;

/// y = f(a, y) / (1 - p) where the element's [`bits`], as a fraction, reach p, else 0. Element i
/// has the bits of the stream from `bits * i` on, of which the lowest of each word is its first. a
/// and y begin with element `first`, a [`whole`] one.
pub(crate) fn apply<T: LoopStored>(
    kind: Kind,
    p: f64,
    (rng, first): (&Rng, usize),
    a: &[T],
    y: &mut [T],
) {
    const {
        assert!(
            GRAIN.is_multiple_of(BLOCK) && BLOCK.is_multiple_of(128),
            "pieces begin with whole blocks"
        )
    };
    assert!(
        whole(p, first),
        "the first element has the first bits of a block"
    );
    let bits = bits(p);
    // Elements that the words are for.
    let span = 64 * DRAWN / bits;
    chunks(y, GRAIN, |start, y| {
        let (mut words, mut halves, mut buffer) = ([0; DRAWN], [0; BLOCK], None);
        for (i, (a, y)) in a[start..].chunks(span).zip(y.chunks_mut(span)).enumerate() {
            let count = (y.len() * bits)
                .div_ceil(64)
                .next_multiple_of(REGISTERS)
                .min(DRAWN);
            run_widest(Draw {
                rng,
                first: (first + start + i * span) * bits / 128,
                words: &mut words[..count],
            });
            for ((a, y), words) in a
                .chunks(BLOCK)
                .zip(y.chunks_mut(BLOCK))
                .zip(words.chunks(BLOCK * bits / 64))
            {
                let body = |y: &mut [T::Compute]| apply_piece(kind, p, words, &mut halves, a, y);
                match kind {
                    Kind::GeluBackward => update_as_compute(y, &mut buffer, body),
                    _ => write_as_compute(y, &mut buffer, body),
                }
            }
        }
    });
}

/// Draws words from random block `first` on, two in a u64.
struct Draw<'a> {
    rng: &'a Rng,
    first: usize,
    words: &'a mut [u64],
}

/// The most u64 that one step of `Draw` fills: two of the widest registers for each word of a
/// block.
const REGISTERS: usize = 32;

impl Kernel for Draw<'_> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        self.rng.fill::<V::Words, 2>(self.first as u64, self.words);
    }
}

vectorize! {
    fn apply_piece<T: LoopStored>(kind: Kind, p: f64, words: &[u64], halves: &mut [u16; BLOCK], a: &[T], y: &mut [T::Compute]) {
        match bits(p) {
            1 => spread::<1>(words, halves),
            2 => spread::<2>(words, halves),
            4 => spread::<4>(words, halves),
            8 => spread::<8>(words, halves),
            _ => spread::<16>(words, halves),
        }
        match kind {
            Kind::Identity => keep(p, halves, a, y, |a, _| a),
            Kind::Gelu => keep(p, halves, a, y, |a, _| T::gelu_to_round::<FUSED>(a)),
            Kind::GeluBackward => keep(p, halves, a, y, |a, y| y * T::gelu_slope_to_round::<FUSED>(a)),
        }
    }
}

/// The threshold that an element's bits, as 16 bits, must reach for it to be kept: with p = 1 none
/// is, with p = 0 all are.
pub(crate) fn threshold(p: f64) -> u32 {
    (p * f64::from(1u32 << 16)).round() as u32
}

/// Random bits of an element: as many as p, rounded to the nearest 2^-16, has binary digits,
/// rounded up to a power of two. One bit is enough for p = 1/2.
fn bits(p: f64) -> usize {
    (16 - threshold(p).trailing_zeros().min(15)).next_power_of_two() as usize
}

/// Whether element i, and so every multiple of it, has the first bits of a random block.
pub(crate) fn whole(p: f64, i: usize) -> bool {
    (i * bits(p)).is_multiple_of(128)
}

/// Dropout's factors of elements that begin anywhere: for an op that applies it to what is never in
/// memory as a whole.
pub(crate) struct Factors<'a, T> {
    p: f64,
    rng: &'a Rng,
    ones: Scratch<T>,
    factors: Scratch<T>,
}

/// Elements whose bits are whole random blocks, with any p.
const WHOLE: usize = 128;

impl<'a, T: LoopStored> Factors<'a, T> {
    /// For up to `most` elements at a time.
    pub fn new(p: f64, rng: &'a Rng, most: usize) -> Self {
        let mut ones = Scratch::new(most + WHOLE);
        ones.fill(T::from_f64(1.0));
        Factors {
            p,
            rng,
            factors: Scratch::new(ones.len()),
            ones,
        }
    }

    /// 1 / (1 - p) for each of `count` elements from `first` on that dropout keeps, 0 for the others.
    pub fn of(&mut self, first: usize, count: usize) -> &[T] {
        let before = first % WHOLE;
        let (ones, factors) = (&self.ones[..before + count], &mut self.factors);
        let factors = &mut factors[..before + count];
        let from = (self.rng, first - before);
        apply(Kind::Identity, self.p, from, ones, factors);
        &factors[before..]
    }
}

/// Each element's bits as the highest of 16. Those that follow are anything, and the threshold has
/// zeros there.
#[inline(always)]
fn spread<const BITS: usize>(words: &[u64], halves: &mut [u16; BLOCK]) {
    for (halves, &word) in halves.chunks_exact_mut(64 / BITS).zip(words) {
        for (quarter, halves) in halves.chunks_exact_mut(16 / BITS).enumerate() {
            let bits = (word >> (16 * quarter)) as u16;
            for (i, half) in halves.iter_mut().enumerate() {
                *half = bits << (16 - BITS - i * BITS);
            }
        }
    }
}

#[inline(always)]
fn keep<T: LoopStored>(
    p: f64,
    halves: &[u16; BLOCK],
    a: &[T],
    y: &mut [T::Compute],
    f: impl Fn(T::Compute, T::Compute) -> T::Compute,
) {
    let (threshold, scale) = (
        threshold(p),
        <T::Compute as Element>::from_f64(1.0 / (1.0 - p)),
    );
    for ((y, &a), &half) in y.iter_mut().zip(a).zip(halves) {
        *y = (f(a.to_compute(), *y) * scale).only_if(u32::from(half) >= threshold);
    }
}
