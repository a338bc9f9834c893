//! The micro-kernel in Intel's AMX: tiles of 16 rows and 64 bytes, which one instruction multiplies.
//!
//! ```text
//! for each two strips of at most 16 rows of A        rows that lie one distance apart
//!     C[2 strips, 32] = 0                            4 tiles
//!     for segment in segments
//!         for p in 0..segment.len by 16 VNNI pairs
//!             A[strip 0], A[strip 1]                 2 tiles, read where they lie
//!             B[p.., 0..16], B[p.., 16..32]          2 tiles of the packed panel
//!             4 products of tiles
//!     C to memory as f32; start from 0, bias or what C holds; round; write
//! ```
//!
//! A product of tiles takes 16 cycles for 16 x 32 x 16 multiply-adds, 16 times the rate of FMAs on
//! f32. What makes it fast:
//!
//! * two by two tiles: each tile that is loaded serves two products, so that loads, which take half
//!   a product's time from L1 and more from L2, keep up;
//! * a product's time depends on the rows of A alone. A line of 28 pixels is 14 + 14 rows rather
//!   than 16 + 12, so that all strips have one height and one configuration;
//! * rows of A and B begin at multiples of 64 bytes wherever the operands allow it: one that crosses
//!   a cache line takes six times as long to load.
//!
//! Terms behind the last whole 16 pairs of a segment are copied, with zeros behind them: zeros in B
//! alone would turn an infinity that lies behind A's terms into NaN.
//!
//! **Rounding.** For each element of C one instruction sums the even-numbered of its 32 terms, in
//! order from 0 by FMAs, and the odd-numbered likewise, and adds the sum of both to C; subnormals
//! count as 0. So results differ from those of VDPBF16PS in the last bits, and not with the number
//! of threads. The tests have that in plain loops: they compare the hardware with it, and run this
//! file by it on other CPUs.
//!
//! **State.** Tiles are registers that a thread configures before it uses them ([`Configured`]), and
//! that the system grants a process on request ([`has_amx`]). Source: Intel 64 and IA-32
//! Architectures Software Developer's Manual, volume 1, chapter 18.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count, __m512};
use std::marker::PhantomData;
use std::sync::OnceLock;

use half::bf16;

use super::accumulator::Accumulator;
use super::epilogue::Accumulate;
use super::indirection::RowOffsets;
use super::microkernel::{PanelTiles, TileProduct};
use crate::Stored;
use crate::cpu::simd::has_bf16;

/// Rows of a tile.
const ROWS: usize = 16;

/// VNNI pairs of a row of a tile of A, and rows of one of B.
const PAIRS: usize = 16;

/// Bytes of a row of any tile.
const BYTES: usize = 64;

/// Columns of C that two tiles have: a packed panel of B.
const COLUMNS: usize = 32;

/// Whether this process may use tiles of bf16. The system is asked for them, once.
pub(crate) fn has_amx() -> bool {
    static GRANTED: OnceLock<bool> = OnceLock::new();
    *GRANTED.get_or_init(|| has_bf16() && is_advertised() && is_permitted())
}

/// Whether the CPU and the system know tiles of the sizes that this file is written for.
fn is_advertised() -> bool {
    // Miri knows no inline assembly.
    if cfg!(miri) || __cpuid(0).eax < 0x1d {
        return false;
    }
    // Hypervisors exist that show the bits of leaf 7 and no palette: every instruction would then be
    // illegal.
    let features = __cpuid_count(7, 0).edx;
    let has = |bit: u32| features >> bit & 1 == 1;
    let (has_bf16_tiles, has_tiles) = (has(22), has(24));
    if !has_bf16_tiles || !has_tiles || __cpuid_count(0x1d, 0).eax < 1 {
        return false;
    }
    let (palette, multiplier) = (__cpuid_count(0x1d, 1), __cpuid_count(0x1e, 0).ebx);
    let [tile_bytes, tiles, row_bytes] =
        [palette.eax >> 16, palette.ebx >> 16, palette.ebx & 0xffff];
    let is_known =
        tile_bytes == 1024 && tiles == 8 && row_bytes == 64 && palette.ecx & 0xffff == 16;
    is_known && multiplier & 0xff >= 16 && multiplier >> 8 & 0xffff >= 64
}

/// Asks Linux for the tiles' registers, for all threads of the process; other systems have other
/// ways, which are not asked.
fn is_permitted() -> bool {
    #[cfg(target_os = "linux")]
    {
        const ARCH_PRCTL: i64 = 158;
        const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
        const XFEATURE_XTILEDATA: u64 = 18;
        let mut result = ARCH_PRCTL;
        // SAFETY: a system call that reads and writes no memory of this process; a kernel that does
        // not know it answers with an error.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") result,
                in("rdi") ARCH_REQ_XCOMP_PERM,
                in("rsi") XFEATURE_XTILEDATA,
                out("rcx") _,
                out("r11") _,
                options(nostack),
            );
        }
        result == 0
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// What LDTILECFG reads: bytes and rows of each tile.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes: [u16; 16],
    rows: [u8; 16],
}

/// This thread's tiles while it lives: tiles 0 to 3 are C and 4 and 5 are A, of some rows; 6 and 7
/// are B. Nothing that could run another task may be called meanwhile: one that is configured for
/// itself would release these.
struct Configured(PhantomData<*const ()>);

impl Configured {
    /// For strips of so many rows, at most [`ROWS`].
    ///
    /// # Safety
    /// [`has_amx`].
    unsafe fn new(rows: usize) -> Configured {
        let mut configuration = Configuration {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            bytes: [0; 16],
            rows: [0; 16],
        };
        for tile in 0..8 {
            configuration.bytes[tile] = BYTES as u16;
            configuration.rows[tile] = if tile < 6 { rows as u8 } else { PAIRS as u8 };
        }
        // SAFETY: the CPU has tiles and the process may use them; palette 1 has tiles of up to 16
        // rows of 64 bytes.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &configuration, options(nostack, preserves_flags, readonly));
        }
        Configured(PhantomData)
    }
}

impl Drop for Configured {
    fn drop(&mut self) {
        // SAFETY: a `Configured` exists where there are tiles.
        unsafe { asm!("tilerelease", options(nostack, preserves_flags, nomem)) }
    }
}

/// Consecutive terms of two strips and of a panel: `steps` times 16 pairs. A list of them ends with
/// one of no steps.
#[repr(C)]
struct Run {
    /// Where they begin in the first row of each strip.
    a: [*const u8; 2],
    /// Bytes from one row of a strip to the next.
    a_row: usize,
    /// Where they begin in the panel.
    b: *const u8,
    /// Bytes from one pair of rows of the panel to the next.
    b_row: usize,
    steps: usize,
}

/// C of two strips, in f32.
#[repr(C, align(64))]
struct Sums([f32; 2 * ROWS * COLUMNS]);

/// Multiplies two strips by a panel: the sums over all runs, from 0.
///
/// # Safety
/// What the runs reach is readable, and their list ends with a run of no steps. For [`multiply`]
/// there is a [`Configured`], and rows that a strip lacks are not written.
type Multiply = unsafe fn(rows: usize, runs: &[Run], sums: &mut Sums);

/// By tiles.
///
/// # Safety
/// As [`Multiply`].
unsafe fn multiply(_rows: usize, runs: &[Run], sums: &mut Sums) {
    // SAFETY: the caller's promise; all tiles are clobbers, and none is read before it is written
    // here. One block of assembly, since nothing may be assumed of a tile between two.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "mov {n}, [{run} + 40]",
            "test {n}, {n}",
            "jz 4f",
            "mov {a0}, [{run}]",
            "mov {a1}, [{run} + 8]",
            "mov {a_row}, [{run} + 16]",
            "mov {b}, [{run} + 24]",
            "mov {b_row}, [{run} + 32]",
            "mov {b_step}, {b_row}",
            "shl {b_step}, 4",
            "3:",
            "tileloadd tmm6, [{b} + {b_row}*1]",
            "tileloadd tmm4, [{a0} + {a_row}*1]",
            "tileloadd tmm7, [{b} + {b_row}*1 + 64]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm5, [{a1} + {a_row}*1]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {a0}, 64",
            "add {a1}, 64",
            "add {b}, {b_step}",
            "dec {n}",
            "jnz 3b",
            "add {run}, 48",
            "jmp 2b",
            "4:",
            "mov {n}, 128",
            "tilestored [{sums} + {n}*1], tmm0",
            "tilestored [{sums} + {n}*1 + 64], tmm1",
            "tilestored [{sums} + {n}*1 + 2048], tmm2",
            "tilestored [{sums} + {n}*1 + 2112], tmm3",
            run = inout(reg) runs.as_ptr() => _,
            sums = in(reg) sums.0.as_mut_ptr(),
            a0 = out(reg) _, a1 = out(reg) _, a_row = out(reg) _,
            b = out(reg) _, b_row = out(reg) _, b_step = out(reg) _, n = out(reg) _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

/// Strips: where their first rows begin in A and in C, and the first of them that is written. A
/// line's last strip begins early enough to be whole; the rows that it shares with the one before
/// are that one's.
#[derive(Clone, Copy)]
struct Strip {
    start: [usize; 2],
    written: usize,
}

/// Rows of all strips of lines of this many rows: as few strips as possible, of about one height.
fn strip_rows(count: usize) -> usize {
    count.div_ceil(count.div_ceil(ROWS).max(1))
}

fn strips(rows: &RowOffsets) -> impl Iterator<Item = Strip> + '_ {
    let (count, height, [a, c]) = (rows.count, strip_rows(rows.count), rows.steps);
    rows.lines.iter().flat_map(move |&line| {
        (0..count).step_by(height.max(1)).map(move |row| {
            let first = row.min(count - height);
            Strip {
                start: [line[0] + first * a, line[1] + first * c],
                written: row - first,
            }
        })
    })
}

/// Whether the micro-kernel of this file takes a product: VNNI pairs side by side in A, and more
/// columns than one tile has. (Whoever multiplies by tiles lays A out so; a last panel may have
/// fewer columns, and goes to VDPBF16PS.)
pub(super) fn applies<O>(product: &TileProduct<'_, bf16>, to: &PanelTiles<'_, O>) -> bool {
    product.steps[0] == 2 && to.output.columns > COLUMNS / 2
}

/// # Safety
/// As `TileProduct::row_tiles`; [`has_amx`], and [`applies`].
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512bf16,avx2,fma")]
pub(super) unsafe fn amx<O: Stored<Compute = f32>>(
    product: &TileProduct<'_, bf16>,
    to: &mut PanelTiles<'_, O>,
) {
    // SAFETY: the caller's promise. Between here and the end nothing is called but this file's loops.
    unsafe {
        let _tiles = Configured::new(strip_rows(to.rows.count));
        strips_by_panel::<__m512, O>(product, to, multiply);
    }
}

/// All strips by one panel.
///
/// # Safety
/// As `TileProduct::row_tiles`, with the registers of V, and [`applies`]; as [`Multiply`].
#[inline(always)]
unsafe fn strips_by_panel<V: Accumulator<bf16>, O: Stored<Compute = f32>>(
    product: &TileProduct<'_, bf16>,
    to: &mut PanelTiles<'_, O>,
    multiply: Multiply,
) {
    let rows = to.rows;
    let (height, mut strips) = (strip_rows(rows.count), strips(rows));
    let mut runs = Runs::of(product, to.panel);
    let mut sums = Sums([0.0; 2 * ROWS * COLUMNS]);
    while let Some(first) = strips.next() {
        let second = strips.next();
        let starts = [first, second.unwrap_or(first)].map(|strip| strip.start[0]);
        // SAFETY: the caller's promise: rows, terms and columns lie within A, B and C.
        unsafe {
            multiply(
                height,
                runs.of_strips(product, starts, rows.steps[0], height),
                &mut sums,
            );
        }
        for (strip, sums) in [Some(first), second]
            .iter()
            .flatten()
            .zip(sums.0.chunks(ROWS * COLUMNS))
        {
            // SAFETY: as above.
            unsafe { write::<V, O>(to, strip, height, sums) };
        }
    }
}

/// The runs of a product with one panel of B: for each segment one of its whole steps, then for each
/// one of what is left, then the end of the list.
struct Runs {
    list: Vec<Run>,
    /// For each run of whole steps, where it begins in A from a row's first element on.
    whole: Vec<usize>,
    rests: Vec<Rest>,
}

/// The terms of a segment behind its whole steps, filled up with zeros to a step.
#[repr(C, align(64))]
struct Rest {
    a: [[[bf16; 2]; PAIRS]; 2 * ROWS],
    b: [[[bf16; 2]; COLUMNS]; PAIRS],
    /// Where they begin in A from a row's first element on.
    begins: usize,
    pairs: usize,
}

impl Run {
    /// One that begins in no strip yet.
    fn of(b: &[bf16], b_row: usize, steps: usize) -> Run {
        Run {
            a: [std::ptr::null(); 2],
            a_row: 0,
            b: b.as_ptr().cast(),
            b_row: 2 * b_row,
            steps,
        }
    }
}

impl Runs {
    fn of(product: &TileProduct<'_, bf16>, panel: usize) -> Runs {
        let (b_step, count) = (product.steps[1], product.segments.len());
        let mut runs = Runs {
            list: Vec::with_capacity(2 * count + 1),
            whole: Vec::with_capacity(count),
            rests: Vec::new(),
        };
        for segment in product.segments {
            let (steps, pairs) = (segment.len / PAIRS, segment.len % PAIRS);
            let b = &product.b[(panel + segment.b).min(product.b.len())..];
            if steps > 0 {
                runs.whole.push(segment.a);
                runs.list.push(Run::of(b, b_step, steps));
            }
            if pairs > 0 {
                let done = steps * PAIRS;
                let mut rest = Rest {
                    a: [[[bf16::ZERO; 2]; PAIRS]; 2 * ROWS],
                    b: [[[bf16::ZERO; 2]; COLUMNS]; PAIRS],
                    begins: segment.a + 2 * done,
                    pairs,
                };
                for (p, to) in rest.b[..pairs].iter_mut().enumerate() {
                    let from = &b[(done + p) * b_step..][..2 * COLUMNS];
                    to.as_flattened_mut().copy_from_slice(from);
                }
                runs.rests.push(rest);
            }
        }
        for rest in &runs.rests {
            runs.list.push(Run::of(
                rest.b.as_flattened().as_flattened(),
                2 * COLUMNS,
                1,
            ));
        }
        runs.list.push(Run::of(&[], 0, 0));
        runs
    }

    /// The list for strips of so many rows that begin at these elements of A, whose rows are
    /// `a_step` elements apart.
    fn of_strips(
        &mut self,
        product: &TileProduct<'_, bf16>,
        strips: [usize; 2],
        a_step: usize,
        height: usize,
    ) -> &[Run] {
        let (whole, rests) = self.list.split_at_mut(self.whole.len());
        for (run, begins) in whole.iter_mut().zip(&self.whole) {
            run.a = strips.map(|strip| product.a[strip + begins..].as_ptr().cast());
            run.a_row = 2 * a_step;
        }
        for (run, rest) in rests.iter_mut().zip(&mut self.rests) {
            let (terms, begins) = (2 * rest.pairs, rest.begins);
            for (strip, to) in strips.iter().zip(rest.a.chunks_mut(ROWS)) {
                for (i, to) in to[..height].iter_mut().enumerate() {
                    let from = &product.a[strip + i * a_step + begins..][..terms];
                    to.as_flattened_mut()[..terms].copy_from_slice(from);
                }
            }
            run.a = [0, ROWS].map(|row| rest.a[row..].as_ptr().cast());
            run.a_row = BYTES;
        }
        &self.list
    }
}

/// Writes the rows of one strip: their sums, onto what they are accumulated onto.
///
/// # Safety
/// Its rows and columns lie within C; the CPU has V's instructions.
#[inline(always)]
unsafe fn write<V: Accumulator<bf16>, O: Stored<Compute = f32>>(
    to: &mut PanelTiles<'_, O>,
    strip: &Strip,
    height: usize,
    sums: &[f32],
) {
    let (columns, c) = (to.output.columns, to.output.c.as_mut_ptr());
    let first_row = strip.start[1] + to.output.first;
    // A vector of columns at a time, which have one bias.
    for first in (0..columns).step_by(V::N) {
        let lanes = V::N.min(columns - first);
        // SAFETY: the caller's promise; a row of sums has all columns of a panel, and so many of the
        // bias belong to C.
        unsafe {
            let start = match to.accumulate {
                Accumulate::Bias(bias) => {
                    V::load_converted(lanes, bias.as_ptr().wrapping_add(first))
                }
                _ => V::splat(0.0),
            };
            let existing = matches!(to.accumulate, Accumulate::Existing);
            for i in strip.written..height {
                let to_c = c.wrapping_add(first_row + i * to.rows.steps[1] + first);
                let sum = V::load(sums.as_ptr().add(i * COLUMNS + first)).add(start);
                let sum = match existing {
                    true => sum.add(V::load_converted(lanes, to_c)),
                    false => sum,
                };
                if lanes == V::N {
                    sum.store_output(V::N, to_c);
                } else {
                    sum.store_output(lanes, to_c);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
