//! Copies to the device that overlap with its work: from page-locked memory, on a second stream.
//!
//! A copy from pageable memory blocks the caller until the stream has come to it, and the stream
//! while it lasts. Here bytes go through a slot: page-locked memory, which the device reads by DMA,
//! and a block on the device. The second stream fills the block while the first one computes; then
//! the first copies the block to its target, at the bandwidth of device memory. So targets keep
//! their addresses, as a captured step needs, and the second stream is not part of any capture.
//! (Two alternating targets would save that last copy, a few microseconds, but need two captured
//! steps, each with its own memory.)
//!
//! Three dependencies must hold. The CPU writes to a slot only after the last copy has read it: it
//! waits for `filled`. The second stream fills the block only after the copy out of it, and any
//! earlier use of its memory, is done: it waits for `emptied`. The first stream copies out of the
//! block only after that is full: it waits for `filled`. With two slots, used alternately, the CPU
//! prepares a batch while another one is copied and the device computes with a third.

use std::ptr::NonNull;

use cudarc::driver::{CudaEvent, DriverError, result};

use super::context::{Gpu, gpu};
use super::memory::Block;
use super::slice::{Slice, SliceMut};
use crate::{DType, Result};

/// Page-locked memory of the CPU.
struct Locked {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: it owns its memory as a Box<[u8]> does, and page-locked memory is bound to no thread.
unsafe impl Send for Locked {}

impl Locked {
    /// Zeroed memory, of the context that is bound to this thread.
    fn new(bytes: usize) -> std::result::Result<Locked, DriverError> {
        // SAFETY: the driver allocates this many bytes or fails; they are written before anything
        // reads them.
        unsafe {
            let start = result::malloc_host(bytes, 0)?.cast::<u8>();
            start.write_bytes(0, bytes);
            Ok(Locked {
                start: NonNull::new_unchecked(start),
                bytes,
            })
        }
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: the memory is this long, zeroed when made, and borrowed as `self` is.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: the driver allocated it, and no copy reads it any more: a slot is dropped after a
        // wait.
        let _ = unsafe { result::free_host(self.start.as_ptr().cast()) };
    }
}

struct Slot {
    /// Page-locked memory and the block, of equal size; none before the first copy.
    buffers: Option<(Locked, Block)>,
    filled: CudaEvent,
    emptied: CudaEvent,
}

/// Copies batches to a device, through slots.
pub(crate) struct Staging {
    gpu: &'static Gpu,
    slots: [Slot; 2],
    next: usize,
}

impl Staging {
    /// For the device with this ordinal. Memory is allocated at the first copy.
    pub fn new(ordinal: usize) -> Result<Staging> {
        let gpu = gpu(ordinal)?;
        let event = || {
            gpu.context
                .new_event(None)
                .map_err(|e| gpu.failed("making an event", e))
        };
        let slot = || {
            Ok(Slot {
                buffers: None,
                filled: event()?,
                emptied: event()?,
            })
        };
        Ok(Staging {
            gpu,
            slots: [slot()?, slot()?],
            next: 0,
        })
    }

    /// Copies each source to its target, in order with later launches. The sources may be changed
    /// once this returns.
    pub fn copy(&mut self, parts: &mut [(&[u8], SliceMut)]) -> Result<()> {
        let (gpu, doing) = (self.gpu, "copying a batch to the device");
        gpu.not_recording(doing)?;
        let failed = |e| gpu.failed(doing, e);
        // Each part begins at an offset that is aligned for every type.
        let aligned = |part: &(&[u8], SliceMut)| part.0.len().next_multiple_of(16);
        self.next = 1 - self.next;
        let Slot {
            buffers,
            filled,
            emptied,
        } = &mut self.slots[self.next];
        filled.synchronize().map_err(failed)?;
        let (locked, block) = Slot::grow(buffers, gpu, parts.iter().map(aligned).sum(), emptied)?;
        let mut at = 0;
        for part in parts.iter() {
            locked.as_mut_slice()[at..at + part.0.len()].copy_from_slice(part.0);
            at += aligned(part);
        }
        let _guard = gpu.stream_guard()?;
        gpu.copies.wait(emptied).map_err(failed)?;
        // SAFETY: the block is at least as long, and both live until `filled`, which is waited for
        // before either is dropped.
        unsafe {
            result::memcpy_htod_async(
                block.address(),
                &locked.as_mut_slice()[..at],
                gpu.copies.cu_stream(),
            )
        }
        .map_err(failed)?;
        filled.record(&gpu.copies).map_err(failed)?;
        gpu.stream.wait(filled).map_err(failed)?;
        at = 0;
        for part in parts.iter_mut() {
            let bytes = part.0.len();
            part.1
                .copy_with_guard(Slice::new(block, at, bytes, DType::U8))?;
            at += aligned(part);
        }
        emptied.record(&gpu.stream).map_err(failed)
    }
}

impl Slot {
    /// Grows both buffers to at least `bytes` bytes.
    fn grow<'a>(
        held: &'a mut Option<(Locked, Block)>,
        gpu: &'static Gpu,
        bytes: usize,
        emptied: &CudaEvent,
    ) -> Result<(&'a mut Locked, &'a Block)> {
        if held.as_ref().is_none_or(|(locked, _)| locked.bytes < bytes) {
            *held = None;
            let block = gpu.allocate(bytes)?;
            let _guard = gpu.stream_guard()?;
            // The block may still be in use by earlier work of the first stream, which the second
            // stream must wait for.
            let locked = emptied
                .record(&gpu.stream)
                .and_then(|()| Locked::new(bytes.max(1)));
            *held = Some((
                locked.map_err(|e| gpu.failed("asking for page-locked memory", e))?,
                block,
            ));
        }
        let (locked, block) = held.as_mut().expect("filled above");
        Ok((locked, block))
    }
}

impl Drop for Staging {
    /// Waits for copies in flight. An error is ignored here: the next call reports it too.
    fn drop(&mut self) {
        let _ = self.gpu.copies.synchronize();
    }
}
