//! The fully connected layer.

use super::{fan_in_uniform, optional};
use crate::ops::{Dropout, gelu_dropout_conv2d, linear};
use crate::params::{FileLayout, Names, ParamId};
use crate::tensor::window::Window;
use crate::{Error, Module, Pass, Result, Shape, Var};

/// y = x W' + b over the last axis, [`linear`]: weight `[c_out, c_in]`.
///
/// ```
/// use wavemix::{DType, Module, Params, Pass, Rng, Tensor, nn::Linear};
/// let declare = |names: &mut wavemix::params::Names| Linear::new(names, "head", [64, 10]);
/// let (head, params) = Params::declare(DType::F32, &Rng::new(0), declare)?;
/// let x = Tensor::ones([32, 64], DType::F32);
/// assert_eq!(head.forward(&Pass::eval(&params), &x.into())?.shape()[..], [32, 10]);
/// # Ok::<(), wavemix::Error>(())
/// ```
#[doc(alias = "nn.Linear")]
pub struct Linear {
    name: String,
    weight: ParamId,
    bias: Option<ParamId>,
}

impl Linear {
    /// Declares `name.weight` and `name.bias`.
    ///
    /// # Errors
    /// More elements than memory can hold.
    pub fn new(names: &mut Names, name: &str, [c_in, c_out]: [usize; 2]) -> Result<Linear> {
        Linear::with_layout(names, name, [c_in, c_out], FileLayout::Same, true)
    }

    /// y = x W': declares `name.weight` alone.
    ///
    /// # Errors
    /// More elements than memory can hold.
    pub fn without_bias(
        names: &mut Names,
        name: &str,
        [c_in, c_out]: [usize; 2],
    ) -> Result<Linear> {
        Linear::with_layout(names, name, [c_in, c_out], FileLayout::Same, false)
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
        let layout = FileLayout::Flattened {
            channels,
            height,
            width,
        };
        Linear::with_layout(names, name, [c_in, c_out], layout, true)
    }

    fn with_layout(
        names: &mut Names,
        name: &str,
        [c_in, c_out]: [usize; 2],
        layout: FileLayout,
        bias: bool,
    ) -> Result<Linear> {
        let (mut names, shape) = (names.within(name), Shape::new(&[c_out, c_in])?);
        let init = fan_in_uniform(c_in);
        let weight = names.param("weight", shape, init, layout);
        let bias = bias.then(|| names.param("bias", [c_out], init, FileLayout::Same));
        Ok(Linear {
            name: name.to_owned(),
            weight,
            bias,
        })
    }
}

impl Linear {
    /// As [`Module::forward`] of GELU and dropout of x, with x alone kept for the backward pass:
    /// [`gelu_dropout_conv2d`] with a kernel of one pixel.
    ///
    /// # Errors
    /// An x of another width; those of [`gelu_dropout_conv2d`].
    #[track_caller]
    pub fn forward_gelu_dropout(&self, pass: &Pass, x: &Var, p: f64) -> Result<Var> {
        let _layer = pass.enter(&*self.name);
        let (weight, bias) = (pass.var(self.weight)?, optional(pass, self.bias)?);
        let (c_out, c_in) = (weight.shape()[0], weight.shape()[1]);
        let Some(before) = x.shape().strip_suffix(&[c_in]) else {
            let expected = format!("[.., {c_in}]");
            return Err(Error::operand("linear", "x", expected, x.shape()));
        };
        let shape = Shape::new(&[before, &[c_out]].concat())?;
        let rows = x.reshape([before.iter().product(), 1, 1, c_in])?;
        let weight = weight.reshape([c_out, 1, 1, c_in])?;
        let rng = pass.rng();
        let dropout = Dropout {
            p,
            rng: rng.as_ref(),
        };
        gelu_dropout_conv2d(&rows, &weight, bias.as_ref(), Window::default(), dropout)?
            .reshape(shape)
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
        let bias = optional(pass, self.bias)?;
        linear(x, &pass.var(self.weight)?, bias.as_ref())
    }
}
