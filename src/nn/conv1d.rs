//! The convolution layer along rows.

use super::conv::{Kind, Sizes, Weights};
use crate::ops::conv1d;
use crate::params::Names;
use crate::tensor::window::Window1d;
use crate::{Module, Pass, Result, Var};

/// A convolution along rows of positions, [`conv1d`]: weight `[c_out, k, c_in / groups]`, in files
/// PyTorch's `[c_out, c_in / groups, k]`. Channels are last: `[n, length, c_in]`.
///
/// ```
/// use wavemix::{DType, Module, Params, Pass, Rng, Tensor, Window1d, nn::Conv1d};
/// let half = Window1d { stride: 2, padding: 1, ..Window1d::default() };
/// let (conv, params) = Params::declare(DType::F32, &Rng::new(0), |names| {
///     Conv1d::new(names, "conv", [3, 8], 3, half)
/// })?;
/// let x = Tensor::ones([2, 10, 3], DType::F32);
/// assert_eq!(conv.forward(&Pass::eval(&params), &x.into())?.shape()[..], [2, 5, 8]);
/// # Ok::<(), wavemix::Error>(())
/// ```
#[doc(alias = "nn.Conv1d")]
pub struct Conv1d {
    weights: Weights,
    window: Window1d,
}

impl Conv1d {
    /// Declares `name.weight` and `name.bias`, for channels `[c_in, c_out]` and this many elements
    /// of the kernel.
    ///
    /// # Errors
    /// What [`conv1d`] would refuse whatever the row: a kernel, stride, dilation or number of groups
    /// of 0, channels that the groups do not divide; more elements than memory can hold.
    #[track_caller]
    pub fn new(
        names: &mut Names,
        name: &str,
        channels: [usize; 2],
        kernel: usize,
        window: Window1d,
    ) -> Result<Conv1d> {
        let weights = Weights::declare(names, name, sizes(channels, kernel, window), true)?;
        Ok(Conv1d { weights, window })
    }

    /// One without a bias: declares `name.weight` alone.
    ///
    /// # Errors
    /// Those of [`Conv1d::new`].
    #[track_caller]
    pub fn without_bias(
        names: &mut Names,
        name: &str,
        channels: [usize; 2],
        kernel: usize,
        window: Window1d,
    ) -> Result<Conv1d> {
        let weights = Weights::declare(names, name, sizes(channels, kernel, window), false)?;
        Ok(Conv1d { weights, window })
    }
}

fn sizes(channels: [usize; 2], kernel: usize, window: Window1d) -> Sizes {
    Sizes {
        kind: Kind::Conv1d,
        channels,
        kernel: [1, kernel],
        window: window.into(),
    }
}

impl Module for Conv1d {
    /// `[n, length, c_in]` to `[n, length', c_out]`.
    ///
    /// # Errors
    /// Those of [`conv1d`].
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let _layer = pass.enter(&*self.weights.name);
        let (weight, bias) = self.weights.of(pass)?;
        conv1d(x, &weight, bias.as_ref(), self.window)
    }
}
