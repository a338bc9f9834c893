//! Focal loss, beside cross-entropy, whose launches it shares.

use super::cross_entropy::Loss;
pub(crate) use super::cross_entropy::Rows;
use super::{Slice, SliceMut};
use crate::Result;
use crate::cpu::focal_loss::Options;

fn focal_loss(Options { gamma, ignored }: Options) -> Loss {
    Loss {
        name: "focal_loss",
        backward: "focal_loss_backward",
        number: gamma,
        ignored,
    }
}

/// See [`Loss::forward`].
pub(crate) fn forward(
    rows: Rows,
    options: Options,
    stats: &mut SliceMut,
    loss: &mut SliceMut,
) -> Result<()> {
    focal_loss(options).forward(rows, stats, loss)
}

/// dx = w (softmax - target) dy / N.
pub(crate) fn backward(
    rows: Rows,
    stats: Slice,
    dy: Slice,
    options: Options,
    dx: &mut SliceMut,
) -> Result<()> {
    focal_loss(options).backward(rows, stats, dy, dx)
}
