//! Mean squared error.

use super::reduce::finish;
use super::runtime::launch::pack;
use super::{Slice, SliceMut};
use crate::{DType, Result};

/// The mean of (a - b)^2, in f32.
pub(crate) fn forward(a: Slice, b: Slice, loss: &mut SliceMut) -> Result<()> {
    let blocks = a.elements.div_ceil(pack(a.dtype)).div_ceil(256).min(1024);
    let mut part = a.gpu.scratch(blocks, DType::F32)?;
    let launch = a
        .gpu
        .kernel("pointwise_loss", "mse", a.dtype)?
        .arg(a)
        .arg(b)
        .arg(&mut part.write())
        .count(a.elements);
    launch
        .blocks([blocks, 1, 1])
        .moves(2 * a.bytes())
        .launch()?;
    finish(
        part.read(),
        DType::F32,
        [1, blocks, 1],
        1.0 / a.elements as f64,
        loss,
    )
}

/// da = scale (a - b) dy.
pub(crate) fn backward(a: Slice, b: Slice, dy: Slice, scale: f64, da: &mut SliceMut) -> Result<()> {
    let launch = a
        .gpu
        .kernel("pointwise_loss", "mse_backward", a.dtype)?
        .arg(a)
        .arg(b)
        .arg(dy)
        .arg(scale as f32)
        .arg(da);
    launch
        .count(a.elements)
        .each(a.elements.div_ceil(pack(a.dtype)))
        .moves(3 * a.bytes())
        .launch()
}
