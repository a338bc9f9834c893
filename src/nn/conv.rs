//! Convolution layers of images.

use super::{fan_in_uniform, optional};
use crate::ops::{
    BatchStats, Dropout, conv_transpose2d, conv_transpose2d_with_stats, conv2d, gelu_dropout_conv2d,
};
use crate::params::{FileLayout, Names, ParamId};
use crate::tensor::window::{KernelSize, Window};
use crate::{Module, Pass, Result, Shape, Var};

/// Which convolution a layer computes.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Conv1d,
    Conv2d,
    ConvTranspose2d,
}

/// What a convolution layer is declared with: channels `[c_in, c_out]`, rows and columns of the
/// kernel, and how it moves.
pub(super) struct Sizes {
    pub kind: Kind,
    pub channels: [usize; 2],
    pub kernel: [usize; 2],
    pub window: Window,
}

/// The weights of a convolution layer.
pub(super) struct Weights {
    pub name: String,
    weight: ParamId,
    bias: Option<ParamId>,
}

impl Weights {
    /// Declares `name.weight`, and `name.bias` where there is one.
    #[track_caller]
    pub fn declare(names: &mut Names, name: &str, sizes: Sizes, bias: bool) -> Result<Weights> {
        let Sizes {
            kind,
            channels,
            kernel,
            window,
        } = sizes;
        let mut names = names.within(name);
        let (op, transposed) = match kind {
            Kind::Conv1d => ("conv1d", false),
            Kind::Conv2d => ("conv2d", false),
            Kind::ConvTranspose2d => ("conv_transpose2d", true),
        };
        let layer = names.enter();
        window.check_layer(op, channels, kernel, transposed)?;
        drop(layer);
        let ([c_in, c_out], [kh, kw]) = (channels, kernel);
        // A transposed convolution's weight has its inputs outermost.
        let [outer, inner] = if transposed {
            [c_in, c_out]
        } else {
            [c_out, c_in]
        };
        let inner = inner / window.groups;
        let shape = match kind {
            Kind::Conv1d => Shape::new(&[outer, kw, inner])?,
            _ => Shape::new(&[outer, kh, kw, inner])?,
        };
        // PyTorch reads the fan-in off all axes but the outermost, so a transposed kernel's off the
        // output's channels.
        let init = fan_in_uniform(inner * kh * kw);
        let weight = names.param("weight", shape, init, FileLayout::ChannelsFirst);
        let bias = bias.then(|| names.param("bias", [c_out], init, FileLayout::Same));
        Ok(Weights {
            name: name.to_owned(),
            weight,
            bias,
        })
    }

    /// Weight and bias as the pass has them.
    #[track_caller]
    pub fn of(&self, pass: &Pass) -> Result<(Var, Option<Var>)> {
        Ok((pass.var(self.weight)?, optional(pass, self.bias)?))
    }
}

/// A convolution, [`conv2d`]: weight `[c_out, kh, kw, c_in / groups]`, in files PyTorch's `[c_out, c_in
/// / groups, kh, kw]`.
///
/// ```
/// use wavemix::{DType, Module, Params, Pass, Rng, Tensor, Window, nn::Conv2d};
/// let (layers, params) = Params::declare(DType::F32, &Rng::new(0), |names| {
///     Ok([
///         Conv2d::new(names, "square", [3, 8], 3, Window::padded(1))?,
///         Conv2d::without_bias(names, "wide", [8, 8], [1, 5], Window::default())?,
///     ])
/// })?;
/// let (pass, mut x) = (Pass::eval(&params), Tensor::ones([2, 9, 9, 3], DType::F32).into());
/// for layer in &layers {
///     x = layer.forward(&pass, &x)?;
/// }
/// assert_eq!(x.shape()[..], [2, 9, 5, 8]);
/// # Ok::<(), wavemix::Error>(())
/// ```
#[doc(alias = "nn.Conv2d")]
pub struct Conv2d {
    weights: Weights,
    window: Window,
}

impl Conv2d {
    /// Declares `name.weight` and `name.bias` for channels `[c_in, c_out]` and a kernel
    /// of this size: one number for a square, `[rows, columns]` for others.
    ///
    /// # Errors
    /// What [`conv2d`] would refuse whatever the image: a kernel, stride, dilation or number of
    /// groups of 0, an output padding, channels that the groups do not divide; more elements than
    /// memory can hold.
    #[track_caller]
    pub fn new(
        names: &mut Names,
        name: &str,
        channels: [usize; 2],
        kernel: impl Into<KernelSize>,
        window: Window,
    ) -> Result<Conv2d> {
        Conv2d::declare(
            names,
            name,
            sizes(Kind::Conv2d, channels, kernel, window),
            true,
        )
    }

    /// One without a bias: declares `name.weight` alone.
    ///
    /// # Errors
    /// Those of [`Conv2d::new`].
    #[track_caller]
    pub fn without_bias(
        names: &mut Names,
        name: &str,
        channels: [usize; 2],
        kernel: impl Into<KernelSize>,
        window: Window,
    ) -> Result<Conv2d> {
        Conv2d::declare(
            names,
            name,
            sizes(Kind::Conv2d, channels, kernel, window),
            false,
        )
    }

    #[track_caller]
    fn declare(names: &mut Names, name: &str, sizes: Sizes, bias: bool) -> Result<Conv2d> {
        let window = sizes.window;
        let weights = Weights::declare(names, name, sizes, bias)?;
        Ok(Conv2d { weights, window })
    }

    /// A 1x1 convolution: a linear layer at every pixel.
    ///
    /// # Errors
    /// Those of [`Conv2d::new`].
    #[track_caller]
    pub fn pointwise(names: &mut Names, name: &str, channels: [usize; 2]) -> Result<Conv2d> {
        Conv2d::new(names, name, channels, 1, Window::default())
    }

    /// As [`Module::forward`] of GELU and dropout of x, with x alone kept for the backward pass:
    /// [`gelu_dropout_conv2d`].
    ///
    /// # Errors
    /// Those of [`gelu_dropout_conv2d`].
    #[track_caller]
    pub fn forward_gelu_dropout(&self, pass: &Pass, x: &Var, p: f64) -> Result<Var> {
        let _layer = pass.enter(&*self.weights.name);
        let (weight, bias) = self.weights.of(pass)?;
        gelu_dropout_conv2d(
            x,
            &weight,
            bias.as_ref(),
            self.window,
            Dropout {
                p,
                rng: pass.rng().as_ref(),
            },
        )
    }
}

impl Module for Conv2d {
    /// `[n, h, w, c_in]` to `[n, oh, ow, c_out]`.
    ///
    /// # Errors
    /// Those of [`conv2d`].
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let _layer = pass.enter(&*self.weights.name);
        let (weight, bias) = self.weights.of(pass)?;
        conv2d(x, &weight, bias.as_ref(), self.window)
    }
}

/// A transposed convolution, [`conv_transpose2d`]: weight `[c_in, kh, kw, c_out / groups]`, in files
/// PyTorch's `[c_in, c_out / groups, kh, kw]`.
///
/// ```
/// use wavemix::{DType, Module, Params, Pass, Rng, Tensor, nn::ConvTranspose2d};
/// let (up, params) = Params::declare(DType::F32, &Rng::new(0), |names| {
///     ConvTranspose2d::enlarging(names, "up", [8, 3], 2)
/// })?;
/// let x = Tensor::ones([1, 4, 6, 8], DType::F32);
/// assert_eq!(up.forward(&Pass::eval(&params), &x.into())?.shape()[..], [1, 8, 12, 3]);
/// # Ok::<(), wavemix::Error>(())
/// ```
#[doc(alias = "nn.ConvTranspose2d")]
pub struct ConvTranspose2d {
    weights: Weights,
    window: Window,
}

impl ConvTranspose2d {
    /// Declares `name.weight` and `name.bias` for channels `[c_in, c_out]` and a kernel
    /// of this size: one number for a square, `[rows, columns]` for others.
    ///
    /// # Errors
    /// What [`conv_transpose2d`] would refuse whatever the image: a kernel, stride, dilation or
    /// number of groups of 0, an output padding of the stride or more, channels that the groups do
    /// not divide; more elements than memory can hold.
    #[track_caller]
    pub fn new(
        names: &mut Names,
        name: &str,
        channels: [usize; 2],
        kernel: impl Into<KernelSize>,
        window: Window,
    ) -> Result<ConvTranspose2d> {
        ConvTranspose2d::declare(
            names,
            name,
            sizes(Kind::ConvTranspose2d, channels, kernel, window),
            true,
        )
    }

    /// One without a bias: declares `name.weight` alone.
    ///
    /// # Errors
    /// Those of [`ConvTranspose2d::new`].
    #[track_caller]
    pub fn without_bias(
        names: &mut Names,
        name: &str,
        channels: [usize; 2],
        kernel: impl Into<KernelSize>,
        window: Window,
    ) -> Result<ConvTranspose2d> {
        ConvTranspose2d::declare(
            names,
            name,
            sizes(Kind::ConvTranspose2d, channels, kernel, window),
            false,
        )
    }

    #[track_caller]
    fn declare(names: &mut Names, name: &str, sizes: Sizes, bias: bool) -> Result<ConvTranspose2d> {
        let window = sizes.window;
        let weights = Weights::declare(names, name, sizes, bias)?;
        Ok(ConvTranspose2d { weights, window })
    }

    /// One that enlarges both sides `factor` times: kernel `factor + 2`, stride `factor`, padding
    /// 1.
    ///
    /// # Errors
    /// Those of [`ConvTranspose2d::new`].
    #[track_caller]
    pub fn enlarging(
        names: &mut Names,
        name: &str,
        channels: [usize; 2],
        factor: usize,
    ) -> Result<ConvTranspose2d> {
        let window = Window {
            stride: [factor; 2],
            padding: [1; 2],
            ..Window::default()
        };
        ConvTranspose2d::new(names, name, channels, factor.saturating_add(2), window)
    }

    /// As [`Module::forward`], and in training the statistics for
    /// [`BatchNorm::forward_add`](crate::nn::BatchNorm::forward_add), where they cost less made at
    /// once: [`conv_transpose2d_with_stats`].
    ///
    /// # Errors
    /// Those of [`conv_transpose2d`].
    #[track_caller]
    pub fn forward_with_stats(&self, pass: &Pass, x: &Var) -> Result<(Var, Option<BatchStats>)> {
        if !pass.is_training() {
            return Ok((self.forward(pass, x)?, None));
        }
        let _layer = pass.enter(&*self.weights.name);
        let (weight, bias) = self.weights.of(pass)?;
        conv_transpose2d_with_stats(x, &weight, bias.as_ref(), self.window)
    }
}

impl Module for ConvTranspose2d {
    /// `[n, h, w, c_in]` to `[n, oh, ow, c_out]`.
    ///
    /// # Errors
    /// Those of [`conv_transpose2d`].
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let _layer = pass.enter(&*self.weights.name);
        let (weight, bias) = self.weights.of(pass)?;
        conv_transpose2d(x, &weight, bias.as_ref(), self.window)
    }
}

fn sizes(kind: Kind, channels: [usize; 2], kernel: impl Into<KernelSize>, window: Window) -> Sizes {
    let KernelSize(kernel) = kernel.into();
    Sizes {
        kind,
        channels,
        kernel,
        window,
    }
}
