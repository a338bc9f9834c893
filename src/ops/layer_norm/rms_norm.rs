//! RMS normalisation: each position is divided by the root of its mean square.

use super::{check_vector, normalised};
use crate::{Error, Result, Var};

/// Divides by the root mean square over the last axis, and scales.
///
/// ```text
/// xhat = x / sqrt(mean of x^2 + eps)      y = gamma xhat
/// ```
///
/// **Shapes**: x and y `[.., c]`, gamma `[c]`. **Backward**: dgamma = the sum of dy xhat over the
/// positions; with g = gamma dy, dx = (g - xhat mean of (g xhat)) / root. Where the root is 0, 1 /
/// root counts as 0: y and dx are 0.
/// **Saves**: x, gamma, and 1 / root of each position, beside a 0 for the mean that
/// [`layer_norm`](crate::ops::layer_norm) takes off.
/// **Errors**: gamma not `[c]`, dtypes that differ, no channels.
/// **Source**: Zhang and Sennrich, "Root mean square layer normalization" (arXiv 1910.07467),
/// equation 4; `torch.nn.functional.rms_norm`.
#[track_caller]
pub fn rms_norm(x: &Var, gamma: &Var, eps: f64) -> Result<Var> {
    if x.shape().last().is_none_or(|&c| c == 0) {
        let expected = "[.., c] with at least one channel";
        return Err(Error::operand("rms_norm", "x", expected, x.shape()));
    }
    check_vector("rms_norm", x, ("gamma", gamma))?;
    normalised("rms_norm", x, gamma, None, eps)
}
