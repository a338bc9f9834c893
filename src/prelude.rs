//! The names that nearly every program needs: `use wavemix::prelude::*;`.
//!
//! Tensors and autograd, layers, optimizers, and batches of data. Ops are methods of [`Var`]; those
//! that read better as functions are in [`ops`](crate::ops).

pub use crate::data::{Batch, Dataset, Loader, Sample, TensorDataset};
pub use crate::nn::{
    BatchNorm, Conv1d, Conv2d, ConvTranspose2d, Dropout, Embedding, GroupNorm, LayerNorm, Linear,
    Module, MultiHeadAttention, RmsNorm, Sequential,
};
pub use crate::optim::{Adam, AdamW, Ema, Lion, Method, Optimizer, Schedule, Sgd, StepOptions};
pub use crate::params::{FileLayout, Group, Init, Names};
pub use crate::{
    DType, Device, Element, Error, Gradients, Params, Pass, Precision, Result, Rng, Shape, Tensor,
    Var, Window,
};
