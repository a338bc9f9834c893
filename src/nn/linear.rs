//! The fully connected layer.

use crate::nn::fan_in_uniform;
use crate::ops::linear;
use crate::params::{FileLayout, Names, ParamId};
use crate::{Pass, Result, Var};

/// y = x W' + b over the last axis, [`linear`]: weight `[c_out, c_in]`.
pub struct Linear {
    name: String,
    weight: ParamId,
    bias: ParamId,
}

impl Linear {
    /// Declares `name.weight` and `name.bias`.
    pub fn new(names: &mut Names, name: &str, [c_in, c_out]: [usize; 2]) -> Linear {
        let mut names = names.within(name);
        let weight = names.param("weight", [c_out, c_in], fan_in_uniform(c_in), FileLayout::Same);
        let bias = names.param("bias", [c_out], fan_in_uniform(c_in), FileLayout::Same);
        Linear { name: name.to_owned(), weight, bias }
    }

    /// `[.., c_in]` to `[.., c_out]`.
    ///
    /// # Errors
    /// Those of [`linear`].
    #[track_caller]
    pub fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let _layer = pass.enter(&*self.name);
        linear(x, &pass.var(self.weight), Some(&pass.var(self.bias)))
    }
}
