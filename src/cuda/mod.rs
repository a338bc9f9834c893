//! NVIDIA GPUs: the launches of this crate's kernels, one file an op, and, in `runtime`, what
//! launches need: devices, streams, memory, the kernel compiler.
//!
//! cudarc opens NVIDIA's libraries at run time, so building needs no CUDA toolkit. It panics if a
//! library is missing; so all are looked for first, and one error lists the missing ones.
//!
//! All kernels of a device run on one stream, in the order of their launches. So a buffer may
//! return to the pool while a kernel still reads it: its next user comes later in the stream. The
//! CPU waits for the device only when it reads results. A second stream copies batches to the
//! device while the first one computes: see `runtime/staging.rs`.

mod gemm;
pub(crate) mod runtime;
mod training;

pub(crate) mod adamw;
pub(crate) mod attention;
pub(crate) mod batch_norm;
pub(crate) mod binary;
pub(crate) mod cast;
pub(crate) mod clip;
pub(crate) mod compare;
pub(crate) mod conv2d;
pub(crate) mod conv_transpose2d;
pub(crate) mod cross_entropy;
pub(crate) mod cumsum;
pub(crate) mod dropout;
pub(crate) mod dwt;
pub(crate) mod ema;
pub(crate) mod focal_loss;
pub(crate) mod gelu_dropout;
pub(crate) mod index;
pub(crate) mod layer_norm;
pub(crate) mod linear;
pub(crate) mod lion;
pub(crate) mod matmul;
pub(crate) mod nll_loss;
pub(crate) mod pointwise_loss;
pub(crate) mod pool;
pub(crate) mod reduce;
pub(crate) mod sgd;
pub(crate) mod shape;
pub(crate) mod softmax;
pub(crate) mod sort;
pub(crate) mod unary;
pub(crate) mod upsample;

pub use conv2d::matrix_rate;
pub(crate) use gemm::{Matrix, Product, gemm};
pub(crate) use runtime::context::{Gpu, gpu};
pub use runtime::context::{name, synchronize, usable};
pub use runtime::graph::{Capture, CapturedGraph};
pub use runtime::kernel::{Call, Kernel};
pub(crate) use runtime::launch::Source;
pub(crate) use runtime::memory::Block;
pub use runtime::memory::{CudaPoolStats, pool_stats, release_free_memory, reset_peak};
pub(crate) use runtime::profile::Recording;
pub use runtime::profile::{KernelTime, copy_rate, profile};
pub(crate) use runtime::slice::{Scratch, Slice, SliceMut};
pub(crate) use runtime::staging::Staging;
pub use training::compile_for_training;

use crate::{Error, Result};

/// The error that this op has no kernel.
pub(crate) fn missing<T>(op: &str) -> Result<T> {
    Err(Error::Device(format!(
        "{op}: not there on a GPU yet; move its operands by to_device(Device::Cpu)"
    )))
}
