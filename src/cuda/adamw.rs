//! Adam and AdamW over the whole arena, in one launch.

use super::clip::{Step, grid};
use super::{SliceMut, Source};
use crate::{DType, Result};

pub(super) static SOURCE: Source = Source::new("adamw", include_str!("../../kernels/adamw.cu"));

/// The settings of `optim::Adam` and `optim::AdamW`.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    pub weight_decay: f64,
    /// Whether weight decay is taken from the weights themselves, as by AdamW, not added to the
    /// gradient.
    pub decoupled: bool,
}

/// One step of the weights w and of the first and second moments m and v.
pub(crate) fn step([w, m, v]: [&mut SliceMut; 3], at: Step, settings: Settings) -> Result<()> {
    let bytes = 7 * at.dw.bytes();
    let launch = at
        .dw
        .gpu
        .kernel(&SOURCE, "adamw", DType::F32)?
        .arg(w)
        .arg(at.dw)
        .arg(m)
        .arg(v);
    let launch = launch
        .arg(at.segments)
        .arg(at.step)
        .arg(settings.beta1 as f32)
        .arg((1.0 - settings.beta1) as f32);
    let launch = launch
        .arg(settings.beta2 as f32)
        .arg((1.0 - settings.beta2) as f32)
        .arg(settings.eps as f32)
        .arg(settings.weight_decay as f32);
    launch
        .arg(i32::from(settings.decoupled))
        .blocks(grid(at.segments, at.longest))
        .moves(bytes)
        .launch()
}
