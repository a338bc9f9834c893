//! Mean and variance of each channel, and the normalisation by them.
//!
//! Why not from the sums of x and x^2, in one pass: where the mean is large E[x^2] - E[x]^2 loses
//! the variance's digits. So each block is read twice, for its mean and for the squared deviations
//! from it, the second time from L1: x comes from memory once. Blocks are merged by count, mean and
//! sum of squared deviations ([`Moments`]).
//!
//! Rows of few channels are taken several at a time, as one row of [`width`] elements with each
//! channel's coefficients repeated: so vectors are full with a single channel too.

use std::sync::{Mutex, PoisonError};

use crate::cpu::{GRAIN, chunks, map_over_threads, vectorize};
use crate::{Element, Float, Stored};

/// Elements of a block of f32, 32 KiB ([`block`] takes twice as many of 16 bits). Within a block
/// sums are in the compute type, between blocks in f64. A block of 32 KiB is still in L1 when it is
/// read again, and its rounding errors stay small; with half this size 128 channels took 1.5 times
/// as long on two cores of a Zen 3.
const BLOCK: usize = 8 * 1024;

/// Count, mean and sum of squared deviations of each channel.
pub(crate) struct Moments {
    pub count: usize,
    pub mean: Vec<f64>,
    pub m2: Vec<f64>,
}

impl Moments {
    /// Of no elements.
    fn none(c: usize) -> Moments {
        Moments {
            count: 0,
            mean: vec![0.0; c],
            m2: vec![0.0; c],
        }
    }

    /// The variance of each channel: squared deviations over the count.
    pub fn variance(&self) -> Vec<f64> {
        self.m2.iter().map(|m2| m2 / self.count as f64).collect()
    }

    /// Of x `[rows, c]`: each block about its own mean, then the blocks of a part merged in their
    /// order, then the parts in theirs. How x is cut depends on its size alone.
    pub fn of<T: Stored>(x: &[T], c: usize) -> Moments {
        let size = block::<T>(c) * (GRAIN / BLOCK);
        let parts = map_over_threads(x.len(), size, &|part| Moments::of_part(&x[part], c));
        parts.iter().fold(Moments::none(c), Moments::merge)
    }

    /// The same on this thread.
    fn of_part<T: Stored>(x: &[T], c: usize) -> Moments {
        x.chunks(block::<T>(c))
            .map(|x| Moments::of_block(x, c))
            .reduce(|sum, block| sum.merge(&block))
            .unwrap_or_else(|| Moments::none(c))
    }

    fn of_block<T: Stored>(x: &[T], c: usize) -> Moments {
        let count = x.len() / c;
        // Sums are taken about the first row, which lies near the mean: a large mean costs no
        // digits.
        let pivot: Vec<f64> = x[..c].iter().map(|x| x.to_compute().to_f64()).collect();
        let sum = deviations(x, &pivot, false);
        let mean: Vec<f64> = sum
            .iter()
            .zip(&pivot)
            .map(|(sum, pivot)| pivot + sum / count as f64)
            .collect();
        // About the mean as rounded to the compute type. Being off by d adds d^2 for each element,
        // with d at most half a unit in the mean's last place, by which x may be off itself.
        let m2 = deviations(x, &mean, true);
        Moments { count, mean, m2 }
    }

    /// Those of both sets of elements together (Chan, Golub and LeVeque 1979). With n_a and n_b
    /// elements, n together, whose means are delta apart, the joint mean lies delta n_b / n from
    /// the first and delta n_a / n from the second. To take the squares of n_a deviations about a
    /// point d from their mean adds n_a d^2; both additions together are delta^2 n_a n_b / n.
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

/// Moments of an image's channels, collected while it is made: of each part when that is done, and
/// still in a cache.
pub(crate) struct Collector {
    channels: usize,
    /// Each with its first element's index: they are finished in any order, and merged in that of
    /// their places.
    parts: Mutex<Vec<(usize, Moments)>>,
}

impl Collector {
    pub fn new(channels: usize) -> Collector {
        Collector {
            channels,
            parts: Mutex::default(),
        }
    }

    /// Takes a part of whole pixels, which begins at element `start`.
    pub fn add<T: Stored>(&self, start: usize, part: &[T]) {
        let moments = Moments::of_part(part, self.channels);
        self.parts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((start, moments));
    }

    /// Those of all parts.
    pub fn finish(self) -> Moments {
        let mut parts = self
            .parts
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        parts.sort_unstable_by_key(|(start, _)| *start);
        let parts = parts.iter().map(|(_, moments)| moments);
        parts.fold(Moments::none(self.channels), Moments::merge)
    }
}

/// The sum over the rows of x of each channel's x - center, or of its square.
fn deviations<T: Stored>(x: &[T], center: &[f64], squared: bool) -> Vec<f64> {
    let c = center.len();
    let mut sum = vec![T::Compute::ZERO; width(c)];
    add_deviations(x, &widen(center, c), squared, &mut sum);
    narrow(&sum, c)
}

/// Mean and biased variance of each channel.
pub(crate) fn moments<T: Stored>(x: &[T], mean: &mut [f64], var: &mut [f64]) {
    let moments = Moments::of(x, mean.len());
    mean.copy_from_slice(&moments.mean);
    var.copy_from_slice(&moments.variance());
}

/// 1 / sqrt(var + eps), and 0 where that sum is 0: equal elements have no spread to be divided by,
/// and 0 times infinity is not a number.
pub(crate) fn inverse_std(var: &[f64], eps: f64) -> Vec<f64> {
    let inverse = |var: &f64| match var + eps {
        0.0 => 0.0,
        sum => 1.0 / sum.sqrt(),
    };
    var.iter().map(inverse).collect()
}

/// What x is normalised by: vectors of one element a channel.
#[derive(Clone, Copy)]
pub(crate) struct Coefficients<'a> {
    pub mean: &'a [f64],
    pub var: &'a [f64],
    pub gamma: &'a [f64],
    pub beta: &'a [f64],
}

impl Coefficients<'_> {
    /// Mean, gamma / std and beta of each channel, in the compute type and repeated to the width.
    fn widen<F: Float>(self, eps: f64) -> [Vec<F>; 3] {
        let inv_std = inverse_std(self.var, eps);
        let pairs = self.gamma.iter().zip(&inv_std);
        let scale: Vec<f64> = pairs.map(|(gamma, inv_std)| gamma * inv_std).collect();
        [self.mean, &scale, self.beta].map(|v| widen(v, self.mean.len()))
    }
}

/// y = gamma (x - mean) / sqrt(var + eps) + beta + residual, channel by channel.
pub(crate) fn normalise<T: Stored>(
    x: &[T],
    residual: Option<&[T]>,
    coefficients: Coefficients,
    eps: f64,
    y: &mut [T],
) {
    let c = coefficients.mean.len();
    let [mean, scale, shift] = coefficients.widen::<T::Compute>(eps);
    chunks(y, block::<T>(c) * (GRAIN / BLOCK), |start, y| {
        let (x, coefficients) = (&x[start..], [&mean[..], &scale, &shift]);
        match residual {
            Some(residual) => {
                normalise_chunk_with_residual([x, &residual[start..]], coefficients, y)
            }
            None => normalise_chunk(x, coefficients, y),
        }
    });
}

/// The same with a residual. Returns the largest |y| of each channel, not-a-number where there is
/// one.
pub(crate) fn normalise_largest<T: Magnitude>(
    [x, residual]: [&[T]; 2],
    coefficients: Coefficients,
    eps: f64,
    y: &mut [T],
) -> Vec<f64> {
    let c = coefficients.mean.len();
    let [mean, scale, shift] = coefficients.widen::<T>(eps);
    let largest = Mutex::new(vec![T::Bits::default(); c]);
    chunks(y, block::<T>(c) * (GRAIN / BLOCK), |start, y| {
        let mut own = vec![T::Bits::default(); width(c)];
        // A few rows at a time, which are then still in the L1 cache. One loop that writes both
        // would have more slices than the compiler tells apart, and would not be vectorized.
        let few = NEAR.div_ceil(own.len()).next_multiple_of(4) * own.len();
        for (i, y) in y.chunks_mut(few).enumerate() {
            let at = start + i * few;
            normalise_chunk_with_residual([&x[at..], &residual[at..]], [&mean, &scale, &shift], y);
            find_largest(y, &mut own);
        }
        let mut largest = largest.lock().unwrap_or_else(PoisonError::into_inner);
        for own in own.chunks(c) {
            for (largest, own) in largest.iter_mut().zip(own) {
                *largest = (*largest).max(*own);
            }
        }
    });
    let largest = largest.into_inner().unwrap_or_else(PoisonError::into_inner);
    let value = |bits: T::Bits| T::from_magnitude(bits).to_f64();
    largest.into_iter().map(value).collect()
}

/// The backward pass's first read of x and dy: of each channel, the sum of dy (x - center) and the
/// sum of dy. With a residual, `x` holds y, and y - residual takes its place in the sum.
pub(crate) fn gradient_sums<T: Stored>(
    x: &[T],
    residual: Option<&[T]>,
    dy: &[T],
    center: &[f64],
) -> [Vec<f64>; 2] {
    let c = center.len();
    let (center, block) = (widen::<T::Compute>(center, c), block::<T>(c));
    let add = |mut a: [Vec<f64>; 2], b: [Vec<f64>; 2]| {
        a.iter_mut()
            .flatten()
            .zip(b.iter().flatten())
            .for_each(|(a, b)| *a += b);
        a
    };
    let none = || [vec![0.0; c], vec![0.0; c]];
    let of_block = |(i, dy): (usize, &[T])| {
        let [mut sum_dy_x, mut sum_dy] = [
            vec![T::Compute::ZERO; width(c)],
            vec![T::Compute::ZERO; width(c)],
        ];
        let (x, start) = (&x[i * block..][..dy.len()], i * block);
        match residual {
            Some(residual) => add_gradients_with_residual(
                [x, &residual[start..], dy],
                &center,
                &mut sum_dy_x,
                &mut sum_dy,
            ),
            None => add_gradients([x, dy], &center, &mut sum_dy_x, &mut sum_dy),
        }
        [sum_dy_x, sum_dy].map(|sum| narrow(&sum, c))
    };
    let together = GRAIN / BLOCK;
    let parts = map_over_threads(dy.len(), together * block, &|part| {
        (part.start / block..)
            .zip(dy[part].chunks(block))
            .map(of_block)
            .fold(none(), add)
    });
    parts.into_iter().fold(none(), add)
}

/// What the gradient of x takes of each channel, one element each or repeated to the width:
///
/// ```text
/// dx = (dy - mean_dy - (x - center) xhat_term) scale
/// ```
///
/// With center = mean, mean_dy = dbeta / N, xhat_term = dgamma / (N std) and scale = gamma / std
/// that is the formula of [`batch_norm`](crate::ops::batch_norm). With y for x, center = beta and
/// xhat_term = dgamma / (N gamma).
#[derive(Clone, Copy)]
pub(crate) struct InputGradient<'a, F> {
    pub center: &'a [F],
    pub scale: &'a [F],
    pub mean_dy: &'a [F],
    pub xhat_term: &'a [F],
}

/// The backward pass's second read of x and dy: dx, written over x. With a residual, `x` holds y,
/// and y - residual takes its place in the formula.
pub(crate) fn backward_input<T: Stored>(
    dy: &[T],
    residual: Option<&[T]>,
    of: InputGradient<f64>,
    x: &mut [T],
) {
    let c = of.center.len();
    let wide = [of.center, of.scale, of.mean_dy, of.xhat_term].map(|v| widen::<T::Compute>(v, c));
    let [center, scale, mean_dy, xhat_term] = wide.each_ref().map(|v| &v[..]);
    let of = InputGradient {
        center,
        scale,
        mean_dy,
        xhat_term,
    };
    chunks(x, block::<T>(c) * (GRAIN / BLOCK), |start, x| {
        let dy = &dy[start..];
        match residual {
            Some(residual) => backward_chunk_with_residual([dy, &residual[start..]], of, x),
            None => backward_chunk(dy, of, x),
        }
    });
}

// The loops, over rows as wide as their coefficients.
vectorize! {
    fn add_deviations<T: Stored>(x: &[T], center: &[T::Compute], squared: bool, sum: &mut [T::Compute]) {
        if squared {
            add_terms(x, center, sum, |x, center| (x.to_compute() - center) * (x.to_compute() - center));
        } else {
            add_terms(x, center, sum, |x, center| x.to_compute() - center);
        }
    }

    fn add_gradients<T: Stored>(inputs: [&[T]; 2], center: &[T::Compute], sum_dy_x: &mut [T::Compute], sum_dy: &mut [T::Compute]) {
        let [x, dy] = inputs.map(|input| input.chunks(center.len()));
        for (x, dy) in x.zip(dy) {
            for ((((sum_dy_x, sum_dy), &x), &dy), &center) in sum_dy_x.iter_mut().zip(&mut *sum_dy).zip(x).zip(dy).zip(center) {
                *sum_dy_x = *sum_dy_x + dy.to_compute() * (x.to_compute() - center);
                *sum_dy = *sum_dy + dy.to_compute();
            }
        }
    }

    fn add_gradients_with_residual<T: Stored>(inputs: [&[T]; 3], center: &[T::Compute], sum_dy_x: &mut [T::Compute], sum_dy: &mut [T::Compute]) {
        let [x, residual, dy] = inputs.map(|input| input.chunks(center.len()));
        for ((x, residual), dy) in x.zip(residual).zip(dy) {
            let sums = sum_dy_x.iter_mut().zip(&mut *sum_dy).zip(center);
            for (((sum_dy_x, sum_dy), &center), ((&x, &residual), &dy)) in sums.zip(x.iter().zip(residual).zip(dy)) {
                *sum_dy_x = *sum_dy_x + dy.to_compute() * (x.to_compute() - residual.to_compute() - center);
                *sum_dy = *sum_dy + dy.to_compute();
            }
        }
    }

    fn normalise_chunk<T: Stored>(x: &[T], coefficients: [&[T::Compute]; 3], y: &mut [T]) {
        let [mean, scale, shift] = coefficients;
        for (y, x) in y.chunks_mut(mean.len()).zip(x.chunks(mean.len())) {
            for ((((y, &x), &mean), &scale), &shift) in y.iter_mut().zip(x).zip(mean).zip(scale).zip(shift) {
                *y = T::from_compute((x.to_compute() - mean) * scale + shift);
            }
        }
    }

    fn normalise_chunk_with_residual<T: Stored>(inputs: [&[T]; 2], coefficients: [&[T::Compute]; 3], y: &mut [T]) {
        let [mean, scale, shift] = coefficients;
        let [x, residual] = inputs.map(|input| input.chunks(mean.len()));
        for ((y, x), residual) in y.chunks_mut(mean.len()).zip(x).zip(residual) {
            let coefficients = mean.iter().zip(scale).zip(shift);
            for (((y, &x), &residual), ((&mean, &scale), &shift)) in y.iter_mut().zip(x).zip(residual).zip(coefficients) {
                *y = T::from_compute((x.to_compute() - mean) * scale + shift + residual.to_compute());
            }
        }
    }

    /// The largest |y| of each column of such rows, four rows in one pass: loading a maximum again
    /// takes until it is stored.
    fn find_largest<T: Magnitude>(y: &[T], largest: &mut [T::Bits]) {
        let width = largest.len();
        let mut groups = y.chunks_exact(4 * width);
        for rows in &mut groups {
            let (first, second) = rows.split_at(2 * width);
            let ((a, b), (c, d)) = (first.split_at(width), second.split_at(width));
            for ((((largest, a), b), c), d) in largest.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                let (a, b) = (a.magnitude().max(b.magnitude()), c.magnitude().max(d.magnitude()));
                *largest = (*largest).max(a.max(b));
            }
        }
        for row in groups.remainder().chunks(width) {
            largest.iter_mut().zip(row).for_each(|(largest, y)| *largest = (*largest).max(y.magnitude()));
        }
    }

    fn backward_chunk<T: Stored>(dy: &[T], of: InputGradient<T::Compute>, x: &mut [T]) {
        let InputGradient { center, scale, mean_dy, xhat_term } = of;
        for (x, dy) in x.chunks_mut(center.len()).zip(dy.chunks(center.len())) {
            let coefficients = center.iter().zip(scale).zip(mean_dy).zip(xhat_term);
            for ((x, &dy), (((&center, &scale), &mean_dy), &xhat_term)) in x.iter_mut().zip(dy).zip(coefficients) {
                *x = T::from_compute((dy.to_compute() - mean_dy - (x.to_compute() - center) * xhat_term) * scale);
            }
        }
    }

    fn backward_chunk_with_residual<T: Stored>(inputs: [&[T]; 2], of: InputGradient<T::Compute>, x: &mut [T]) {
        let InputGradient { center, scale, mean_dy, xhat_term } = of;
        let [dy, residual] = inputs.map(|input| input.chunks(center.len()));
        for ((x, dy), residual) in x.chunks_mut(center.len()).zip(dy).zip(residual) {
            let coefficients = center.iter().zip(scale).zip(mean_dy).zip(xhat_term);
            for (((x, &dy), &residual), (((&center, &scale), &mean_dy), &xhat_term)) in x.iter_mut().zip(dy).zip(residual).zip(coefficients) {
                *x = T::from_compute((dy.to_compute() - mean_dy - (x.to_compute() - residual.to_compute() - center) * xhat_term) * scale);
            }
        }
    }
}

/// |x| as the integer of its bits: integers compare as the absolute values do, with not-a-number
/// above infinity, in one instruction where floating-point numbers need four.
pub(crate) trait Magnitude: Float {
    /// An unsigned integer of this size; its default, 0, is the magnitude of 0.
    type Bits: Copy + Ord + Default + Send;

    fn magnitude(self) -> Self::Bits;
    fn from_magnitude(bits: Self::Bits) -> Self;
}

macro_rules! magnitude {
    ($($float:ident as $bits:ident),*) => {$(
        impl Magnitude for $float {
            type Bits = $bits;

            #[inline(always)]
            fn magnitude(self) -> $bits {
                self.to_bits() & ($bits::MAX >> 1)
            }

            #[inline(always)]
            fn from_magnitude(bits: $bits) -> $float {
                $float::from_bits(bits)
            }
        }
    )*};
}
magnitude!(f32 as u32, f64 as u64);

/// Adds each row's terms to the sums, four rows in one pass: loading a sum again takes until it is
/// stored.
#[inline(always)]
fn add_terms<T: Stored>(
    x: &[T],
    center: &[T::Compute],
    sum: &mut [T::Compute],
    term: impl Fn(T, T::Compute) -> T::Compute,
) {
    let mut fours = x.chunks_exact(4 * center.len());
    for x in fours.by_ref() {
        let (first, second) = x.split_at(x.len() / 2);
        let ((a, b), (c, d)) = (
            first.split_at(first.len() / 2),
            second.split_at(second.len() / 2),
        );
        for (((((sum, &center), &a), &b), &c), &d) in
            sum.iter_mut().zip(center).zip(a).zip(b).zip(c).zip(d)
        {
            *sum = *sum + term(a, center) + term(b, center) + term(c, center) + term(d, center);
        }
    }
    for x in fours.remainder().chunks(center.len()) {
        for ((sum, &x), &center) in sum.iter_mut().zip(x).zip(center) {
            *sum = *sum + term(x, center);
        }
    }
}

/// Elements that are read again while they are in the L1 cache.
const NEAR: usize = 1024;

/// Elements taken as one row: whole rows of c, at least 64 elements.
fn width(c: usize) -> usize {
    64usize.div_ceil(c) * c
}

fn block<T: Stored>(c: usize) -> usize {
    (BLOCK * size_of::<T::Compute>() / size_of::<T>() / width(c)).max(1) * width(c)
}

/// One coefficient a channel, rounded and repeated to the width.
fn widen<T: Float>(v: &[f64], c: usize) -> Vec<T> {
    v.iter()
        .cycle()
        .take(width(c))
        .map(|&v| T::from_f64(v))
        .collect()
}

/// The sums of each channel from those of a wide row.
fn narrow<T: Float>(wide: &[T], c: usize) -> Vec<f64> {
    let mut narrow = vec![0.0; c];
    wide.chunks(c).for_each(|lane| {
        narrow
            .iter_mut()
            .zip(lane)
            .for_each(|(sum, x)| *sum += x.to_f64())
    });
    narrow
}
