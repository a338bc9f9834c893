//! Layers: ops that own weights.
//!
//! A layer holds the names of its weights, not the weights: those live in
//! [`Params`](crate::Params), and each `forward` gets them from a [`Pass`](crate::Pass). Weights
//! begin as PyTorch's do: uniform within 1 / sqrt(fan-in), which is what Kaiming's rule with a =
//! sqrt(5) comes to, biases likewise.

mod batch_norm;
mod conv;
mod linear;
pub mod module;
pub mod pass;

pub use batch_norm::BatchNorm;
pub use conv::{Conv2d, ConvTranspose2d};
pub use linear::Linear;
pub use module::Module;

use crate::params::Init;

/// PyTorch's default for weights and biases: uniform within 1 / sqrt(fan_in); 0 for the bias of a
/// layer without inputs.
fn fan_in_uniform(fan_in: usize) -> Init {
    Init::Uniform(if fan_in == 0 {
        0.0
    } else {
        1.0 / (fan_in as f64).sqrt()
    })
}
