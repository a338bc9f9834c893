//! Normalisation by the root mean square.

use super::check_channels;
use crate::ops::rms_norm;
use crate::params::{FileLayout, Init, Names, ParamId};
use crate::{Module, Pass, Result, Var};

/// PyTorch's default for f32: the distance from 1 to the next number.
const EPS: f64 = f32::EPSILON as f64;

/// Each position divided by the root of its mean square, then each channel scaled by its own weight,
/// [`rms_norm`]. Weights begin as 1, and stay f32 in a pass of 16 bits.
///
/// ```
/// use wavemix::{DType, Module, Params, Pass, Rng, Tensor, nn::RmsNorm};
/// let declare = |names: &mut wavemix::params::Names| RmsNorm::new(names, "norm", 2);
/// let (norm, params) = Params::declare(DType::F64, &Rng::new(0), declare)?;
/// let x = Tensor::from_vec(vec![-2.0, 2.0], [1, 2])?;
/// let y = norm.with_eps(0.0).forward(&Pass::eval(&params), &x.into())?;
/// assert_eq!(y.to_vec::<f64>()?, [-1.0, 1.0]);
/// # Ok::<(), wavemix::Error>(())
/// ```
#[doc(alias = "nn.RMSNorm")]
pub struct RmsNorm {
    name: String,
    weight: ParamId,
    eps: f64,
}

impl RmsNorm {
    /// Declares `name.weight` for this many channels, the last axis.
    ///
    /// # Errors
    /// No channels.
    #[track_caller]
    pub fn new(names: &mut Names, name: &str, channels: usize) -> Result<RmsNorm> {
        let mut names = names.within(name);
        check_channels(&names, "rms_norm", channels)?;
        Ok(RmsNorm {
            name: name.to_owned(),
            weight: names.param("weight", [channels], Init::Constant(1.0), FileLayout::Same),
            eps: EPS,
        })
    }

    /// The same layer with another number added to the mean square than 2^-23, which is PyTorch's
    /// default for f32.
    #[must_use]
    pub fn with_eps(self, eps: f64) -> RmsNorm {
        RmsNorm { eps, ..self }
    }
}

impl Module for RmsNorm {
    /// `[.., channels]` to the same shape.
    ///
    /// # Errors
    /// Those of [`rms_norm`].
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let _layer = pass.enter(&*self.name);
        rms_norm(x, &pass.uncast(self.weight)?, self.eps)
    }
}
