//! Convolution from the big image to the small one, and the gradient of the weight, which both directions share.

use std::ops::Range;

use rayon::prelude::*;

use crate::Float;
use crate::cpu::gemm::{Run, Sums, TILE, Tile, panel, sum_pairwise};
use crate::cpu::taps::{Gather, Phase};
use crate::window::{Geometry, Window};

/// small = the convolution of big: conv2d forwards, conv_transpose2d's input gradient.
pub(crate) fn conv2d<T: Float>(g: &Geometry, big: &[T], weight: &[T], bias: Option<&[T]>, small: &mut [T]) {
    let Window { stride, padding, dilation, groups, .. } = g.window;
    let phase = |axis: usize| Phase {
        start: 0,
        step: 1,
        count: g.small[axis],
        stride: stride[axis],
        taps: (0..g.kernel[axis]).map(|k| (k, (k * dilation[axis]) as isize - padding[axis] as isize)).collect(),
    };
    let phases = [vec![phase(0)], vec![phase(1)]];
    Gather { input: g.big, output: g.small, groups, phases, kernel: g.kernel, weight, to_small: true, bias }.run(big, small);
}

/// Pixels whose products a task sums up before tasks are summed, at least.
const PIXELS: usize = 2048;

/// Pixels that are packed at a time: a panel of them stays in the first-level cache's neighbour.
const PACK: usize = 512;

/// dw[s, ky, kx, b] = the sum over all pixels of the small image of small[.., s] big[.. under (ky, kx), b].
///
/// A matrix product with one term for each pixel of the batch. Its right side, the windows, is put together a panel of
/// columns and a few rows of pixels at a time.
pub(crate) fn backward_weight<T: Float>(g: &Geometry, small: &[T], big: &[T], dw: &mut [T]) {
    let [h, w, c] = g.small;
    if g.n * h * w == 0 || dw.is_empty() {
        return dw.fill(T::ZERO);
    }
    let lines = g.n * h;
    // No more than 32 partial sums, for the memory they take.
    let task = PIXELS.div_ceil(w).max(lines.div_ceil(32));
    let parts = (0..lines.div_ceil(task)).into_par_iter().map(|i| {
        let (mut part, mut packed) = (vec![T::ZERO; dw.len()], Vec::new());
        let lines = i * task..lines.min((i + 1) * task);
        let step = PACK.div_ceil(w);
        for first in lines.clone().step_by(step) {
            let lines = first..lines.end.min(first + step);
            add_products(g, &small[lines.start * w * c..lines.end * w * c], lines, big, (&mut packed, &mut part));
        }
        part
    });
    dw.copy_from_slice(&sum_pairwise(parts.collect()));
}

/// Adds the products of some lines of pixels, counted through all images, to `dw`.
fn add_products<T: Float>(g: &Geometry, small: &[T], lines: Range<usize>, big: &[T], (packed, dw): (&mut Vec<T>, &mut [T])) {
    let (pixels, columns, groups, wide) = (lines.len() * g.small[1], g.columns(), g.window.groups, panel::<T>());
    let c_small = g.small[2] / groups;
    let runs = [Run { a: 0, b: 0, len: pixels }];
    packed.resize(pixels * wide, T::ZERO);
    let mut tile: Tile<T> = [T::ZERO; _];
    for group in 0..groups {
        for first in (0..columns).step_by(wide) {
            let count = wide.min(columns - first);
            pack(g, big, lines.clone(), (group, first..first + count), packed);
            let sums = Sums::new(small, packed, [g.small[2], wide], &runs);
            for row in (0..c_small).step_by(TILE) {
                // A tile that is not full does its last row several times.
                let rows = std::array::from_fn(|i| group * c_small + (row + i).min(c_small - 1));
                sums.tile(&rows, 0, count, &mut tile);
                for (sums, i) in tile.chunks(wide).zip(row..c_small.min(row + TILE)) {
                    let dw = &mut dw[(group * c_small + i) * columns + first..][..count];
                    dw.iter_mut().zip(sums).for_each(|(dw, &sum)| *dw = *dw + sum);
                }
            }
        }
    }
}

/// For each pixel of some lines the elements under it of kernel columns `columns`, counted through (ky, kx, channel).
fn pack<T: Float>(g: &Geometry, big: &[T], lines: Range<usize>, (group, columns): (usize, Range<usize>), packed: &mut [T]) {
    let ([h, w, c], channels, wide) = (g.big, g.big[2] / g.window.groups, panel::<T>());
    let Window { stride, padding, dilation, .. } = g.window;
    let mut at = columns.start;
    while at < columns.end {
        // The columns of one tap.
        let (tap, channel) = (at / channels, at % channels);
        let (count, to) = ((channels - channel).min(columns.end - at), at - columns.start);
        let (down, right) = (tap / g.kernel[1] * dilation[0], tap % g.kernel[1] * dilation[1]);
        // Pixels whose column under this tap lies within the image.
        let from = padding[1].saturating_sub(right).div_ceil(stride[1]).min(g.small[1]);
        let end = (w + padding[1]).saturating_sub(right).div_ceil(stride[1]).clamp(from, g.small[1]);
        for (line, packed) in lines.clone().zip(packed.chunks_mut(g.small[1] * wide)) {
            let (image, row) = (line / g.small[0], line % g.small[0] * stride[0] + down);
            let inside = if row < padding[0] || row - padding[0] >= h { 0..0 } else { from..end };
            let mut pixels = packed.chunks_mut(wide).map(|pixel| &mut pixel[to..to + count]);
            pixels.by_ref().take(inside.start).for_each(|pixel| pixel.fill(T::ZERO));
            if !inside.is_empty() {
                let first = ((image * h + row - padding[0]) * w + inside.start * stride[1] + right - padding[1]) * c;
                let source = big[first + group * channels + channel..].chunks(stride[1] * c);
                let within = pixels.by_ref().take(inside.len()).zip(source);
                within.for_each(|(pixel, source)| pixel.copy_from_slice(&source[..count]));
            }
            pixels.for_each(|pixel| pixel.fill(T::ZERO));
        }
        at += count;
    }
}
