//! The fully connected layer.

use crate::nn::fan_in_uniform;
use crate::ops::linear;
use crate::params::{FileLayout, Names, ParamId};
use crate::{Module, Pass, Result, Shape, Var};

/// y = x W' + b over the last axis, [`linear`]: weight `[c_out, c_in]`.
pub struct Linear {
    name: String,
    weight: ParamId,
    bias: ParamId,
}

impl Linear {
    /// Declares `name.weight` and `name.bias`.
    ///
    /// # Errors
    /// More elements than memory can hold.
    pub fn new(names: &mut Names, name: &str, [c_in, c_out]: [usize; 2]) -> Result<Linear> {
        Linear::with_layout(names, name, [c_in, c_out], FileLayout::Same)
    }

    /// A layer behind a flattened map of `[height, width, channels]`, which has c_in = height *
    /// width * channels inputs.
    ///
    /// Its weight has the order of PyTorch's `Linear` behind `Flatten` in files
    /// ([`FileLayout::Flattened`]), so weights of either can be used in the other.
    ///
    /// # Errors
    /// More elements than memory can hold.
    pub fn flattened(
        names: &mut Names,
        name: &str,
        map: [usize; 3],
        c_out: usize,
    ) -> Result<Linear> {
        let ([height, width, channels], c_in) = (map, Shape::new(&map)?.elements());
        Linear::with_layout(
            names,
            name,
            [c_in, c_out],
            FileLayout::Flattened {
                channels,
                height,
                width,
            },
        )
    }

    fn with_layout(
        names: &mut Names,
        name: &str,
        [c_in, c_out]: [usize; 2],
        layout: FileLayout,
    ) -> Result<Linear> {
        let (mut names, shape) = (names.within(name), Shape::new(&[c_out, c_in])?);
        let weight = names.param("weight", shape, fan_in_uniform(c_in), layout);
        let bias = names.param("bias", [c_out], fan_in_uniform(c_in), FileLayout::Same);
        Ok(Linear {
            name: name.to_owned(),
            weight,
            bias,
        })
    }
}

impl Module for Linear {
    /// `[.., c_in]` to `[.., c_out]`.
    ///
    /// # Errors
    /// Those of [`linear`].
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let _layer = pass.enter(&*self.name);
        linear(x, &pass.var(self.weight)?, Some(&pass.var(self.bias)?))
    }
}
