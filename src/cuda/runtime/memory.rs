//! Device memory: a caching allocator.
//!
//! The driver synchronizes the device when it allocates memory, and each training step needs the
//! same few hundred buffers. So a dropped buffer goes to a free list of its size, and from the
//! second step on every buffer comes from there. With one stream, a block can be reused at once:
//! its next user comes later in the stream than its last one.
//!
//! A captured step is replayed with the addresses it was captured with. Its blocks come from its
//! own lists, which nothing else allocates from while the captured graph lives.

use cudarc::driver::result::{free_sync, malloc_sync, mem_get_info};
use cudarc::driver::sys::{CUdeviceptr, CUresult};

use super::context::{Gpu, gpu};
use super::lists::{ALLOC_SCOPE, Owner, Pool};
use crate::{Error, Result};

/// A block of device memory that returns to the pool when dropped.
pub(crate) struct Block {
    gpu: &'static Gpu,
    address: CUdeviceptr,
    bytes: usize,
    /// Allocated bytes: its size class.
    class: usize,
    /// Whose free lists it returns to.
    owner: Owner,
}

/// Counters of a device's allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CudaPoolStats {
    /// Bytes in use.
    pub live_bytes: usize,
    /// The most bytes that were in use at once.
    pub peak_bytes: usize,
    /// Bytes in free lists.
    pub cached_bytes: usize,
    /// Number of allocations by the driver.
    pub driver_allocations: u64,
}

/// The counters of a device's pool.
///
/// # Errors
/// Where the device cannot be used.
pub fn pool_stats(ordinal: usize) -> Result<CudaPoolStats> {
    let pool = gpu(ordinal)?.lock_pool();
    Ok(CudaPoolStats {
        live_bytes: pool.live,
        peak_bytes: pool.peak,
        cached_bytes: pool.cached,
        driver_allocations: pool.driver_allocations,
    })
}

/// Returns all free blocks of a device to its driver. The counters' peak stays: see
/// [`reset_peak`].
///
/// # Errors
/// Where the device cannot be used, or work that was launched earlier failed.
pub fn release_free_memory(ordinal: usize) -> Result<()> {
    let gpu = gpu(ordinal)?;
    let _guard = gpu.stream_guard()?;
    gpu.release()
}

/// Counts the peak of a device's pool anew, from the bytes that are in use now.
///
/// # Errors
/// Where the device cannot be used.
pub fn reset_peak(ordinal: usize) -> Result<()> {
    let mut pool = gpu(ordinal)?.lock_pool();
    pool.peak = pool.live;
    Ok(())
}

/// Bytes that are free by the driver's count.
pub(super) fn free(gpu: &Gpu) -> Result<usize> {
    let _guard = gpu.stream_guard()?;
    mem_get_info()
        .map(|(free, _)| free)
        .map_err(|e| gpu.failed("asking for its memory", e))
}

impl Gpu {
    pub(super) fn lock_pool(&self) -> std::sync::MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// An error during a capture, as the captured launch would use the address of memory that is
    /// freed by the time of the replay.
    pub(super) fn not_recording(&self, doing: &str) -> Result<()> {
        if ALLOC_SCOPE.get().recording {
            return Err(Error::Device(format!(
                "cuda:{}: {doing}: not while a step is recorded",
                self.ordinal
            )));
        }
        Ok(())
    }

    /// A block of `bytes` bytes, uninitialised.
    pub fn allocate(&'static self, bytes: usize) -> Result<Block> {
        let class = if self.exact {
            bytes.max(1)
        } else {
            size_class(bytes)
        };
        let mut pool = self.lock_pool();
        let owner = ALLOC_SCOPE.get().owner;
        let reused = pool.free.get_mut(&(owner, class)).and_then(Vec::pop);
        let address = match reused {
            Some(address) => {
                pool.cached -= class;
                address
            }
            None => {
                pool.driver_allocations += 1;
                drop(pool);
                let address = self.allocate_anew(class, bytes)?;
                pool = self.lock_pool();
                address
            }
        };
        pool.live += class;
        pool.peak = pool.peak.max(pool.live);
        if let Some(id) = owner {
            *pool.lent.entry((id, class)).or_default() += 1;
        }
        Ok(Block {
            gpu: self,
            address,
            bytes,
            class,
            owner,
        })
    }

    /// Allocates from the driver; if that fails, frees all free blocks and tries once more.
    fn allocate_anew(&self, class: usize, bytes: usize) -> Result<CUdeviceptr> {
        let _guard = self.stream_guard()?;
        // SAFETY: the memory is unset, and every op writes all of its output before anything reads
        // it.
        let attempt = || unsafe { malloc_sync(class) };
        let full = CUresult::CUDA_ERROR_OUT_OF_MEMORY;
        let mut outcome = attempt();
        if outcome.is_err_and(|e| e.0 == full) && !ALLOC_SCOPE.get().recording {
            self.release()?;
            outcome = attempt();
        }
        outcome.map_err(|e| {
            if e.0 == full {
                self.out_of_memory(bytes)
            } else {
                self.failed("asking for memory", e)
            }
        })
    }

    fn out_of_memory(&self, bytes: usize) -> Error {
        let mib = |bytes: usize| bytes as f64 / (1 << 20) as f64;
        let (live, cached) = {
            let pool = self.lock_pool();
            (mib(pool.live), mib(pool.cached))
        };
        let (free, total) = mem_get_info().map_or((f64::NAN, f64::NAN), |(free, total)| {
            (mib(free), mib(total))
        });
        let others = (total - free - live - cached).max(0.0);
        Error::OutOfMemory(format!(
            "cuda:{}: out of memory: asked for {:.1} MiB; of {total:.0} MiB, {live:.1} are in tensors, {cached:.1} held for reuse, \
             {others:.0} with others, {free:.0} free; a smaller --batch-size needs less",
            self.ordinal,
            mib(bytes),
        ))
    }

    /// Returns the free blocks of the common lists to the driver; the caller holds the stream
    /// guard.
    fn release(&self) -> Result<()> {
        self.wait("waiting to release memory")?;
        let mut pool = self.lock_pool();
        let keys: Vec<_> = pool
            .free
            .range((None, 0)..=(None, usize::MAX))
            .map(|(key, _)| *key)
            .collect();
        for key in keys {
            for address in pool.free.remove(&key).unwrap_or_default() {
                pool.cached -= key.1;
                // SAFETY: only the pool has a free block's address, and the stream has passed its
                // last use.
                unsafe { free_sync(address) }.map_err(|e| self.failed("releasing memory", e))?;
            }
        }
        Ok(())
    }

    /// Adds a block to a captured step's lists for each one in use: results of the warm-up may be
    /// kept alive, and the capture needs as many blocks as the warm-up.
    pub(super) fn replace_lent(&self, id: u64) -> Result<()> {
        let lent: Vec<_> = self
            .lock_pool()
            .lent
            .range((id, 0)..=(id, usize::MAX))
            .map(|(key, count)| (key.1, *count))
            .collect();
        for (class, count) in lent {
            for _ in 0..count {
                let address = self.allocate_anew(class, class)?;
                let mut pool = self.lock_pool();
                pool.driver_allocations += 1;
                pool.cached += class;
                pool.free
                    .entry((Some(id), class))
                    .or_default()
                    .push(address);
            }
        }
        Ok(())
    }

    /// Moves the free blocks of a dropped captured step to the common lists.
    pub(super) fn forget_recording(&self, id: u64) {
        let mut pool = self.lock_pool();
        pool.recordings.remove(&id);
        pool.lent.retain(|(owner, _), _| *owner != id);
        let keys: Vec<_> = pool
            .free
            .range((Some(id), 0)..=(Some(id), usize::MAX))
            .map(|(key, _)| *key)
            .collect();
        for key in keys {
            let blocks = pool.free.remove(&key).unwrap_or_default();
            pool.free.entry((None, key.1)).or_default().extend(blocks);
        }
    }
}

impl Block {
    pub fn gpu(&self) -> &'static Gpu {
        self.gpu
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub(in crate::cuda) fn address(&self) -> CUdeviceptr {
        self.address
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let mut pool = self.gpu.lock_pool();
        pool.live -= self.class;
        pool.cached += self.class;
        if let Some(id) = self.owner
            && let Some(count) = pool.lent.get_mut(&(id, self.class))
        {
            *count -= 1;
        }
        // A block may outlive the captured step that it was allocated for.
        let owner = self.owner.filter(|id| pool.recordings.contains(id));
        pool.free
            .entry((owner, self.class))
            .or_default()
            .push(self.address);
    }
}

/// Sizes are rounded up to four steps per power of two, as on the CPU, from 512 bytes on.
fn size_class(bytes: usize) -> usize {
    let step = (bytes.max(1).next_power_of_two() / 8).max(512);
    bytes.max(1).next_multiple_of(step)
}

#[cfg(test)]
mod tests {
    use super::size_class;

    #[test]
    fn size_classes_waste_at_most_a_quarter() {
        for bytes in [0usize, 1, 511, 512, 513, 100_000, (1 << 30) + 1] {
            let class = size_class(bytes);
            assert!(
                class >= bytes
                    && class.is_multiple_of(512)
                    && (bytes < 4096 || class - bytes <= bytes / 4),
                "{bytes}: {class}"
            );
        }
    }
}
