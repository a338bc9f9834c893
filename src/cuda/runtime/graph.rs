//! Captures a piece of work as a CUDA graph once, and replays it: one call to the driver instead of
//! several hundred launches.
//!
//! A replay repeats the same launches with the same arguments and addresses. So whatever changes
//! between replays must be in device memory at a fixed address: inputs, the learning rate, and the
//! keys of random streams, which [`CapturedGraph`] keeps in a table. The work's own buffers come
//! from free lists that nothing else uses while the captured graph lives; the warm-up fills these
//! lists, as memory cannot be allocated during a capture.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use cudarc::driver::CudaGraph;
use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};

use super::context::{Gpu, gpu};
use super::lists::{ALLOC_SCOPE, AllocScope};
use super::memory::release_free_memory;
use super::slice::{Scratch, Slice};
use crate::{DType, Error, Result, Rng};

/// How launches of this thread get the keys of random streams.
enum Keys {
    /// As arguments: the normal case.
    Arguments,
    /// As arguments, and the streams' numbers are recorded: the warm-up.
    Noted(Vec<u64>),
    /// From a table in device memory, in the order of `streams`: the capture.
    Table {
        start: Slice<'static>,
        streams: Vec<u64>,
    },
}

thread_local! {
    static KEYS: RefCell<Keys> = const { RefCell::new(Keys::Arguments) };
}

/// The address of this random stream's key in device memory, for a launch that is being captured;
/// none otherwise.
pub(in crate::cuda) fn key(rng: &Rng) -> Option<Slice<'static>> {
    let (_, stream) = rng.key();
    KEYS.with_borrow_mut(|keys| match keys {
        Keys::Arguments => None,
        Keys::Noted(streams) => {
            if !streams.contains(&stream) {
                streams.push(stream);
            }
            None
        }
        // A key is two 64-bit words.
        Keys::Table { start, streams } => streams
            .iter()
            .position(|s| *s == stream)
            .map(|at| start.part(2 * at, 2)),
    })
}

/// A piece of work to be warmed up and captured, with its own free lists of memory and the random
/// streams that it uses.
///
/// Captured work must not access the CPU's memory, and what it reads and writes must keep its
/// address: tensors that are overwritten, not replaced. A training step is such work:
///
/// ```no_run
/// # use wavemix::{Result, Rng, Tensor, cuda::Capture};
/// # fn step(_: &Rng) -> Result<Tensor> { unimplemented!() }
/// # fn main() -> Result<()> {
/// let mut capture = Capture::new(0)?;
/// capture.warm_up(|| step(&Rng::new(0).child(0)))?; // runs it
/// let (mut recording, loss) = capture.capture(|| step(&Rng::new(0).child(1)))?; // captures it, runs nothing
/// for i in 1..100 {
///     recording.replay(&Rng::new(0).child(i))?; // runs it
/// }
/// println!("{}", loss.item()?);
/// # Ok(())
/// # }
/// ```
pub struct Capture {
    gpu: &'static Gpu,
    id: u64,
    streams: Vec<u64>,
}

impl Capture {
    /// A capture on the GPU with this ordinal.
    ///
    /// # Errors
    /// Where it cannot be used.
    pub fn new(ordinal: usize) -> Result<Capture> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (gpu, id) = (gpu(ordinal)?, NEXT.fetch_add(1, Ordering::Relaxed));
        // The capture cannot use the free blocks of the common lists, and may need their memory.
        release_free_memory(ordinal)?;
        gpu.lock_pool().recordings.insert(id);
        Ok(Capture {
            gpu,
            id,
            streams: Vec::new(),
        })
    }

    /// Runs the work, with memory from its own lists.
    ///
    /// # Errors
    /// Those of the work.
    pub fn warm_up<R>(&mut self, work: impl FnOnce() -> Result<R>) -> Result<R> {
        KEYS.set(Keys::Noted(Vec::new()));
        let result = self.served(false, work);
        if let Keys::Noted(streams) = KEYS.replace(Keys::Arguments) {
            self.streams = streams;
        }
        result
    }

    /// Captures the work without running it. Its random streams must be children of one stream; a
    /// replay finds them by their numbers.
    ///
    /// # Errors
    /// Those of the work; work that a GPU cannot capture.
    pub fn capture<R>(self, work: impl FnOnce() -> Result<R>) -> Result<(CapturedGraph, R)> {
        let gpu = self.gpu;
        let failed = |e| gpu.failed("recording a step", e);
        gpu.replace_lent(self.id)?;
        let table = gpu.scratch(2 * self.streams.len().max(1), DType::I64)?;
        // The captured graph owns the table, and KEYS is reset below.
        KEYS.set(Keys::Table {
            start: table.read().detached(),
            streams: self.streams.clone(),
        });
        let _alone = gpu.gate.write().unwrap_or_else(|e| e.into_inner());
        let begun = gpu
            .stream
            .begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
            .map_err(failed);
        let result = begun.and_then(|()| self.served(true, work));
        KEYS.set(Keys::Arguments);
        // Also after an error: the stream would otherwise go on capturing.
        let graph = gpu
            .stream
            .end_capture(CUgraphInstantiate_flags(0))
            .map_err(failed);
        let (result, graph) = (result?, graph?);
        let graph = graph.ok_or_else(|| {
            Error::Device(format!(
                "cuda:{}: recording a step gave nothing",
                gpu.ordinal()
            ))
        })?;
        Ok((
            CapturedGraph {
                graph,
                table,
                capture: self,
            },
            result,
        ))
    }

    fn served<R>(&self, recording: bool, work: impl FnOnce() -> Result<R>) -> Result<R> {
        /// Restores the common lists for this thread, also after a panic.
        struct Restore;
        impl Drop for Restore {
            fn drop(&mut self) {
                ALLOC_SCOPE.set(AllocScope::default());
            }
        }
        let _restore = Restore;
        ALLOC_SCOPE.set(AllocScope {
            owner: Some(self.id),
            recording,
        });
        work()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.gpu.forget_recording(self.id);
    }
}

/// Captured work, to be replayed. The tensors that it returned when it was captured hold the
/// results of the latest replay.
pub struct CapturedGraph {
    graph: CudaGraph,
    table: Scratch,
    capture: Capture,
}

// SAFETY: the driver's graphs are bound to no thread, and `replay` takes `&mut self`.
unsafe impl Send for CapturedGraph {}

impl Drop for CapturedGraph {
    /// Waits for the last replay, as a running graph must not be destroyed. An error is ignored
    /// here: the next call reports it too.
    fn drop(&mut self) {
        if let Ok(_guard) = self.capture.gpu.stream_guard() {
            let _ = self.capture.gpu.wait("waiting for the last replay");
        }
    }
}

impl CapturedGraph {
    /// Runs the work once more, with children of this random stream.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn replay(&mut self, rng: &Rng) -> Result<()> {
        let gpu = self.capture.gpu;
        if !self.capture.streams.is_empty() {
            let keys = self
                .capture
                .streams
                .iter()
                .map(|&stream| rng.child(stream).key());
            let bytes: Vec<u8> = keys
                .flat_map(|(seed, stream)| [seed, stream])
                .flat_map(u64::to_le_bytes)
                .collect();
            self.table.write().write(&bytes)?;
        }
        let _guard = gpu.stream_guard()?;
        self.graph
            .launch()
            .map_err(|e| gpu.failed("replaying a step", e))
    }
}
