//! Losses of a prediction a and a target b, element by element, and their sum.

use super::reduce::finish;
use super::runtime::launch::pack;
use super::{Slice, SliceMut, Source};
use crate::cpu::pointwise_loss::{Kind, Partial};
use crate::{DType, Result};

static SOURCE: Source = Source::new(
    "pointwise_loss",
    include_str!("../../kernels/pointwise_loss.cu"),
);

/// The sum of all losses times `scale`, in f32.
pub(crate) fn forward(
    kind: Kind,
    [a, b]: [Slice; 2],
    scale: f64,
    loss: &mut SliceMut,
) -> Result<()> {
    let blocks = a.elements.div_ceil(pack(a.dtype)).div_ceil(256).min(1024);
    let mut part = a.gpu.scratch(blocks, DType::F32)?;
    let launch = a
        .gpu
        .kernel(&SOURCE, "pointwise_loss", a.dtype)?
        .arg(kind.number())
        .arg(kind.parameter())
        .arg(a)
        .arg(b)
        .arg(&mut part.write())
        .count(a.elements);
    launch
        .blocks([blocks, 1, 1])
        .moves(2 * a.bytes())
        .launch()?;
    finish(part.read(), DType::F32, [1, blocks, 1], scale, loss)
}

/// dx = the partial derivative times scale dy.
pub(crate) fn backward(
    partial: Partial,
    [a, b]: [Slice; 2],
    dy: Slice,
    scale: f64,
    dx: &mut SliceMut,
) -> Result<()> {
    let launch = a
        .gpu
        .kernel(&SOURCE, "pointwise_loss_backward", a.dtype)?
        .arg(partial.kind.number())
        .arg(partial.kind.parameter())
        .arg(partial.side as i32)
        .arg(a)
        .arg(b)
        .arg(dy)
        .arg(scale as f32)
        .arg(dx);
    launch
        .count(a.elements)
        .each(a.elements.div_ceil(pack(a.dtype)))
        .moves(3 * a.bytes())
        .launch()
}
