//! wavemix: a from-scratch ndarray, reverse-mode autograd and optimizer stack, and the WaveMix image models on top.

#[macro_use]
mod dispatch;

pub mod autograd;
pub mod checkpoint;
mod cpu;
pub mod data;
pub mod device;
mod display;
pub mod error;
pub mod float;
#[doc(hidden)]
pub mod fuzzing;
pub mod gradcheck;
pub mod gradients;
pub mod metrics;
pub mod ops;
pub mod optim;
pub mod params;
pub mod plots;
pub mod rng;
pub mod shape;
pub mod storage;
pub mod tensor;
pub mod tensorfile;
pub mod trace;
pub mod weights;
pub mod window;

pub use autograd::Var;
pub use device::Device;
pub use error::{Error, Result};
pub use float::Float;
pub use gradients::Gradients;
pub use params::{Params, Pass};
pub use rng::Rng;
pub use shape::Shape;
pub use storage::{DType, Element};
pub use tensor::Tensor;
pub use window::Window;
