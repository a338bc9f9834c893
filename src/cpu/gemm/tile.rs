//! The kernel of all products: a tile of the result, kept in registers.
//!
//! It adds up `tile[i, j] = sum over p of A[i, p] B[p, j]` for 8 rows and two vectors of columns. B is packed: cut
//! into panels as wide as a tile, so that it is read in one stream. A is read where it lies. Its rows need no
//! order, which is what lets convolutions use it without a copy of their windows: see `taps`.
//!
//! bf16 is multiplied two terms at a time: an instruction adds the products of two neighbours in A and two in B to each sum
//! of f32. So the terms of bf16 come in pairs, in A and in the panels of B, and an odd one is joined by a zero.

use half::bf16;

use super::products::{Products, read};
use crate::{DType, Float, Real};

/// Rows of a tile.
pub(crate) const TILE: usize = 8;

/// Columns of a tile, and of a panel: 32, or 16 where sums are of f64. Either fills two of the widest vector registers: a
/// tile is 16 registers, and each element of A, loaded once for all lanes, serves two multiplications.
pub(crate) const fn panel<T: Real>() -> usize {
    128 / size_of::<T::Wide>()
}

/// Terms that go together: two of bf16, else one.
pub(crate) const fn together<T: Real>() -> usize {
    size_of::<T::Wide>() / size_of::<T>()
}

/// Terms of a sum that are added before the next panel's turn: so many rows of a panel are half of the first-level cache.
pub(crate) const TERMS: usize = 128;

/// `len` consecutive terms of the sums in a tile, those that go together counted once, and where they begin in A and B.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub a: usize,
    pub b: usize,
    pub len: usize,
}

/// What the sums in a tile start from.
#[derive(Clone, Copy)]
pub(crate) enum Begin<'a, T> {
    Zero,
    /// One value for each column.
    Bias(&'a [T]),
    /// What is there.
    Add,
}

impl<'a, T> Begin<'a, T> {
    /// From column `first` on.
    pub fn skip(self, first: usize) -> Self {
        match self {
            Begin::Bias(bias) => Begin::Bias(&bias[first..]),
            other => other,
        }
    }
}

/// Where a tile goes: its rows begin at `rows` of `c`, and are `columns` long, at most a panel.
pub(crate) struct Target<'a, T> {
    pub c: &'a mut [T],
    pub rows: &'a [usize],
    pub columns: usize,
}

/// The sums that tiles of C are made of.
pub(crate) struct Sums<'a, T> {
    a: &'a [T],
    b: &'a [T],
    /// From one term, or those that go together, to the next, in A and in B.
    steps: [usize; 2],
    runs: &'a [Run],
    /// Behind the last term, in A and in B.
    reach: [usize; 2],
}

impl<'a, T: Real> Sums<'a, T> {
    pub fn new(a: &'a [T], b: &'a [T], steps: [usize; 2], runs: &'a [Run]) -> Self {
        let reach = |start: fn(&Run) -> usize, step: usize| {
            runs.iter()
                .filter(|run| run.len > 0)
                .map(|run| start(run) + (run.len - 1) * step)
                .max()
                .map_or(0, |at| at + together::<T>())
        };
        let reach = [reach(|run| run.a, steps[0]), reach(|run| run.b, steps[1])];
        Sums { a, b, steps, runs, reach }
    }

    /// c[i, j] = begin + the sum over all terms p of a[rows[i] + p] b[at + p + j], for each row i of the target.
    #[inline]
    pub fn tile<O: Real<Wide = T::Wide>>(&self, rows: &[usize; TILE], at: usize, begin: Begin<'_, O>, mut to: Target<'_, O>) {
        assert!(to.columns <= panel::<T>() && to.rows.len() <= TILE, "a tile is 8 rows of a panel");
        assert!(to.rows.iter().all(|&row| row + to.columns <= to.c.len()), "rows lie within C");
        assert!(!matches!(begin, Begin::Bias(bias) if bias.len() < to.columns), "the bias is as long as a row");
        if self.reach[0] > 0 {
            let last = rows.iter().fold(0, |last, &row| last.max(row));
            assert!(
                last + self.reach[0] <= self.a.len() && at + self.reach[1] + (panel::<T>() - 1) * together::<T>() <= self.b.len()
            );
        }
        #[cfg(target_arch = "x86_64")]
        {
            if T::DTYPE == DType::BF16 {
                if has_bf16_products() {
                    // SAFETY: the processor was just asked, and the largest indices compared with the lengths.
                    return unsafe { x86::avx512_bf16(self, rows, at, begin, &mut to) };
                }
            } else if is_x86_feature_detected!("avx512f") {
                // SAFETY: the processor was just asked, and the largest indices compared with the lengths.
                return unsafe { x86::avx512(self, rows, at, begin, &mut to) };
            }
            if T::DTYPE != DType::BF16 && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                // SAFETY: as above.
                return unsafe { x86::avx2(self, rows, at, begin, &mut to) };
            }
        }
        // SAFETY: the largest indices were compared with the lengths.
        unsafe { portable(self, rows, at, begin, &mut to) };
    }

    /// Begins to fetch the rows of a tile to come, which the processor does not foresee: eight streams begin at once.
    pub fn prefetch(&self, rows: &[usize; TILE]) {
        #[cfg(target_arch = "x86_64")]
        for (run, row) in self.runs.iter().flat_map(|run| rows.iter().map(move |row| (run, row))) {
            let bytes = run.len * self.steps[0] * size_of::<T>();
            let start = self.a.as_ptr().wrapping_add(row + run.a).cast::<i8>();
            for at in (0..bytes).step_by(64) {
                // SAFETY: a prefetch of any address is harmless.
                unsafe { std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(start.wrapping_add(at)) };
            }
        }
    }

    /// C vectors of columns of a tile, from column `first` on.
    ///
    /// # Safety
    /// `tile` has compared the largest indices with the lengths; V's instructions exist.
    #[inline(always)]
    unsafe fn columns<V: Products<T>, O: Real<Wide = T::Wide>, const C: usize>(
        &self,
        rows: &[usize; TILE],
        at: usize,
        begin: Begin<'_, O>,
        to: &mut Target<'_, O>,
        first: usize,
    ) {
        // Lanes of vector c that are columns of C.
        let wanted = |c: usize| to.columns.saturating_sub(first + c * V::N).min(V::N);
        let mut sum = [[V::splat(T::Wide::ZERO); C]; TILE];
        // SAFETY: every index is at most the one that was compared, and `first` + C N at most the width of a panel.
        unsafe {
            if let Begin::Bias(bias) = begin {
                for c in 0..C {
                    let bias = read::<V, O>(wanted(c), bias.as_ptr().wrapping_add(first + c * V::N));
                    sum.iter_mut().for_each(|sum| sum[c] = bias);
                }
            }
            let b = self.b.as_ptr().wrapping_add(at + first * together::<T>());
            for run in self.runs {
                let a = rows.map(|row| self.a.as_ptr().wrapping_add(row + run.a));
                let (mut b, mut p) = (b.wrapping_add(run.b), 0);
                for _ in 0..run.len {
                    let mut columns = [V::all(b); C];
                    for c in 0..C {
                        columns[c] = V::each(b.add(c * V::N * together::<T>()));
                    }
                    for i in 0..TILE {
                        let x = V::all(a[i].add(p));
                        for c in 0..C {
                            sum[i][c] = sum[i][c].add_products(x, columns[c]);
                        }
                    }
                    b = b.wrapping_add(self.steps[1]);
                    p += self.steps[0];
                }
            }
            for (sum, row) in sum.iter().zip(to.rows) {
                for c in 0..C {
                    let (to, count) = (to.c.as_mut_ptr().wrapping_add(row + first + c * V::N), wanted(c));
                    let sum = if matches!(begin, Begin::Add) { sum[c].add(read::<V, O>(count, to)) } else { sum[c] };
                    sum.put(count, to);
                }
            }
        }
    }
}

/// Whether this processor multiplies bf16: without it bf16 is slower than f32.
pub(crate) fn has_bf16_products() -> bool {
    #[cfg(target_arch = "x86_64")]
    return crate::cpu::lanes::has_avx512() && is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Four columns at a time, on any processor.
///
/// # Safety
/// As `Sums::columns`.
unsafe fn portable<T: Real, O: Real>(sums: &Sums<T>, rows: &[usize; TILE], at: usize, begin: Begin<O>, to: &mut Target<O>) {
    for first in (0..to.columns).step_by(4) {
        // SAFETY: the caller's promise; T and O are the types that their DTYPEs name.
        unsafe {
            match (T::DTYPE, O::DTYPE) {
                (DType::F32, _) => {
                    same::<_, Sums<f32>>(sums).columns::<[f32; 4], f32, 1>(rows, at, *same(&begin), same_mut(to), first)
                }
                (DType::F64, _) => {
                    same::<_, Sums<f64>>(sums).columns::<[f64; 4], f64, 1>(rows, at, *same(&begin), same_mut(to), first)
                }
                (_, DType::F32) => {
                    same::<_, Sums<bf16>>(sums).columns::<[f32; 4], f32, 1>(rows, at, *same(&begin), same_mut(to), first)
                }
                _ => same::<_, Sums<bf16>>(sums).columns::<[f32; 4], bf16, 1>(rows, at, *same(&begin), same_mut(to), first),
            }
        }
    }
}

/// # Safety
/// X and Y are the same type but for lifetimes, and Y's are not longer than X's.
#[inline(always)]
unsafe fn same<X, Y>(x: &X) -> &Y {
    // SAFETY: a reference to a type is a reference to that type.
    unsafe { &*(&raw const *x).cast() }
}

/// # Safety
/// As `same`.
#[inline(always)]
unsafe fn same_mut<X, Y>(x: &mut X) -> &mut Y {
    // SAFETY: a reference to a type is a reference to that type.
    unsafe { &mut *(&raw mut *x).cast() }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;
    use std::arch::x86_64::{__m256, __m256d, __m512, __m512d};

    /// # Safety
    /// As `Sums::columns`.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn avx512<T: Real, O: Real>(sums: &Sums<T>, rows: &[usize; TILE], at: usize, begin: Begin<O>, to: &mut Target<O>) {
        // SAFETY: the caller's promise; T is the type that its DTYPE names.
        unsafe {
            match (T::DTYPE, 2 * to.columns > panel::<T>()) {
                (DType::F32, true) => {
                    same::<_, Sums<f32>>(sums).columns::<__m512, f32, 2>(rows, at, *same(&begin), same_mut(to), 0)
                }
                (DType::F32, false) => {
                    same::<_, Sums<f32>>(sums).columns::<__m512, f32, 1>(rows, at, *same(&begin), same_mut(to), 0)
                }
                (_, true) => same::<_, Sums<f64>>(sums).columns::<__m512d, f64, 2>(rows, at, *same(&begin), same_mut(to), 0),
                (_, false) => same::<_, Sums<f64>>(sums).columns::<__m512d, f64, 1>(rows, at, *same(&begin), same_mut(to), 0),
            }
        }
    }

    /// # Safety
    /// As `Sums::columns`; T is bf16.
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512bf16,avx2,fma")]
    pub unsafe fn avx512_bf16<T: Real, O: Real>(
        sums: &Sums<T>,
        rows: &[usize; TILE],
        at: usize,
        begin: Begin<O>,
        to: &mut Target<O>,
    ) {
        let wide = 2 * to.columns > panel::<T>();
        // SAFETY: the caller's promise; O is the type that its DTYPE names.
        unsafe {
            let sums = same::<_, Sums<bf16>>(sums);
            match (O::DTYPE, wide) {
                (DType::BF16, true) => sums.columns::<__m512, bf16, 2>(rows, at, *same(&begin), same_mut(to), 0),
                (DType::BF16, false) => sums.columns::<__m512, bf16, 1>(rows, at, *same(&begin), same_mut(to), 0),
                (_, true) => sums.columns::<__m512, f32, 2>(rows, at, *same(&begin), same_mut(to), 0),
                (_, false) => sums.columns::<__m512, f32, 1>(rows, at, *same(&begin), same_mut(to), 0),
            }
        }
    }

    /// # Safety
    /// As `Sums::columns`.
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn avx2<T: Real, O: Real>(sums: &Sums<T>, rows: &[usize; TILE], at: usize, begin: Begin<O>, to: &mut Target<O>) {
        for first in (0..to.columns).step_by(panel::<T>() / 4) {
            // SAFETY: the caller's promise; T is the type that its DTYPE names.
            unsafe {
                match T::DTYPE {
                    DType::F32 => {
                        same::<_, Sums<f32>>(sums).columns::<__m256, f32, 1>(rows, at, *same(&begin), same_mut(to), first)
                    }
                    _ => same::<_, Sums<f64>>(sums).columns::<__m256d, f64, 1>(rows, at, *same(&begin), same_mut(to), first),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole numbers, so that every order of additions and every instruction set gives the same bits.
    fn narrow_kernels_agree<T: Real, O: Real<Wide = T::Wide>>() {
        let (wide, terms, t) = (panel::<T>(), 37, together::<T>());
        fn numbers<T: Real>(n: usize) -> Vec<T> {
            (0..n).map(|i| T::from_f64((i * 7919 % 17) as f64)).collect()
        }
        let (a, b, bias) = (numbers::<T>(TILE * terms * t), numbers::<T>(terms * wide * t), numbers::<O>(wide));
        let (runs, from) = ([Run { a: 0, b: 0, len: terms }], std::array::from_fn(|i| i * terms * t));
        let sums = Sums::new(&a, &b, [t, t * wide], &runs);
        for columns in [1, 3, 8, wide / 2, wide - 5, wide] {
            let rows: [usize; TILE] = std::array::from_fn(|i| i * wide);
            let mut c: [Vec<O>; 3] = std::array::from_fn(|_| vec![O::from_f64(1.0); TILE * wide]);
            sums.tile(&from, 0, Begin::Bias(&bias), Target { c: &mut c[0], rows: &rows[..TILE - 1], columns });
            let mut plain = Target { c: &mut c[2], rows: &rows[..TILE - 1], columns };
            // SAFETY: all indices lie within the slices made above.
            unsafe { portable(&sums, &from, 0, Begin::Bias(&bias), &mut plain) };
            assert_eq!(c[0], c[2], "{columns} columns");
            // By the definition.
            for (i, j) in (0..TILE - 1).flat_map(|i| (0..columns).map(move |j| (i, j))) {
                let products = (0..terms * t).map(|p| a[i * terms * t + p].to_f64() * b[(p / t * wide + j) * t + p % t].to_f64());
                let want = O::from_f64(products.sum::<f64>() + bias[j].to_f64());
                assert_eq!(c[0][i * wide + j], want, "row {i}, column {j}");
            }
            #[cfg(target_arch = "x86_64")]
            if T::DTYPE != DType::BF16 && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                let mut avx2 = Target { c: &mut c[1], rows: &rows[..TILE - 1], columns };
                // SAFETY: as above, and the processor was just asked.
                unsafe { x86::avx2(&sums, &from, 0, Begin::Bias(&bias), &mut avx2) };
                assert_eq!(c[0], c[1], "{columns} columns");
            }
        }
    }

    #[test]
    fn every_kernel_computes_the_same() {
        narrow_kernels_agree::<f32, f32>();
        narrow_kernels_agree::<f64, f64>();
        narrow_kernels_agree::<bf16, f32>();
        narrow_kernels_agree::<bf16, bf16>();
    }
}
