//! The kernel of all products: a tile of the result, kept in registers.
//!
//! It adds up `tile[i, j] = sum over p of A[i, p] B[p, j]` for 8 rows and two vectors of columns. B
//! is packed: cut into panels as wide as a tile, so that it is read in one stream. A is read where
//! it lies. Its rows need no order, which is what lets convolutions use it without a copy of their
//! windows: see `taps`.
//!
//! Where the processor multiplies bf16 it does so two terms at a time: an instruction adds the
//! products of two neighbours in A and two in B to each sum of f32. So the terms of bf16 come in
//! pairs, in A and in the panels of B, and an odd one is joined by a zero. Elsewhere they are
//! widened to f32 as they are laid out, and C alone is of bf16.

use half::bf16;

use super::accumulator::Products;
use super::blocking::{MR, dot_width, nr};
use super::indirection::{RowOffsets, Tile};
use crate::cpu::simd::{has_avx2, has_avx512, prefetch};
use crate::{DType, Float, Stored};

#[cfg(target_arch = "x86_64")]
use super::x86;

/// `len` consecutive terms of the sums in a tile, those that go together counted once, and where
/// they begin in A and B.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KSegment {
    pub a: usize,
    pub b: usize,
    pub len: usize,
}

/// What the sums in a tile start from.
#[derive(Clone, Copy)]
pub(crate) enum Accumulate<'a, T> {
    Zero,
    /// One value for each column.
    Bias(&'a [T]),
    /// What is there.
    Existing,
}

impl<'a, T> Accumulate<'a, T> {
    /// From column `first` on.
    pub fn skip(self, first: usize) -> Self {
        match self {
            Accumulate::Bias(bias) => Accumulate::Bias(&bias[first..]),
            other => other,
        }
    }
}

/// Where tiles go: `columns` of C from column `first` on, at most a panel.
pub(crate) struct OutputTile<'a, T> {
    pub c: &'a mut [T],
    pub first: usize,
    pub columns: usize,
}

/// The sums that tiles of C are made of.
pub(crate) struct TileProduct<'a, T> {
    a: &'a [T],
    b: &'a [T],
    /// From one term, or those that go together, to the next, in A and in B.
    steps: [usize; 2],
    runs: &'a [KSegment],
    /// Behind the last term, in A and in B.
    reach: [usize; 2],
    ahead: bool,
}

impl<'a, T: Stored> TileProduct<'a, T> {
    pub fn new(a: &'a [T], b: &'a [T], steps: [usize; 2], runs: &'a [KSegment]) -> Self {
        let reach = |start: fn(&KSegment) -> usize, step: usize| {
            runs.iter()
                .filter(|run| run.len > 0)
                .map(|run| start(run) + (run.len - 1) * step)
                .max()
                .map_or(0, |at| at + dot_width::<T>())
        };
        let reach = [reach(|run| run.a, steps[0]), reach(|run| run.b, steps[1])];
        TileProduct {
            a,
            b,
            steps,
            runs,
            reach,
            ahead: false,
        }
    }

    /// c[i, first + j] = begin + the sum over all terms p of a[i, p] b[at + p + j], for each row i
    /// and column j.
    pub fn tiles<O: Stored<Compute = T::Compute>>(
        &self,
        rows: &RowOffsets,
        at: usize,
        begin: Accumulate<'_, O>,
        mut to: OutputTile<'_, O>,
    ) {
        // Without rows nothing is read or written, so there is nothing to compare: a band of a
        // strided convolution's output may hold no row of some phase, whose terms then need not lie
        // within the band's input.
        if rows.tiles.is_empty() {
            return;
        }
        let begin = begin.skip(to.first);
        assert!(
            to.columns <= nr::<T>(),
            "a tile is at most as wide as a panel"
        );
        assert!(
            !matches!(begin, Accumulate::Bias(bias) if bias.len() < to.columns),
            "the bias is as long as a row"
        );
        let ([last_a, last_c], tiles) = (rows.last, &rows.tiles[..]);
        assert!(
            last_c + to.first + to.columns <= to.c.len(),
            "rows lie within C"
        );
        if self.reach[0] > 0 {
            assert!(last_a + self.reach[0] <= self.a.len(), "terms lie within A");
            // Half a panel is read, or a whole one.
            let wide = to.columns.next_multiple_of(nr::<T>() / 2);
            assert!(
                at + self.reach[1] + (wide - 1) * dot_width::<T>() <= self.b.len(),
                "and within B"
            );
        }
        #[cfg(target_arch = "x86_64")]
        {
            if T::DTYPE == DType::BF16 {
                if crate::cpu::simd::has_bf16() {
                    // SAFETY: the processor was just asked, and the largest indices compared with
                    // the lengths.
                    return unsafe { x86::avx512_bf16(self, tiles, at, begin, &mut to) };
                }
            } else if has_avx512() {
                // SAFETY: the processor was just asked, and the largest indices compared with the
                // lengths.
                return unsafe { x86::avx512(self, tiles, at, begin, &mut to) };
            }
            if T::DTYPE != DType::BF16 && has_avx2() {
                // SAFETY: as above.
                return unsafe { x86::avx2(self, tiles, at, begin, &mut to) };
            }
        }
        #[cfg(target_arch = "aarch64")]
        if T::DTYPE != DType::BF16 {
            // SAFETY: the largest indices were compared with the lengths.
            return unsafe { super::neon::neon(self, tiles, at, begin, &mut to) };
        }
        // SAFETY: the largest indices were compared with the lengths.
        unsafe { portable(self, tiles, at, begin, &mut to) };
    }

    /// With the rows of each tile's successor fetched meanwhile, where A lies outside of the
    /// caches: the processor does not foresee eight streams that begin at once.
    pub fn ahead(mut self, ahead: bool) -> Self {
        self.ahead = ahead;
        self
    }

    #[inline(always)]
    fn prefetch(&self, rows: &[usize; MR]) {
        for (run, row) in self
            .runs
            .iter()
            .flat_map(|run| rows.iter().map(move |row| (run, row)))
        {
            let bytes = run.len * self.steps[0] * size_of::<T>();
            let start = self.a.as_ptr().wrapping_add(row + run.a).cast::<i8>();
            (0..bytes)
                .step_by(64)
                .for_each(|at| prefetch(start.wrapping_add(at)));
        }
    }

    /// C vectors of columns of all tiles, which have R rows at most, from column `first` of the
    /// panel on.
    ///
    /// # Safety
    /// `tiles` has compared the largest indices with the lengths; V's instructions exist.
    #[inline(always)]
    pub(super) unsafe fn columns<
        V: Products<T>,
        O: Stored<Compute = T::Compute>,
        const C: usize,
        const R: usize,
    >(
        &self,
        tiles: &[Tile],
        at: usize,
        begin: Accumulate<'_, O>,
        to: &mut OutputTile<'_, O>,
        first: usize,
    ) {
        for (i, tile) in tiles.iter().enumerate() {
            if let Some(next) = tiles.get(i + 1).filter(|_| self.ahead) {
                self.prefetch(&next.from);
            }
            // SAFETY: the caller's promise.
            unsafe {
                match (tile.count, to.columns - first >= C * V::N) {
                    (count, true) if count == R => {
                        self.tile::<V, O, C, R, true>(tile, at, begin, to, first)
                    }
                    (count, _) if count > MR / 2 => {
                        self.tile::<V, O, C, R, false>(tile, at, begin, to, first)
                    }
                    _ => self.tile::<V, O, C, { MR / 2 }, false>(tile, at, begin, to, first),
                }
            }
        }
    }

    /// The first R rows of a tile.
    ///
    /// # Safety
    /// As `columns`.
    #[inline(always)]
    unsafe fn tile<
        V: Products<T>,
        O: Stored<Compute = T::Compute>,
        const C: usize,
        const R: usize,
        const WHOLE: bool,
    >(
        &self,
        tile: &Tile,
        at: usize,
        begin: Accumulate<'_, O>,
        to: &mut OutputTile<'_, O>,
        first: usize,
    ) {
        // Lanes of vector c that are columns of C.
        let wanted = |c: usize| {
            if WHOLE {
                V::N
            } else {
                to.columns.saturating_sub(first + c * V::N).min(V::N)
            }
        };
        let mut sum = [[V::splat(T::Compute::ZERO); C]; R];
        // Loops of fixed length, so that all sums stay in registers. SAFETY: every index is at most
        // the one that was compared, and `first` + C N at most the width of a panel.
        unsafe {
            if let Accumulate::Bias(bias) = begin {
                for c in 0..C {
                    let bias =
                        V::load_converted(wanted(c), bias.as_ptr().wrapping_add(first + c * V::N));
                    for i in 0..R {
                        sum[i][c] = bias;
                    }
                }
            }
            let b = self.b.as_ptr().wrapping_add(at + first * dot_width::<T>());
            for run in self.runs {
                let a: [_; R] =
                    std::array::from_fn(|i| self.a.as_ptr().wrapping_add(tile.from[i] + run.a));
                let (mut b, mut p) = (b.wrapping_add(run.b), 0);
                for _ in 0..run.len {
                    let mut columns = [V::all(b); C];
                    for c in 0..C {
                        columns[c] = V::each(b.add(c * V::N * dot_width::<T>()));
                    }
                    for i in 0..R {
                        let x = V::all(a[i].add(p));
                        for c in 0..C {
                            sum[i][c] = sum[i][c].add_products(x, columns[c]);
                        }
                    }
                    b = b.wrapping_add(self.steps[1]);
                    p += self.steps[0];
                }
            }
            for i in 0..R {
                if !WHOLE && i >= tile.count {
                    return;
                }
                for c in 0..C {
                    let (to, count) = (
                        to.c.as_mut_ptr()
                            .wrapping_add(tile.to[i] + to.first + first + c * V::N),
                        wanted(c),
                    );
                    let sum = sum[i][c];
                    let sum = if matches!(begin, Accumulate::Existing) {
                        sum.add(V::load_converted(count, to))
                    } else {
                        sum
                    };
                    sum.put(count, to);
                }
            }
        }
    }
}

/// Four columns at a time, on any processor.
///
/// # Safety
/// As `TileProduct::columns`.
unsafe fn portable<T: Stored, O: Stored>(
    sums: &TileProduct<T>,
    tiles: &[Tile],
    at: usize,
    begin: Accumulate<O>,
    to: &mut OutputTile<O>,
) {
    for first in (0..to.columns).step_by(4) {
        // SAFETY: the caller's promise; T and O are the types that their DTYPEs name.
        unsafe {
            match (T::DTYPE, O::DTYPE) {
                (DType::F32, DType::F32) => same::<_, TileProduct<f32>>(sums)
                    .columns::<[f32; 4], f32, 1, MR>(tiles, at, *same(&begin), same_mut(to), first),
                (DType::F32, _) => same::<_, TileProduct<f32>>(sums)
                    .columns::<[f32; 4], bf16, 1, MR>(
                        tiles,
                        at,
                        *same(&begin),
                        same_mut(to),
                        first,
                    ),
                (DType::F64, _) => same::<_, TileProduct<f64>>(sums)
                    .columns::<[f64; 4], f64, 1, MR>(tiles, at, *same(&begin), same_mut(to), first),
                (_, DType::F32) => same::<_, TileProduct<bf16>>(sums)
                    .columns::<[f32; 4], f32, 1, MR>(tiles, at, *same(&begin), same_mut(to), first),
                _ => same::<_, TileProduct<bf16>>(sums).columns::<[f32; 4], bf16, 1, MR>(
                    tiles,
                    at,
                    *same(&begin),
                    same_mut(to),
                    first,
                ),
            }
        }
    }
}

/// # Safety
/// X and Y are the same type but for lifetimes, and Y's are not longer than X's.
#[inline(always)]
pub(super) unsafe fn same<X, Y>(x: &X) -> &Y {
    // SAFETY: a reference to a type is a reference to that type.
    unsafe { &*(&raw const *x).cast() }
}

/// # Safety
/// As `same`.
#[inline(always)]
pub(super) unsafe fn same_mut<X, Y>(x: &mut X) -> &mut Y {
    // SAFETY: a reference to a type is a reference to that type.
    unsafe { &mut *(&raw mut *x).cast() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::gemm::blocking::tile_rows_avx2;

    /// Whole numbers, so that every order of additions and every instruction set gives the same
    /// bits.
    fn narrow_kernels_agree<T: Stored, O: Stored<Compute = T::Compute>>() {
        let (wide, terms, t) = (nr::<T>(), 37, dot_width::<T>());
        fn numbers<T: Stored>(n: usize) -> Vec<T> {
            (0..n)
                .map(|i| T::from_f64((i * 7919 % 17) as f64))
                .collect()
        }
        let (a, b, bias) = (
            numbers::<T>(2 * MR * terms * t),
            numbers::<T>(terms * wide * t),
            numbers::<O>(wide),
        );
        let runs = [KSegment {
            a: 0,
            b: 0,
            len: terms,
        }];
        let sums = TileProduct::new(&a, &b, [t, t * wide], &runs);
        for (columns, rows) in [1, 3, 4, 8, wide / 2, wide - 5, wide]
            .into_iter()
            .flat_map(|c| [3, MR + 7].map(|r| (c, r)))
        {
            let places = RowOffsets::dense::<T>(rows, [terms * t, wide], columns);
            let mut c: [Vec<O>; 3] = std::array::from_fn(|_| vec![O::from_f64(1.0); rows * wide]);
            let begin = Accumulate::Bias(&bias[..]);
            sums.tiles(
                &places,
                0,
                begin,
                OutputTile {
                    c: &mut c[0],
                    first: 0,
                    columns,
                },
            );
            #[cfg(target_arch = "x86_64")]
            if T::DTYPE != DType::BF16 && has_avx2() {
                // With tiles of its height, which others than AVX2's processors do not make.
                let places = RowOffsets::of_height(
                    tile_rows_avx2::<T>(columns),
                    [[0, 0]].into_iter(),
                    rows,
                    [terms * t, wide],
                );
                // SAFETY: all indices lie within the slices made above, and the processor was just
                // asked.
                unsafe {
                    x86::avx2(
                        &sums,
                        &places.tiles,
                        0,
                        begin,
                        &mut OutputTile {
                            c: &mut c[1],
                            first: 0,
                            columns,
                        },
                    )
                };
                assert_eq!(c[0], c[1], "{columns} columns");
            }
            // SAFETY: as above.
            unsafe {
                portable(
                    &sums,
                    &places.tiles,
                    0,
                    begin,
                    &mut OutputTile {
                        c: &mut c[2],
                        first: 0,
                        columns,
                    },
                )
            };
            assert_eq!(c[0], c[2], "{columns} columns");
            // By the definition; what lies beside the columns stays.
            for (i, j) in (0..rows).flat_map(|i| (0..wide).map(move |j| (i, j))) {
                let products = (0..terms * t).map(|p| {
                    a[i * terms * t + p].to_f64() * b[(p / t * wide + j) * t + p % t].to_f64()
                });
                let want = if j < columns {
                    O::from_f64(products.sum::<f64>() + bias[j].to_f64())
                } else {
                    O::from_f64(1.0)
                };
                assert_eq!(c[0][i * wide + j], want, "row {i}, column {j}");
            }
        }
    }

    #[test]
    fn every_kernel_computes_the_same() {
        narrow_kernels_agree::<f32, f32>();
        narrow_kernels_agree::<f32, bf16>();
        narrow_kernels_agree::<f64, f64>();
        narrow_kernels_agree::<bf16, f32>();
        narrow_kernels_agree::<bf16, bf16>();
    }
}
