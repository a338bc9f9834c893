//! Layer normalisation: each position brought to mean 0 and variance 1 over its channels, then
//! scaled and shifted. Groups of channels are in `layer_norm/group_norm.rs`, division by the root mean
//! square in `layer_norm/rms_norm.rs`.

mod group_norm;
mod rms_norm;

pub use group_norm::group_norm;
pub use rms_norm::rms_norm;

use crate::autograd::Backward;
use crate::autograd::trace::{Attributes, Op};
use crate::cpu::layer_norm as cpu;
use crate::cuda::layer_norm as cuda;
use crate::{DType, Error, Result, Tensor, Var};

/// Normalises over the last axis.
///
/// ```text
/// xhat = (x - mean) / sqrt(var + eps)      y = gamma xhat + beta
/// ```
///
/// **Shapes**: x and y `[.., c]`, gamma and beta `[c]`; mean and (biased) variance are over the c
/// numbers of a position.
/// **Backward**: dbeta = sum of dy, dgamma = sum of dy xhat over the positions; with g = gamma dy,
/// dx = (g - mean of g - xhat mean of (g xhat)) / std. Where var + eps is 0, 1 / std counts as 0: y
/// is beta, dx is 0.
/// **Saves**: x, gamma, and mean and 1 / std of each position.
/// **Errors**: gamma or beta not `[c]`, dtypes that differ, no channels.
/// **Source**: Ba, Kiros and Hinton (arXiv 1607.06450), section 3;
/// `torch.nn.functional.layer_norm`.
#[track_caller]
pub fn layer_norm(x: &Var, gamma: &Var, beta: &Var, eps: f64) -> Result<Var> {
    let c = x.shape().last().copied().unwrap_or(0);
    if c == 0 {
        return Err(Error::operand(
            "layer_norm",
            "x",
            "[.., c] with at least one channel",
            x.shape(),
        ));
    }
    for vector in [("gamma", gamma), ("beta", beta)] {
        check_vector("layer_norm", x, vector)?;
    }
    let [gamma, beta] = &crate::ops::one_type(gamma, beta)?;
    normalised("layer_norm", x, gamma, Some(beta), eps)
}

/// x over the last axis, centered and shifted where there is a beta. Operands have been checked.
fn normalised(op: &'static str, x: &Var, gamma: &Var, beta: Option<&Var>, eps: f64) -> Result<Var> {
    if let Some(wide) = super::as_f32(x)? {
        let gamma = gamma.cast(DType::F32)?;
        let beta = beta.map(|beta| beta.cast(DType::F32)).transpose()?;
        return normalised(op, &wide, &gamma, beta.as_ref(), eps)?.cast(x.dtype());
    }
    let (from, weight, bias) = (x.value(), gamma.value(), beta.map(Var::value));
    // Where x has 16 bits, its statistics are f32.
    let wide = if from.dtype() == DType::F64 {
        DType::F64
    } else {
        DType::F32
    };
    let positions = from.elements() / weight.elements();
    let mut stats = Tensor::full_on(from.device(), [positions, 2], 0.0, wide)?;
    let y = on_device!(op, from in [f32, f64] => x.shape();
        forward(@from, @weight, ?bias, eps, => stats))?;
    let mut inputs = vec![x, gamma];
    inputs.extend(beta);
    let op = Op::from(op).with_attributes(Attributes::Normalisation(eps, None));
    Ok(Var::record(op, &inputs, y, || LayerNorm {
        x: x.value().clone(),
        stats,
        gamma: gamma.value().clone(),
    }))
}

struct LayerNorm {
    x: Tensor,
    /// Each position's mean and 1 / std, `[positions, 2]`.
    stats: Tensor,
    gamma: Tensor,
}

impl Backward for LayerNorm {
    /// As for batch normalisation, with rows and columns exchanged. Without a beta, the RMS norm, no
    /// mean was taken off.
    fn backward(self: Box<Self>, dy: Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let LayerNorm { x, stats, gamma } = *self;
        let mut gradients = vec![None; wanted.len()];
        let centered = wanted.len() == 3;
        if wanted[0] {
            gradients[0] = Some(on_device!("layer_norm", x in [f32, f64] => x.shape();
                backward_input(@[x, dy, stats], @gamma, centered))?);
        }
        if wanted[1..].contains(&true) {
            let c = gamma.elements();
            let sums = on_device!("layer_norm", x in [f32, f64] => [2 * c], of compute;
                gradient_sums(@[x, dy, stats]))?;
            for i in (0..wanted.len() - 1).filter(|i| wanted[i + 1]) {
                gradients[i + 1] = Some(sums.rows(i * c..(i + 1) * c)?.cast(gamma.dtype())?);
            }
        }
        Ok(gradients)
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.x, &self.stats, &self.gamma]
    }
}

/// Checks that a vector has an element for each channel, in a type that goes with x's.
#[track_caller]
fn check_vector(op: &'static str, x: &Var, (name, vector): (&'static str, &Var)) -> Result<()> {
    crate::ops::same_float_or_f32(op, x.value(), (name, vector.value()))?;
    let c = x.shape().last().copied().unwrap_or(0);
    if **vector.shape() != [c] {
        let expected = format!("[c = {c}]");
        return Err(Error::operand(op, name, expected, vector.shape()));
    }
    Ok(())
}
