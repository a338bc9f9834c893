//! Storage: element types, and aligned blocks of memory that are used again instead of being returned.
//!
//! A training step asks for the same few hundred buffers every time. Asking the system for each costs page faults, which
//! are slower than the arithmetic on small models; so a dropped buffer goes back to a pool, and from the second step
//! on every buffer comes from there. [`pool_stats`] counts what the system was really asked for.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::collections::BTreeMap;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Mutex;

use half::{bf16, f16};

/// What one element of a tensor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// 32-bit float: the type of training.
    F32,
    /// 64-bit float: the oracle that tests compare with.
    F64,
    /// 16-bit float with f32's range: storage only.
    BF16,
    /// IEEE 16-bit float: storage only.
    F16,
    /// Bytes: pixels, and the truth values of comparisons.
    U8,
    /// 64-bit signed integers: labels and indices.
    I64,
}

impl DType {
    /// Size of one element in bytes.
    pub fn bytes(self) -> usize {
        match self {
            DType::U8 => 1,
            DType::BF16 | DType::F16 => 2,
            DType::F32 => 4,
            DType::F64 | DType::I64 => 8,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::BF16 => "bf16",
            DType::F16 => "f16",
            DType::U8 => "u8",
            DType::I64 => "i64",
        })
    }
}

mod sealed {
    /// Plain numbers of at most eight bytes for which every bit pattern is a value: what [`super::Buffer`] relies on.
    pub trait Plain: Copy + Send + Sync + 'static {}
}

/// A Rust type that a tensor can hold.
pub trait Element: sealed::Plain + fmt::Debug + PartialEq + PartialOrd + Default {
    /// Its run-time name.
    const DTYPE: DType;
    /// The nearest f64.
    fn to_f64(self) -> f64;
    /// The nearest value to `x`; integers round towards zero and saturate.
    fn from_f64(x: f64) -> Self;
}

macro_rules! element {
    ($($t:ty, $dtype:ident, $x:ident => $to:expr, $from:expr;)*) => {$(
        impl sealed::Plain for $t {}
        impl Element for $t {
            const DTYPE: DType = DType::$dtype;
            #[inline(always)]
            fn to_f64(self) -> f64 { let $x = self; $to }
            #[inline(always)]
            fn from_f64($x: f64) -> Self { $from }
        }
    )*};
}
element! {
    f32,  F32,  x => f64::from(x), x as f32;
    f64,  F64,  x => x,            x;
    bf16, BF16, x => x.to_f64(),   bf16::from_f64(x);
    f16,  F16,  x => x.to_f64(),   f16::from_f64(x);
    u8,   U8,   x => f64::from(x), x as u8;
    i64,  I64,  x => x as f64,     x as i64;
}

/// The same memory as bytes.
pub(crate) fn as_bytes<T: Element>(x: &[T]) -> &[u8] {
    // SAFETY: a Plain T has no padding, and bytes need no alignment.
    unsafe { std::slice::from_raw_parts(x.as_ptr().cast(), size_of_val(x)) }
}

/// The same memory as bytes, to write.
pub(crate) fn as_bytes_mut<T: Element>(x: &mut [T]) -> &mut [u8] {
    // SAFETY: a Plain T has no padding, and any bytes make one.
    unsafe { std::slice::from_raw_parts_mut(x.as_mut_ptr().cast(), size_of_val(x)) }
}

/// The same elements, where S is T under another name: how generic code reaches a path for one type.
pub(crate) fn as_type<S: Element, T: Element>(x: &[S]) -> Option<&[T]> {
    // SAFETY: each Rust type has a DTYPE of its own, so S and T are one type.
    (S::DTYPE == T::DTYPE).then(|| unsafe { std::slice::from_raw_parts(x.as_ptr().cast(), x.len()) })
}

/// As [`as_type`], to write.
pub(crate) fn as_type_mut<S: Element, T: Element>(x: &mut [S]) -> Option<&mut [T]> {
    // SAFETY: as above.
    (S::DTYPE == T::DTYPE).then(|| unsafe { std::slice::from_raw_parts_mut(x.as_mut_ptr().cast(), x.len()) })
}

/// Cache lines and AVX-512 vectors are 64 bytes.
const ALIGN: usize = 64;

/// A block of initialised memory, 64-byte aligned, that returns to the pool when dropped.
pub(crate) struct Buffer {
    start: NonNull<u8>,
    bytes: usize,
    /// Bytes really held, the size class.
    class: usize,
}

// SAFETY: a Buffer owns its block like a Box<[u8]> does; shared access only reads.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// A block of `bytes` bytes holding whatever its last user left, zeros at first.
    pub fn stale(bytes: usize) -> Buffer {
        Buffer::try_stale(bytes).unwrap_or_else(|| handle_alloc_error(layout(size_class(bytes))))
    }

    /// As [`Buffer::stale`]; `None` where the system has no such memory.
    fn try_stale(bytes: usize) -> Option<Buffer> {
        let class = size_class(bytes);
        let mut pool = POOL.lock().unwrap_or_else(|e| e.into_inner());
        let start = match pool.free.get_mut(&class).and_then(Vec::pop) {
            Some(Block(start)) => start,
            None => {
                drop(pool);
                let layout = Layout::from_size_align(class, ALIGN).ok()?;
                // SAFETY: a size class is never zero.
                let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
                pool = POOL.lock().unwrap_or_else(|e| e.into_inner());
                pool.system_allocations += 1;
                start
            }
        };
        pool.live += class;
        pool.peak = pool.peak.max(pool.live);
        Some(Buffer { start, bytes, class })
    }

    /// All elements.
    pub fn as_slice<T: Element>(&self) -> &[T] {
        // SAFETY: the block is aligned to 64 and initialised (allocated zeroed); any bytes are valid for a Plain T.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.bytes / size_of::<T>()) }
    }

    /// All elements, to write.
    pub fn as_mut_slice<T: Element>(&mut self) -> &mut [T] {
        // SAFETY: as in `as_slice`; &mut self makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.bytes / size_of::<T>()) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut pool = POOL.lock().unwrap_or_else(|e| e.into_inner());
        pool.live -= self.class;
        pool.free.entry(self.class).or_default().push(Block(self.start));
    }
}

/// Where a tensor's elements are.
pub(crate) enum Memory {
    Host(Buffer),
    Device(crate::cuda::Block),
}

/// A free block; its size is its key in the pool.
struct Block(NonNull<u8>);
// SAFETY: a free block is owned by the pool alone.
unsafe impl Send for Block {}

struct Pool {
    free: BTreeMap<usize, Vec<Block>>,
    live: usize,
    peak: usize,
    system_allocations: u64,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { free: BTreeMap::new(), live: 0, peak: 0, system_allocations: 0 });

/// What the buffer pool holds now and has held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStats {
    /// Bytes in tensors that are alive.
    pub live_bytes: usize,
    /// The most bytes that were alive at once.
    pub peak_bytes: usize,
    /// How often the system's allocator was asked for tensor memory.
    pub system_allocations: u64,
}

/// Whether there is memory for a buffer of `bytes` bytes. What the system gives stays in the pool, where the buffer that
/// was meant finds it.
pub(crate) fn is_there(bytes: usize) -> bool {
    Buffer::try_stale(bytes).is_some()
}

/// The buffer pool's counters, over all threads of the process.
pub fn pool_stats() -> PoolStats {
    let pool = POOL.lock().unwrap_or_else(|e| e.into_inner());
    PoolStats { live_bytes: pool.live, peak_bytes: pool.peak, system_allocations: pool.system_allocations }
}

/// Returns all free blocks to the system, for instance between training and serving.
pub fn release_free_memory() {
    let free = std::mem::take(&mut POOL.lock().unwrap_or_else(|e| e.into_inner()).free);
    for (class, blocks) in free {
        for Block(start) in blocks {
            // SAFETY: the block was allocated with this very layout, and the pool owned it alone.
            unsafe { std::alloc::dealloc(start.as_ptr(), layout(class)) };
        }
    }
}

/// Sizes are rounded up to four steps per power of two: at most a quarter is wasted, and nearby sizes share blocks.
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
                class >= bytes && class.is_multiple_of(ALIGN) && (bytes < 512 || class - bytes <= bytes / 4),
                "{bytes} -> {class}"
            );
        }
    }

    #[test]
    fn casts_saturate() {
        assert_eq!((u8::from_f64(-3.7), u8::from_f64(300.0), i64::from_f64(-2.9)), (0, 255, -2));
    }
}
