//! wavemix: a from-scratch ndarray, reverse-mode autograd and optimizer stack, and the WaveMix image models on top.

pub mod data;
pub mod error;
pub mod rng;
pub mod trace;

pub use error::{Error, Result};
pub use rng::Rng;
