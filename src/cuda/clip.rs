//! What is done to gradients as one long array, and the numbers of a step that live in device
//! memory: how many were made, learning rate, loss scale, whether to skip.

use super::{Slice, SliceMut};
use crate::{DType, Result};

/// Words of 32 bits in `struct Step` of common.cuh, and where some of its numbers are.
pub(crate) const STEP_WORDS: usize = 10;
pub(crate) const LR: usize = 2;
pub(crate) const LOSS_SCALE: usize = 3;
pub(crate) const GOOD: usize = 4;
pub(crate) const SKIPPED: usize = 5;

/// Words of 32 bits in `struct Segment`.
pub(crate) const SEGMENT_WORDS: usize = 8;

/// Blocks for each segment, and segments, where the longest has so many elements.
pub(super) fn grid(segments: Slice, longest: usize) -> [usize; 3] {
    [
        longest.div_ceil(4).div_ceil(256).clamp(1, 512),
        segments.elements / SEGMENT_WORDS,
        1,
    ]
}

/// How many numbers [`sum_squares`] gives.
pub(crate) fn parts(segments: Slice, longest: usize) -> usize {
    let [blocks, count, _] = grid(segments, longest);
    blocks * count
}

/// The sum of squares of each block's share of the segments that are not frozen, in f64.
pub(crate) fn sum_squares(
    dw: Slice,
    segments: Slice,
    longest: usize,
    part: &mut SliceMut,
) -> Result<()> {
    let launch = dw
        .gpu
        .kernel("clip", "sum_squares", DType::F32)?
        .arg(dw)
        .arg(part)
        .arg(segments);
    launch
        .blocks(grid(segments, longest))
        .moves(dw.bytes())
        .launch()
}

/// Counts the step, or skips it where a gradient is not finite; `growth` good steps double the loss
/// scale, 0 leaves it.
pub(crate) fn begin_step(
    step: &mut SliceMut,
    part: Slice,
    growth: u32,
    betas: (f64, f64),
) -> Result<()> {
    let launch = part
        .gpu
        .kernel("clip", "begin_step", DType::F32)?
        .arg(step)
        .arg(part)
        .sizes([part.elements])?;
    launch
        .arg(growth)
        .arg(betas.0)
        .arg(betas.1)
        .blocks([1, 1, 1])
        .launch()
}

/// dw moved into [-limit, limit].
pub(crate) fn clamp(dw: &mut SliceMut, limit: f64) -> Result<()> {
    let (gpu, n) = (dw.as_slice().gpu, dw.as_slice().elements);
    let launch = gpu
        .kernel("clip", "clamp", DType::F32)?
        .arg(dw)
        .arg(limit as f32)
        .count(n);
    launch.each(n.div_ceil(4)).moves(8 * n).launch()
}

/// dw times a factor.
pub(crate) fn scale(dw: &mut SliceMut, factor: f64) -> Result<()> {
    let (gpu, n) = (dw.as_slice().gpu, dw.as_slice().elements);
    let launch = gpu
        .kernel("clip", "scale", DType::F32)?
        .arg(dw)
        .arg(factor as f32)
        .count(n);
    launch.each(n.div_ceil(4)).moves(8 * n).launch()
}

/// What an optimizer's kernel reads beside weights and moments.
#[derive(Clone, Copy)]
pub(crate) struct Step<'a> {
    pub dw: Slice<'a>,
    pub segments: Slice<'a>,
    /// Elements of the longest segment.
    pub longest: usize,
    /// `struct Step`.
    pub step: Slice<'a>,
}
