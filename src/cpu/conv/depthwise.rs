//! Depthwise convolution: each channel has a kernel of its own. There is no sum over channels, so
//! nothing for a GEMM to do; plain loops run along the channels, which are adjacent in memory.
//!
//! ```text
//! y[i, j, :] = bias + sum over taps of  x[window of (i, j), tap, :] w[tap, :]
//! ```

use std::ops::Range;

use crate::cpu::conv::bands::TaskSplit;
use crate::cpu::conv::padded::Pixels;
use crate::cpu::conv::plan::{ConvPlan, Epilogue, InputView};
use crate::cpu::conv::weight::{TapPixels, row_blocks};
use crate::cpu::gemm::to_operand;
use crate::cpu::vectorize;
use crate::tensor::window::Geometry;
use crate::{Float, Stored};

/// y = the depthwise convolution of each image of x, multiplied in type F.
pub(crate) fn convolve<T: Stored, F: Stored<Compute = T::Compute>>(
    plan: &ConvPlan<T>,
    split: &TaskSplit,
    x: &[T],
    y: &mut [T],
    epilogue: &Epilogue<T>,
) {
    let depthwise = Depthwise {
        plan,
        weight: pack_weight::<T, F>(plan),
    };
    let bands: Vec<(Range<usize>, InputView)> = split
        .bands(plan)
        .map(|rows| (rows.clone(), plan.view::<F>(&rows)))
        .collect();
    let [h, w, c] = plan.input();
    split.for_each_band(plan, &bands, y, epilogue, |image, (rows, view), copy, y| {
        let pixels = Pixels {
            image: &x[image * h * w * c..][..h * w * c],
            size: [h, w, c],
            channels: 0..c,
        };
        depthwise.band(pixels.seen(view, copy), view, rows, y);
    });
}

/// Elements of the packed weight: those taps that meet an output, of each channel.
pub(crate) fn packed_len<T: Stored>(plan: &ConvPlan<T>) -> usize {
    let taps = plan.phase_pairs().map(|[v, h]| v.taps.len() * h.taps.len());
    taps.sum::<usize>() * plan.geometry.window.groups
}

/// The weight, for each phase pair [taps, channels].
fn pack_weight<T: Stored, F: Stored<Compute = T::Compute>>(plan: &ConvPlan<T>) -> Vec<F> {
    let ([kh, kw], channels) = (plan.geometry.kernel, plan.geometry.window.groups);
    let mut packed = Vec::with_capacity(packed_len(plan));
    for [v, h] in plan.phase_pairs() {
        for (y, x) in v
            .taps
            .iter()
            .flat_map(|y| h.taps.iter().map(move |x| (y, x)))
        {
            let at = |c: usize| (c * kh + y.kernel) * kw + x.kernel;
            packed.extend((0..channels).map(|c| to_operand::<T, F>(plan.weight[at(c)])));
        }
    }
    packed
}

struct Depthwise<'a, T, F> {
    plan: &'a ConvPlan<'a, T>,
    /// Packed.
    weight: Vec<F>,
}

impl<T: Stored, F: Stored<Compute = T::Compute>> Depthwise<'_, T, F> {
    /// Output rows `rows` of an image, of which `data` is what `view` sees.
    fn band(&self, data: &[F], view: &InputView, rows: &Range<usize>, y: &mut [T]) {
        let [_, width, c] = self.plan.output();
        let (mut rest, mut sums) = (&self.weight[..], vec![T::Compute::ZERO; c]);
        for [v, h] in self.plan.phase_pairs() {
            let (weight, after) = rest.split_at(v.taps.len() * h.taps.len() * c);
            rest = after;
            let (distances, step) = (view.tap_distances([v, h]), view.window_step([v, h]));
            for j in v.within(rows) {
                let first = view.window_start([v, h], j);
                let line = &mut y[(v.start + j * v.step - rows.start) * width * c..][..width * c];
                for (i, y) in line.chunks_mut(c).skip(h.start).step_by(h.step).enumerate() {
                    match self.plan.bias {
                        Some(bias) => sums
                            .iter_mut()
                            .zip(bias)
                            .for_each(|(sum, bias)| *sum = bias.to_compute()),
                        None => sums.fill(T::Compute::ZERO),
                    }
                    for (distance, w) in distances.iter().zip(weight.chunks(c)) {
                        add_product(&mut sums, &data[first + i * step + distance..][..c], w);
                    }
                    y.iter_mut()
                        .zip(&sums)
                        .for_each(|(y, &sum)| *y = T::from_compute(sum));
                }
            }
        }
    }
}

/// Adds to dw, [c, kh, kw], what rows `rows` of the small image, counted through all images,
/// contribute.
pub(crate) fn add_weight_gradient<T: Stored>(
    g: &Geometry,
    [small, big]: [&[T]; 2],
    rows: Range<usize>,
    dw: &mut [T::Compute],
) {
    let ([_, width, c], taps) = (g.small, g.kernel[0] * g.kernel[1]);
    let mut sum = vec![T::Compute::ZERO; c];
    for rows in row_blocks(g, rows, false) {
        let small = &small[rows.start * width * c..rows.end * width * c];
        for tap in 0..taps {
            let pixels = TapPixels::new(g, tap);
            sum.fill(T::Compute::ZERO);
            for (row, small) in rows.clone().zip(small.chunks(width * c)) {
                let (columns, first) = pixels.row(row);
                if !columns.is_empty() {
                    let small = &small[columns.start * c..][..columns.len() * c];
                    add_row(small, &big[first * c..], g.window.stride[1], &mut sum);
                }
            }
            dw.iter_mut()
                .skip(tap)
                .step_by(taps)
                .zip(&sum)
                .for_each(|(dw, &sum)| *dw = *dw + sum);
        }
    }
}

vectorize! {
    /// y += x w.
    fn add_product<T: Stored>(y: &mut [T::Compute], x: &[T], w: &[T]) {
        for ((y, &x), &w) in y.iter_mut().zip(x).zip(w) {
            *y = *y + x.to_compute() * w.to_compute();
        }
    }

    /// sum += small big, pixel by pixel; those of `big` are `stride` pixels apart.
    fn add_row<T: Stored>(small: &[T], big: &[T], stride: usize, sum: &mut [T::Compute]) {
        let c = sum.len();
        for (small, big) in small.chunks(c).zip(big.chunks(stride.saturating_mul(c))) {
            for ((sum, &small), &big) in sum.iter_mut().zip(small).zip(big) {
                *sum = *sum + small.to_compute() * big.to_compute();
            }
        }
    }
}
