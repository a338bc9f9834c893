//! Adam and AdamW over the whole arena, in one launch.

use super::SliceMut;
use super::clip::{Step, grid};
use crate::{DType, Result};

/// One step: betas, eps, weight decay, and whether that is taken from the weights themselves.
pub(crate) fn step(
    [w, m, v]: [&mut SliceMut; 3],
    at: Step,
    betas: (f64, f64),
    (eps, decay, decoupled): (f64, f64, bool),
) -> Result<()> {
    let bytes = 7 * at.dw.bytes();
    let launch = at
        .dw
        .gpu
        .kernel("adamw", "adamw", DType::F32)?
        .arg(w)
        .arg(at.dw)
        .arg(m)
        .arg(v);
    let launch = launch
        .arg(at.segments)
        .arg(at.step)
        .arg(betas.0 as f32)
        .arg((1.0 - betas.0) as f32);
    let launch = launch
        .arg(betas.1 as f32)
        .arg((1.0 - betas.1) as f32)
        .arg(eps as f32)
        .arg(decay as f32);
    launch
        .arg(i32::from(decoupled))
        .blocks(grid(at.segments, at.longest))
        .moves(bytes)
        .launch()
}
