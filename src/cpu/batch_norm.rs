//! Mean and variance of each channel, and the normalisation by them.
//!
//! Rows of few channels are taken several at a time, as one row of [`width`] numbers with each channel's coefficients
//! repeated: so vectors are full with a single channel too.

use rayon::prelude::*;

use crate::Float;
use crate::cpu::{GRAIN, chunks, vectorize};

/// Numbers summed in their own type before f64 takes over: few enough to stay in the first-level cache for the second
/// look at them, and for rounding errors to stay small.
const BLOCK: usize = 8 * 1024;

/// Count, mean and sum of squared deviations of each channel.
pub(crate) struct Moments {
    pub count: usize,
    pub mean: Vec<f64>,
    pub m2: Vec<f64>,
}

impl Moments {
    /// Of x `[rows, c]`: each block about its own mean, then the blocks merged in their order.
    pub fn of<T: Float>(x: &[T], c: usize) -> Moments {
        let none = || Moments { count: 0, mean: vec![0.0; c], m2: vec![0.0; c] };
        let block = block(c);
        let parts: Vec<Moments> = x
            .par_chunks(block * (GRAIN / BLOCK))
            .map(|x| x.chunks(block).fold(none(), |sum, x| sum.merge(&Moments::of_block(x, c))))
            .collect();
        parts.iter().fold(none(), Moments::merge)
    }

    fn of_block<T: Float>(x: &[T], c: usize) -> Moments {
        let count = x.len() / c;
        // Sums are taken about the first row, which lies near the mean: a large mean costs no digits.
        let pivot: Vec<f64> = x[..c].iter().map(|x| x.to_f64()).collect();
        let [sum] = block_sums([x, x], &widen(&pivot, c), c, |[x, _], pivot| [x - pivot]);
        let mean: Vec<f64> = sum.iter().zip(&pivot).map(|(sum, pivot)| pivot + sum / count as f64).collect();
        let [m2] = block_sums([x, x], &widen(&mean, c), c, |[x, _], mean| [(x - mean) * (x - mean)]);
        Moments { count, mean, m2 }
    }

    /// Those of both sets of numbers together (Chan, Golub and LeVeque 1979).
    fn merge(mut self, other: &Moments) -> Moments {
        let count = self.count + other.count;
        let part = other.count as f64 / count.max(1) as f64;
        for i in 0..self.mean.len() {
            let delta = other.mean[i] - self.mean[i];
            self.mean[i] += delta * part;
            self.m2[i] += other.m2[i] + delta * delta * self.count as f64 * part;
        }
        self.count = count;
        self
    }
}

/// y = (x - mean) scale + shift, channel by channel.
pub(crate) fn normalise<T: Float>(x: &[T], [mean, scale, shift]: [&[f64]; 3], y: &mut [T]) {
    let c = mean.len();
    let (mean, scale, shift) = (widen::<T>(mean, c), widen::<T>(scale, c), widen::<T>(shift, c));
    chunks(y, block(c) * (GRAIN / BLOCK), |start, y| {
        vectorize::<T, _>(|| {
            for (y, x) in y.chunks_mut(width(c)).zip(x[start..].chunks(width(c))) {
                for ((((y, &x), &mean), &scale), &shift) in y.iter_mut().zip(x).zip(&mean).zip(&scale).zip(&shift) {
                    *y = (x - mean) * scale + shift;
                }
            }
        });
    });
}

/// The first sweep back: of each channel, the sum of dy (x - mean) and the sum of dy.
pub(crate) fn gradient_sums<T: Float>(x: &[T], dy: &[T], mean: &[f64]) -> [Vec<f64>; 2] {
    let c = mean.len();
    let (mean, block) = (widen::<T>(mean, c), block(c));
    let add = |mut a: [Vec<f64>; 2], b: [Vec<f64>; 2]| {
        a.iter_mut().flatten().zip(b.iter().flatten()).for_each(|(a, b)| *a += b);
        a
    };
    let none = || [vec![0.0; c], vec![0.0; c]];
    let of_block = |(x, dy): (&[T], &[T])| block_sums([x, dy], &mean, c, |[x, dy], mean| [dy * (x - mean), dy]);
    let run = block * (GRAIN / BLOCK);
    let parts: Vec<[Vec<f64>; 2]> = x
        .par_chunks(run)
        .zip(dy.par_chunks(run))
        .map(|(x, dy)| x.chunks(block).zip(dy.chunks(block)).map(of_block).fold(none(), add))
        .collect();
    parts.into_iter().fold(none(), add)
}

/// The second sweep back: dx = (dy - pull - (x - mean) slope) scale, channel by channel.
pub(crate) fn backward_input<T: Float>([x, dy]: [&[T]; 2], coefficients: [&[f64]; 4], dx: &mut [T]) {
    let c = coefficients[0].len();
    let [mean, scale, pull, slope] = coefficients.map(|v| widen::<T>(v, c));
    chunks(dx, block(c) * (GRAIN / BLOCK), |start, dx| {
        vectorize::<T, _>(|| {
            for ((dx, x), dy) in dx.chunks_mut(width(c)).zip(x[start..].chunks(width(c))).zip(dy[start..].chunks(width(c))) {
                let coefficients = mean.iter().zip(&scale).zip(&pull).zip(&slope);
                for (((dx, &x), &dy), (((&mean, &scale), &pull), &slope)) in dx.iter_mut().zip(x).zip(dy).zip(coefficients) {
                    *dx = (dy - pull - (x - mean) * slope) * scale;
                }
            }
        });
    });
}

/// Sums over the rows of a block: of each channel, those of the `K` numbers that `f` makes of two inputs and a coefficient.
fn block_sums<T: Float, const K: usize>(
    inputs: [&[T]; 2],
    wide: &[T],
    c: usize,
    f: impl Fn([T; 2], T) -> [T; K],
) -> [Vec<f64>; K] {
    let mut sums: [Vec<T>; K] = std::array::from_fn(|_| vec![T::ZERO; wide.len()]);
    let [a, b] = inputs;
    vectorize::<T, _>(|| {
        let mut sums = sums.each_mut().map(Vec::as_mut_slice);
        for (a, b) in a.chunks(wide.len()).zip(b.chunks(wide.len())) {
            for i in 0..a.len().min(b.len()).min(wide.len()) {
                let terms = f([a[i], b[i]], wide[i]);
                (0..K).for_each(|k| sums[k][i] = sums[k][i] + terms[k]);
            }
        }
    });
    sums.map(|wide| {
        let mut narrow = vec![0.0; c];
        wide.chunks(c).for_each(|lane| narrow.iter_mut().zip(lane).for_each(|(sum, x)| *sum += x.to_f64()));
        narrow
    })
}

/// Numbers taken as one row: whole rows of c, some 64 numbers at least.
fn width(c: usize) -> usize {
    64usize.div_ceil(c) * c
}

fn block(c: usize) -> usize {
    (BLOCK / width(c)).max(1) * width(c)
}

/// One coefficient a channel, rounded and repeated to the width.
fn widen<T: Float>(v: &[f64], c: usize) -> Vec<T> {
    (0..width(c)).map(|i| T::from_f64(v[i % c])).collect()
}
