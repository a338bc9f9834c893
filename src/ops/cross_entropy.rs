//! Softmax and cross-entropy in one: the loss of classification.

use crate::autograd::Backward;
use crate::cpu::{cross_entropy as cpu, reduce, softmax};
use crate::cuda::cross_entropy as cuda;
use crate::{DType, Device, Element, Error, Result, Shape, Tensor, Var};

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
/// **Saves**: logits, and of each position their maximum m and ln(sum of e^(logits - m)). Only
/// differences from m are computed with, so that adding a constant to a position's logits changes
/// nothing but their own rounding.
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
    check_labels("cross_entropy", logits, labels)?;
    if let Some(logits) = super::as_f32(logits)? {
        return cross_entropy(&logits, labels, options);
    }
    let x = logits.value();
    let (y, stats, count) = match x.device() {
        Device::Cpu => {
            let count = counted("cross_entropy", logits, labels, ignore_index)?;
            let stats = softmax_stats("cross_entropy", logits)?;
            let sum = dispatch_dtype!("cross_entropy", x.dtype(), T in [f32, f64] => {
                let mut losses = vec![T::default(); labels.elements()];
                cpu::losses([x.data::<T>(), stats.data()], labels.data(), (label_smoothing, ignore_index), &mut losses);
                reduce::sum_all(&losses).to_f64()
            });
            (
                Tensor::full([], sum / count.max(1) as f64, x.dtype()),
                stats,
                Count::Known(count),
            )
        }
        Device::Cuda(_) => {
            let counted = counted_on_device(x, labels, ignore_index)?;
            let mut stats = Tensor::full_on(x.device(), [labels.elements(), 2], 0.0, DType::F32)?;
            let y = x.build_on_same_device([], DType::F32, |loss| {
                let inputs = [x, labels, &counted].map(Tensor::on_device);
                cuda::forward(
                    inputs,
                    (label_smoothing, ignore_index),
                    &mut stats.on_device_mut()?,
                    loss,
                )
            })?;
            (y, stats, Count::OnDevice(counted))
        }
    };
    Ok(Var::record("cross_entropy", &[logits], y, || {
        CrossEntropy {
            logits: x.clone(),
            stats,
            labels: labels.clone(),
            options,
            count,
        }
    }))
}

struct CrossEntropy {
    logits: Tensor,
    /// Those of [`softmax_stats`].
    stats: Tensor,
    labels: Tensor,
    options: CrossEntropyOptions,
    count: Count,
}

/// How many labels count.
pub(crate) enum Count {
    Known(usize),
    /// One 32-bit integer, in the four bytes of an element; -1 where a label is no class.
    OnDevice(Tensor),
}

impl Backward for CrossEntropy {
    /// dlogits = (softmax - target) dy / N: the logarithm undoes the exponential.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let x = &self.logits;
        let CrossEntropyOptions {
            label_smoothing,
            ignore_index,
        } = self.options;
        let count = match &self.count {
            Count::Known(count) => *count,
            Count::OnDevice(counted) => {
                return Ok(vec![Some(x.build_on_same_device(
                    x.shape(),
                    x.dtype(),
                    |dx| {
                        let [x, stats, labels, dy, counted] =
                            [x, &self.stats, &self.labels, &dy, counted].map(Tensor::on_device);
                        cuda::backward(
                            [x, stats, labels],
                            [dy, counted],
                            (label_smoothing, ignore_index),
                            dx,
                        )
                    },
                )?)]);
            }
        };
        let (labels, weight) = (self.labels.data::<i64>(), dy.item()? / count.max(1) as f64);
        let weights = labels.iter().map(|&label| {
            if ignore_index == Some(label) {
                0.0
            } else {
                weight
            }
        });
        Ok(vec![Some(
            dispatch_dtype!("cross_entropy", x.dtype(), T in [f32, f64] => Tensor::build(*x.shape(), |dx: &mut [T]| {
                let weights: Vec<T> = weights.map(|weight| weight as T).collect();
                cpu::backward([x.data(), self.stats.data(), &weights], labels, label_smoothing, dx);
            })),
        )])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.logits, &self.stats]
    }
}

/// That labels are of i64, in the shape of the logits' positions.
#[track_caller]
pub(crate) fn check_labels(op: &'static str, logits: &Var, labels: &Tensor) -> Result<()> {
    crate::ops::float(op, ("logits", logits.value()))?;
    crate::ops::same_device(op, ("logits", logits.value()), ("labels", labels))?;
    let Some((&k, positions)) = logits.shape().split_last() else {
        return Err(Error::operand(
            op,
            "logits",
            "[.., classes]",
            logits.shape(),
        ));
    };
    if k == 0 {
        return Err(Error::operand(
            op,
            "logits",
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

/// The same on a GPU, where nobody waits for the answer: a label out of range makes the loss
/// not-a-number.
pub(crate) fn counted_on_device(
    logits: &Tensor,
    labels: &Tensor,
    ignored: Option<i64>,
) -> Result<Tensor> {
    let k = logits.shape().last().copied().unwrap_or(0);
    labels.build_on_same_device([], DType::F32, |counted| {
        cuda::count(labels.on_device(), k, ignored, counted)
    })
}

/// How many labels count, once all are found to be ignored or in range.
#[track_caller]
pub(crate) fn counted(
    op: &'static str,
    logits: &Var,
    labels: &Tensor,
    ignored: Option<i64>,
) -> Result<usize> {
    let k = logits.shape().last().copied().unwrap_or(0);
    let mut count = 0;
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
    Ok(count)
}

/// Of each position the maximum m of its logits and ln(sum of e^(logits - m)), `[positions, 2]`.
pub(crate) fn softmax_stats(op: &'static str, logits: &Var) -> Result<Tensor> {
    let k = logits.shape()[logits.shape().len() - 1];
    let positions = logits.value().elements() / k;
    Ok(
        dispatch_dtype!(op, logits.dtype(), T in [f32, f64] => Tensor::build(Shape::new(&[positions, 2])?, |stats: &mut [T]| {
            softmax::stats(logits.value().data(), k, stats);
        })),
    )
}
