//! Convolution from the big image to the small one, and the gradient of the weight, which both directions share.

use std::ops::Range;

use rayon::prelude::*;

use crate::Float;
use crate::cpu::gemm::{Begin, Run, Sums, TILE, Target, panel, sum_pairwise};
use crate::cpu::taps::{Gather, Phase};
use crate::cpu::winograd;
use crate::cpu::{Scratch, depthwise};
use crate::storage::{as_type, as_type_mut};
use crate::window::{Geometry, Window};

/// small = the convolution of big: conv2d forwards, conv_transpose2d's input gradient.
pub(crate) fn conv2d<T: Float>(g: &Geometry, big: &[T], weight: &[T], bias: Option<&[T]>, small: &mut [T]) {
    let (groups, phases) = (g.window.groups, [0, 1].map(|axis| vec![phase(g, axis)]));
    Gather { input: g.big, output: g.small, groups, phases, kernel: g.kernel, weight, to_small: true, bias }.run(big, small);
}

/// All outputs of an axis: they have the same taps.
fn phase(g: &Geometry, axis: usize) -> Phase {
    let Window { stride, padding, dilation, .. } = g.window;
    let offset = |k: usize| (k * dilation[axis]) as isize - padding[axis] as isize;
    let taps = (0..g.kernel[axis]).map(|k| (k, offset(k))).collect();
    Phase { start: 0, step: 1, count: g.small[axis], stride: stride[axis], taps }
}

/// Pixels whose products a task sums up before tasks are summed, at least.
const PIXELS: usize = 2048;

/// Pixels that are packed at a time: a panel of them is as large as the first-level cache.
const PACK: usize = 256;

/// dw[s, ky, kx, b] = the sum over all pixels of the small image of small[.., s] big[.. under (ky, kx), b].
///
/// A matrix product with one term for each pixel of the batch. Its right side, the windows, is put together a panel of
/// columns and a few rows of pixels at a time.
pub(crate) fn backward_weight<T: Float>(g: &Geometry, small: &[T], big: &[T], dw: &mut [T]) {
    let [h, w, c] = g.small;
    if g.n * h * w == 0 || dw.is_empty() {
        return dw.fill(T::ZERO);
    }
    if let (Some(small), Some(big), Some(dw)) = (as_type(small), as_type(big), as_type_mut(dw))
        && winograd::weight::backward_weight(g, [phase(g, 0), phase(g, 1)], small, big, dw)
    {
        return;
    }
    let lines = g.n * h;
    // No more than 32 partial sums, for the memory they take.
    let task = PIXELS.div_ceil(w).max(lines.div_ceil(32));
    let parts = (0..lines.div_ceil(task)).into_par_iter().map(|i| {
        let (lines, step) = (i * task..lines.min((i + 1) * task), PACK.div_ceil(w));
        let (mut part, mut packed) = (Scratch::new(dw.len()), Scratch::new(step * w * panel::<T>()));
        part.fill(T::ZERO);
        for first in lines.clone().step_by(step) {
            let lines = first..lines.end.min(first + step);
            let small = &small[lines.start * w * c..lines.end * w * c];
            match g.is_depthwise() {
                true => depthwise::add_products(g, small, lines, big, &mut part),
                false => add_products(g, small, lines, big, (&mut packed, &mut part)),
            }
        }
        part
    });
    dw.copy_from_slice(&sum_pairwise(parts.collect()));
}

/// Adds the products of some lines of pixels, counted through all images, to `dw`.
fn add_products<T: Float>(g: &Geometry, small: &[T], lines: Range<usize>, big: &[T], (packed, dw): (&mut [T], &mut [T])) {
    let (pixels, columns, wide) = (lines.len() * g.small[1], g.columns(), panel::<T>());
    let c_small = g.small[2] / g.window.groups;
    let runs = [Run { a: 0, b: 0, len: pixels }];
    let packed = &mut packed[..pixels * wide];
    for group in 0..g.window.groups {
        for first in (0..columns).step_by(wide) {
            let count = wide.min(columns - first);
            pack(g, big, lines.clone(), (group, first..first + count), packed);
            let sums = Sums::new(small, packed, [g.small[2], wide], &runs);
            for row in (0..c_small).step_by(TILE) {
                // A tile that is not full does its last row several times.
                let from = std::array::from_fn(|i| group * c_small + (row + i).min(c_small - 1));
                let to: [usize; TILE] = std::array::from_fn(|i| (group * c_small + row + i) * columns + first);
                let target = Target { c: dw, rows: &to[..TILE.min(c_small - row)], columns: count };
                sums.tile(&from, 0, Begin::Add, target);
            }
        }
    }
}

/// For each pixel of some lines the elements under it of kernel columns `columns`, counted through (ky, kx, channel).
fn pack<T: Float>(g: &Geometry, big: &[T], lines: Range<usize>, (group, columns): (usize, Range<usize>), packed: &mut [T]) {
    let ([h, w, c], channels, wide) = (g.big, g.big[2] / g.window.groups, panel::<T>());
    let Window { stride, padding, dilation, .. } = g.window;
    let (start, end) = (columns.start, columns.end);
    let mut at = start;
    while at < end {
        // The columns of one tap.
        let (tap, channel) = (at / channels, at % channels);
        let (count, to) = ((channels - channel).min(end - at), at - start);
        let (down, right) = (tap / g.kernel[1] * dilation[0], tap % g.kernel[1] * dilation[1]);
        let columns = covered(g, 1, right);
        for (line, packed) in lines.clone().zip(packed.chunks_mut(g.small[1] * wide)) {
            let (image, line) = (line / g.small[0], line % g.small[0]);
            let inside = if covered(g, 0, down).contains(&line) { columns.clone() } else { 0..0 };
            let mut pixels = packed.chunks_mut(wide).map(|pixel| &mut pixel[to..to + count]);
            pixels.by_ref().take(inside.start).for_each(|pixel| pixel.fill(T::ZERO));
            if !inside.is_empty() {
                let row = image * h + line * stride[0] + down - padding[0];
                let first = (row * w + inside.start * stride[1] + right - padding[1]) * c;
                let source = big[first + group * channels + channel..].chunks(stride[1].saturating_mul(c));
                let within = pixels.by_ref().take(inside.len()).zip(source);
                within.for_each(|(pixel, source)| copy(&source[..count], pixel));
            }
            pixels.for_each(|pixel| pixel.fill(T::ZERO));
        }
        at += count;
    }
}

/// Rows (axis 0) or columns (1) of the small image whose tap `offset` elements into the window lies within the big one.
pub(crate) fn covered(g: &Geometry, axis: usize, offset: usize) -> Range<usize> {
    let (stride, padding) = (g.window.stride[axis], g.window.padding[axis]);
    let first = |at: usize| at.saturating_sub(offset).div_ceil(stride).min(g.small[axis]);
    first(padding)..first(g.big[axis] + padding)
}

/// Copies a few elements, without the call that the compiler would make of it.
#[inline(always)]
fn copy<T: Float>(from: &[T], to: &mut [T]) {
    let ((from, last), (to, rest)) = (from.as_chunks::<8>(), to.as_chunks_mut::<8>());
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    rest.iter_mut().zip(last).for_each(|(to, from)| *to = *from);
}
