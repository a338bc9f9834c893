//! The micro-kernel: a tile of C, held in registers while A and B stream through them.
//!
//! ```text
//! accumulators[R][VECTORS] = 0 or bias     R rows of so many vectors
//! for segment in segments                  the terms, in consecutive pieces
//!     for p in 0..segment.len
//!         b[VECTORS] = a row of the packed panel of B
//!         for i in 0..R
//!             accumulators[i] += broadcast(A[i, p]) * b
//! C = accumulators, or C + accumulators
//! ```
//!
//! B is packed in panels, which makes it one stream. Each row of A has an offset of its own and is
//! read where it lies: dense or strided, packed or not, or under a convolution's window.
//!
//! Where bf16 is multiplied as it is (`dispatch` says on which CPUs), one instruction multiplies
//! VNNI pairs, terms 2 p and 2 p + 1 of a row of A and of a column of B, and accumulates both
//! products in f32. So bf16 operands come in pairs, and an odd last term is paired with 0.
//! Elsewhere they are converted to f32 while they are packed, and only C is bf16. AMX tiles have a
//! loop of their own (`amx`).

use super::accumulator::Accumulator;
use super::blocking::{MR, dot_width};
use super::epilogue::Accumulate;
use super::indirection::{RowOffsets, RowTile};
use crate::cpu::simd::prefetch;
use crate::{Float, Stored};

/// `len` consecutive terms, VNNI pairs counted once, and where they begin in A, from a row's offset
/// on, and in B, from a panel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KSegment {
    pub a: usize,
    pub b: usize,
    pub len: usize,
}

/// Where tiles are written: `columns` of C from column `first` on, as many as a panel of B has or
/// fewer.
pub(crate) struct OutputPanel<'a, T> {
    pub c: &'a mut [T],
    pub first: usize,
    pub columns: usize,
}

/// A and B, and the terms of the product that tiles of C accumulate.
pub(crate) struct TileProduct<'a, T> {
    pub(super) a: &'a [T],
    pub(super) b: &'a [T],
    /// From one term, or VNNI pair, to the next, in A and in B.
    pub(super) steps: [usize; 2],
    pub(super) segments: &'a [KSegment],
    /// The end of the last term, in A from a row's offset on and in B from a panel's.
    pub(super) ends: [usize; 2],
    prefetch_next_tile: bool,
}

/// The tiles of C that one panel of B contributes to.
pub(crate) struct PanelTiles<'a, O> {
    pub(super) rows: &'a RowOffsets,
    /// Where the panel begins in B.
    pub(super) panel: usize,
    /// From the first column of `output` on.
    pub(super) accumulate: Accumulate<'a, O>,
    pub(super) output: OutputPanel<'a, O>,
}

impl<'a, T: Stored> TileProduct<'a, T> {
    pub fn new(a: &'a [T], b: &'a [T], steps: [usize; 2], segments: &'a [KSegment]) -> Self {
        let end = |start: fn(&KSegment) -> usize, step: usize| {
            segments
                .iter()
                .filter(|segment| segment.len > 0)
                .map(|segment| start(segment) + (segment.len - 1) * step)
                .max()
                .map_or(0, |last| last + dot_width::<T>())
        };
        TileProduct {
            a,
            b,
            steps,
            segments,
            ends: [
                end(|segment| segment.a, steps[0]),
                end(|segment| segment.b, steps[1]),
            ],
            prefetch_next_tile: false,
        }
    }

    /// Whether the rows of A of each next tile are prefetched meanwhile: for an A outside of the
    /// caches, since the CPU does not predict eight streams that begin at once.
    pub fn prefetch_next_tile(mut self, prefetch: bool) -> Self {
        self.prefetch_next_tile = prefetch;
        self
    }

    #[inline(always)]
    fn prefetch(&self, rows: &[usize; MR]) {
        for (segment, row) in self
            .segments
            .iter()
            .flat_map(|segment| rows.iter().map(move |row| (segment, row)))
        {
            let bytes = segment.len * self.steps[0] * size_of::<T>();
            let start = self.a.as_ptr().wrapping_add(row + segment.a).cast::<i8>();
            (0..bytes)
                .step_by(64)
                .for_each(|at| prefetch(start.wrapping_add(at)));
        }
    }

    /// Loop 1: for each tile of at most R rows, the micro-kernel for W vectors of columns from
    /// column `first` of the panel on.
    ///
    /// # Safety
    /// The largest offsets have been compared with the lengths (see `dispatch`); the CPU has V's
    /// instructions.
    #[inline(always)]
    pub(super) unsafe fn row_tiles<
        V: Accumulator<T>,
        O: Stored<Compute = T::Compute>,
        const W: usize,
        const R: usize,
    >(
        &self,
        to: &mut PanelTiles<'_, O>,
        first: usize,
    ) {
        let rows = &to.rows.tiles;
        for (i, tile) in rows.iter().enumerate() {
            if let Some(next) = rows.get(i + 1).filter(|_| self.prefetch_next_tile) {
                self.prefetch(&next.a);
            }
            // SAFETY: the caller's promise.
            unsafe {
                match (tile.count, to.output.columns - first >= W * V::N) {
                    (count, true) if count == R => {
                        self.micro_kernel::<V, O, W, R, true>(tile, to, first)
                    }
                    (count, _) if count > MR / 2 => {
                        self.micro_kernel::<V, O, W, R, false>(tile, to, first)
                    }
                    _ => self.micro_kernel::<V, O, W, { MR / 2 }, false>(tile, to, first),
                }
            }
        }
    }

    /// The first R rows of a tile; WHOLE if it has as many, and W vectors of columns.
    ///
    /// # Safety
    /// As `row_tiles`.
    #[inline(always)]
    unsafe fn micro_kernel<
        V: Accumulator<T>,
        O: Stored<Compute = T::Compute>,
        const W: usize,
        const R: usize,
        const WHOLE: bool,
    >(
        &self,
        tile: &RowTile,
        to: &mut PanelTiles<'_, O>,
        first: usize,
    ) {
        let (panel, accumulate, columns) = (to.panel, to.accumulate, to.output.columns);
        let (output, first_of_c) = (to.output.c.as_mut_ptr(), to.output.first + first);
        // Lanes of vector v that are columns of C.
        let lanes = |v: usize| {
            if WHOLE {
                V::N
            } else {
                columns.saturating_sub(first + v * V::N).min(V::N)
            }
        };
        let mut sums = [[V::splat(T::Compute::ZERO); W]; R];
        // Loops of constant length keep all accumulators in registers. SAFETY: every offset is at
        // most the one that was compared, and `first` + W N at most the width of a panel.
        unsafe {
            if let Accumulate::Bias(bias) = accumulate {
                for v in 0..W {
                    let bias = bias.as_ptr().wrapping_add(first + v * V::N);
                    let bias = V::load_converted(lanes(v), bias);
                    for i in 0..R {
                        sums[i][v] = bias;
                    }
                }
            }
            sums = self.rank_1_updates(sums, &tile.a, panel + first * dot_width::<T>());
            for i in 0..R {
                if !WHOLE && i >= tile.count {
                    return;
                }
                for v in 0..W {
                    let to = output.wrapping_add(tile.c[i] + first_of_c + v * V::N);
                    let sum = if matches!(accumulate, Accumulate::Existing) {
                        sums[i][v].add(V::load_converted(lanes(v), to))
                    } else {
                        sums[i][v]
                    };
                    sum.store_output(lanes(v), to);
                }
            }
        }
    }

    /// Adds the products of all terms to a tile of accumulators, one column of A times one row of B
    /// after the other.
    ///
    /// # Safety
    /// As `row_tiles`.
    #[inline(always)]
    unsafe fn rank_1_updates<V: Accumulator<T>, const W: usize, const R: usize>(
        &self,
        mut sums: [[V; W]; R],
        rows: &[usize; MR],
        panel: usize,
    ) -> [[V; W]; R] {
        let (a, b) = (self.a.as_ptr(), self.b.as_ptr());
        for segment in self.segments {
            let a: [_; R] = std::array::from_fn(|i| a.wrapping_add(rows[i] + segment.a));
            let (mut b, mut p) = (b.wrapping_add(panel + segment.b), 0);
            for _ in 0..segment.len {
                // SAFETY: the caller has compared the last term's offsets with the lengths.
                unsafe {
                    // Only to have a value of this type: all vectors are loaded next.
                    let mut b_row = [V::broadcast(b); W];
                    for v in 0..W {
                        b_row[v] = V::load_columns(b.add(v * V::N * dot_width::<T>()));
                    }
                    for i in 0..R {
                        let a = V::broadcast(a[i].add(p));
                        for v in 0..W {
                            sums[i][v] = sums[i][v].multiply_accumulate(a, b_row[v]);
                        }
                    }
                }
                b = b.wrapping_add(self.steps[1]);
                p += self.steps[0];
            }
        }
        sums
    }
}
