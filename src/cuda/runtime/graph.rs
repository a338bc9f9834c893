//! Capturing a piece of work once and replaying it: one call to the driver instead of some hundred
//! launches.
//!
//! What is replayed are the very launches, with their arguments and addresses. So whatever changes
//! from time to time must lie in device memory at a place that stays: inputs, learning rate, and
//! the keys of random streams, which [`CapturedGraph`] keeps in a table. The work's own buffers
//! come from lists that nobody else is served from while the captured graph lives; the warm-up
//! fills them, as the driver gives no memory during a capture.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use cudarc::driver::CudaGraph;
use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};

use super::context::{Gpu, gpu};
use super::lists::{ALLOC_SCOPE, AllocScope};
use super::memory::release_free_memory;
use super::slice::{Scratch, Slice};
use crate::{DType, Error, Result, Rng};

/// What becomes of the keys of random streams on this thread.
enum Keys {
    /// They are arguments, as always.
    Arguments,
    /// As always, and the streams' numbers are noted.
    Noted(Vec<u64>),
    /// They are read from a table, where those streams have their places.
    Table {
        start: Slice<'static>,
        streams: Vec<u64>,
    },
}

thread_local! {
    static KEYS: RefCell<Keys> = const { RefCell::new(Keys::Arguments) };
}

/// Where the key of this random stream is in device memory, for a launch that is being captured;
/// none outside of that.
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

/// A piece of work that is warmed up and captured: its own lists of memory, and the random streams
/// that it draws from.
///
/// Work that is captured must not read from or write to the CPU's memory, and what it reads
/// and writes must stay where it is: tensors that are overwritten, not replaced. A training step is
/// such work:
///
/// ```no_run
/// # use wavemix::{Result, Rng, Tensor, cuda::Capture};
/// # fn step(_: &Rng) -> Result<Tensor> { unimplemented!() }
/// # fn main() -> Result<()> {
/// let mut capture = Capture::new(0)?;
/// capture.warm_up(|| step(&Rng::new(0).child(0)))?; // once in earnest
/// let (mut recording, loss) = capture.capture(|| step(&Rng::new(0).child(1)))?; // captured, not done
/// for i in 1..100 {
///     recording.replay(&Rng::new(0).child(i))?; // done
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
        // Everyone's free blocks are of no use to the capture, and would take the memory that it
        // needs.
        release_free_memory(ordinal)?;
        gpu.lock_pool().recordings.insert(id);
        Ok(Capture {
            gpu,
            id,
            streams: Vec::new(),
        })
    }

    /// Does the work, with memory from its own lists.
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

    /// Captures the work without doing it. Its random streams are children of one stream, and known
    /// by their numbers.
    ///
    /// # Errors
    /// Those of the work; work that a GPU cannot capture.
    pub fn capture<R>(self, work: impl FnOnce() -> Result<R>) -> Result<(CapturedGraph, R)> {
        let gpu = self.gpu;
        let failed = |e| gpu.failed("recording a step", e);
        gpu.replace_lent(self.id)?;
        let table = gpu.scratch(2 * self.streams.len().max(1), DType::I64)?;
        // The table lives in the recording, and KEYS forgets it below.
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
        // Ended in any case: the stream would otherwise capture whatever comes next.
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
        /// Whatever happens, this thread is served as everyone is afterwards.
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

/// Captured work, to be replayed. What it returned when it was captured holds the
/// latest results.
pub struct CapturedGraph {
    graph: CudaGraph,
    table: Scratch,
    capture: Capture,
}

// SAFETY: the driver's graphs belong to no thread; `replay` asks for the recording alone.
unsafe impl Send for CapturedGraph {}

impl Drop for CapturedGraph {
    /// Waits for the last replay: what is destroyed must not be running. An error shows at the next
    /// call too.
    fn drop(&mut self) {
        if let Ok(_guard) = self.capture.gpu.stream_guard() {
            let _ = self.capture.gpu.wait("waiting for the last replay");
        }
    }
}

impl CapturedGraph {
    /// Does the work once more, its random streams being children of this one.
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
