//! What is known of one parameter beside its values.

use crate::Shape;
use crate::params::FileLayout;

/// How a parameter begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Uniform in [-bound, bound).
    Uniform(f64),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// The same without what lies outside of -2..=2, as PyTorch's `trunc_normal_`:
    /// [`Tensor::truncated_normal`](crate::Tensor::truncated_normal).
    TruncatedNormal(f64),
    /// All elements the same.
    Constant(f64),
}

impl Init {
    /// Kaiming's rule for layers before a ReLU: normal with variance 2 / fan. The fan is the number
    /// of inputs that an output has or, for fan-out, of outputs that an input has; PyTorch takes
    /// for fan-out `c_out kh kw` whatever the groups.
    pub fn kaiming_normal(fan: usize) -> Init {
        Init::Normal((2.0 / fan.max(1) as f64).sqrt())
    }

    /// Kaiming's rule with a uniform distribution of the same variance, 2 / fan: PyTorch's
    /// `kaiming_uniform_` for ReLU.
    pub fn kaiming_uniform(fan: usize) -> Init {
        Init::Uniform((6.0 / fan.max(1) as f64).sqrt())
    }

    /// Xavier's rule: uniform with variance 2 / (fan-in + fan-out), PyTorch's `xavier_uniform_`. Of
    /// a convolution the fans are `kh kw c_in` and `kh kw c_out`.
    pub fn xavier_uniform(fan_in: usize, fan_out: usize) -> Init {
        Init::Uniform((6.0 / fan_in.saturating_add(fan_out).max(1) as f64).sqrt())
    }
}

/// What an optimizer does with one parameter, relative to its own settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// Multiplies the learning rate.
    pub lr_scale: f64,
    /// Multiplies the weight decay.
    pub decay_scale: f64,
    /// Left as it is. Optimizers do not change it, and a [`Pass`](crate::Pass) gives it to its
    /// layer as a constant: frozen layers with nothing trained before them are not differentiated,
    /// others only with respect to their input.
    ///
    /// As in PyTorch, training stays training in frozen layers: dropout drops, and BatchNorm
    /// normalises by the batch and moves its running statistics. To keep those too, run the frozen
    /// layers in [`Pass::eval`](crate::Pass::eval), whose output the layers of a training pass take
    /// as a constant.
    pub frozen: bool,
}

impl Default for Group {
    fn default() -> Group {
        Group {
            lr_scale: 1.0,
            decay_scale: 1.0,
            frozen: false,
        }
    }
}

/// One parameter's place in the arena.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its dotted name, `layers.3.reduction.weight`.
    pub name: String,
    /// Its shape in memory.
    pub shape: Shape,
    /// Where it starts in the arena, in elements: a multiple of 16.
    pub offset: usize,
    /// How it begins.
    pub init: Init,
    /// Its axes' order in files.
    pub layout: FileLayout,
    /// What optimizers do with it.
    pub group: Group,
}
