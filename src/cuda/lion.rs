//! Lion over the whole arena, in one launch.

use super::clip::{Step, grid};
use super::{SliceMut, Source};
use crate::{DType, Result};

static SOURCE: Source = Source::new("lion", include_str!("../../kernels/lion.cu"));

/// One step of the weights w and the momentum m.
pub(crate) fn step(
    w: &mut SliceMut,
    m: &mut SliceMut,
    at: Step,
    betas: (f64, f64),
    decay: f64,
) -> Result<()> {
    let bytes = 5 * at.dw.bytes();
    let launch = at
        .dw
        .gpu
        .kernel(&SOURCE, "lion", DType::F32)?
        .arg(w)
        .arg(at.dw)
        .arg(m);
    let launch = launch
        .arg(at.segments)
        .arg(at.step)
        .arg(betas.0 as f32)
        .arg((1.0 - betas.0) as f32);
    let launch = launch
        .arg(betas.1 as f32)
        .arg((1.0 - betas.1) as f32)
        .arg(decay as f32);
    launch
        .blocks(grid(at.segments, at.longest))
        .moves(bytes)
        .launch()
}
