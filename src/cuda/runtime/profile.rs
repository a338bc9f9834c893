//! The time of each kernel: while a profile is taken, an event is recorded before and after every
//! launch.
//!
//! A kernel is limited by memory bandwidth or by arithmetic, whichever would take longer at the
//! device's rates, which [`copy_rate`] and
//! [`matrix_rate`](crate::cuda::matrix_rate) measure.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cudarc::driver::{CudaEvent, DriverError, sys};

use super::context::{Gpu, Mark, gpu, synchronize};
use super::lists::ALLOC_SCOPE;
use crate::{DType, Result};

/// All launches of one kernel while a profile was taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KernelTime {
    /// Its name and its storage type.
    pub name: String,
    /// Number of launches.
    pub launches: usize,
    /// Their total time on the device.
    pub seconds: f64,
    /// Bytes that they must read and write, each counted once.
    pub bytes: usize,
    /// Floating-point operations of matrix products and convolutions, a multiply-add counting as
    /// two; 0 for all other kernels.
    pub flops: u64,
}

/// One launch of a kernel while a profile was taken.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Launch {
    /// The kernel's name and its storage type.
    pub name: String,
    /// Bytes and floating-point operations, as [`KernelTime`] counts them.
    pub bytes: usize,
    pub flops: u64,
    /// When it began and ended on the device.
    pub begin: Instant,
    pub end: Instant,
}

/// A profile that is being taken of all kernels that any thread launches, but for pauses.
pub(crate) struct Recording {
    gpu: &'static Gpu,
    /// Its key among the profiles that are being taken.
    own: usize,
    /// Launches up to the last pause.
    kept: Vec<Mark>,
    /// An event that the device passed at about that instant.
    start: (CudaEvent, Instant),
}

impl Recording {
    /// Waits for what is under way, and begins.
    ///
    /// # Errors
    /// As [`usable`](super::context::usable).
    pub fn start(ordinal: usize) -> Result<Recording> {
        synchronize(ordinal)?;
        let gpu = gpu(ordinal)?;
        let event = {
            let _guard = gpu.stream_guard()?;
            gpu.event()?
        };
        let start = (event, Instant::now());
        let mut recording = Recording {
            gpu,
            own: 0,
            kept: Vec::new(),
            start,
        };
        recording.resume();
        Ok(recording)
    }

    /// Records from here on.
    pub fn resume(&mut self) {
        // Several profiles may be taken at once, each with all marks since its own start.
        let mut profiles = self.gpu.profiles.lock().unwrap_or_else(|e| e.into_inner());
        self.own = profiles.keys().max().map_or(0, |last| last + 1);
        profiles.insert(self.own, Vec::new());
    }

    /// Records nothing until [`resume`](Recording::resume).
    pub fn pause(&mut self) {
        let marks = self.take();
        self.kept.extend(marks);
    }

    /// Waits for what is under way, and gives all launches in their order.
    ///
    /// # Errors
    /// Those of the device.
    pub fn finish(mut self) -> Result<Vec<Launch>> {
        self.pause();
        let marks = std::mem::take(&mut self.kept);
        synchronize(self.gpu.ordinal())?;
        let seconds = |from: &CudaEvent, to: &CudaEvent| {
            let seconds = elapsed(from, to);
            let seconds = seconds.map_err(|e| self.gpu.failed("reading the time of a kernel", e));
            Ok(Duration::from_secs_f64(seconds?.max(0.0)))
        };
        let (event, instant) = &self.start;
        let launch = |mark: Mark| {
            let begin = *instant + seconds(event, &mark.events[0])?;
            Ok(Launch {
                name: mark.name,
                bytes: mark.bytes,
                flops: mark.flops,
                end: begin + seconds(&mark.events[0], &mark.events[1])?,
                begin,
            })
        };
        marks.into_iter().map(launch).collect()
    }

    fn take(&self) -> Vec<Mark> {
        let mut profiles = self.gpu.profiles.lock().unwrap_or_else(|e| e.into_inner());
        profiles.remove(&self.own).unwrap_or_default()
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.take();
    }
}

/// Runs `work`. Returns its result and the times of all kernels that any thread launched meanwhile,
/// the longest first. Kernels of a captured step that is replayed are not seen.
///
/// Times are right for the first milliseconds of work, some hundred launches, which wait in the
/// device's queue; where a launch takes the processor longer than its kernel takes the device, what
/// comes later is measured as long as its launch. So profile one step at a time.
///
/// # Errors
/// As [`usable`](super::context::usable), and those of `work`.
pub fn profile<T>(
    ordinal: usize,
    work: impl FnOnce() -> Result<T>,
) -> Result<(T, Vec<KernelTime>)> {
    let recording = Recording::start(ordinal)?;
    let done = recording.gpu.keep_busy().and_then(|()| work());
    let mut times: Vec<KernelTime> = Vec::new();
    for launch in recording.finish()? {
        let place = times.iter().position(|time| time.name == launch.name);
        let place = place.unwrap_or_else(|| {
            times.push(KernelTime {
                name: launch.name,
                ..KernelTime::default()
            });
            times.len() - 1
        });
        let time = &mut times[place];
        time.launches += 1;
        time.seconds += (launch.end - launch.begin).as_secs_f64();
        time.bytes += launch.bytes;
        time.flops += launch.flops;
    }
    times.sort_unstable_by(|a, b| b.seconds.total_cmp(&a.seconds));
    Ok((done?, times))
}

/// Seconds between two events. Drivers before CUDA 12.8 have the function under its older name
/// only.
fn elapsed(begin: &CudaEvent, end: &CudaEvent) -> std::result::Result<f64, DriverError> {
    type Elapsed = unsafe extern "C" fn(*mut f32, sys::CUevent, sys::CUevent) -> sys::CUresult;
    let mut ms = 0.0;
    // SAFETY: both names are of functions of this type; the events live, and their stream has
    // passed them.
    unsafe {
        let driver = sys::culib();
        let function = driver
            .get::<Elapsed>(b"cuEventElapsedTime_v2")
            .or_else(|_| driver.get::<Elapsed>(b"cuEventElapsedTime"));
        let function = function.map_err(|_| DriverError(sys::CUresult::CUDA_ERROR_NOT_FOUND))?;
        function(&mut ms, begin.cu_event(), end.cu_event()).result()?;
    }
    Ok(f64::from(ms) / 1e3)
}

impl Gpu {
    /// An event that the stream passes when all that was launched before is done; the caller holds
    /// the stream guard.
    fn event(&self) -> Result<CudaEvent> {
        let event = || {
            let flags = sys::CUevent_flags::CU_EVENT_DEFAULT;
            let event = self.context.new_event(Some(flags))?;
            event.record(&self.stream)?;
            Ok(event)
        };
        event().map_err(|e| self.failed("timing a kernel", e))
    }

    /// Gives the device work of some milliseconds, so that what is launched next waits in its queue:
    /// an event that the device reaches while it has nothing else to do is over at once, and the
    /// time to the next event is then the processor's, to launch the kernel between them.
    fn keep_busy(&'static self) -> Result<()> {
        /// 16 GiB written: 4 ms on an H200.
        const FILLS: usize = 64;
        if self.exact {
            // The stand-in's time means nothing.
            return Ok(());
        }
        let bytes = (256 << 20).min(super::memory::free(self)? / 8);
        let mut block = self.scratch(bytes / 4, DType::F32)?;
        (0..FILLS).try_for_each(|_| block.write().fill(0.0))
    }

    /// Runs what starts one kernel, between two events if a profile is taken; the caller holds the
    /// stream guard.
    pub(in crate::cuda) fn timed(
        &self,
        (name, bytes, flops): (&str, usize, u64),
        start: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let profiles = || self.profiles.lock().unwrap_or_else(|e| e.into_inner());
        if profiles().is_empty() || ALLOC_SCOPE.get().recording {
            return start();
        }
        let begin = Arc::new(self.event()?);
        start()?;
        let end = Arc::new(self.event()?);
        let mark = Mark {
            name: name.to_owned(),
            bytes,
            flops,
            events: [begin, end],
        };
        profiles()
            .values_mut()
            .for_each(|marks| marks.push(mark.clone()));
        Ok(())
    }
}

/// The bandwidth of copies in device memory, in bytes a second, read and written together. Source
/// and target take an eighth of the free memory each, at most a GiB each.
///
/// # Errors
/// As [`usable`](super::context::usable); memory that runs out.
pub fn copy_rate(ordinal: usize) -> Result<f64> {
    let gpu = gpu(ordinal)?;
    let free = super::memory::free(gpu)?;
    let elements = (free / 8).min(1 << 30) / 4;
    let (mut to, mut from) = (
        gpu.scratch(elements, DType::F32)?,
        gpu.scratch(elements, DType::F32)?,
    );
    from.write().fill(0.0)?;
    let mut copy = || {
        let _guard = gpu.stream_guard()?;
        gpu.timed(("copy", 8 * elements, 0), || {
            to.write().copy_with_guard(from.read())
        })
    };
    copy()?;
    let time = of_kernel(
        "copy",
        profile(ordinal, || (0..8).try_for_each(|_| copy()))?.1,
    );
    Ok(time.bytes as f64 / time.seconds)
}

/// The time of the kernel that is measured: other threads may launch kernels meanwhile, and longer
/// ones.
pub(in crate::cuda) fn of_kernel(name: &str, times: Vec<KernelTime>) -> KernelTime {
    times
        .into_iter()
        .find(|time| time.name == name)
        .unwrap_or_default()
}
