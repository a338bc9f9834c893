//! Focal loss: cross-entropy that looks away from what is known already.

use crate::cpu::focal_loss::FocalLoss;
use crate::ops::cross_entropy::mean_loss;
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
/// **Saves**: logits, labels, and of each position the maximum m and ln(sum of e^(logits - m)).
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
    let loss = FocalLoss {
        gamma,
        ignored: ignore_index,
    };
    mean_loss("focal_loss", logits, labels, loss)
}
