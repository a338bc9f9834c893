//! Kernels of a user's own.

use super::context::{Gpu, gpu};
use super::launch::{Launch, Source};
use super::slice::{Slice, SliceMut};
use crate::{DType, Device, Error, Result};

/// A CUDA kernel of your own, in CUDA C++: for an op, or for an optimizer's step.
///
/// The source is compiled for the device at hand at its first launch, and kept on disk. It may
/// include this crate's `common.cuh`, which has the conventions of its own kernels
/// (`kernels/README.md`): `KERNEL(name, ...)` begins one with blocks of 256 threads, `real` is the
/// type of the elements, f32, bf16 or f16, and `each` a loop that takes any number of blocks.
///
/// ```
/// use wavemix::cuda::Kernel;
/// use wavemix::prelude::*;
///
/// // SAFETY: the kernel reads n elements of x and writes n of y, as `twice` launches it.
/// const TWICE: Kernel = unsafe {
///     Kernel::new("twice", "twice", r#"
/// #include "common.cuh"
/// KERNEL(twice, const real* x, real* y, i64 n) {
///     for (i64 i = blockIdx.x * 256ll + threadIdx.x; i < n; i += gridDim.x * 256ll)
///         from_float(2 * to_float(x[i]), y[i]);
/// }"#)
/// };
///
/// fn twice(x: &Tensor) -> Result<Tensor> {
///     if x.device() == Device::Cpu {
///         return Ok((2.0 * Var::from(x))?.into_value());
///     }
///     let mut y = Tensor::full_on(x.device(), x.shape(), 0.0, x.dtype())?;
///     let call = TWICE.on(x.device(), x.dtype())?;
///     call.input(x)?.output(&mut y)?.count(x.elements()).each(x.elements())?;
///     Ok(y)
/// }
/// assert_eq!(twice(&Tensor::ones(3, DType::F32))?.to_vec::<f32>()?, [2.0; 3]);
/// # Ok::<(), wavemix::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    source: Source,
    name: &'static str,
}

impl Kernel {
    /// The kernel `name` of this source. `file` is what messages call the source, without `.cu`.
    ///
    /// # Safety
    /// With the arguments that it is launched with, in their order, the kernel must read and write
    /// only elements of the tensors among them, and write only those given as outputs.
    pub const unsafe fn new(
        file: &'static str,
        name: &'static str,
        source: &'static str,
    ) -> Kernel {
        let source = Source::new(file, source);
        Kernel { source, name }
    }

    /// A call on this device, for elements of type `dtype`: f32, bf16 or f16.
    ///
    /// # Errors
    /// The CPU, another type, a device that cannot be used, a source that does not compile (with
    /// the compiler's words).
    pub fn on(&self, device: Device, dtype: DType) -> Result<Call> {
        let Device::Cuda(ordinal) = device else {
            return Err(Error::Device(format!(
                "{}: a kernel runs on a GPU, not on the cpu",
                self.name
            )));
        };
        if !matches!(dtype, DType::F32 | DType::BF16 | DType::F16) {
            return Err(Error::Device(format!(
                "{}: kernels are for elements of f32, bf16 and f16, not {dtype}",
                self.name
            )));
        }
        let launch = self.launch_on(gpu(ordinal)?, dtype)?;
        Ok(Call {
            name: self.name,
            device,
            launch,
        })
    }

    /// The launch of it for elements of type `dtype`, on this device.
    pub(in crate::cuda) fn launch_on(&self, gpu: &'static Gpu, dtype: DType) -> Result<Launch> {
        gpu.kernel(&self.source, self.name, dtype)
    }
}

/// A launch of a [`Kernel`]: its arguments, in the order of its parameters, and then the grid.
#[must_use = "nothing runs before each() or grid()"]
pub struct Call {
    name: &'static str,
    device: Device,
    launch: Launch,
}

impl Call {
    /// Elements to read; those of a tensor are given by `Call::input`.
    pub(crate) fn read(self, x: Slice) -> Call {
        self.with(|launch| launch.arg(x))
    }

    /// Elements to write; those of a tensor are given by `Call::output`.
    pub(crate) fn write(self, mut y: SliceMut) -> Call {
        self.with(|launch| launch.arg(&mut y))
    }

    /// Checks that an argument is on the call's device.
    pub(crate) fn check(&self, device: Device) -> Result<()> {
        if device == self.device {
            return Ok(());
        }
        Err(Error::Device(format!(
            "{}: an argument is on {device}, the call on {}",
            self.name, self.device
        )))
    }

    /// A number of elements, as 64 bits: `i64`.
    pub fn count(self, n: usize) -> Call {
        self.with(|launch| launch.count(n))
    }

    /// A size, as 32 bits: `int`.
    ///
    /// # Errors
    /// One that does not fit.
    pub fn size(mut self, n: usize) -> Result<Call> {
        self.launch = self.launch.sizes([n])?;
        Ok(self)
    }

    /// A number, as `float`.
    pub fn float(self, x: f64) -> Call {
        self.with(|launch| launch.arg(x as f32))
    }

    /// Launches a thread for each of `n` items, in blocks of 256, at most 4096 blocks: the kernel
    /// has a loop that takes what is left.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn each(self, n: usize) -> Result<()> {
        self.launch.each(n).launch()
    }

    /// Launches so many blocks along x, y and z, of so many threads.
    ///
    /// # Errors
    /// A grid that the device does not take; those of a GPU.
    pub fn grid(self, blocks: [usize; 3], threads: u32) -> Result<()> {
        self.launch.grid(blocks, threads).launch()
    }

    fn with(mut self, add: impl FnOnce(Launch) -> Launch) -> Call {
        self.launch = add(self.launch);
        self
    }
}
