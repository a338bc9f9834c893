//! Group normalisation: each image's groups of channels are brought to mean 0 and variance 1.

use super::{check_vector, layer_norm};
use crate::{DType, Error, Result, Tensor, Var};

/// Normalises each of `groups` equal runs of channels over all positions of an image, then scales
/// and shifts each channel.
///
/// ```text
/// xhat = (x - mean) / sqrt(var + eps)      y = gamma xhat + beta
/// ```
///
/// One group is a layer normalisation over all of an image, as many as channels an instance
/// normalisation. It is made of [`layer_norm`] of the groups, a product and a sum; of operands of 16
/// bits all of it is computed in f32 and rounded once.
///
/// **Shapes**: x and y [n, .., c], gamma and beta `[c]`; mean and (biased) variance are over the
/// positions and the c / groups channels of a group of one of the n.
/// **Backward**: that of its parts. **Saves**: x, mean and 1 / std of each group, xhat.
/// **Errors**: x of less than two dimensions or without channels, groups that do not divide the
/// channels, gamma or beta not `[c]`, dtypes that differ.
/// **Source**: Wu and He, "Group normalization" (arXiv 1803.08494), equations 1 to 7;
/// `torch.nn.functional.group_norm`, channels last.
#[track_caller]
pub fn group_norm(x: &Var, groups: usize, gamma: &Var, beta: &Var, eps: f64) -> Result<Var> {
    let op = "group_norm";
    let (n, c) = match &x.shape()[..] {
        &[n, .., c] if c > 0 => (n, c),
        _ => {
            let expected = "[n, .., c] with at least one channel";
            return Err(Error::operand(op, "x", expected, x.shape()));
        }
    };
    if groups == 0 || !c.is_multiple_of(groups) {
        let expected = format!("a divisor of the {c} channels");
        return Err(Error::operand(op, "groups", expected, groups));
    }
    for vector in [("gamma", gamma), ("beta", beta)] {
        check_vector(op, x, vector)?;
    }
    let wide = in_compute_type(x)?;
    let xhat = if x.value().elements() == 0 {
        wide
    } else {
        let positions = x.shape()[1..x.shape().len() - 1].iter().product();
        of_groups(&wide, [n, positions, groups, c / groups], eps)?
    };
    let (gamma, beta) = (gamma.cast(xhat.dtype())?, beta.cast(xhat.dtype())?);
    (xhat * gamma + beta)?.cast(x.dtype())
}

/// xhat: each group as a row of [`layer_norm`].
fn of_groups(x: &Var, [n, positions, groups, own]: [usize; 4], eps: f64) -> Result<Var> {
    let size = positions * own;
    let constant = |value| Tensor::full_on(x.value().device(), [size], value, x.dtype());
    let (one, zero) = (Var::from(constant(1.0)?), Var::from(constant(0.0)?));
    // A single group, or position, has its elements side by side already.
    let scattered = groups > 1 && positions > 1;
    let mut rows = x.clone();
    if scattered {
        rows = rows.reshape([n, positions, groups, own])?.transpose(1, 2)?;
    }
    let mut y = layer_norm(&rows.reshape([n * groups, size])?, &one, &zero, eps)?;
    if scattered {
        y = y.reshape([n, groups, positions, own])?.transpose(1, 2)?;
    }
    y.reshape(x.shape())
}

/// x in the type that compositions of several ops are computed in, f32 for 16 bits: rounded after
/// each op, they would lose a digit each time.
fn in_compute_type(x: &Var) -> Result<Var> {
    match x.dtype() {
        DType::BF16 | DType::F16 => x.cast(DType::F32),
        _ => Ok(x.clone()),
    }
}
