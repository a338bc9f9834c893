//! The outputs of a depthwise convolution, in either direction.

use std::ops::Range;

use super::{BLOCK, copy_blocks, plane, strip};
use crate::cpu::conv::bands::TaskSplit;
use crate::cpu::conv::padded::Pixels;
use crate::cpu::conv::plan::{ConvPlan, InputView};
use crate::cpu::gemm::Epilogue;
use crate::cpu::simd::{Kernel, Lanes, run_widest};
use crate::cpu::{Scratch, vectorize};
use crate::tensor::dtype::{as_type, as_type_mut};
use crate::{Float, Stored};

/// Outputs side by side: their accumulators hide the latency of an FMA, 4 cycles at 2 a cycle.
const OUTPUTS: usize = 8;

/// Rows of outputs that are computed for a block of channels before the next: what they read is
/// read again from L1.
const ROWS: usize = 4;

/// y = the depthwise convolution of each image of x.
pub(crate) fn convolve<T: Stored>(
    plan: &ConvPlan<T>,
    split: &TaskSplit,
    x: &[T],
    y: &mut [T],
    epilogue: Epilogue<T>,
) {
    let depthwise = Depthwise::new(plan);
    let bands: Vec<Band> = split
        .bands(plan)
        .map(|rows| Band::new(plan, rows))
        .collect();
    let [h, w, c] = plan.input();
    split.for_each_band(plan, &bands, y, epilogue, |image, band, scratch, y| {
        let image = &x[image * h * w * c..][..h * w * c];
        depthwise.band(image, band, scratch, y);
    });
}

/// Elements of the packed weight: those taps that meet an output, of each channel.
pub(crate) fn packed_len<T: Stored>(plan: &ConvPlan<T>) -> usize {
    taps(plan) * plan.geometry.window.groups
}

/// The taps of all phase pairs.
fn taps<T: Stored>(plan: &ConvPlan<T>) -> usize {
    let taps = plan.phase_pairs().map(|[v, h]| v.taps.len() * h.taps.len());
    taps.sum()
}

/// The weight as [blocks, taps of one phase pair after the other, BLOCK].
fn pack_weight<T: Stored>(plan: &ConvPlan<T>) -> Vec<T::Compute> {
    let ([kh, kw], channels) = (plan.geometry.kernel, plan.geometry.window.groups);
    let mut packed = Vec::with_capacity(taps(plan) * channels.next_multiple_of(BLOCK));
    for first in (0..channels).step_by(BLOCK) {
        let block = first..channels.min(first + BLOCK);
        for [v, h] in plan.phase_pairs() {
            let taps = v.taps.iter();
            for (y, x) in taps.flat_map(|y| h.taps.iter().map(move |x| (y, x))) {
                let at = |c: usize| (c * kh + y.kernel) * kw + x.kernel;
                packed.extend(block.clone().map(|c| plan.weight[at(c)].to_compute()));
                packed.resize(packed.len().next_multiple_of(BLOCK), T::Compute::ZERO);
            }
        }
    }
    packed
}

/// Output rows of an image, and what they read.
struct Band {
    rows: Range<usize>,
    view: InputView,
    /// For each phase pair, from the beginning of a window to its taps.
    distances: Vec<Vec<usize>>,
}

impl Band {
    fn new<T: Stored>(plan: &ConvPlan<T>, rows: Range<usize>) -> Band {
        let view = plan.copied_view(&rows, BLOCK);
        Band {
            rows,
            view,
            distances: plan.phase_pairs().map(|p| view.tap_distances(p)).collect(),
        }
    }
}

struct Depthwise<'a, T: Stored> {
    plan: &'a ConvPlan<'a, T>,
    /// Packed.
    weight: Vec<T::Compute>,
    /// [blocks, BLOCK].
    bias: Vec<T::Compute>,
}

impl<'a, T: Stored> Depthwise<'a, T> {
    fn new(plan: &'a ConvPlan<'a, T>) -> Self {
        let channels = plan.geometry.window.groups;
        let mut bias = vec![T::Compute::ZERO; channels.next_multiple_of(BLOCK)];
        let own = plan.bias.into_iter().flatten();
        bias.iter_mut()
            .zip(own)
            .for_each(|(to, b)| *to = b.to_compute());
        Depthwise {
            plan,
            weight: pack_weight(plan),
            bias,
        }
    }

    /// A band of an image. Its copies, and some rows of its outputs, are made in `scratch`.
    fn band(
        &self,
        image: &[T],
        band: &Band,
        scratch: &mut Option<Scratch<T::Compute>>,
        y: &mut [T],
    ) {
        let ([_, width, c], view) = (self.plan.output(), &band.view);
        let planes = [view.height * view.width, ROWS * width].map(plane);
        let strip = strip(c, planes[0]);
        let scratch = scratch.get_or_insert_with(|| Scratch::new(strip * (planes[0] + planes[1])));
        let (copy, outputs) = scratch.split_at_mut(strip * planes[0]);
        for first in (0..c).step_by(strip * BLOCK) {
            let channels = first..c.min(first + strip * BLOCK);
            let blocks = channels.len().div_ceil(BLOCK);
            let pixels = Pixels {
                image,
                size: self.plan.input(),
                channels: channels.clone(),
            };
            copy_blocks(&pixels, view, &mut copy[..blocks * planes[0]]);
            let rows = band.rows.clone().step_by(ROWS);
            for (first, y) in rows.zip(y.chunks_mut(ROWS * width * c)) {
                let rows = first..band.rows.end.min(first + ROWS);
                let copies = copy.chunks(planes[0]).take(blocks);
                for (i, (copy, outputs)) in copies.zip(outputs.chunks_mut(planes[1])).enumerate() {
                    let block = channels.start / BLOCK + i;
                    self.block(block, band, &rows, copy, outputs);
                }
                store(outputs, planes[1], &channels, c, y);
            }
        }
    }

    /// Output rows `rows` of a block of channels, [rows, width, BLOCK].
    fn block(
        &self,
        block: usize,
        band: &Band,
        rows: &Range<usize>,
        copy: &[T::Compute],
        outputs: &mut [T::Compute],
    ) {
        let ([_, width, _], view) = (self.plan.output(), &band.view);
        let bias = &self.bias[block * BLOCK..][..BLOCK];
        let mut rest = &self.weight[block * taps(self.plan) * BLOCK..];
        for ([v, h], distances) in self.plan.phase_pairs().zip(&band.distances) {
            let (weight, after) = rest.split_at(distances.len() * BLOCK);
            rest = after;
            for j in v.within(rows) {
                let row = v.start + j * v.step - rows.start;
                let outputs = Outputs {
                    x: &copy[view.window_start([v, h], j)..],
                    steps: [view.window_step([v, h]), h.step * BLOCK],
                    distances,
                    weight,
                    bias,
                    count: h.count,
                    y: &mut outputs[(row * width + h.start) * BLOCK..],
                };
                outputs.compute();
            }
        }
    }
}

vectorize! {
    /// Stores some channels of pixels of c channels, from blocks that are `plane` elements apart.
    fn store<T: Stored>(from: &[T::Compute], plane: usize, channels: &Range<usize>, c: usize, y: &mut [T]) {
        for (i, y) in y.chunks_exact_mut(c).enumerate() {
            let (blocks, rest) = y[channels.clone()].as_chunks_mut::<BLOCK>();
            let mut at = i * BLOCK;
            for y in blocks {
                let from = &from[at..][..BLOCK];
                for c in 0..BLOCK {
                    y[c] = T::from_compute(from[c]);
                }
                at += plane;
            }
            if !rest.is_empty() {
                for (y, from) in rest.iter_mut().zip(&from[at..][..BLOCK]) {
                    *y = T::from_compute(*from);
                }
            }
        }
    }
}

/// A row of outputs, [`BLOCK`] channels of each, in one phase pair.
struct Outputs<'a, C> {
    /// From the first output's window on.
    x: &'a [C],
    /// From the window of one output to the window of the next, and from that output to the next.
    steps: [usize; 2],
    distances: &'a [usize],
    weight: &'a [C],
    bias: &'a [C],
    /// Outputs.
    count: usize,
    y: &'a mut [C],
}

impl<C: Float> Outputs<'_, C> {
    /// In registers if they are f32. f64, which tests compare with, takes the plain loop below.
    fn compute(self) {
        if !self.distances.is_empty()
            && let [Some(x), Some(weight), Some(bias)] =
                [self.x, self.weight, self.bias].map(as_type::<C, f32>)
            && let Some(y) = as_type_mut(&mut *self.y)
        {
            return run_widest(Outputs {
                x,
                steps: self.steps,
                distances: self.distances,
                weight,
                bias,
                count: self.count,
                y,
            });
        }
        for i in 0..self.count {
            let y = &mut self.y[i * self.steps[1]..][..BLOCK];
            y.copy_from_slice(self.bias);
            for (distance, w) in self.distances.iter().zip(self.weight.chunks(BLOCK)) {
                let x = &self.x[i * self.steps[0] + distance..][..BLOCK];
                for ((y, &x), &w) in y.iter_mut().zip(x).zip(w) {
                    *y = *y + x * w;
                }
            }
        }
    }
}

impl Kernel for Outputs<'_, f32> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(mut self) {
        // Steps that are known when this is compiled need no multiplication.
        match self.steps[0] / BLOCK {
            1 => self.row::<V, 1>(),
            2 => self.row::<V, 2>(),
            _ => self.row::<V, 0>(),
        }
    }
}

impl Outputs<'_, f32> {
    /// All outputs; the last of several overlap with those before. STEP is the step in pixels, 0 for
    /// any.
    #[inline(always)]
    fn row<V: Lanes<f32>, const STEP: usize>(&mut self) {
        let count = self.count;
        for lane in (0..BLOCK).step_by(V::N) {
            if count >= OUTPUTS {
                for i in (0..count).step_by(OUTPUTS) {
                    self.tile::<V, STEP, OUTPUTS>(i.min(count - OUTPUTS), lane);
                }
            } else if count >= 4 {
                self.tile::<V, STEP, 4>(0, lane);
                self.tile::<V, STEP, 4>(count - 4, lane);
            } else {
                for i in 0..count {
                    self.tile::<V, STEP, 1>(i, lane);
                }
            }
        }
    }

    /// N outputs from output i on, a vector of channels from `lane` on.
    #[inline(always)]
    fn tile<V: Lanes<f32>, const STEP: usize, const N: usize>(&mut self, i: usize, lane: usize) {
        let step = if STEP == 0 {
            self.steps[0]
        } else {
            STEP * BLOCK
        };
        let mut sums = [V::read(&self.bias[lane..]); N];
        let window = &self.x[i * step + lane..];
        let weight = self.weight.as_chunks::<BLOCK>().0;
        for (&distance, w) in self.distances.iter().zip(weight) {
            let w = V::read(&w[lane..]);
            let x = &window[distance..][..(N - 1) * step + V::N];
            for n in 0..N {
                sums[n] = sums[n].add_product(V::read(&x[n * step..]), w);
            }
        }
        for (n, sum) in sums.into_iter().enumerate() {
            sum.write(&mut self.y[(i + n) * self.steps[1] + lane..]);
        }
    }
}
