//! Gradient descent over the whole arena, in one launch.

use super::clip::{Step, grid};
use super::{SliceMut, Source};
use crate::{DType, Result};

static SOURCE: Source = Source::new("sgd", include_str!("../../kernels/sgd.cu"));

/// One step; with momentum if there are velocities v.
pub(crate) fn step(
    w: &mut SliceMut,
    v: Option<&mut SliceMut>,
    at: Step,
    (momentum, nesterov): (f64, bool),
    decay: f64,
) -> Result<()> {
    let bytes = if v.is_some() { 5 } else { 3 } * at.dw.bytes();
    let launch = at
        .dw
        .gpu
        .kernel(&SOURCE, "sgd", DType::F32)?
        .arg(w)
        .arg(at.dw);
    let launch = launch
        .arg(v.map(|v| v.as_slice()))
        .arg(at.segments)
        .arg(at.step);
    let launch = launch
        .arg(momentum as f32)
        .arg(i32::from(nesterov))
        .arg(decay as f32);
    launch
        .blocks(grid(at.segments, at.longest))
        .moves(bytes)
        .launch()
}
