//! Kernel launches.
//!
//! ```text
//! gpu.kernel(&SOURCE, "dwt", x.dtype)?.arg(x).arg(y).sizes([n, h, w, c])?.each(n * h * w * c).moves(2 * x.bytes()).launch()
//! ```
//!
//! Each launch states its grid and the bytes that it must read and write; divided by the kernel's
//! time, these are the bandwidth that it achieves.

use std::ffi::c_void;

use cudarc::driver::{CudaFunction, result};
use cudarc::nvrtc::Ptx;

use super::compile;
use super::context::Gpu;
use super::slice::{Slice, SliceMut};
use crate::tensor::shape::MAX_RANK;
use crate::{DType, Error, Result};

/// Threads of a block, unless kernels/README.md says otherwise.
const BLOCK: u32 = 256;

/// CUDA C++ that kernels are compiled from. One of this crate is a `static`, so that its text has
/// one address, by which compiled kernels are found again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    /// The name of its file, without `.cu`.
    pub(super) file: &'static str,
    pub(super) text: &'static str,
}

impl Source {
    pub const fn new(file: &'static str, text: &'static str) -> Source {
        Source { file, text }
    }

    /// What compiled kernels of it are found by.
    pub(super) fn address(&self) -> usize {
        self.text.as_ptr() as usize
    }
}

impl Gpu {
    /// Kernel `name` of this source for elements of type `dtype`, compiled at its first use.
    pub fn kernel(
        &'static self,
        source: &Source,
        name: &'static str,
        dtype: DType,
    ) -> Result<Launch> {
        let &Source { file, text } = source;
        // No kernel can be loaded while a thread captures, and that thread may wait for the lock:
        // so the guard comes first.
        let _guard = self.stream_guard()?;
        let mut kernels = self.kernels.lock().unwrap_or_else(|e| e.into_inner());
        let address = source.address();
        let key = (address, name, dtype);
        if !kernels.functions.contains_key(&key) {
            let module = match kernels.modules.get(&(address, dtype)) {
                Some(module) => module.clone(),
                None => {
                    let image = match kernels.compiled.remove(&(address, dtype)) {
                        Some(image) => image,
                        None => compile::image(file, text, dtype, self.arch)?,
                    };
                    let loaded = self.context.load_module(Ptx::from_binary(image));
                    let module =
                        loaded.map_err(|e| self.failed(&format!("loading {file}.cu"), e))?;
                    kernels.modules.insert((address, dtype), module.clone());
                    module
                }
            };
            let function = module
                .load_function(name)
                .map_err(|e| self.failed(&format!("looking for {name} in {file}.cu"), e))?;
            kernels.functions.insert(key, function);
        }
        let function = kernels.functions[&key].clone();
        Ok(Launch {
            gpu: self,
            function,
            file,
            name,
            dtype,
            words: Vec::with_capacity(32),
            starts: Vec::with_capacity(16),
            grid: [1; 3],
            block: [BLOCK, 1],
            bytes: 0,
            flops: 0,
        })
    }
}

/// Elements of a pack of 16 bytes.
pub(crate) fn pack(dtype: DType) -> usize {
    16 / dtype.bytes()
}

/// `v` of kernels/README.md: how many neighbouring channels a thread loads at once. A whole pack if
/// c is a multiple of it and all operands are aligned, else 1.
pub(crate) fn together(c: usize, operands: &[Slice]) -> usize {
    let pack = pack(operands[0].dtype);
    let aligned = operands
        .iter()
        .all(|slice| slice.address.is_multiple_of(16));
    if aligned && c.is_multiple_of(pack) {
        pack
    } else {
        1
    }
}

/// Grid C of kernels/README.md: blocks over rows and channels of a matrix `[rows, c]`.
#[derive(Clone, Copy)]
pub(crate) struct Columns {
    /// Channels that a thread loads at once.
    pub v: usize,
    /// Number of blocks that share the rows, and rows of each.
    pub splits: usize,
    pub span: usize,
    across: usize,
}

impl Columns {
    /// For a kernel that writes a row of partial sums a block: no more blocks than occupy the
    /// device.
    pub fn summing(rows: usize, c: usize, v: usize) -> Columns {
        Columns::new(rows, c, v, 264)
    }

    /// For a kernel that writes no partial sums.
    pub fn passing(rows: usize, c: usize, v: usize) -> Columns {
        Columns::new(rows, c, v, 2048)
    }

    fn new(rows: usize, c: usize, v: usize, most: usize) -> Columns {
        let threads = c.div_ceil(v);
        let lanes = (BLOCK as usize / threads.max(1)).max(1);
        let splits = rows.div_ceil(lanes * 16).clamp(1, most);
        let span = rows.div_ceil(splits).max(1);
        Columns {
            v,
            splits: rows.div_ceil(span).max(1),
            span,
            across: threads.div_ceil(BLOCK as usize),
        }
    }

    pub fn grid(&self) -> [usize; 3] {
        [self.across, self.splits, 1]
    }
}

/// A kernel to be launched, with its arguments in order.
#[must_use = "nothing runs before launch()"]
pub(crate) struct Launch {
    gpu: &'static Gpu,
    function: CudaFunction,
    file: &'static str,
    name: &'static str,
    /// The arguments, each in as many words as it needs, from the lowest byte on; and the index of
    /// each one's first word.
    words: Vec<u64>,
    starts: Vec<usize>,
    grid: [u32; 3],
    block: [u32; 2],
    bytes: usize,
    flops: u64,
    dtype: DType,
}

/// A kernel's argument: memory, a scalar of 4 or 8 bytes, or a struct of those.
pub(crate) trait Argument {
    /// Appends its bits in whole words, from the lowest byte on.
    fn push(self, words: &mut Vec<u64>);
}

macro_rules! words {
    ($($t:ty, $x:ident => $bits:expr;)*) => {$(
        impl Argument for $t {
            fn push(self, words: &mut Vec<u64>) {
                let $x = self;
                words.push($bits);
            }
        }
    )*};
}
words! {
    Slice<'_>, x => x.address;
    &mut SliceMut<'_>, x => x.0.address;
    // `None` is a null pointer.
    Option<Slice<'_>>, x => x.map_or(0, |slice| slice.address);
    u32, x => u64::from(x);
    i32, x => u64::from(x as u32);
    u64, x => x;
    i64, x => x as u64;
    f32, x => u64::from(x.to_bits());
    f64, x => x.to_bits();
}

/// A struct of 64-bit integers.
impl<const N: usize> Argument for [u64; N] {
    fn push(self, words: &mut Vec<u64>) {
        words.extend(self);
    }
}

/// A struct of 32-bit integers, two to a word.
impl<const N: usize> Argument for [u32; N] {
    fn push(self, words: &mut Vec<u64>) {
        words.extend(
            self.chunks(2).map(|pair| {
                u64::from(pair[0]) | pair.get(1).map_or(0, |&high| u64::from(high) << 32)
            }),
        );
    }
}

/// Axes of a box of elements and the strides of two operands along them, outermost first: `struct
/// Axes` of common.cuh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axes {
    rank: usize,
    lengths: [usize; MAX_RANK],
    steps: [[isize; MAX_RANK]; 2],
}

impl Axes {
    /// With as few axes as possible: two neighbouring axes that are contiguous in both operands are
    /// merged, and axes of length 1 are dropped.
    pub fn new(axes: impl IntoIterator<Item = (usize, [isize; 2])>) -> Axes {
        let mut out = Axes {
            rank: 0,
            lengths: [1; MAX_RANK],
            steps: [[0; MAX_RANK]; 2],
        };
        for (length, step) in axes.into_iter().filter(|&(length, _)| length != 1) {
            let last = out.rank.wrapping_sub(1);
            let continues = |side: usize| out.steps[side][last] == step[side] * length as isize;
            if out.rank > 0 && continues(0) && continues(1) {
                out.lengths[last] *= length;
            } else {
                out.lengths[out.rank] = length;
                out.rank += 1;
            }
            for side in 0..2 {
                out.steps[side][out.rank - 1] = step[side];
            }
        }
        // A single element is a box with one axis of length 1.
        out.rank = out.rank.max(1);
        out
    }

    /// Number of elements in the box.
    pub fn elements(&self) -> usize {
        self.lengths.iter().product()
    }

    /// Each axis: its length and both strides, outermost first.
    pub fn iter(
        &self,
    ) -> impl DoubleEndedIterator<Item = (usize, [isize; 2])> + ExactSizeIterator + '_ {
        (0..self.rank).map(|i| (self.lengths[i], [self.steps[0][i], self.steps[1][i]]))
    }
}

impl Argument for Axes {
    fn push(self, words: &mut Vec<u64>) {
        // Kernels number axes from the innermost on; unused ones have length 1 and strides of 0.
        // `Launch::axes` has checked that lengths fit 32 bits.
        let mut head = [1; 8];
        head[0] = self.rank as u32;
        let mut steps = [[0; MAX_RANK]; 2];
        for (i, (length, step)) in self.iter().rev().enumerate() {
            head[1 + i] = length as u32;
            (0..2).for_each(|side| steps[side][i] = step[side] as i64 as u64);
        }
        head.push(words);
        words.extend(steps.as_flattened());
    }
}

impl Launch {
    /// Appends an argument.
    pub fn arg(mut self, argument: impl Argument) -> Launch {
        self.starts.push(self.words.len());
        argument.push(&mut self.words);
        self
    }

    /// Appends a number of elements, in 64 bits.
    pub fn count(self, n: usize) -> Launch {
        self.arg(n as u64)
    }

    /// Appends sizes, which must fit the kernel's 32-bit integers.
    pub fn sizes<const N: usize>(mut self, sizes: [usize; N]) -> Result<Launch> {
        for size in sizes {
            let fits = i32::try_from(size).map_err(|_| self.too_large(size))?;
            self = self.arg(fits);
        }
        Ok(self)
    }

    /// Appends a box of elements, whose lengths must fit the kernel's 32-bit integers.
    pub fn axes(self, axes: Axes) -> Result<Launch> {
        match axes
            .lengths
            .iter()
            .find(|&&length| u32::try_from(length).is_err())
        {
            Some(&length) => Err(self.too_large(length)),
            None => Ok(self.arg(axes)),
        }
    }

    fn too_large(&self, size: usize) -> Error {
        let (gpu, name) = (self.gpu.ordinal(), self.name);
        Error::Device(format!(
            "cuda:{gpu}: {name}: {size} does not fit the kernel's 32-bit counters; take smaller batches"
        ))
    }

    /// Sets the grid, and the threads of a block.
    pub fn grid(mut self, grid: [usize; 3], block: u32) -> Launch {
        // A size beyond 32 bits becomes one that the driver refuses, in an error with the kernel's
        // name.
        self.grid = grid.map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        self.block = [block, 1];
        self
    }

    /// How many blocks of so many threads the device runs at once: what their registers and shared
    /// memory leave room for on a multiprocessor, on all of them.
    pub fn blocks_at_once(&self, threads: u32) -> Result<usize> {
        let gpu = self.gpu;
        let on_one = self
            .function
            .occupancy_max_active_blocks_per_multiprocessor(threads, 0, None)
            .map_err(|e| gpu.failed(&format!("asking how many blocks of {} fit", self.name), e))?;
        Ok(on_one as usize * gpu.multiprocessors as usize)
    }

    /// Sets a grid of blocks of 32 x 8 threads.
    pub fn tiles(self, grid: [usize; 3]) -> Launch {
        Launch {
            block: [32, 8],
            ..self.blocks(grid)
        }
    }

    /// Grid E of kernels/README.md: a thread for each of `n` items, in a grid-stride loop if there
    /// are many.
    pub fn each(self, n: usize) -> Launch {
        self.grid([n.div_ceil(BLOCK as usize).min(4096), 1, 1], BLOCK)
    }

    /// Grid W of kernels/README.md: a warp for each row, in a grid-stride loop if there are many.
    pub fn warps(self, rows: usize) -> Launch {
        self.grid([rows.div_ceil(BLOCK as usize / 32).min(65536), 1, 1], BLOCK)
    }

    /// Sets a grid of blocks of 256 threads.
    pub fn blocks(self, grid: [usize; 3]) -> Launch {
        self.grid(grid, BLOCK)
    }

    /// Sets the bytes that must be read and written, each counted once.
    pub fn moves(mut self, bytes: usize) -> Launch {
        self.bytes = bytes;
        self
    }

    /// Sets the floating-point operations of a product; a multiply-add counts as two.
    pub fn counts(mut self, flops: u64) -> Launch {
        self.flops = flops;
        self
    }

    /// Launches the kernel, unless the grid has no blocks.
    pub fn launch(mut self) -> Result<()> {
        if self.grid.contains(&0) {
            return Ok(());
        }
        let gpu = self.gpu;
        let _guard = gpu.stream_guard()?;
        let failed = |e| gpu.failed(&format!("starting {} of {}.cu", self.name, self.file), e);
        let ([gx, gy, gz], [bx, by]) = (self.grid, self.block);
        let words = self.words.as_mut_ptr();
        let mut pointers: Vec<*mut c_void> = self
            .starts
            .iter()
            .map(|&start| words.wrapping_add(start).cast())
            .collect();
        let mark = (
            &*format!("{} {}", self.name, self.dtype),
            self.bytes,
            self.flops,
        );
        gpu.timed(mark, || {
            // SAFETY: the words hold the kernel's arguments in its order, each from the lowest byte
            // on (every host with CUDA is little-endian). Memory outlives the kernel, since blocks
            // return to a pool that serves this stream only.
            let started = unsafe {
                let (function, stream) = (self.function.cu_function(), gpu.stream.cu_stream());
                result::launch_kernel(
                    function,
                    (gx, gy, gz),
                    (bx, by, 1),
                    0,
                    stream,
                    &mut pointers,
                )
            };
            started.map_err(failed)
        })
    }
}
