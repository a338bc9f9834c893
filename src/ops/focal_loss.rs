//! Focal loss: cross-entropy that looks away from what is known already.

use crate::autograd::Backward;
use crate::cpu::{cross_entropy, focal_loss as cpu, reduce};
use crate::cuda::focal_loss as cuda;
use crate::ops::cross_entropy::{Count, check_labels, counted, counted_on_device, softmax_stats};
use crate::{DType, Device, Element, Error, Result, Tensor, Var};

/// The mean over all positions of -(1 - p)^gamma ln p, where p is the softmax probability of the
/// position's label.
///
/// gamma = 0 is cross-entropy. Positions whose label is `ignore_index` do not count; where none
/// counts the loss is 0.
///
/// **Shapes**: logits `[.., k]`, labels `[..]` of i64, the result `[]`.
/// **Backward**: dlogits = w (softmax - target) dy / N at the N positions that count, where the
/// target is 1 at the label and w = (1 - p)^gamma - gamma p (1 - p)^(gamma - 1) ln p. At p = 0, p
/// ln p is its limit, 0, and w is 1: where the label's logit is -infinity the loss is infinite and
/// the gradient that of cross-entropy.
/// **Saves**: logits, and of each position their maximum m and ln(sum of e^(logits - m)).
/// **Errors**: labels not of i64, of another shape or outside of `0..k` (on a GPU those make the
/// loss not-a-number); a gamma that is not finite or negative.
/// **Source**: Lin et al., "Focal loss for dense object detection" (arXiv 1708.02002), equation 4,
/// with softmax; WaveMix-Lite (arXiv 2205.14375), section 4.3, trains segmentation by it.
#[track_caller]
pub fn focal_loss(
    logits: &Var,
    labels: &Tensor,
    gamma: f64,
    ignore_index: Option<i64>,
) -> Result<Var> {
    if !(0.0..f64::INFINITY).contains(&gamma) {
        return Err(Error::operand(
            "focal_loss",
            "gamma",
            "a finite number not below 0",
            gamma,
        ));
    }
    check_labels("focal_loss", logits, labels)?;
    if let Some(logits) = super::as_f32(logits)? {
        return focal_loss(&logits, labels, gamma, ignore_index);
    }
    let x = logits.value();
    let (y, stats, count) = match x.device() {
        Device::Cpu => {
            let count = counted("focal_loss", logits, labels, ignore_index)?;
            let stats = softmax_stats("focal_loss", logits)?;
            let sum = dispatch_dtype!("focal_loss", x.dtype(), T in [f32, f64] => {
                let mut losses = cpu::log_probabilities([x.data::<T>(), stats.data()], labels.data(), ignore_index);
                cpu::losses(gamma, &mut losses);
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
                    (gamma, ignore_index),
                    &mut stats.on_device_mut()?,
                    loss,
                )
            })?;
            (y, stats, Count::OnDevice(counted))
        }
    };
    Ok(Var::record("focal_loss", &[logits], y, || FocalLoss {
        logits: x.clone(),
        stats,
        labels: labels.clone(),
        gamma,
        ignore_index,
        count,
    }))
}

struct FocalLoss {
    logits: Tensor,
    /// Those of [`softmax_stats`].
    stats: Tensor,
    labels: Tensor,
    gamma: f64,
    ignore_index: Option<i64>,
    count: Count,
}

impl Backward for FocalLoss {
    /// The gradient of cross-entropy, each position times its w.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let (x, stats) = (&self.logits, &self.stats);
        let count = match &self.count {
            Count::Known(count) => *count,
            Count::OnDevice(counted) => {
                return Ok(vec![Some(x.build_on_same_device(
                    x.shape(),
                    x.dtype(),
                    |dx| {
                        let [x, stats, labels, dy, counted] =
                            [x, stats, &self.labels, &dy, counted].map(Tensor::on_device);
                        cuda::backward(
                            [x, stats, labels],
                            [dy, counted],
                            (self.gamma, self.ignore_index),
                            dx,
                        )
                    },
                )?)]);
            }
        };
        let (labels, scale) = (self.labels.data::<i64>(), dy.item()? / count.max(1) as f64);
        Ok(vec![Some(
            dispatch_dtype!("focal_loss", x.dtype(), T in [f32, f64] => {
                let mut weights = cpu::log_probabilities([x.data::<T>(), stats.data()], labels, self.ignore_index);
                cpu::weights(self.gamma, &mut weights);
                for (weight, &label) in weights.iter_mut().zip(labels) {
                    *weight = if self.ignore_index == Some(label) { 0.0 } else { *weight * scale as T };
                }
                Tensor::build(*x.shape(), |dx: &mut [T]| cross_entropy::backward([x.data(), stats.data(), &weights], labels, 0.0, dx))
            }),
        )])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.logits, &self.stats]
    }
}
