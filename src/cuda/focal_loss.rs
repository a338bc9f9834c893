//! Focal loss, beside cross-entropy.

use super::cross_entropy::mean;
use super::{Slice, SliceMut};
use crate::{DType, Result};

/// ln(sum of e^x) of each row and the mean loss of those that count.
pub(crate) fn forward(
    [x, labels, counted]: [Slice; 3],
    (gamma, ignored): (f64, Option<i64>),
    lse: &mut SliceMut,
    loss: &mut SliceMut,
) -> Result<()> {
    let rows = labels.elements;
    let mut losses = x.gpu.scratch(rows, DType::F32)?;
    let launch = x.gpu.kernel("focal_loss", "focal_loss", x.dtype)?.arg(x).arg(labels).arg(lse).arg(&mut losses.write());
    let launch = launch.count(rows).sizes([x.elements.checked_div(rows).unwrap_or(1)])?.arg(gamma as f32);
    let launch = launch.arg(i32::from(ignored.is_some())).arg(ignored.unwrap_or(0));
    launch.warps(rows).moves(x.bytes()).launch()?;
    mean(losses.read(), counted, loss)
}

/// dx = w (softmax - target) dy / N.
pub(crate) fn backward(
    [x, lse, labels]: [Slice; 3],
    [dy, counted]: [Slice; 2],
    (gamma, ignored): (f64, Option<i64>),
    dx: &mut SliceMut,
) -> Result<()> {
    let k = x.elements.checked_div(labels.elements).unwrap_or(1);
    let launch = x.gpu.kernel("focal_loss", "focal_loss_backward", x.dtype)?.arg(x).arg(lse).arg(labels).arg(dy);
    let launch = launch.arg(counted).arg(dx).count(x.elements).sizes([k])?.arg(gamma as f32);
    let launch = launch.arg(i32::from(ignored.is_some())).arg(ignored.unwrap_or(0));
    launch.each(x.elements).moves(2 * x.bytes()).launch()
}
