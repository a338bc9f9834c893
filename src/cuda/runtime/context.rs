//! Devices in use: each has one context and one stream of work.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard};

use cudarc::cublas::sys::{cublasGetProperty, cublasHandle_t, libraryPropertyType};
use cudarc::driver::sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
use cudarc::driver::sys::{self, CUdeviceptr};
use cudarc::driver::{CudaContext, CudaEvent, CudaFunction, CudaModule, CudaStream, DriverError};

use super::lists::{ALLOC_SCOPE, Pool};
use super::{compile, library};
use crate::{DType, Error, Result};

/// Checks that the GPU with this ordinal can be used, and starts it.
///
/// # Errors
/// What is missing: a library, a recent enough driver, the device, a recent enough architecture.
pub fn usable(ordinal: usize) -> Result<()> {
    gpu(ordinal).map(drop)
}

/// The GPU's name, from the driver.
///
/// # Errors
/// As [`usable`].
pub fn name(ordinal: usize) -> Result<String> {
    let gpu = gpu(ordinal)?;
    gpu.context
        .name()
        .map_err(|e| gpu.failed("asking for its name", e))
}

/// Waits until the GPU has finished all work launched so far.
///
/// # Errors
/// As [`usable`]; errors of work that was launched earlier.
pub fn synchronize(ordinal: usize) -> Result<()> {
    let gpu = gpu(ordinal)?;
    let _guard = gpu.stream_guard()?;
    gpu.wait("waiting for the GPU")
}

/// One GPU in use. It is started once, and lives as long as the process.
pub(crate) struct Gpu {
    pub(in crate::cuda) ordinal: usize,
    pub(in crate::cuda) context: Arc<CudaContext>,
    /// Not the null stream, which cannot be captured into a graph.
    pub(in crate::cuda) stream: Arc<CudaStream>,
    /// The stream that copies batches to the device while the other one computes.
    pub(in crate::cuda) copies: Arc<CudaStream>,
    /// Compute capability, 90 for 9.0.
    pub(in crate::cuda) arch: u32,
    /// Number of multiprocessors.
    pub(in crate::cuda) multiprocessors: u32,
    /// Whether allocations have exactly the requested size, so that tests find accesses beyond
    /// their ends.
    pub(in crate::cuda) exact: bool,
    pub(super) pool: Mutex<Pool>,
    /// Locked exclusively while a thread captures a step: see [`Gpu::stream_guard`].
    pub(in crate::cuda) gate: RwLock<()>,
    pub(super) kernels: Mutex<Kernels>,
    /// cuBLAS, after the first product.
    pub(in crate::cuda) blas: Mutex<Option<BlasHandle>>,
    /// Constants that were copied to the device, by their contents: see [`Gpu::constant`].
    pub(super) constants: Mutex<HashMap<Vec<u8>, CUdeviceptr>>,
    /// The launches since its start, for each profile that is being taken.
    pub(super) profiles: Mutex<BTreeMap<usize, Vec<Mark>>>,
}

/// The environment variable that makes allocations have exactly the requested size. Tests set it to
/// find accesses beyond their ends.
const EXACT: &str = "WAVEMIX_EXACT_ALLOCATIONS";
/// The oldest driver that is supported, CUDA 12.0, as the driver counts versions.
const DRIVER: i32 = 12_000;
/// The oldest compute capability that kernels are written for.
const ARCH: u32 = 70;

/// The GPU with this ordinal, started at the first call.
pub(crate) fn gpu(ordinal: usize) -> Result<&'static Gpu> {
    static STARTED: Mutex<BTreeMap<usize, std::result::Result<&'static Gpu, String>>> =
        Mutex::new(BTreeMap::new());
    let mut started = STARTED.lock().unwrap_or_else(|e| e.into_inner());
    let gpu = started.entry(ordinal).or_insert_with(|| {
        // cudarc panics if a library lacks a function; that leaves no state of this crate
        // half-changed.
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
        check_system(ordinal)?;
        let context = CudaContext::new(ordinal).map_err(refused("a context"))?;
        // SAFETY: all kernels are on one stream, so cudarc's events would order nothing; `staging`
        // orders its copies by its own events.
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
            exact: std::env::var_os(EXACT).is_some(),
            multiprocessors: number(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            context,
            pool: Mutex::default(),
            gate: RwLock::default(),
            kernels: Mutex::default(),
            blas: Mutex::default(),
            constants: Mutex::default(),
            profiles: Mutex::default(),
        })
    }

    pub fn ordinal(&self) -> usize {
        self.ordinal
    }

    /// Lets this thread use the stream while the guard lives. It waits while another thread
    /// captures a step, as the capture would include this thread's work. To avoid deadlocks, take
    /// it before any lock that a capturing thread may take, and never twice in one thread.
    pub(in crate::cuda) fn stream_guard(&self) -> Result<Option<RwLockReadGuard<'_, ()>>> {
        let guard = (!ALLOC_SCOPE.get().recording)
            .then(|| self.gate.read().unwrap_or_else(|e| e.into_inner()));
        self.context
            .bind_to_thread()
            .map_err(|e| self.failed("binding a thread", e))?;
        Ok(guard)
    }

    pub(in crate::cuda) fn failed(&self, doing: &str, e: DriverError) -> Error {
        Error::Device(format!("cuda:{}: {doing}: {}", self.ordinal, describe(e)))
    }

    pub(in crate::cuda) fn wait(&self, doing: &str) -> Result<()> {
        self.stream.synchronize().map_err(|e| self.failed(doing, e))
    }
}

/// Checks that the libraries are there, that the driver is new enough, and that it sees this
/// device.
fn check_system(ordinal: usize) -> std::result::Result<(), String> {
    let missing = library::missing();
    if !missing.is_empty() {
        return Err(format!("{} not found", missing.join(", ")));
    }
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
    check_libraries(version / 1000)
}

/// Checks that no library is of a later CUDA than the driver, which would refuse its kernels.
fn check_libraries(driver: i32) -> std::result::Result<(), String> {
    let mut cublas = 0;
    // SAFETY: the library is there, and writes one int.
    let asked = unsafe { cublasGetProperty(libraryPropertyType::MAJOR_VERSION, &mut cublas) };
    asked
        .result()
        .map_err(|e| format!("cuBLAS does not tell its version: {:?}", e.0))?;
    let libraries = [
        ("the kernel compiler (NVRTC)", compile::major()?),
        ("cuBLAS", cublas),
    ];
    match libraries.iter().find(|(_, major)| *major > driver) {
        Some((library, major)) => Err(format!(
            "its driver is of CUDA {driver}, and {library} of CUDA {major}; that of CUDA {driver} is needed, \
             or a newer driver"
        )),
        None => Ok(()),
    }
}

/// Why a device cannot be started, where the driver refuses `what`.
fn refused(what: &'static str) -> impl Fn(DriverError) -> String {
    move |e| format!("the NVIDIA driver refuses {what}: {}", describe(e))
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
        code::CUDA_ERROR_MISALIGNED_ADDRESS => {
            "a kernel loaded several elements at once from an address that is no multiple of their size; \
             all work on this device is lost, start the program again"
        }
        code::CUDA_ERROR_ILLEGAL_INSTRUCTION => {
            "a kernel has an instruction that this device does not know"
        }
        code::CUDA_ERROR_ECC_UNCORRECTABLE => {
            "the device's memory has an error that it cannot correct"
        }
        code::CUDA_ERROR_INVALID_IMAGE => {
            "a compiled kernel is damaged, or of a newer CUDA than the driver"
        }
        code::CUDA_ERROR_DEVICE_UNAVAILABLE => {
            "the device is in exclusive use by another program, or forbidden"
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

/// The kernels of a device that are ready to run.
#[derive(Default)]
pub(super) struct Kernels {
    /// Machine code that was compiled ahead of the first launch, until that loads it. Like the
    /// others by the address of the source: a file of a user's own may have the name of one of this
    /// crate's.
    pub compiled: HashMap<(usize, DType), Vec<u8>>,
    pub modules: HashMap<(usize, DType), Arc<CudaModule>>,
    pub functions: HashMap<(usize, &'static str, DType), CudaFunction>,
}

/// One launch, with an event before and one after it.
#[derive(Clone)]
pub(super) struct Mark {
    pub name: String,
    pub bytes: usize,
    pub flops: u64,
    pub events: [Arc<CudaEvent>; 2],
}

/// cuBLAS's handle, which only one thread at a time may use.
pub(in crate::cuda) struct BlasHandle(pub cublasHandle_t);

// SAFETY: the handle is bound to a context, not to a thread; the mutex around it lets one thread
// use it at a time.
unsafe impl Send for BlasHandle {}
