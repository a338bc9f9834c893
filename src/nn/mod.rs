//! Layers: ops with named weights.
//!
//! A layer holds the names of its weights, not the weights: those live in
//! [`Params`](crate::Params), and each `forward` gets them from a [`Pass`]. Names,
//! shapes in files and first values are those of PyTorch's layer of the same name, so state dicts
//! of either load into the other. Weights of linear layers and convolutions begin uniform within 1
//! / sqrt(fan-in), which is what Kaiming's rule with a = sqrt(5) comes to, biases likewise; layers
//! that begin otherwise say so.
//!
//! | layer | in `torch.nn` |
//! |---|---|
//! | [`Linear`] | `Linear` |
//! | [`Conv1d`], [`Conv2d`], [`ConvTranspose2d`] | the same, channels last |
//! | [`BatchNorm`] | `BatchNorm1d`, `BatchNorm2d`, channels last |
//! | [`LayerNorm`] | `LayerNorm` over the last axis |
//! | [`GroupNorm`] | `GroupNorm`, channels last |
//! | [`RmsNorm`] | `RMSNorm` over the last axis |
//! | [`Dropout`] | `Dropout` |
//! | [`Embedding`] | `Embedding` |
//! | [`MultiHeadAttention`] | `MultiheadAttention` with `batch_first=True` |
//! | [`Sequential`] | `Sequential` |
//! | [`Sequential::apply`] of [`Var::relu`] and the like, or a closure | `ReLU`, `GELU`, `Flatten`, .. |
//!
//! What the constructor does not ask for has PyTorch's default; `without_bias` makes a layer that
//! has none, and `with_eps` and the like change the rest.

mod attention;
mod batch_norm;
mod conv;
mod conv1d;
mod dropout;
mod embedding;
mod gradcheck_params;
mod group_norm;
mod layer_norm;
mod linear;
pub mod module;
pub mod pass;
mod rms_norm;
mod sequential;

pub use attention::MultiHeadAttention;
pub use batch_norm::BatchNorm;
pub use conv::{Conv2d, ConvTranspose2d};
pub use conv1d::Conv1d;
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use gradcheck_params::gradcheck_params;
pub use group_norm::GroupNorm;
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use module::Module;
pub use rms_norm::RmsNorm;
pub use sequential::Sequential;

use crate::params::{Init, Names, ParamId};
use crate::{Error, Pass, Result, Var};

/// What normalising layers add to the variance, or to the mean square; PyTorch's default of most.
const EPS: f64 = 1e-5;

/// PyTorch's default for weights and biases: uniform within 1 / sqrt(fan_in); 0 for the bias of a
/// layer without inputs.
fn fan_in_uniform(fan_in: usize) -> Init {
    Init::Uniform(if fan_in == 0 {
        0.0
    } else {
        1.0 / (fan_in as f64).sqrt()
    })
}

/// A parameter that the layer may lack.
#[track_caller]
fn optional(pass: &Pass, id: Option<ParamId>) -> Result<Option<Var>> {
    match id {
        Some(id) => Ok(Some(pass.var(id)?)),
        None => Ok(None),
    }
}

/// Checks that a normalising layer has channels, which its op asks for.
#[track_caller]
fn check_channels(names: &Names, op: &'static str, channels: usize) -> Result<()> {
    if channels == 0 {
        let _layer = names.enter();
        return Err(Error::operand(op, "channels", "1 or more", 0));
    }
    Ok(())
}
