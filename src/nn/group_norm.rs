//! Group normalisation.

use super::{EPS, check_channels};
use crate::ops::group_norm;
use crate::params::{FileLayout, Init, Names, ParamId};
use crate::{Error, Module, Pass, Result, Var};

/// Each group of channels of each image shifted and scaled to mean 0 and variance 1, then each
/// channel by its own weight and bias, [`group_norm`]. Weights begin as 1, biases as 0; both stay f32
/// in a pass of 16 bits.
///
/// It does the same in training and evaluation, and for any number of images.
///
/// ```
/// use wavemix::{DType, Module, Params, Pass, Rng, Tensor, nn::GroupNorm};
/// let declare = |names: &mut wavemix::params::Names| GroupNorm::new(names, "norm", 4, 32);
/// let (norm, params) = Params::declare(DType::F32, &Rng::new(0), declare)?;
/// let images = Tensor::normal([2, 8, 8, 32], 3.0, 2.0, DType::F32, &Rng::new(1));
/// let y = norm.forward(&Pass::eval(&params), &images.into())?;
/// assert!(y.mean(..)?.item()?.abs() < 1e-5);
/// # Ok::<(), wavemix::Error>(())
/// ```
#[doc(alias = "nn.GroupNorm")]
pub struct GroupNorm {
    name: String,
    weight: ParamId,
    bias: ParamId,
    groups: usize,
    eps: f64,
}

impl GroupNorm {
    /// Declares `name.weight` and `name.bias` for this many channels, the last axis, in `groups`
    /// equal runs.
    ///
    /// # Errors
    /// No channels, or groups that do not divide them.
    #[track_caller]
    pub fn new(names: &mut Names, name: &str, groups: usize, channels: usize) -> Result<GroupNorm> {
        let mut names = names.within(name);
        check_channels(&names, "group_norm", channels)?;
        if groups == 0 || !channels.is_multiple_of(groups) {
            let _layer = names.enter();
            let expected = format!("a divisor of the {channels} channels");
            return Err(Error::operand("group_norm", "groups", expected, groups));
        }
        Ok(GroupNorm {
            name: name.to_owned(),
            weight: names.param("weight", [channels], Init::Constant(1.0), FileLayout::Same),
            bias: names.param("bias", [channels], Init::Constant(0.0), FileLayout::Same),
            groups,
            eps: EPS,
        })
    }

    /// The same layer with another number added to the variance than 1e-5.
    #[must_use]
    pub fn with_eps(self, eps: f64) -> GroupNorm {
        GroupNorm { eps, ..self }
    }
}

impl Module for GroupNorm {
    /// `[n, .., channels]` to the same shape.
    ///
    /// # Errors
    /// Those of [`group_norm`].
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let _layer = pass.enter(&*self.name);
        let (weight, bias) = (pass.uncast(self.weight)?, pass.uncast(self.bias)?);
        group_norm(x, self.groups, &weight, &bias, self.eps)
    }
}
