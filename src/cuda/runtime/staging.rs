//! Copies to the device that run beside its work, from page-locked memory and on a stream of their
//! own.
//!
//! A copy from ordinary memory holds up its caller until the device has come to it, and the device
//! while it lasts. Here bytes go by way of a slot: page-locked memory, which the device reads by
//! itself, and a block on the device. The second stream fills the block while the first one
//! computes; then the first copies it to its place, at the speed of device memory. So what is
//! computed with stays where it is, as a captured step wants it, and no capture knows of the
//! second stream. (Two places by turns would save that copy, some microseconds, and take two
//! recordings, each with memory of its own.)
//!
//! Three orders must hold. The CPU writes to a slot once the last copy has read it: it waits
//! for `filled`. The second stream fills the block once the copy out of it is done, and all else
//! its memory was used for before: it waits for `emptied`. The first stream copies out of the block
//! once that is full: it waits for `filled`. With two slots, taken by turns, the CPU prepares
//! a batch while another one travels and a third is computed with.

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

// SAFETY: it owns its memory as a Box<[u8]> does, and the driver's memory belongs to no thread.
unsafe impl Send for Locked {}

impl Locked {
    /// Zeros; of a context that is bound to this thread.
    fn new(bytes: usize) -> std::result::Result<Locked, DriverError> {
        // SAFETY: the driver gives so many bytes or an error; they are written before anything
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
        // SAFETY: the driver gave it, and nothing copies from it any more: whoever drops a slot has
        // waited.
        let _ = unsafe { result::free_host(self.start.as_ptr().cast()) };
    }
}

struct Slot {
    room: Option<(Locked, Block)>,
    filled: CudaEvent,
    emptied: CudaEvent,
}

/// The way of batches to a device.
pub(crate) struct Staging {
    gpu: &'static Gpu,
    slots: [Slot; 2],
    next: usize,
}

impl Staging {
    /// To the device with this ordinal. It takes memory at the first copy.
    pub fn new(ordinal: usize) -> Result<Staging> {
        let gpu = gpu(ordinal)?;
        let event = || {
            gpu.context
                .new_event(None)
                .map_err(|e| gpu.failed("making an event", e))
        };
        let slot = || {
            Ok(Slot {
                room: None,
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

    /// Copies each source to its target, which later work finds there. The sources may change at
    /// once.
    pub fn copy(&mut self, parts: &mut [(&[u8], SliceMut)]) -> Result<()> {
        let (gpu, doing) = (self.gpu, "copying a batch to the device");
        gpu.not_recording(doing)?;
        let failed = |e| gpu.failed(doing, e);
        // Each part begins where every type is aligned.
        let room = |part: &(&[u8], SliceMut)| part.0.len().next_multiple_of(16);
        self.next = 1 - self.next;
        let Slot {
            room: held,
            filled,
            emptied,
        } = &mut self.slots[self.next];
        filled.synchronize().map_err(failed)?;
        let (locked, block) = Slot::with_room(held, gpu, parts.iter().map(room).sum(), emptied)?;
        let mut at = 0;
        for part in parts.iter() {
            locked.as_mut_slice()[at..at + part.0.len()].copy_from_slice(part.0);
            at += room(part);
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
            at += room(part);
        }
        emptied.record(&gpu.stream).map_err(failed)
    }
}

impl Slot {
    /// At least so many bytes on both sides.
    fn with_room<'a>(
        held: &'a mut Option<(Locked, Block)>,
        gpu: &'static Gpu,
        bytes: usize,
        emptied: &CudaEvent,
    ) -> Result<(&'a mut Locked, &'a Block)> {
        if held.as_ref().is_none_or(|(locked, _)| locked.bytes < bytes) {
            *held = None;
            let block = gpu.allocate(bytes)?;
            let _guard = gpu.stream_guard()?;
            // The block was others' before, who may not be done with it: the second stream does not
            // come after them by itself.
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
    /// Waits for copies under way. An error shows at the next call too.
    fn drop(&mut self) {
        let _ = self.gpu.copies.synchronize();
    }
}
