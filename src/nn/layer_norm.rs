//! Layer normalisation.

use super::{EPS, check_channels};
use crate::ops::layer_norm;
use crate::params::{FileLayout, Init, Names, ParamId};
use crate::{Module, Pass, Result, Tensor, Var};

/// Each position shifted and scaled to mean 0 and variance 1 over its channels, then each channel by
/// its own weight and bias, [`layer_norm`]. Weights begin as 1, biases as 0; both stay f32 in a pass
/// of 16 bits.
///
/// ```
/// use wavemix::{DType, Module, Params, Pass, Rng, Tensor, nn::LayerNorm};
/// let declare = |names: &mut wavemix::params::Names| LayerNorm::new(names, "norm", 4);
/// let (norm, params) = Params::declare(DType::F64, &Rng::new(0), declare)?;
/// let x = Tensor::from_vec(vec![1.0, 5.0, 1.0, 5.0], [1, 4])?;
/// let y = norm.with_eps(0.0).forward(&Pass::eval(&params), &x.into())?;
/// assert_eq!(y.to_vec::<f64>()?, [-1.0, 1.0, -1.0, 1.0]);
/// # Ok::<(), wavemix::Error>(())
/// ```
#[doc(alias = "nn.LayerNorm")]
pub struct LayerNorm {
    name: String,
    weight: ParamId,
    bias: Option<ParamId>,
    eps: f64,
}

impl LayerNorm {
    /// Declares `name.weight` and `name.bias` for this many channels, the last axis.
    ///
    /// # Errors
    /// No channels.
    #[track_caller]
    pub fn new(names: &mut Names, name: &str, channels: usize) -> Result<LayerNorm> {
        LayerNorm::declare(names, name, channels, true)
    }

    /// One that scales, but does not shift.
    ///
    /// # Errors
    /// Those of [`LayerNorm::new`].
    #[track_caller]
    pub fn without_bias(names: &mut Names, name: &str, channels: usize) -> Result<LayerNorm> {
        LayerNorm::declare(names, name, channels, false)
    }

    #[track_caller]
    fn declare(names: &mut Names, name: &str, channels: usize, bias: bool) -> Result<LayerNorm> {
        let mut names = names.within(name);
        check_channels(&names, "layer_norm", channels)?;
        let mut vector =
            |name, value| names.param(name, [channels], Init::Constant(value), FileLayout::Same);
        Ok(LayerNorm {
            name: name.to_owned(),
            weight: vector("weight", 1.0),
            bias: bias.then(|| vector("bias", 0.0)),
            eps: EPS,
        })
    }

    /// The same layer with another number added to the variance than 1e-5.
    #[must_use]
    pub fn with_eps(self, eps: f64) -> LayerNorm {
        LayerNorm { eps, ..self }
    }
}

impl Module for LayerNorm {
    /// `[.., channels]` to the same shape.
    ///
    /// # Errors
    /// Those of [`layer_norm`].
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let _layer = pass.enter(&*self.name);
        let weight = pass.uncast(self.weight)?;
        let bias = match self.bias {
            Some(bias) => pass.uncast(bias)?,
            None => {
                let w = weight.value();
                Tensor::full_on(w.device(), w.shape(), 0.0, w.dtype())?.into()
            }
        };
        layer_norm(x, &weight, &bias, self.eps)
    }
}
