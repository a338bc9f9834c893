//! Block sizes of the loops in `gemm`'s head: which loop each one cuts, which operand, and what it
//! fits. They are made for an L1 data cache of 32 KiB and 512 KiB of L2 a core. (The copies that
//! convolutions make, `conv::bands` and `conv::depthwise`, are made for 1 MiB, which large CPUs
//! have.)
//!
//! | constant    | loop it cuts         | operand    | fits                                       |
//! |-------------|----------------------|------------|--------------------------------------------|
//! | `MR`, `nr`  | micro-kernel         | tile of C  | registers: 8 rows of two AVX-512 vectors   |
//! | `nr`        | 2, columns           | panel of B | those two vectors: 128 bytes of a row      |
//! | `KC`        | 4, terms             | panel of B | half of L1: KC x nr is 16 KiB              |
//! | `ROW_BATCH` | rows within a task   | block of A | L2: ROW_BATCH x KC is 128 KiB              |
//! | `MC`        | 3, rows, in parallel | A and C    | no cache: each task reads all of B once    |
//! | `SPLIT_K`   | terms, in parallel   | A and B    | no cache: the terms of a task, for small C |
//!
//! BLIS's MC, the rows whose block of A stays in L2, is `ROW_BATCH` here; `MC` is only about how
//! many rows a task has. For instance, [100352, 64] x [64, 64] is 392 tasks of 256 rows. There is
//! no NC: the whole of B is packed before the first multiply-accumulate. All sizes in bytes are of
//! f32; f64 takes half as many columns, and bf16 twice as many terms. Where C is rounded to bf16,
//! loop 4 takes all terms at once, and what is said of L1 and L2 holds for k up to KC only.

use crate::cpu::simd::{has_avx2, has_avx512};
use crate::{DType, Stored};

/// The sizes of a product, [m, k] x [k, n] -> [m, n].
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub m: usize,
    /// The terms of each element of C.
    pub k: usize,
    pub n: usize,
}

impl Size {
    pub fn new(m: usize, k: usize, n: usize) -> Size {
        Size { m, k, n }
    }
}

/// The most rows that a tile of C has. Such a tile is two vectors wide: 16 of the 32 registers of
/// AVX-512 and NEON accumulate. For each term they take 16 FMAs and 10 loads (two vectors of B,
/// eight elements of A). So two FMA units are busy for 8 cycles (16 on CPUs with one 512-bit unit)
/// and two load ports for 5, and 16 sums are more than the FMAs under way in two units (latency 4).
/// A taller tile would gain nothing, and leave more of its rows empty where C has few.
pub(crate) const MR: usize = 8;

/// Rows of a tile two vectors wide in the 16 registers of AVX2: 12 accumulators, 2 vectors of B and
/// one element of A are 15. For each term that is 12 FMAs and 8 loads, 6 cycles of two FMA units
/// and 4 of two load ports, and 12 sums are more than the 8 FMAs under way. (4 rows of three
/// vectors would take 16 registers and have 7 loads; panels of B would no longer be halves of
/// AVX-512's.)
pub(super) const MR_AVX2: usize = 6;

/// Columns of a packed panel of B: 32, or 16 where C is accumulated in f64. That is two vectors of
/// AVX-512, so that each element of A, broadcast once, serves two FMAs. Tiles of C are as wide
/// there, half as wide with AVX2 (6 x 16), and a quarter with NEON (8 x 8).
#[inline(always)]
pub(crate) const fn nr<T: Stored>() -> usize {
    128 / size_of::<T::Compute>()
}

/// Terms that one instruction multiplies and accumulates in each lane: a VNNI pair of bf16, else
/// one.
#[inline(always)]
pub(crate) const fn dot_width<T: Stored>() -> usize {
    size_of::<T::Compute>() / size_of::<T>()
}

/// Rows of a tile of f64, whose micro-kernel is the portable one: 4 rows of 4 columns are 8
/// accumulators in the 16 registers of SSE2.
pub(super) const MR_F64: usize = 4;

/// Rows of a tile of C that is `columns` wide, on this CPU.
pub(super) fn tile_rows<T: Stored>(columns: usize) -> usize {
    if T::DTYPE == DType::F64 {
        MR_F64
    } else if has_avx2() && !has_avx512() {
        tile_rows_avx2::<T>(columns)
    } else {
        MR
    }
}

/// As [`tile_rows`], in the registers of AVX2. A tile one vector wide has 8 rows there too.
pub(super) fn tile_rows_avx2<T: Stored>(columns: usize) -> usize {
    if 4 * columns > nr::<T>() { MR_AVX2 } else { MR }
}

/// Terms accumulated in registers before C is written: KC rows of a panel of B, 16 KiB, take half
/// of L1 and stay there while all tiles of a batch of rows read them. A VNNI pair counts as one
/// term: KC pairs take the same 16 KiB.
pub(crate) const KC: usize = 128;

/// Terms that a tile accumulates before it is written: KC where C holds the compute type. Where C
/// is rounded, all terms, so that each element is rounded once.
pub(super) fn k_block<F: Stored, O: Stored>(k: usize) -> usize {
    if size_of::<O>() == size_of::<O::Compute>() {
        k.min(KC * dot_width::<F>())
    } else {
        k
    }
}

/// Rows that all panels of B pass over in turn: their block of A, 128 KiB, stays in L2. The offsets
/// of their tiles are computed once for all batches.
pub(super) const ROW_BATCH: usize = 32 * MR;

/// Rows of a task: C is cut into at most ceil(m / MC) tasks of equal size, so a task has between
/// about MC / 2 and MC rows, or more where there are few terms and columns.
const MC: usize = 64;

/// The same where B does not stay in L2, so that each task reads it from L3 again: tasks then have
/// a 16th of C's rows, but at least MC and at most this many.
const MC_LARGE_B: usize = 192;

/// Elements of a packed B that stays in L2 together with a block of A: 256 KiB of f32.
const PACKED_B_ELEMENTS: usize = 1 << 16;

/// Multiply-adds below which a second thread costs more than it saves: some twenty microseconds'
/// worth.
const MIN_TASK_FMAS: usize = 1 << 20;

/// Elements read and written that take as long, where a product is thin.
const MIN_TASK_ELEMENTS: usize = 1 << 16;

/// Rows of C that are a task: a function of the sizes alone, so that results do not depend on the
/// number of threads.
pub(super) fn rows_per_task(Size { m, k, n }: Size) -> usize {
    // Rows that a task has at least, so that it is worth reading B for them.
    let min = if k * n > PACKED_B_ELEMENTS {
        (m / 16).clamp(MC, MC_LARGE_B)
    } else {
        MC
    };
    let rows = (MIN_TASK_FMAS / (k * n)).min(MIN_TASK_ELEMENTS / (k + n));
    // As many tasks as that makes, but of one size.
    let tasks = m.div_ceil(rows.max(min));
    m.div_ceil(tasks).next_multiple_of(MR)
}

/// Terms of a task where there are many, and C is small enough for each task to have one of its
/// own, as in a weight's gradient over all pixels.
pub(super) const SPLIT_K: usize = 2048;

/// Tasks that terms are split into, at most: each has a C of its own.
const SPLIT_K_MAX_TASKS: usize = 64;

/// Elements of a C that every such task can have a copy of: 1 MiB.
const SPLIT_K_MAX_C: usize = 1 << 18;

/// Terms of a task where they are split, else nothing: two tasks at least, and a small C.
pub(super) fn terms_per_task(Size { m, k, n }: Size) -> Option<usize> {
    let split = k >= 2 * SPLIT_K && m * n <= SPLIT_K_MAX_C;
    // Rows of B that a prologue computes begin at multiples of MR.
    split.then(|| {
        SPLIT_K
            .max(k.div_ceil(SPLIT_K_MAX_TASKS))
            .next_multiple_of(MR)
    })
}

/// Bytes of a row of A from which on the rows of the next tile are prefetched. Shorter rows follow
/// one another as one stream, which the CPU prefetches by itself.
pub(super) const PREFETCH_MIN_BYTES: usize = 512;
