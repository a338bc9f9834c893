//! The names that nearly every program needs: `use wavemix::prelude::*;`.
//!
//! Tensors and autograd, layers, optimizers, and batches of data. Ops are methods of [`Var`]; those
//! that read better as functions are in [`ops`](crate::ops).

pub use crate::autograd::Backward;
pub use crate::data::{Batch, Dataset, Loader, Sample, TensorDataset};
pub use crate::gradcheck::gradcheck;
pub use crate::io::weights;
pub use crate::nn::{
    BatchNorm, Conv1d, Conv2d, ConvTranspose2d, Dropout, Embedding, GroupNorm, LayerNorm, Linear,
    Module, MultiHeadAttention, RmsNorm, Sequential,
};
pub use crate::ops::{CrossEntropyOptions, cross_entropy};
pub use crate::optim::{
    Adam, AdamW, Ema, Lion, Method, Optimizer, Rule, Schedule, Sgd, Step, StepOptions, clip_norm,
};
pub use crate::params::{FileLayout, Group, Init, Names, ParamId, Updates};
pub use crate::{
    DType, Device, Element, Error, Float, Gradients, Params, Pass, Precision, Result, Rng, Shape,
    Tensor, Var, Window,
};
