//! Focal loss, beside cross-entropy, whose launches it shares.

use super::cross_entropy::{backward_of, forward_of};
use super::{Slice, SliceMut};
use crate::Result;

/// The statistics of each row and the mean loss of those that count; options as
/// [`forward_of`] has them.
pub(crate) fn forward(
    x: Slice,
    labels: Slice,
    counted: Slice,
    options: (f64, Option<i64>),
    stats: &mut SliceMut,
    loss: &mut SliceMut,
) -> Result<()> {
    forward_of("focal_loss", [x, labels, counted], options, stats, loss)
}

/// dx = w (softmax - target) dy / N.
pub(crate) fn backward(
    [x, stats]: [Slice; 2],
    labels: Slice,
    dy: Slice,
    counted: Slice,
    options: (f64, Option<i64>),
    dx: &mut SliceMut,
) -> Result<()> {
    backward_of(
        ["focal_loss", "focal_loss_backward"],
        [x, stats, labels],
        [dy, counted],
        options,
        dx,
    )
}
