//! Negative log-likelihood of rows of log-probabilities.

use super::cross_entropy::mean;
use super::{Slice, SliceMut, Source};
use crate::{DType, Result};

pub(crate) use super::cross_entropy::Rows;

static SOURCE: Source = Source::new("nll_loss", include_str!("../../kernels/nll_loss.cu"));

/// The mean of -x at the label over the rows that count, in f32.
pub(crate) fn forward(
    Rows { x, labels, counted }: Rows,
    ignored: Option<i64>,
    loss: &mut SliceMut,
) -> Result<()> {
    let rows = labels.elements;
    let mut losses = x.gpu.scratch(rows, DType::F32)?;
    let launch = x
        .gpu
        .kernel(&SOURCE, "nll_loss", x.dtype)?
        .arg(x)
        .arg(labels)
        .arg(&mut losses.write())
        .count(rows)
        .sizes([x.elements.checked_div(rows).unwrap_or(1)])?
        .arg(i32::from(ignored.is_some()))
        .arg(ignored.unwrap_or(0));
    launch.each(rows).moves(labels.bytes()).launch()?;
    mean(losses.read(), counted, loss)
}

/// dx = -dy / N at the labels of the N rows that count, 0 elsewhere.
pub(crate) fn backward(
    [labels, counted]: [Slice; 2],
    dy: Slice,
    ignored: Option<i64>,
    dx: &mut SliceMut,
) -> Result<()> {
    let Slice {
        elements, dtype, ..
    } = dx.as_slice();
    let launch = dy
        .gpu
        .kernel(&SOURCE, "nll_loss_backward", dtype)?
        .arg(labels)
        .arg(dy)
        .arg(counted)
        .arg(dx)
        .count(elements)
        .sizes([elements.checked_div(labels.elements).unwrap_or(1)])?
        .arg(i32::from(ignored.is_some()))
        .arg(ignored.unwrap_or(0));
    launch
        .each(elements)
        .moves(elements * dtype.bytes())
        .launch()
}
