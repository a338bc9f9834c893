//! Aligned blocks of memory that are used again instead of being returned.
//!
//! A training step asks for the same few hundred buffers every time. Asking the system for each
//! costs page faults, which are slower than the arithmetic on small models; so a dropped buffer
//! goes back to a pool, and from the second step on every buffer comes from there. [`pool_stats`]
//! counts what the system was really asked for.
//!
//! Small buffers are blocks of a few sizes. Large ones are parts of segments: parts that are given
//! back become one with their neighbours, so that what activations of one size have left serves
//! gradients of another.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::collections::BTreeMap;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::{LazyLock, Mutex, MutexGuard};

use crate::tensor::dtype::Element;

/// Cache lines and AVX-512 vectors are 64 bytes.
const ALIGN: usize = 64;

/// Bytes from which on a buffer is a part of a segment.
const LARGE: usize = 64 * 1024;

/// Bytes of a segment, at least: addresses only, until they are used. A quarter of it cost a model
/// of 480 MiB 4 % more, for what stayed free at the ends.
const SEGMENT: usize = 1 << 30;

/// Initialised memory, 64-byte aligned, that returns to the pool when dropped.
pub(crate) struct Buffer {
    start: NonNull<u8>,
    bytes: usize,
    /// Bytes really held, at least `bytes`.
    capacity: usize,
    /// Where it is, if it is a part of a segment.
    slot: Option<Slot>,
}

/// The number of a segment, and an offset into it.
type Slot = (usize, usize);

// SAFETY: a Buffer owns its memory like a Box<[u8]> does; shared access only reads.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// A buffer of `bytes` bytes holding whatever its last user left, zeros at first.
    pub fn uninit(bytes: usize) -> Buffer {
        Buffer::try_uninit(bytes).unwrap_or_else(|| handle_alloc_error(layout(bytes)))
    }

    /// As [`Buffer::uninit`]; `None` where the system has no such memory. What it gives stays in
    /// the pool.
    pub fn try_uninit(bytes: usize) -> Option<Buffer> {
        let mut pool = pool();
        let capacity = if bytes < LARGE {
            size_class(bytes)
        } else {
            bytes.checked_next_multiple_of(ALIGN)?
        };
        let (start, slot) = if bytes < LARGE {
            (pool.block(capacity)?, None)
        } else {
            pool.part(capacity)?
        };
        pool.live += capacity;
        pool.peak = pool.peak.max(pool.live);
        Some(Buffer {
            start,
            bytes,
            capacity,
            slot,
        })
    }

    /// All elements.
    pub fn as_slice<T: Element>(&self) -> &[T] {
        // SAFETY: the block is aligned to 64 and initialised (allocated zeroed); any bytes are
        // valid for a Plain T.
        unsafe {
            std::slice::from_raw_parts(self.start.as_ptr().cast(), self.bytes / size_of::<T>())
        }
    }

    /// All elements, to write.
    pub fn as_mut_slice<T: Element>(&mut self) -> &mut [T] {
        // SAFETY: as in `as_slice`; &mut self makes the access exclusive.
        unsafe {
            std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.bytes / size_of::<T>())
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut pool = pool();
        pool.live -= self.capacity;
        match self.slot {
            Some(slot) => pool.join(slot, self.capacity),
            None => pool
                .blocks
                .entry(self.capacity)
                .or_default()
                .push(Start(self.start)),
        }
    }
}

/// Where memory that the pool owns begins.
struct Start(NonNull<u8>);
// SAFETY: what is free is owned by the pool alone; of segments it only hands out parts, each to one
// buffer.
unsafe impl Send for Start {}

struct Segment {
    start: Start,
    layout: Layout,
    /// Where its first part begins, by what it takes to be aligned, and where its last ends.
    range: Range<usize>,
    /// The end of what some buffer has had.
    used: usize,
}

#[derive(Default)]
struct Pool {
    /// Free small blocks by their size.
    blocks: BTreeMap<usize, Vec<Start>>,
    segments: BTreeMap<usize, Segment>,
    /// Free parts of segments, and their lengths. No two of them touch.
    parts: BTreeMap<Slot, usize>,
    live: usize,
    peak: usize,
    held: usize,
    system_allocations: u64,
}

static POOL: LazyLock<Mutex<Pool>> = LazyLock::new(Mutex::default);

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(|e| e.into_inner())
}

impl Pool {
    /// A small block.
    fn block(&mut self, class: usize) -> Option<NonNull<u8>> {
        if let Some(Start(start)) = self.blocks.get_mut(&class).and_then(Vec::pop) {
            return Some(start);
        }
        // SAFETY: a size class is never zero.
        let start = NonNull::new(unsafe { alloc_zeroed(layout(class)) })?;
        self.held += class;
        self.system_allocations += 1;
        Some(start)
    }

    /// The first `bytes` bytes of the first free part that has as many: what lies behind may stay
    /// untouched.
    fn part(&mut self, bytes: usize) -> Option<(NonNull<u8>, Option<Slot>)> {
        let (slot, free) = match self.parts.iter().find(|(_, free)| **free >= bytes) {
            Some((&slot, &free)) => (slot, free),
            None => self
                .segment(SEGMENT.max(bytes))
                .or_else(|| self.segment(bytes))?,
        };
        self.parts.remove(&slot);
        let end = slot.1 + bytes;
        if free > bytes {
            self.parts.insert((slot.0, end), free - bytes);
        }
        let segment = self.segments.get_mut(&slot.0)?;
        if end > segment.used {
            self.held += end - segment.used;
            self.system_allocations += 1;
            segment.used = end;
        }
        // SAFETY: the part lies within the segment.
        Some((unsafe { segment.start.0.add(slot.1) }, Some(slot)))
    }

    /// A new segment, free as a whole.
    fn segment(&mut self, bytes: usize) -> Option<(Slot, usize)> {
        // `alloc_zeroed` at the default alignment maps lazily: untouched pages cost nothing.
        let layout = Layout::array::<u8>(bytes.checked_add(ALIGN)?).ok()?;
        // SAFETY: it is not empty.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        let first = start.align_offset(ALIGN);
        let number = self
            .segments
            .last_key_value()
            .map_or(0, |(number, _)| number + 1);
        self.segments.insert(
            number,
            Segment {
                start: Start(start),
                layout,
                range: first..first + bytes,
                used: first,
            },
        );
        self.parts.insert((number, first), bytes);
        Some(((number, first), bytes))
    }

    /// Takes a part back, and joins it with its free neighbours.
    fn join(&mut self, mut slot: Slot, mut bytes: usize) {
        bytes += self.parts.remove(&(slot.0, slot.1 + bytes)).unwrap_or(0);
        if let Some((&before, &length)) = self.parts.range(..slot).next_back()
            && (before.0, before.1 + length) == slot
        {
            (slot, bytes) = (before, bytes + length);
        }
        self.parts.insert(slot, bytes);
    }
}

/// What the buffer pool holds now and has held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStats {
    /// Bytes in tensors that are alive.
    pub live_bytes: usize,
    /// The most bytes that were alive at once.
    pub peak_bytes: usize,
    /// Bytes that some tensor has been in, and that the pool still holds: what tensors take of the
    /// machine's memory.
    pub held_bytes: usize,
    /// How often a tensor was given memory that none had been in before.
    pub system_allocations: u64,
}

/// The buffer pool's counters, over all threads of the process.
pub fn pool_stats() -> PoolStats {
    let Pool {
        live,
        peak,
        held,
        system_allocations,
        ..
    } = *pool();
    PoolStats {
        live_bytes: live,
        peak_bytes: peak,
        held_bytes: held,
        system_allocations,
    }
}

/// Returns free blocks and wholly free segments to the system, for instance between training and
/// serving.
pub fn release_free_memory() {
    let mut pool = pool();
    let Pool {
        blocks,
        segments,
        parts,
        held,
        ..
    } = &mut *pool;
    for (class, blocks) in std::mem::take(blocks) {
        *held -= class * blocks.len();
        for Start(start) in blocks {
            // SAFETY: the block was allocated with this very layout, and the pool owned it alone.
            unsafe { dealloc(start.as_ptr(), layout(class)) };
        }
    }
    segments.retain(
        |&number,
         Segment {
             start,
             layout,
             range,
             used,
         }| {
            let slot = (number, range.start);
            if parts.get(&slot) != Some(&range.len()) {
                return true;
            }
            parts.remove(&slot);
            *held -= *used - range.start;
            // SAFETY: as above; it is free as a whole.
            unsafe { dealloc(start.0.as_ptr(), *layout) };
            false
        },
    );
}

/// Sizes are rounded up to four steps per power of two: at most a quarter is wasted, and nearby
/// sizes share blocks.
fn size_class(bytes: usize) -> usize {
    let step = (bytes.max(1).next_power_of_two() / 8).max(ALIGN);
    bytes.max(1).next_multiple_of(step)
}

fn layout(class: usize) -> Layout {
    Layout::from_size_align(class, ALIGN).expect("Shape::new bounds every size")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_waste_at_most_a_quarter_and_fit() {
        for bytes in [0, 1, 63, 64, 65, 1000, 4096, 4097, 123_456_789] {
            let class = size_class(bytes);
            assert!(
                class >= bytes
                    && class.is_multiple_of(ALIGN)
                    && (bytes < 512 || class - bytes <= bytes / 4),
                "{bytes} -> {class}"
            );
        }
    }

    #[test]
    fn parts_that_are_given_back_become_one() {
        let (mut pool, mut lent) = (Pool::default(), Vec::<(Slot, usize)>::new());
        for i in 0..2000 {
            let [pick, size, ..] = crate::Rng::new(7).block(i).map(|word| word as usize);
            if pick % 5 < 2 && !lent.is_empty() {
                let (slot, bytes) = lent.swap_remove(size % lent.len());
                pool.join(slot, bytes);
            } else {
                let bytes = (size % 1000 + 1) * ALIGN;
                let (start, slot) = pool.part(bytes).unwrap();
                assert!((start.as_ptr() as usize).is_multiple_of(ALIGN));
                lent.push((slot.unwrap(), bytes));
            }
            // Lent and free parts follow one another without gap or overlap; no two free ones do.
            let free = pool
                .parts
                .iter()
                .map(|(slot, &bytes)| (slot.1, bytes, true));
            let mut all: Vec<_> = free
                .chain(lent.iter().map(|&(slot, bytes)| (slot.1, bytes, false)))
                .collect();
            all.sort();
            assert!(
                all.windows(2)
                    .all(|two| two[0].0 + two[0].1 == two[1].0 && !(two[0].2 && two[1].2)),
                "step {i}"
            );
        }
        lent.into_iter()
            .for_each(|(slot, bytes)| pool.join(slot, bytes));
        assert_eq!(
            pool.parts.values().collect::<Vec<_>>(),
            [&SEGMENT],
            "all is free, in one piece"
        );
        let held = pool.held;
        pool.part(held).unwrap();
        assert_eq!(pool.held, held, "what was used is used again");
        assert_eq!(
            pool.part(SEGMENT).unwrap().1.map(|slot| slot.0),
            Some(1),
            "what does not fit has its own segment"
        );
    }
}
