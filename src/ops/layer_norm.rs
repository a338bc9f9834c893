//! Layer normalisation: each position brought to mean 0 and variance 1 over its channels, then scaled and shifted.

use crate::autograd::Backward;
use crate::cpu::layer_norm as cpu;
use crate::{Error, Result, Tensor, Var};

/// Normalises over the last axis.
///
/// ```text
/// xhat = (x - mean) / sqrt(var + eps)      y = gamma xhat + beta
/// ```
///
/// **Shapes**: x and y `[.., c]`, gamma and beta `[c]`; mean and (biased) variance are over the c numbers of a position.
/// **Backward**: dbeta = sum of dy, dgamma = sum of dy xhat over the positions; with g = gamma dy,
/// dx = (g - mean of g - xhat mean of (g xhat)) / std.
/// **Saves**: x, and mean and 1 / std of each position.
/// **Errors**: gamma or beta not `[c]`, dtypes that differ, no channels.
/// **Source**: Ba, Kiros and Hinton (arXiv 1607.06450), section 3; `torch.nn.functional.layer_norm`.
#[track_caller]
pub fn layer_norm(x: &Var, gamma: &Var, beta: &Var, eps: f64) -> Result<Var> {
    let c = x.shape().last().copied().unwrap_or(0);
    if c == 0 {
        return Err(Error::operand("layer_norm", "x", "[.., c] with at least one channel", x.shape()));
    }
    for (name, vector) in [("gamma", gamma), ("beta", beta)] {
        crate::ops::same_float("layer_norm", ("x", x.value()), (name, vector.value()))?;
        if **vector.shape() != [c] {
            return Err(Error::operand("layer_norm", name, format!("[c = {c}]"), vector.shape()));
        }
    }
    let mut stats = Tensor::zeros([x.value().elements() / c, 2], x.dtype());
    let y = each_float!("layer_norm", x.dtype(), T => Tensor::build(*x.shape(), |y: &mut [T]| {
        cpu::forward([x.value().data(), gamma.value().data(), beta.value().data()], eps, y, stats.data_mut());
    }));
    Ok(Var::record("layer_norm", &[x, gamma, beta], y, || LayerNorm {
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
    /// As for batch normalisation, with rows and columns exchanged.
    fn backward(self: Box<Self>, dy: Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let LayerNorm { x, stats, gamma } = *self;
        let mut gradients = vec![None, None, None];
        if wanted[0] {
            gradients[0] = Some(each_float!("layer_norm", x.dtype(), T => Tensor::build(*x.shape(), |dx: &mut [T]| {
                cpu::backward_input([x.data(), dy.data(), gamma.data(), stats.data()], dx);
            })));
        }
        if wanted[1] || wanted[2] {
            let c = gamma.elements();
            let sums = each_float!("layer_norm", x.dtype(), T => {
                cpu::gradient_sums::<T>([x.data(), dy.data(), stats.data()], c)
            });
            for (i, sum) in sums.into_iter().enumerate().filter(|(i, _)| wanted[i + 1]) {
                gradients[i + 1] = Some(Tensor::from_vec(sum, [c])?.cast(x.dtype()));
            }
        }
        Ok(gradients)
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.x, &self.stats]
    }
}
