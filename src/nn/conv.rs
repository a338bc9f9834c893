//! Convolution layers.

use crate::nn::fan_in_uniform;
use crate::ops::{
    BatchStats, Dropout, conv_transpose2d, conv_transpose2d_with_stats, conv2d, gelu_dropout_conv2d,
};
use crate::params::{FileLayout, Names, ParamId};
use crate::tensor::window::Window;
use crate::{Module, Pass, Result, Shape, Var};

/// A convolution with bias, [`conv2d`]: weight `[c_out, kh, kw, c_in / groups]`.
pub struct Conv2d {
    name: String,
    weight: ParamId,
    bias: ParamId,
    window: Window,
}

impl Conv2d {
    /// Declares `name.weight` and `name.bias` for a square kernel.
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
        kernel: usize,
        window: Window,
    ) -> Result<Conv2d> {
        let ([c_in, c_out], mut names) = (channels, names.within(name));
        let layer = names.enter();
        window.check_layer("conv2d", channels, kernel, false)?;
        drop(layer);
        let shape = Shape::new(&[c_out, kernel, kernel, c_in / window.groups])?;
        let fan_in = c_in / window.groups * kernel * kernel;
        let weight = names.param(
            "weight",
            shape,
            fan_in_uniform(fan_in),
            FileLayout::ChannelsFirst,
        );
        let bias = names.param("bias", [c_out], fan_in_uniform(fan_in), FileLayout::Same);
        Ok(Conv2d {
            name: name.to_owned(),
            weight,
            bias,
            window,
        })
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
        let _layer = pass.enter(&*self.name);
        let (weight, bias) = (pass.var(self.weight)?, pass.var(self.bias)?);
        gelu_dropout_conv2d(
            x,
            &weight,
            Some(&bias),
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
        let _layer = pass.enter(&*self.name);
        conv2d(
            x,
            &pass.var(self.weight)?,
            Some(&pass.var(self.bias)?),
            self.window,
        )
    }
}

/// A transposed convolution with bias, [`conv_transpose2d`]: weight `[c_in, kh, kw, c_out /
/// groups]`.
pub struct ConvTranspose2d {
    name: String,
    weight: ParamId,
    bias: ParamId,
    window: Window,
}

impl ConvTranspose2d {
    /// Declares `name.weight` and `name.bias` for a square kernel.
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
        kernel: usize,
        window: Window,
    ) -> Result<ConvTranspose2d> {
        let ([c_in, c_out], mut names) = (channels, names.within(name));
        let layer = names.enter();
        window.check_layer("conv_transpose2d", channels, kernel, true)?;
        drop(layer);
        let shape = Shape::new(&[c_in, kernel, kernel, c_out / window.groups])?;
        // PyTorch reads a transposed kernel's fan-in off its second axis, which is the output's.
        let fan_in = c_out / window.groups * kernel * kernel;
        let weight = names.param(
            "weight",
            shape,
            fan_in_uniform(fan_in),
            FileLayout::ChannelsFirst,
        );
        let bias = names.param("bias", [c_out], fan_in_uniform(fan_in), FileLayout::Same);
        Ok(ConvTranspose2d {
            name: name.to_owned(),
            weight,
            bias,
            window,
        })
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
        let _layer = pass.enter(&*self.name);
        conv_transpose2d_with_stats(
            x,
            &pass.var(self.weight)?,
            Some(&pass.var(self.bias)?),
            self.window,
        )
    }
}

impl Module for ConvTranspose2d {
    /// `[n, h, w, c_in]` to `[n, oh, ow, c_out]`.
    ///
    /// # Errors
    /// Those of [`conv_transpose2d`].
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let _layer = pass.enter(&*self.name);
        conv_transpose2d(
            x,
            &pass.var(self.weight)?,
            Some(&pass.var(self.bias)?),
            self.window,
        )
    }
}
