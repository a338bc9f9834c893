//! Negative log-likelihood: the second half of cross-entropy.

use crate::autograd::Backward;
use crate::cpu::nll_loss as cpu;
use crate::cuda::nll_loss as cuda;
use crate::ops::cross_entropy::{check_labels, counted};
use crate::{DType, Result, Shape, Tensor, Var};

/// The mean over all positions of -log_p at the label, where `log_p` are logarithms of
/// probabilities, such as [`Var::log_softmax`] gives.
///
/// Positions whose label is `ignore_index` do not count; where none counts the loss is 0. From
/// logits, [`cross_entropy`](crate::ops::cross_entropy()) is the same in one pass.
///
/// **Shapes**: log_p `[.., k]`, labels `[..]` of i64, the result `[]`.
/// **Backward**: dlog_p = -dy / N at the labels of the N positions that count, 0 elsewhere.
/// **Saves**: the labels. **Errors**: labels not of i64, of another shape or outside of `0..k` (on a
/// GPU, which is not waited for, those make the loss not-a-number).
/// **Source**: `torch.nn.functional.nll_loss`, which has the classes in axis 1, and is not a number
/// where no position counts.
#[track_caller]
pub fn nll_loss(log_p: &Var, labels: &Tensor, ignore_index: Option<i64>) -> Result<Var> {
    let op = "nll_loss";
    check_labels(op, ("log_p", log_p), labels)?;
    if let Some(log_p) = super::as_f32(log_p)? {
        return nll_loss(&log_p, labels, ignore_index);
    }
    let x = log_p.value();
    let counted = counted(op, x, labels, ignore_index)?;
    let y = on_device!(op, x in [f32, f64] => [], of compute;
        forward(@{x, labels, counted} as Rows, ignore_index))?;
    Ok(Var::record(op, &[log_p], y, || NllLoss {
        shape: *x.shape(),
        dtype: x.dtype(),
        labels: labels.clone(),
        counted,
        ignored: ignore_index,
    }))
}

struct NllLoss {
    /// Shape and type of log_p.
    shape: Shape,
    dtype: DType,
    labels: Tensor,
    counted: Tensor,
    ignored: Option<i64>,
}

impl Backward for NllLoss {
    /// dlog_p = -dy / N at the labels.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let (labels, counted, ignored) = (&self.labels, &self.counted, self.ignored);
        let dx = on_device!("nll_loss", dy in [f32, f64] => self.shape;
            backward(@[labels, counted], @dy, ignored))?;
        Ok(vec![Some(dx.cast(self.dtype)?)])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.labels, &self.counted]
    }
}
