//! Softmax and cross-entropy in one: the loss of classification.

use crate::autograd::Backward;
use crate::cpu::cross_entropy::{self as cpu, RowLoss};
use crate::cuda::cross_entropy as cuda;
use crate::{DType, Device, Error, Result, Shape, Tensor, Var};

/// Settings of [`cross_entropy`]; the default smooths and ignores nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CrossEntropyOptions {
    /// The share of each target's probability that is spread evenly over all classes, in `0..=1`.
    pub label_smoothing: f64,
    /// Positions with this label count neither in the sum nor in the mean.
    pub ignore_index: Option<i64>,
}

/// The mean over all positions of -sum over classes of target ln(softmax(logits)).
///
/// With smoothing e and k classes the target is (1 - e) at the label plus e / k everywhere. Where
/// every position is ignored the loss is 0.
///
/// **Shapes**: logits `[.., k]`, labels `[..]` of i64, the result `[]`.
/// **Backward**: dlogits = (softmax - target) dy / N at the N positions that count.
/// **Saves**: logits, labels, and of each position the maximum m and ln(sum of e^(logits - m)).
/// Only differences from m are computed with, so that adding a constant to the logits of a position
/// changes nothing but their own rounding.
/// **Errors**: labels not of i64, of another shape or outside of `0..k` (on a GPU, which is not
/// waited for, those make the loss not-a-number); smoothing outside of `0..=1`.
/// **Source**: `torch.nn.functional.cross_entropy`.
#[track_caller]
pub fn cross_entropy(logits: &Var, labels: &Tensor, options: CrossEntropyOptions) -> Result<Var> {
    let CrossEntropyOptions {
        label_smoothing,
        ignore_index,
    } = options;
    if !(0.0..=1.0).contains(&label_smoothing) {
        return Err(Error::operand(
            "cross_entropy",
            "label_smoothing",
            "a number in 0..=1",
            label_smoothing,
        ));
    }
    let loss = cpu::CrossEntropy {
        smoothing: label_smoothing,
        ignored: ignore_index,
    };
    mean_loss("cross_entropy", logits, labels, loss)
}

impl Var {
    /// [`cross_entropy`] of these logits, without smoothing.
    #[track_caller]
    pub fn cross_entropy(&self, labels: &Tensor) -> Result<Var> {
        cross_entropy(self, labels, CrossEntropyOptions::default())
    }
}

/// The mean of a loss over the positions that count.
#[track_caller]
pub(super) fn mean_loss<L: RowLoss + Into<cuda::Loss> + Send + 'static>(
    op: &'static str,
    logits: &Var,
    labels: &Tensor,
    loss: L,
) -> Result<Var> {
    check_labels(op, ("logits", logits), labels)?;
    if let Some(logits) = super::as_f32(logits)? {
        return mean_loss(op, &logits, labels, loss);
    }
    let x = logits.value();
    let counted = counted(op, x, labels, loss.ignored())?;
    let mut stats = empty_stats(x)?;
    let y = on_device!(op, x in [f32, f64] => [], of compute;
        forward(@{x, labels, counted} as Rows, loss, => stats))?;
    Ok(Var::record(op, &[logits], y, || MeanLoss {
        op,
        logits: x.clone(),
        stats,
        labels: labels.clone(),
        counted,
        loss,
    }))
}

struct MeanLoss<L> {
    op: &'static str,
    logits: Tensor,
    /// Those of [`softmax::stats`](crate::cpu::softmax::stats).
    stats: Tensor,
    labels: Tensor,
    counted: Tensor,
    loss: L,
}

impl<L: RowLoss + Into<cuda::Loss> + Send> Backward for MeanLoss<L> {
    /// dlogits = weight (softmax - target) dy / N: the logarithm undoes the exponential. The weight
    /// is 1 for cross-entropy.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let MeanLoss {
            op,
            logits: x,
            stats,
            labels,
            counted,
            loss,
        } = &*self;
        let dx = on_device!(op, x in [f32, f64] => x.shape();
            backward(@{x, labels, counted} as Rows, @stats, @dy, *loss))?;
        Ok(vec![Some(dx)])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.logits, &self.stats, &self.labels, &self.counted]
    }
}

/// Checks that labels are of i64, in the shape of the logits' positions.
#[track_caller]
pub(super) fn check_labels(
    op: &'static str,
    (name, logits): (&'static str, &Var),
    labels: &Tensor,
) -> Result<()> {
    crate::ops::float(op, (name, logits.value()))?;
    crate::ops::same_device(op, (name, logits.value()), ("labels", labels))?;
    let Some((&k, positions)) = logits.shape().split_last() else {
        return Err(Error::operand(op, name, "[.., classes]", logits.shape()));
    };
    if k == 0 {
        return Err(Error::operand(
            op,
            name,
            "[.., classes] with at least one class",
            logits.shape(),
        ));
    }
    if **labels.shape() != *positions {
        return Err(Error::operand(
            op,
            "labels",
            Shape::new(positions)?,
            labels.shape(),
        ));
    }
    if labels.dtype() != DType::I64 {
        return Err(Error::operand(op, "labels", "i64", labels.dtype()));
    }
    Ok(())
}

/// How many labels count. On the CPU, an i64, once all are found to be ignored or in range. On a
/// GPU, where nobody waits for the answer, one 32-bit integer in the four bytes of an element: -1
/// where a label is no class, which makes the loss not-a-number.
#[track_caller]
pub(super) fn counted(
    op: &'static str,
    logits: &Tensor,
    labels: &Tensor,
    ignored: Option<i64>,
) -> Result<Tensor> {
    let k = logits.shape().last().copied().unwrap_or(0);
    if labels.device() != Device::Cpu {
        return labels.build_on_same_device([], DType::F32, |counted| {
            cuda::count(labels.on_device(), k, ignored, counted)
        });
    }
    let mut count = 0i64;
    for (position, &label) in labels.data::<i64>().iter().enumerate() {
        if Some(label) == ignored {
            continue;
        }
        if !(0..k as i64).contains(&label) {
            let ignored = ignored.map_or(String::new(), |ignored| {
                format!(" or {ignored}, which is ignored")
            });
            let expected = format!("labels in 0..{k}{ignored}");
            return Err(Error::operand(
                op,
                "labels",
                expected,
                format!("{label} at position {position}"),
            ));
        }
        count += 1;
    }
    Ok(Tensor::scalar(count))
}

/// What a loss writes its rows' statistics to, `[positions, 2]`; see
/// [`softmax::stats`](crate::cpu::softmax::stats).
fn empty_stats(logits: &Tensor) -> Result<Tensor> {
    let positions = logits.elements() / logits.shape()[logits.shape().len() - 1];
    let dtype = match logits.dtype() {
        DType::F64 => DType::F64,
        _ => DType::F32,
    };
    Tensor::full_on(logits.device(), [positions, 2], 0.0, dtype)
}
