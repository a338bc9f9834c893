//! Gradients as one long array, before a step; and the state of the optimizer's step, which is kept
//! in device memory: steps made, learning rate, loss scale, whether to skip.

use super::{Kernel, Slice, SliceMut, Source};
use crate::{DType, Result};

pub(super) static SOURCE: Source = Source::new("clip", include_str!("../../kernels/clip.cu"));

/// 32-bit words in `struct Step` of common.cuh, and the indices of some fields.
pub(crate) const STEP_WORDS: usize = 12;
pub(crate) const LR: usize = 2;
pub(crate) const LOSS_SCALE: usize = 3;
pub(crate) const GOOD: usize = 4;
pub(crate) const SKIPPED: usize = 5;
pub(crate) const NORM: usize = 10;

/// 32-bit words in `struct Segment`.
pub(crate) const SEGMENT_WORDS: usize = 8;

/// The grid over segments: x has the blocks of each, enough for the longest, which has `longest`
/// elements; y has the segments.
pub(super) fn grid(segments: Slice, longest: usize) -> [usize; 3] {
    [
        longest.div_ceil(4).div_ceil(256).clamp(1, 512),
        segments.elements / SEGMENT_WORDS,
        1,
    ]
}

/// Number of partial sums that [`sum_squares`] writes.
pub(crate) fn parts(segments: Slice, longest: usize) -> usize {
    let [blocks, count, _] = grid(segments, longest);
    blocks * count
}

/// The sum of squares of each block's part of its segment, in f64; 0 for frozen segments.
pub(crate) fn sum_squares(
    dw: Slice,
    segments: Slice,
    longest: usize,
    part: &mut SliceMut,
) -> Result<()> {
    let launch = dw
        .gpu
        .kernel(&SOURCE, "sum_squares", DType::F32)?
        .arg(dw)
        .arg(part)
        .arg(segments);
    launch
        .blocks(grid(segments, longest))
        .moves(dw.bytes())
        .launch()
}

/// Counts the step, or skips it if a gradient is not finite. After `growth` good steps the loss
/// scale doubles; with a growth of 0 it stays.
pub(crate) fn begin_step(
    step: &mut SliceMut,
    part: Slice,
    growth: u32,
    betas: (f64, f64),
) -> Result<()> {
    let launch = part
        .gpu
        .kernel(&SOURCE, "begin_step", DType::F32)?
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

/// Clamps dw to [-limit, limit].
pub(crate) fn clamp(dw: &mut SliceMut, limit: f64) -> Result<()> {
    let (gpu, n) = (dw.as_slice().gpu, dw.as_slice().elements);
    let launch = gpu
        .kernel(&SOURCE, "clamp", DType::F32)?
        .arg(dw)
        .arg(limit as f32)
        .count(n);
    launch.each(n.div_ceil(4)).moves(8 * n).launch()
}

/// dw *= factor.
pub(crate) fn scale(dw: &mut SliceMut, factor: f64) -> Result<()> {
    let (gpu, n) = (dw.as_slice().gpu, dw.as_slice().elements);
    let launch = gpu
        .kernel(&SOURCE, "scale", DType::F32)?
        .arg(dw)
        .arg(factor as f32)
        .count(n);
    launch.each(n.div_ceil(4)).moves(8 * n).launch()
}

/// What an optimizer's kernel reads in addition to weights and moments.
#[derive(Clone, Copy)]
pub(crate) struct Step<'a> {
    pub dw: Slice<'a>,
    pub segments: Slice<'a>,
    /// Elements of the longest segment.
    pub longest: usize,
    /// The state of the step, `struct Step`.
    pub step: Slice<'a>,
}

/// One step of a rule with a kernel of a user's own, for all weights.
pub(crate) fn run(
    kernel: &Kernel,
    w: &mut SliceMut,
    moments: &mut [SliceMut],
    at: Step,
    settings: &[f32],
) -> Result<()> {
    let arrays = 3 + 2 * moments.len();
    let mut launch = kernel.launch_on(at.dw.gpu, DType::F32)?.arg(w).arg(at.dw);
    for moment in moments {
        launch = launch.arg(moment);
    }
    launch = launch.arg(at.segments).arg(at.step);
    for &setting in settings {
        launch = launch.arg(setting);
    }
    launch
        .blocks(grid(at.segments, at.longest))
        .moves(arrays * at.dw.bytes())
        .launch()
}
