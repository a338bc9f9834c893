//! Focal loss: cross-entropy that looks away from what is known already.

use crate::autograd::Backward;
use crate::cpu::focal_loss as cpu;
use crate::cuda::focal_loss as cuda;
use crate::ops::cross_entropy::{check_labels, counted, empty_stats};
use crate::{Error, Result, Tensor, Var};

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
    let counted = counted("focal_loss", x, labels, ignore_index)?;
    let mut stats = empty_stats(x)?;
    let options = cpu::Options {
        gamma,
        ignored: ignore_index,
    };
    let y = on_device!("focal_loss", x in [f32, f64] => [], of compute;
        forward(@{x, labels, counted} as Rows, options, => stats))?;
    Ok(Var::record("focal_loss", &[logits], y, || FocalLoss {
        logits: x.clone(),
        stats,
        labels: labels.clone(),
        counted,
        options,
    }))
}

struct FocalLoss {
    logits: Tensor,
    /// Those of [`softmax::stats`](crate::cpu::softmax::stats).
    stats: Tensor,
    labels: Tensor,
    counted: Tensor,
    options: cpu::Options,
}

impl Backward for FocalLoss {
    /// The gradient of cross-entropy, each position times its w.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let FocalLoss {
            logits: x,
            stats,
            labels,
            counted,
            options,
        } = &*self;
        let dx = on_device!("focal_loss", x in [f32, f64] => x.shape();
            backward(@{x, labels, counted} as Rows, @stats, @dy, *options))?;
        Ok(vec![Some(dx)])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.logits, &self.stats]
    }
}
