//! Losses of a prediction a and a target b, element by element, and their sum.

use crate::Float;
use crate::cpu::reduce::fold_rows;
use crate::cpu::unary::log1p;
use crate::cpu::{GRAIN, chunks, map_over_threads, vectorize};

/// Which loss of an element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// (a - b)^2.
    Mse,
    /// |a - b|.
    L1,
    /// (a - b)^2 / 2 where |a - b| is at most this delta, else delta (|a - b| - delta / 2).
    Huber(f64),
    /// The cross-entropy of the probability sigmoid(a) with the target b.
    Bce,
}

impl Kind {
    /// The constant of kernels/pointwise_loss.cu.
    pub fn number(self) -> i32 {
        match self {
            Kind::Mse => 0,
            Kind::L1 => 1,
            Kind::Huber(_) => 2,
            Kind::Bce => 3,
        }
    }

    /// Its parameter, as a kernel takes it.
    pub fn parameter(self) -> f32 {
        match self {
            Kind::Huber(delta) => delta as f32,
            _ => 0.0,
        }
    }
}

/// The partial derivative of a loss with respect to an operand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Partial {
    pub kind: Kind,
    /// 0 for a, 1 for b.
    pub side: usize,
}

/// Elements summed in their own type before f64 takes over.
const BLOCK: usize = 4096;

/// Losses that are kept in the L1 cache until they are added up.
const TERMS: usize = 256;

/// The sum of all losses, times `scale`.
pub(crate) fn forward<T: Float>(kind: Kind, [a, b]: [&[T]; 2], scale: f64, loss: &mut [T]) {
    let block = |(a, b): (&[T], &[T])| forward_block(kind, a, b).to_f64();
    let parts = map_over_threads(a.len(), GRAIN, &|run| {
        let (a, b) = (a[run.clone()].chunks(BLOCK), b[run].chunks(BLOCK));
        a.zip(b).map(block).sum::<f64>()
    });
    loss[0] = T::from_f64(parts.iter().sum::<f64>() * scale);
}

/// dx = the partial derivative times scale dy, where x is the operand that `partial` names.
pub(crate) fn backward<T: Float>(
    partial: Partial,
    [a, b]: [&[T]; 2],
    dy: &[T],
    scale: f64,
    dx: &mut [T],
) {
    let factor = T::from_f64(scale * dy[0].to_f64());
    chunks(dx, GRAIN, |start, dx| {
        backward_chunk(partial, &a[start..], &b[start..], factor, dx)
    });
}

vectorize! {
    fn forward_block<T: Float>(kind: Kind, a: &[T], b: &[T]) -> T {
        match kind {
            Kind::Mse => sum(a, b, |a, b| (a - b) * (a - b)),
            Kind::L1 => sum(a, b, |a, b| (a - b).abs()),
            Kind::Huber(delta) => {
                let (delta, half) = (T::from_f64(delta), T::from_f64(0.5));
                sum(a, b, |a, b| {
                    let size = (a - b).abs();
                    // min(size, delta), but not-a-number passes through.
                    let near = if size > delta { delta } else { size };
                    near * (size - half * near)
                })
            }
            Kind::Bce => {
                // Written first and added up then: in one loop it would not be vectorized.
                let (mut terms, mut total) = ([T::ZERO; TERMS], T::ZERO);
                for (a, b) in a.chunks(TERMS).zip(b.chunks(TERMS)) {
                    let terms = &mut terms[..a.len()];
                    zip(a, b, terms, binary_cross_entropy);
                    total = total + sum(terms, terms, |term, _| term);
                }
                total
            }
        }
    }

    fn backward_chunk<T: Float>(partial: Partial, a: &[T], b: &[T], factor: T, dx: &mut [T]) {
        // The loss of a difference has the opposite slope with respect to what is subtracted.
        let signed = if partial.side == 0 { factor } else { -factor };
        match (partial.kind, partial.side) {
            (Kind::Mse, _) => {
                let factor = signed + signed;
                zip(a, b, dx, |a, b| (a - b) * factor)
            }
            (Kind::L1, _) => zip(a, b, dx, |a, b| {
                let d = a - b;
                if d > T::ZERO { signed } else if d < T::ZERO { -signed } else { T::ZERO }
            }),
            (Kind::Huber(delta), _) => {
                let delta = T::from_f64(delta);
                zip(a, b, dx, |a, b| {
                    let d = a - b;
                    let near = if d > delta { delta } else { d };
                    let near = if near < -delta { -delta } else { near };
                    near * signed
                })
            }
            (Kind::Bce, 0) => zip(a, b, dx, |a, b| (a.sigmoid() - b) * factor),
            (Kind::Bce, _) => zip(a, b, dx, |a, _| a * signed),
        }
    }
}

#[inline(always)]
fn sum<T: Float>(a: &[T], b: &[T], term: impl Fn(T, T) -> T) -> T {
    fold_rows([a, b], T::ZERO, term, |x, y| x + y)
}

#[inline(always)]
fn zip<T: Float>(a: &[T], b: &[T], y: &mut [T], f: impl Fn(T, T) -> T) {
    for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
        *y = f(a, b);
    }
}

/// max(x, 0) - x t + ln(1 + e^-|x|), the first two as |x| (1 - t) or |x| t: exact where t is 0 or
/// 1. A t that leaves nothing of |x| leaves nothing of an infinite one.
#[inline(always)]
fn binary_cross_entropy<T: Float>(x: T, t: T) -> T {
    let share = if x > T::ZERO { T::ONE - t } else { t };
    let linear = if share == T::ZERO {
        T::ZERO
    } else {
        x.abs() * share
    };
    linear + log1p((-x.abs()).exp())
}
