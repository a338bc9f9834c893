//! RMS normalisation: each position is divided by the root of its mean square.

use super::{check_vector, in_compute_type};
use crate::{Error, Result, Var};

/// Divides by the root mean square over the last axis, and scales.
///
/// ```text
/// y = gamma x / sqrt(mean of x^2 + eps)
/// ```
///
/// It is made of elementwise ops and a mean; of operands of 16 bits all of it is computed in f32 and
/// rounded once.
///
/// **Shapes**: x and y `[.., c]`, gamma `[c]`. **Backward**: that of its parts: with g = gamma dy and
/// r the root, dx = (g - x mean of (g x) / r^2) / r, dgamma = the sum of dy x / r over the positions.
/// Where a position is 0 and so is eps, not a number, as in PyTorch. **Saves**: x and x / r, and r of
/// each position.
/// **Errors**: gamma not `[c]`, dtypes that differ, no channels.
/// **Source**: Zhang and Sennrich, "Root mean square layer normalization" (arXiv 1910.07467),
/// equation 4; `torch.nn.functional.rms_norm`.
#[track_caller]
pub fn rms_norm(x: &Var, gamma: &Var, eps: f64) -> Result<Var> {
    let rank = x.shape().len();
    if x.shape().last().is_none_or(|&c| c == 0) {
        let expected = "[.., c] with at least one channel";
        return Err(Error::operand("rms_norm", "x", expected, x.shape()));
    }
    check_vector("rms_norm", x, ("gamma", gamma))?;
    let wide = in_compute_type(x)?;
    let root = wide
        .square()?
        .mean_keep(rank - 1)?
        .add_scalar(eps)?
        .sqrt()?;
    let y = (wide * root.recip())? * gamma.cast(root.dtype());
    y?.cast(x.dtype())
}
