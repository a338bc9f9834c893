//! The NVIDIA GPU: one context and one stream of work a device, and the launches of this crate's
//! kernels, one file an op.
//!
//! cudarc opens NVIDIA's libraries when the program runs, so nothing of CUDA is needed to build. It
//! panics where a library is missing: each is looked for first, and what is missing is listed in
//! one error.
//!
//! All work of a device goes through one stream, in the order in which it was asked for. So a
//! buffer may be given back while a kernel still reads it: whoever gets it next comes later in the
//! stream. Nothing waits but reading back. A second stream only brings batches, beside the work of
//! the first: see `staging`.

mod compile;
mod gemm;
mod graph;
mod launch;
mod library;
mod memory;
mod profile;
mod staging;

pub(crate) mod adamw;
pub(crate) mod batch_norm;
pub(crate) mod binary;
pub(crate) mod cast;
pub(crate) mod clip;
pub(crate) mod compare;
pub(crate) mod conv2d;
pub(crate) mod conv_transpose2d;
pub(crate) mod cross_entropy;
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
pub(crate) mod mse;
pub(crate) mod pool;
pub(crate) mod reduce;
pub(crate) mod sgd;
pub(crate) mod shape;
pub(crate) mod softmax;
pub(crate) mod unary;
pub(crate) mod upsample;

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard};

use cudarc::driver::sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
use cudarc::driver::{CudaContext, CudaStream, DriverError, result, sys};

use crate::{DType, Error, Result};

pub(crate) use gemm::{Matrix, gemm};
pub use graph::{Capture, CapturedGraph};
pub(crate) use launch::Axes;
use memory::ALLOC_SCOPE;
pub(crate) use memory::Block;
pub use memory::{CudaPoolStats, pool_stats, release_free_memory};
pub use profile::{KernelTime, copy_rate, matrix_rate, profile};
pub(crate) use staging::Staging;

/// Whether the GPU with this ordinal can be computed with; starts it if so.
///
/// # Errors
/// What is missing: libraries, a driver new enough, a device, one new enough.
pub fn usable(ordinal: usize) -> Result<()> {
    gpu(ordinal).map(drop)
}

/// What the driver calls the GPU.
///
/// # Errors
/// As [`usable`].
pub fn name(ordinal: usize) -> Result<String> {
    let gpu = gpu(ordinal)?;
    gpu.context
        .name()
        .map_err(|e| gpu.failed("asking for its name", e))
}

/// Whether products of f32 matrices may round their operands to tf32, 10 bits after the point, on
/// this device: faster, with three digits. Not unless asked for.
///
/// # Errors
/// As [`usable`].
pub fn allow_tf32(ordinal: usize, allow: bool) -> Result<()> {
    gpu(ordinal).map(|gpu| gpu.tf32.store(allow, Ordering::Relaxed))
}

/// Waits until the GPU has done all that it was asked to do.
///
/// # Errors
/// As [`usable`]; those of work that was asked for earlier and failed since.
pub fn synchronize(ordinal: usize) -> Result<()> {
    let gpu = gpu(ordinal)?;
    let _guard = gpu.stream_guard()?;
    gpu.wait("waiting for the GPU")
}

/// One GPU in use. It is started once, and lives as long as the process.
pub(crate) struct Gpu {
    ordinal: usize,
    context: Arc<CudaContext>,
    /// Not the null stream, which cannot be recorded into a graph.
    stream: Arc<CudaStream>,
    /// Where batches are copied to the device, beside all work.
    copies: Arc<CudaStream>,
    /// Compute capability, 90 for 9.0.
    arch: u32,
    /// Processors that blocks are spread over.
    processors: u32,
    /// Whether blocks of memory are just as long as asked for: where tests look for accesses beyond
    /// their ends.
    exact: bool,
    pool: Mutex<memory::Pool>,
    /// Closed while a thread records.
    gate: RwLock<()>,
    kernels: Mutex<launch::Kernels>,
    blas: Mutex<Option<gemm::Blas>>,
    tables: upsample::Tables,
    /// For each profile that is being taken, the launches since it was begun.
    profiles: Mutex<BTreeMap<usize, Vec<profile::Mark>>>,
    /// Whether products of f32 may round their operands to tf32.
    tf32: AtomicBool,
}

/// The oldest driver whose interface is enough, as the driver counts: CUDA 12.0.
const DRIVER: i32 = 12_000;
/// The oldest compute capability that kernels are written for.
const ARCH: u32 = 70;

/// The GPU with this ordinal, started at the first call.
pub(crate) fn gpu(ordinal: usize) -> Result<&'static Gpu> {
    static STARTED: Mutex<BTreeMap<usize, std::result::Result<&'static Gpu, String>>> =
        Mutex::new(BTreeMap::new());
    let mut started = STARTED.lock().unwrap_or_else(|e| e.into_inner());
    let gpu = started.entry(ordinal).or_insert_with(|| {
        // A library that opens but lacks a symbol makes cudarc panic; nothing of ours is left
        // half-done by that.
        let begun = std::panic::catch_unwind(|| Gpu::start(ordinal))
            .unwrap_or_else(|_| Err("a library lacks a function".into()));
        let why =
            |what| format!("cuda:{ordinal} cannot be used: {what}; --device cpu works everywhere");
        begun.map(|gpu| &*Box::leak(Box::new(gpu))).map_err(why)
    });
    gpu.clone().map_err(Error::Device)
}

impl Gpu {
    fn start(ordinal: usize) -> std::result::Result<Gpu, String> {
        if !launch::ready() {
            return Err("this version of wavemix has no kernels for it".into());
        }
        let missing = library::missing();
        if !missing.is_empty() {
            return Err(format!("{} not found", missing.join(", ")));
        }
        let refused = |what: &'static str| {
            move |e: DriverError| format!("the NVIDIA driver refuses {what}: {}", describe(e))
        };
        let count = CudaContext::device_count().map_err(refused("to count devices"))?;
        if ordinal >= count.max(0) as usize {
            return Err(format!(
                "the devices that the NVIDIA driver sees are counted from 0, and there are {count}"
            ));
        }
        let mut version = 0;
        // SAFETY: the driver's library is there, and writes one int.
        unsafe { sys::cuDriverGetVersion(&mut version) }
            .result()
            .map_err(refused("to tell its version"))?;
        if version < DRIVER {
            let (major, minor) = (version / 1000, version % 1000 / 10);
            return Err(format!(
                "its driver is of CUDA {major}.{minor}, and 12.0 is the oldest that will do"
            ));
        }
        let context = CudaContext::new(ordinal).map_err(refused("a context"))?;
        // SAFETY: all work is on one stream, so there is nothing for events to order; `staging`
        // orders its copies itself.
        unsafe { context.disable_event_tracking() };
        let (major, minor) = context
            .compute_capability()
            .map_err(refused("to tell the device's age"))?;
        let arch = (major * 10 + minor) as u32;
        if arch < ARCH {
            return Err(format!(
                "it has compute capability {major}.{minor}, and 7.0 is the oldest that kernels are written for"
            ));
        }
        let number = |what| {
            context
                .attribute(what)
                .map(|n| n.max(1) as u32)
                .map_err(refused("to tell the device's sizes"))
        };
        Ok(Gpu {
            ordinal,
            stream: context.new_stream().map_err(refused("a stream"))?,
            copies: context.new_stream().map_err(refused("a stream"))?,
            arch,
            exact: context.name().is_ok_and(|name| name.contains("stand-in")),
            processors: number(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            context,
            pool: Mutex::default(),
            gate: RwLock::default(),
            kernels: Mutex::default(),
            blas: Mutex::default(),
            tables: Default::default(),
            profiles: Mutex::default(),
            tf32: AtomicBool::new(false),
        })
    }

    pub fn ordinal(&self) -> usize {
        self.ordinal
    }

    fn tf32(&self) -> bool {
        self.tf32.load(Ordering::Relaxed)
    }

    /// Lets this thread talk to the device while what is returned lives; not while another thread
    /// records what it asks for, as the stream would record this one's too. Before any lock that a
    /// thread may want that records, and once: not while this thread has a turn.
    fn stream_guard(&self) -> Result<Option<RwLockReadGuard<'_, ()>>> {
        let turn = (!ALLOC_SCOPE.get().recording)
            .then(|| self.gate.read().unwrap_or_else(|e| e.into_inner()));
        self.context
            .bind_to_thread()
            .map_err(|e| self.failed("binding a thread", e))?;
        Ok(turn)
    }

    fn failed(&self, doing: &str, e: DriverError) -> Error {
        Error::Device(format!("cuda:{}: {doing}: {}", self.ordinal, describe(e)))
    }

    fn wait(&self, doing: &str) -> Result<()> {
        self.stream.synchronize().map_err(|e| self.failed(doing, e))
    }
}

/// An error of the driver as a sentence, with its name for searching.
fn describe(e: DriverError) -> String {
    use sys::cudaError_enum as code;
    let sentence = match e.0 {
        code::CUDA_ERROR_OUT_OF_MEMORY => "out of memory",
        code::CUDA_ERROR_NO_DEVICE => "there is no device",
        code::CUDA_ERROR_INVALID_DEVICE => "there is no such device",
        code::CUDA_ERROR_ILLEGAL_ADDRESS => {
            "a kernel touched memory that is not its own; all work on this device is lost, start the program again"
        }
        code::CUDA_ERROR_LAUNCH_FAILED => "a kernel failed while it ran; start the program again",
        code::CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES => {
            "a kernel asks for more registers or shared memory than there is"
        }
        code::CUDA_ERROR_LAUNCH_TIMEOUT => "a kernel ran longer than the system allows",
        code::CUDA_ERROR_NO_BINARY_FOR_GPU => "a kernel was compiled for another device",
        code::CUDA_ERROR_UNSUPPORTED_PTX_VERSION => "the kernel compiler is newer than the driver",
        code::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH => {
            "the driver's library and its kernel module differ; restart the machine"
        }
        code::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED => {
            "this cannot be done while a step is recorded"
        }
        _ => "the driver says",
    };
    format!("{sentence} ({:?})", e.0)
}

/// Elements on a device that a kernel reads.
#[derive(Clone, Copy)]
pub(crate) struct Slice<'a> {
    pub gpu: &'static Gpu,
    address: sys::CUdeviceptr,
    pub elements: usize,
    pub dtype: DType,
    life: PhantomData<&'a Block>,
}

/// Elements on a device that a kernel writes.
pub(crate) struct SliceMut<'a>(Slice<'a>);

impl<'a> Slice<'a> {
    /// `elements` elements of `block`, from element `start` on.
    pub fn new(block: &'a Block, start: usize, elements: usize, dtype: DType) -> Slice<'a> {
        assert!(
            (start + elements) * dtype.bytes() <= block.bytes(),
            "a slice lies within its block"
        );
        let address = block.address() + (start * dtype.bytes()) as u64;
        Slice {
            gpu: block.gpu(),
            address,
            elements,
            dtype,
            life: PhantomData,
        }
    }

    /// `elements` of these, from element `start` on.
    pub fn part(self, start: usize, elements: usize) -> Slice<'a> {
        assert!(
            start + elements <= self.elements,
            "a part lies within its slice"
        );
        Slice {
            address: self.address + (start * self.dtype.bytes()) as u64,
            elements,
            ..self
        }
    }

    pub fn bytes(&self) -> usize {
        self.elements * self.dtype.bytes()
    }

    /// The same without a lifetime: whoever asks keeps the memory alive.
    fn detached(self) -> Slice<'static> {
        Slice {
            gpu: self.gpu,
            address: self.address,
            elements: self.elements,
            dtype: self.dtype,
            life: PhantomData,
        }
    }

    /// Copies the elements to the processor's memory, once all that was asked for before is done.
    pub fn read(&self, to: &mut [u8]) -> Result<()> {
        assert_eq!(to.len(), self.bytes(), "the copy is as long as the slice");
        let doing = "copying from the device";
        self.gpu.not_recording(doing)?;
        let _guard = self.gpu.stream_guard()?;
        // SAFETY: both sides are `to.len()` bytes long, and `to` outlives the wait below.
        unsafe { result::memcpy_dtoh_async(to, self.address, self.gpu.stream.cu_stream()) }
            .map_err(|e| self.gpu.failed(doing, e))?;
        self.gpu.wait(doing)
    }
}

impl<'a> SliceMut<'a> {
    /// `elements` elements of `block`, from element `start` on.
    pub fn new(block: &'a mut Block, start: usize, elements: usize, dtype: DType) -> SliceMut<'a> {
        SliceMut(Slice::new(block, start, elements, dtype))
    }

    /// The same elements, to read.
    pub fn as_slice(&self) -> Slice<'_> {
        self.0
    }

    /// `elements` of these, from element `start` on, to write.
    pub fn part(&mut self, start: usize, elements: usize) -> SliceMut<'_> {
        SliceMut(self.0.part(start, elements))
    }

    /// Copies bytes from the processor's memory. The driver takes 64 KiB and less along at once;
    /// for more it first waits for the stream, where [`Staging`] does not.
    pub fn write(&mut self, from: &[u8]) -> Result<()> {
        let Slice { gpu, address, .. } = self.0;
        assert_eq!(
            from.len(),
            self.0.bytes(),
            "the copy is as long as the slice"
        );
        gpu.not_recording("copying to the device")?;
        let _guard = gpu.stream_guard()?;
        // SAFETY: both sides are `from.len()` bytes long; the driver has read pageable memory when
        // it returns.
        unsafe { result::memcpy_htod_async(address, from, gpu.stream.cu_stream()) }
            .map_err(|e| gpu.failed("copying to the device", e))
    }

    /// Copies elements of the same type on the device.
    pub fn copy(&mut self, from: Slice) -> Result<()> {
        let _guard = self.0.gpu.stream_guard()?;
        self.copy_with_guard(from)
    }

    /// The same in a turn of the caller's, which must not take two.
    fn copy_with_guard(&mut self, from: Slice) -> Result<()> {
        let Slice { gpu, address, .. } = self.0;
        assert_eq!(
            (from.bytes(), from.gpu.ordinal),
            (self.0.bytes(), gpu.ordinal),
            "the copy is as long as the slice"
        );
        if from.elements == 0 {
            return Ok(());
        }
        // SAFETY: both sides are as long, and live until the stream has passed this copy.
        unsafe {
            result::memcpy_dtod_async(address, from.address, from.bytes(), gpu.stream.cu_stream())
        }
        .map_err(|e| gpu.failed("copying on the device", e))
    }

    /// All elements `value`, rounded to the type.
    pub fn fill(&mut self, value: f64) -> Result<()> {
        let Slice {
            gpu,
            address,
            elements,
            dtype,
            ..
        } = self.0;
        if elements == 0 {
            return Ok(());
        }
        let _guard = gpu.stream_guard()?;
        let stream = gpu.stream.cu_stream();
        // SAFETY: the slice is `elements` elements long, each of them as wide as the call says.
        let filled = unsafe {
            match dtype {
                DType::U8 => sys::cuMemsetD8Async(address, value as u8, elements, stream),
                DType::F16 => sys::cuMemsetD16Async(
                    address,
                    half::f16::from_f64(value).to_bits(),
                    elements,
                    stream,
                ),
                DType::BF16 => sys::cuMemsetD16Async(
                    address,
                    half::bf16::from_f64(value).to_bits(),
                    elements,
                    stream,
                ),
                DType::F32 => {
                    sys::cuMemsetD32Async(address, (value as f32).to_bits(), elements, stream)
                }
                // Only 0 has one pattern in both halves; nothing else is asked for.
                DType::F64 | DType::I64 => {
                    assert_eq!(value, 0.0, "64-bit numbers are only zeroed");
                    sys::cuMemsetD8Async(address, 0, 8 * elements, stream)
                }
            }
        };
        filled.result().map_err(|e| gpu.failed("filling memory", e))
    }

    fn pointer(&self) -> *mut c_void {
        self.0.address as *mut c_void
    }
}

/// Device memory for the length of a launch or two.
pub(crate) struct Scratch {
    block: Block,
    elements: usize,
    dtype: DType,
}

impl Gpu {
    /// Room for `elements` elements.
    pub fn scratch(&'static self, elements: usize, dtype: DType) -> Result<Scratch> {
        Ok(Scratch {
            block: self.allocate(elements * dtype.bytes())?,
            elements,
            dtype,
        })
    }
}

impl Scratch {
    pub fn read(&self) -> Slice<'_> {
        Slice::new(&self.block, 0, self.elements, self.dtype)
    }

    pub fn write(&mut self) -> SliceMut<'_> {
        SliceMut::new(&mut self.block, 0, self.elements, self.dtype)
    }
}

/// That this op has no kernel.
pub(crate) fn missing<T>(op: &str) -> Result<T> {
    Err(Error::Device(format!(
        "{op}: not there on a GPU yet; move its operands by to_device(Device::Cpu)"
    )))
}
