//! Focal loss: cross-entropy that looks away from what is known already.

use crate::autograd::Backward;
use crate::cpu::{cross_entropy, focal_loss as cpu, reduce};
use crate::ops::cross_entropy::{counted, log_sum_exp};
use crate::{Element, Error, Result, Tensor, Var};

/// The mean over all positions of -(1 - p)^gamma ln p, where p is the softmax probability of the position's label.
///
/// gamma = 0 is cross-entropy. Positions whose label is `ignore_index` do not count; where none counts the loss is 0.
///
/// **Shapes**: logits `[.., k]`, labels `[..]` of i64, the result `[]`.
/// **Backward**: dlogits = w (softmax - target) dy / N at the N positions that count, where the target is 1 at the label
/// and w = (1 - p)^gamma - gamma p (1 - p)^(gamma - 1) ln p.
/// **Saves**: logits, and ln(sum of e^logits) of each position.
/// **Errors**: labels not of i64, of another shape or outside of `0..k`; a gamma that is not finite or negative.
/// **Source**: Lin et al., "Focal loss for dense object detection" (arXiv 1708.02002), equation 4, with softmax;
/// WaveMix-Lite (arXiv 2205.14375), section 4.3, trains segmentation by it.
#[track_caller]
pub fn focal_loss(logits: &Var, labels: &Tensor, gamma: f64, ignore_index: Option<i64>) -> Result<Var> {
    if !(0.0..f64::INFINITY).contains(&gamma) {
        return Err(Error::operand("focal_loss", "gamma", "a finite number not below 0", gamma));
    }
    let count = counted("focal_loss", logits, labels, ignore_index)?;
    let (x, lse) = (logits.value(), log_sum_exp("focal_loss", logits)?);
    let sum = each_float!("focal_loss", x.dtype(), T => {
        let mut losses = cpu::log_probabilities([x.data::<T>(), lse.data()], labels.data(), ignore_index);
        cpu::losses(gamma, &mut losses);
        reduce::sum_all(&losses).to_f64()
    });
    let y = Tensor::full([], sum / count.max(1) as f64, x.dtype());
    Ok(Var::record("focal_loss", &[logits], y, || FocalLoss {
        logits: x.clone(),
        lse,
        labels: labels.clone(),
        gamma,
        ignore_index,
        count,
    }))
}

struct FocalLoss {
    logits: Tensor,
    lse: Tensor,
    labels: Tensor,
    gamma: f64,
    ignore_index: Option<i64>,
    count: usize,
}

impl Backward for FocalLoss {
    /// The gradient of cross-entropy, each position times its w.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let (x, lse, labels) = (&self.logits, &self.lse, self.labels.data::<i64>());
        let scale = dy.item()? / self.count.max(1) as f64;
        Ok(vec![Some(each_float!("focal_loss", x.dtype(), T => {
            let mut weights = cpu::log_probabilities([x.data::<T>(), lse.data()], labels, self.ignore_index);
            cpu::weights(self.gamma, &mut weights);
            for (weight, &label) in weights.iter_mut().zip(labels) {
                *weight *= if self.ignore_index == Some(label) { 0.0 } else { scale as T };
            }
            Tensor::build(*x.shape(), |dx: &mut [T]| cross_entropy::backward([x.data(), lse.data(), &weights], labels, 0.0, dx))
        }))])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.logits, &self.lse]
    }
}
