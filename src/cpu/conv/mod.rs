//! Convolution from the big image to the small one, and the gradient of the weight, which both
//! directions share.

pub(crate) mod depthwise;
pub(crate) mod indirect;
pub(crate) mod padded;
pub(crate) mod reference;
pub(crate) mod transposed;
pub(crate) mod winograd;

use std::ops::Range;

use crate::cpu::Scratch;
use crate::cpu::conv::indirect::{ConvPlan, Phase, TASK};
use crate::cpu::gemm::{
    Accumulate, GemmElement, KSegment, Microkernel, OutputTile, RowOffsets, TileProduct, copy,
    dot_width, factors, multiplies_natively, nr, pair_rows, sum_pairwise,
};
use crate::tensor::window::{Geometry, Window};
use crate::{Float, Stored};

/// small = the convolution of big: conv2d forwards, conv_transpose2d's input gradient.
pub(crate) fn conv2d<T: GemmElement>(
    g: &Geometry,
    big: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    small: &mut [T],
) {
    plan(g, weight, bias).run(big, small, &|_, _| {});
}

pub(crate) fn plan<'a, T>(g: &Geometry, weight: &'a [T], bias: Option<&'a [T]>) -> ConvPlan<'a, T> {
    let (groups, phases) = (g.window.groups, [0, 1].map(|axis| vec![phase(g, axis)]));
    let (input, output, kernel) = (g.big, g.small, g.kernel);
    ConvPlan {
        geometry: *g,
        input,
        output,
        groups,
        phases,
        kernel,
        weight,
        to_small: true,
        bias,
        task: TASK,
    }
}

/// All outputs of an axis: they have the same taps.
fn phase(g: &Geometry, axis: usize) -> Phase {
    let Window {
        stride,
        padding,
        dilation,
        ..
    } = g.window;
    let offset = |k: usize| (k * dilation[axis]) as isize - padding[axis] as isize;
    let taps = (0..g.kernel[axis]).map(|k| (k, offset(k))).collect();
    Phase {
        start: 0,
        step: 1,
        count: g.small[axis],
        stride: stride[axis],
        taps,
    }
}

/// Pixels whose products a task sums up before tasks are summed, at least.
const PIXELS: usize = 2048;

/// Pixels that are worked on at a time: what they read of some channels stays in the second-level
/// cache.
const PIXEL_BLOCK: usize = 512;

/// dw[s, ky, kx, b] = the sum over all pixels of the small image of small[.., s] big[.. under (ky,
/// kx), b].
///
/// A matrix product with one term for each pixel of the batch. Its right side, the windows, is put
/// together a panel of columns and a few rows of pixels at a time.
pub(crate) fn backward_weight<T: GemmElement>(
    g: &Geometry,
    small: &[T],
    big: &[T],
    dw: &mut [T::Compute],
) {
    let [h, w, _] = g.small;
    if g.n * h * w == 0 || dw.is_empty() {
        return dw.fill(T::Compute::ZERO);
    }
    if winograd::weight::backward_weight(g, [phase(g, 0), phase(g, 1)], [small, big], dw) {
        return;
    }
    if multiplies_natively::<T>() {
        backward_weight_of::<T, T>(g, small, big, dw, PIXELS);
    } else {
        backward_weight_of::<T::Compute, T>(g, small, big, dw, PIXELS);
    }
}

/// As [`backward_weight`], of factors of type F and in tasks of so many pixels at least. There are
/// some pixels.
pub(crate) fn backward_weight_of<F: Microkernel<Compute = T::Compute>, T: Stored>(
    g: &Geometry,
    small: &[T],
    big: &[T],
    dw: &mut [T::Compute],
    pixels: usize,
) {
    let [h, w, c] = g.small;
    let lines = g.n * h;
    // No more than 32 partial sums, for the additions they take.
    let task = pixels.div_ceil(w).max(lines.div_ceil(32));
    let part = |i: usize| {
        let (lines, step) = (i * task..lines.min((i + 1) * task), PIXEL_BLOCK.div_ceil(w));
        let mut part = Scratch::new(dw.len());
        part.fill(T::Compute::ZERO);
        let mut packed = [nr::<F>(), c].map(|wide| Scratch::<F>::new(step * (w + 1) * wide));
        let mut first = lines.start;
        while first < lines.end {
            let (image, line) = (first / h, first % h);
            let padded = !g.is_depthwise() && padded::applies::<F>(g);
            // A frame is of one image.
            let last =
                lines
                    .end
                    .min(first + step)
                    .min(if padded { (image + 1) * h } else { lines.end });
            let small = &small[first * w * c..last * w * c];
            if padded {
                let big = &big[image * g.big.iter().product::<usize>()..];
                padded::add_products(
                    g,
                    small,
                    big,
                    line..line + (last - first),
                    &mut packed[1],
                    &mut part,
                );
            } else if g.is_depthwise() {
                depthwise::add_products(g, small, first..last, big, &mut part);
            } else {
                add_products(g, small, first..last, big, &mut packed, &mut part);
            }
            first = last;
        }
        part
    };
    dw.copy_from_slice(&sum_pairwise(0..lines.div_ceil(task), &part));
}

/// Adds the products of some lines of pixels, counted through all images, to `dw`.
fn add_products<T: Stored, F: Microkernel<Compute = T::Compute>>(
    g: &Geometry,
    small: &[T],
    lines: Range<usize>,
    big: &[T],
    [packed, copy]: &mut [Scratch<F>; 2],
    dw: &mut [T::Compute],
) {
    let (pixels, columns, wide, t) = (
        lines.len() * g.small[1],
        g.columns(),
        nr::<F>(),
        dot_width::<F>(),
    );
    let (c, c_small, terms) = (
        g.small[2],
        g.small[2] / g.window.groups,
        pixels.next_multiple_of(t),
    );
    let runs = [KSegment {
        a: 0,
        b: 0,
        len: terms / t,
    }];
    let small = if t == 1 {
        factors(small, copy)
    } else {
        pair_rows(small, [pixels, c, c], copy, c)
    };
    let mut windows = Scratch::<F>::new(if t == 1 { 0 } else { pixels * wide });
    for group in 0..g.window.groups {
        for first in (0..columns).step_by(wide) {
            let count = wide.min(columns - first);
            let within = (group, first..first + count);
            if t == 1 {
                pack(g, big, lines.clone(), within, &mut packed[..pixels * wide]);
            } else {
                pack(g, big, lines.clone(), within, &mut windows);
                pair_rows(&windows[..], [pixels, wide, wide], packed, wide);
            }
            let sums = TileProduct::new(small, &packed[..], [t * c, t * wide], &runs);
            let start = group * c_small;
            let tiles = RowOffsets::lines::<F>(
                [[t * start, start * columns]].into_iter(),
                c_small,
                [t, columns],
                count,
            );
            sums.tiles(
                &tiles,
                0,
                Accumulate::Existing,
                OutputTile {
                    c: dw,
                    first,
                    columns: count,
                },
            );
        }
    }
}

/// For each pixel of some lines the elements under it of kernel columns `columns`, counted through
/// (ky, kx, channel).
fn pack<T: Stored, F: Stored<Compute = T::Compute>>(
    g: &Geometry,
    big: &[T],
    lines: Range<usize>,
    (group, columns): (usize, Range<usize>),
    packed: &mut [F],
) {
    let ([h, w, c], channels, wide) = (g.big, g.big[2] / g.window.groups, nr::<F>());
    let Window {
        stride,
        padding,
        dilation,
        ..
    } = g.window;
    let (start, end) = (columns.start, columns.end);
    let mut at = start;
    while at < end {
        // The columns of one tap.
        let (tap, channel) = (at / channels, at % channels);
        let (count, to) = ((channels - channel).min(end - at), at - start);
        let (down, right) = (
            tap / g.kernel[1] * dilation[0],
            tap % g.kernel[1] * dilation[1],
        );
        let columns = g.covered(1, right);
        for (line, packed) in lines.clone().zip(packed.chunks_mut(g.small[1] * wide)) {
            let (image, line) = (line / g.small[0], line % g.small[0]);
            let inside = if g.covered(0, down).contains(&line) {
                columns.clone()
            } else {
                0..0
            };
            let mut pixels = packed
                .chunks_mut(wide)
                .map(|pixel| &mut pixel[to..to + count]);
            pixels
                .by_ref()
                .take(inside.start)
                .for_each(|pixel| pixel.fill(F::default()));
            if !inside.is_empty() {
                let row = image * h + line * stride[0] + down - padding[0];
                let first = (row * w + inside.start * stride[1] + right - padding[1]) * c;
                let source =
                    big[first + group * channels + channel..].chunks(stride[1].saturating_mul(c));
                let within = pixels.by_ref().take(inside.len()).zip(source);
                within.for_each(|(pixel, source)| copy(&source[..count], pixel));
            }
            pixels.for_each(|pixel| pixel.fill(F::default()));
        }
        at += count;
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;
    use crate::cpu::conv::winograd::weight::backward_weight_in;

    /// The same whole numbers in any type: all sums of theirs are exact.
    fn numbers<T: Stored>(count: usize, step: usize) -> Vec<T> {
        (0..count)
            .map(|i| T::from_f64((i * step % 7) as f64 - 3.0))
            .collect()
    }

    /// Big and small image, weight, and the biases of both directions.
    fn operands<T: Stored>(g: &Geometry) -> [Vec<T>; 5] {
        let [big, small] = [g.big, g.small].map(|size| g.n * size.iter().product::<usize>());
        let weight = numbers(g.small[2] * g.columns(), 1_299_709);
        [
            numbers(big, 7919),
            numbers(small, 104_729),
            weight,
            numbers(g.small[2], 5),
            numbers(g.big[2], 3),
        ]
    }

    /// bf16 in pairs, as f32, and by Winograd's schemes, against f64.
    #[test]
    fn factors_of_either_type_give_the_same() {
        let window = |stride, padding, groups| Window {
            stride,
            padding,
            groups,
            ..Window::default()
        };
        // Big image, channels of the small one, kernel, window, images; whether Winograd's schemes
        // apply to the small image, to the big one, and to the gradient of the weight.
        let cases = [
            (
                [9, 7, 3],
                18,
                [3, 3],
                window([1, 1], [1, 1], 1),
                3,
                [false; 3],
            ),
            (
                [24, 26, 3],
                4,
                [3, 3],
                window([1, 1], [1, 1], 1),
                2,
                [false; 3],
            ),
            (
                [8, 6, 64],
                32,
                [4, 4],
                window([2, 2], [1, 1], 1),
                3,
                [true; 3],
            ),
            (
                [8, 6, 32],
                64,
                [4, 4],
                window([2, 2], [1, 1], 1),
                5,
                [true; 3],
            ),
            (
                [8, 6, 32],
                64,
                [3, 3],
                window([1, 1], [1, 1], 1),
                3,
                [true; 3],
            ),
            (
                [5, 7, 33],
                5,
                [2, 3],
                window([1, 2], [0, 0], 1),
                3,
                [false; 3],
            ),
            (
                [6, 5, 10],
                6,
                [3, 3],
                window([1, 1], [1, 1], 2),
                3,
                [false; 3],
            ),
            (
                [6, 5, 9],
                9,
                [3, 3],
                window([2, 1], [1, 1], 9),
                3,
                [false; 3],
            ),
            (
                [33, 29, 5],
                7,
                [2, 3],
                window([3, 4], [2, 5], 1),
                3,
                [false; 3],
            ),
            (
                [70, 3, 5],
                7,
                [2, 3],
                window([1, 1], [1, 0], 1),
                3,
                [false; 3],
            ),
            (
                [31, 9, 40],
                7,
                [3, 1],
                Window {
                    dilation: [2, 3],
                    ..window([1, 2], [0, 0], 1)
                },
                3,
                [false; 3],
            ),
        ];
        for (big, c, kernel, window, n, schemes) in cases {
            let [h, w] = window
                .output_size("test", [big[0], big[1]], kernel)
                .unwrap();
            let g = Geometry::new(n, big, [h, w, c], kernel, window);
            let ([big, small, weight, bias_small, bias_big], wide) =
                (operands::<bf16>(&g), operands::<f64>(&g));
            let to_small = (
                plan(&g, &weight, Some(&bias_small)),
                plan(&g, &wide[2], Some(&wide[3])),
                &big,
                &wide[0],
            );
            let to_big = (
                transposed::plan(&g, &weight, Some(&bias_big)),
                transposed::plan(&g, &wide[2], Some(&wide[4])),
                &small,
                &wide[1],
            );
            for (i, (plan, oracle, x, wide_x)) in [to_small, to_big].into_iter().enumerate() {
                let mut want = vec![0.0; if i == 0 { small.len() } else { big.len() }];
                oracle.run(wide_x, &mut want, &|_, _| {});
                let want: Vec<bf16> = want.into_iter().map(bf16::from_f64).collect();
                let [mut pairs, mut single, mut fewer] =
                    std::array::from_fn(|_| vec![bf16::from_f64(1.0); want.len()]);
                plan.run_of::<bf16>(x, &mut pairs, &|_, _| {});
                plan.run_of::<f32>(x, &mut single, &|_, _| {});
                assert!(pairs == want && single == want, "{g:?}");
                assert_eq!(
                    winograd::convolve_in::<bf16, bf16>(&plan, x, &mut fewer, &|_, _| {}),
                    schemes[i],
                    "{g:?}"
                );
                assert!(!schemes[i] || fewer == want, "{g:?}");
            }
            let mut want = vec![0.0; weight.len()];
            backward_weight_of::<f64, f64>(&g, &wide[1], &wide[0], &mut want, PIXELS);
            let [mut pairs, mut single, mut fewer] = std::array::from_fn(|_| vec![1.0; want.len()]);
            backward_weight_of::<bf16, bf16>(&g, &small, &big, &mut pairs, PIXELS);
            backward_weight_of::<f32, bf16>(&g, &small, &big, &mut single, PIXELS);
            let right = |dw: &[f32]| {
                dw.iter()
                    .zip(&want)
                    .all(|(&dw, &want)| f64::from(dw) == want)
            };
            assert!(right(&pairs) && right(&single), "{g:?}");
            let phases = [phase(&g, 0), phase(&g, 1)];
            assert_eq!(
                backward_weight_in::<bf16, bf16>(&g, &phases, [&small, &big], &mut fewer),
                schemes[2],
                "{g:?}"
            );
            assert!(!schemes[2] || right(&fewer), "{g:?}");
        }
    }
}
