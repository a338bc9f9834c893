//! Softmax and cross-entropy. Nothing is read back: how many labels count stays on the device.

use super::reduce::partial;
use super::{Slice, SliceMut};
use crate::{DType, Result};

/// How many of the labels are counted, into one 32-bit integer: -1 where one of them is no class.
pub(crate) fn count(
    labels: Slice,
    k: usize,
    ignored: Option<i64>,
    counted: &mut SliceMut,
) -> Result<()> {
    let launch = labels
        .gpu
        .kernel("cross_entropy", "count_labels", DType::F32)?
        .arg(labels)
        .count(labels.elements);
    launch
        .sizes([k])?
        .arg(i32::from(ignored.is_some()))
        .arg(ignored.unwrap_or(0))
        .arg(counted)
        .blocks([1, 1, 1])
        .launch()
}

/// Of each row its maximum m and ln(sum of e^(x - m)), `[rows, 2]`, and the mean loss of those that
/// count.
pub(crate) fn forward(
    x: Slice,
    labels: Slice,
    counted: Slice,
    options: (f64, Option<i64>),
    stats: &mut SliceMut,
    loss: &mut SliceMut,
) -> Result<()> {
    forward_of("cross_entropy", [x, labels, counted], options, stats, loss)
}

/// The same for a loss of this name; its number is the smoothing, or what else it has.
pub(super) fn forward_of(
    name: &'static str,
    [x, labels, counted]: [Slice; 3],
    (number, ignored): (f64, Option<i64>),
    stats: &mut SliceMut,
    loss: &mut SliceMut,
) -> Result<()> {
    let rows = labels.elements;
    let mut losses = x.gpu.scratch(rows, DType::F32)?;
    let launch = x
        .gpu
        .kernel(name, name, x.dtype)?
        .arg(x)
        .arg(labels)
        .arg(stats)
        .arg(&mut losses.write());
    let launch = launch
        .count(rows)
        .sizes([x.elements.checked_div(rows).unwrap_or(1)])?
        .arg(number as f32);
    let launch = launch
        .arg(i32::from(ignored.is_some()))
        .arg(ignored.unwrap_or(0));
    launch.warps(rows).moves(x.bytes()).launch()?;
    mean(losses.read(), counted, loss)
}

/// The sum of the losses over how many are counted.
fn mean(losses: Slice, counted: Slice, loss: &mut SliceMut) -> Result<()> {
    if losses.elements == 0 {
        return loss.fill(0.0);
    }
    let parts = partial(losses, [1, losses.elements, 1])?;
    let launch = losses
        .gpu
        .kernel("cross_entropy", "mean_of_counted", DType::F32)?
        .arg(parts.sums.read());
    launch
        .sizes([parts.splits])?
        .arg(counted)
        .arg(loss)
        .blocks([1, 1, 1])
        .launch()
}

/// dx = (softmax - target) dy / N.
pub(crate) fn backward(
    [x, stats]: [Slice; 2],
    labels: Slice,
    dy: Slice,
    counted: Slice,
    options: (f64, Option<i64>),
    dx: &mut SliceMut,
) -> Result<()> {
    backward_of(
        ["cross_entropy", "cross_entropy_backward"],
        [x, stats, labels],
        [dy, counted],
        options,
        dx,
    )
}

/// The same for a kernel of this file and name.
pub(super) fn backward_of(
    [file, name]: [&'static str; 2],
    [x, stats, labels]: [Slice; 3],
    [dy, counted]: [Slice; 2],
    (number, ignored): (f64, Option<i64>),
    dx: &mut SliceMut,
) -> Result<()> {
    let k = x.elements.checked_div(labels.elements).unwrap_or(1);
    let launch = x
        .gpu
        .kernel(file, name, x.dtype)?
        .arg(x)
        .arg(stats)
        .arg(labels)
        .arg(dy)
        .arg(counted)
        .arg(dx);
    let launch = launch.count(x.elements).sizes([k])?.arg(number as f32);
    let launch = launch
        .arg(i32::from(ignored.is_some()))
        .arg(ignored.unwrap_or(0));
    launch.each(x.elements).moves(2 * x.bytes()).launch()
}
