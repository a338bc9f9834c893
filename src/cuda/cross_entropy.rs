//! Softmax and cross-entropy. Nothing is read back: how many labels count stays on the device.

use super::reduce::partial;
use super::runtime::launch::Launch;
use super::{Slice, SliceMut, Source};
use crate::cpu::cross_entropy::CrossEntropy;
use crate::{DType, Result};

pub(super) static SOURCE: Source = Source::new(
    "cross_entropy",
    include_str!("../../kernels/cross_entropy.cu"),
);

/// How many of the labels are counted, into one 32-bit integer: -1 where one of them is no class.
pub(crate) fn count(
    labels: Slice,
    k: usize,
    ignored: Option<i64>,
    counted: &mut SliceMut,
) -> Result<()> {
    let launch = labels
        .gpu
        .kernel(&SOURCE, "count_labels", DType::F32)?
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

/// Rows of logits, and the label of each.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    /// Logits `[rows, k]`.
    pub x: Slice<'a>,
    pub labels: Slice<'a>,
    /// One number, of [`count`].
    pub counted: Slice<'a>,
}

/// A loss of one row each: its two kernels, and what they take besides.
pub(crate) struct Loss {
    /// Its file.
    pub source: &'static Source,
    /// Its kernel of the forward pass.
    pub name: &'static str,
    /// Its kernel of the backward pass.
    pub backward: &'static str,
    /// The smoothing, or whatever else this loss has.
    pub number: f64,
    /// The label of rows that do not count.
    pub ignored: Option<i64>,
}

impl Loss {
    fn options(&self, launch: Launch) -> Launch {
        launch
            .arg(self.number as f32)
            .arg(i32::from(self.ignored.is_some()))
            .arg(self.ignored.unwrap_or(0))
    }
}

impl From<CrossEntropy> for Loss {
    fn from(CrossEntropy { smoothing, ignored }: CrossEntropy) -> Loss {
        Loss {
            source: &SOURCE,
            name: "cross_entropy",
            backward: "cross_entropy_backward",
            number: smoothing,
            ignored,
        }
    }
}

/// Of each row its maximum m and ln(sum of e^(x - m)), `[rows, 2]`, and the mean loss of those that
/// count.
pub(crate) fn forward(
    Rows { x, labels, counted }: Rows,
    of: impl Into<Loss>,
    stats: &mut SliceMut,
    loss: &mut SliceMut,
) -> Result<()> {
    let (of, rows) = (of.into(), labels.elements);
    let mut losses = x.gpu.scratch(rows, DType::F32)?;
    let launch = x
        .gpu
        .kernel(of.source, of.name, x.dtype)?
        .arg(x)
        .arg(labels)
        .arg(stats)
        .arg(&mut losses.write())
        .count(rows)
        .sizes([x.elements.checked_div(rows).unwrap_or(1)])?;
    of.options(launch).warps(rows).moves(x.bytes()).launch()?;
    mean(losses.read(), counted, loss)
}

/// dx = weight (softmax - target) dy / N.
pub(crate) fn backward(
    Rows { x, labels, counted }: Rows,
    stats: Slice,
    dy: Slice,
    of: impl Into<Loss>,
    dx: &mut SliceMut,
) -> Result<()> {
    let of = of.into();
    let launch = x
        .gpu
        .kernel(of.source, of.backward, x.dtype)?
        .arg(x)
        .arg(stats)
        .arg(labels)
        .arg(dy)
        .arg(counted)
        .arg(dx)
        .count(x.elements)
        .sizes([x.elements.checked_div(labels.elements).unwrap_or(1)])?;
    of.options(launch)
        .each(x.elements)
        .moves(2 * x.bytes())
        .launch()
}

/// The sum of the losses over how many are counted.
pub(super) fn mean(losses: Slice, counted: Slice, loss: &mut SliceMut) -> Result<()> {
    if losses.elements == 0 {
        return loss.fill(0.0);
    }
    let parts = partial(losses, [1, losses.elements, 1])?;
    let launch = losses
        .gpu
        .kernel(&SOURCE, "mean_of_counted", DType::F32)?
        .arg(parts.sums.read());
    launch
        .sizes([parts.splits])?
        .arg(counted)
        .arg(loss)
        .blocks([1, 1, 1])
        .launch()
}
