//! Matrix products, from one kernel that keeps a tile of the result in registers.
//!
//! The kernel adds up `tile[i, j] = sum over p of A[i, p] B[p, j]` for 8 rows and two vectors of columns. B is packed: cut
//! into panels as wide as a tile, so that the kernel reads it in one stream. A is read where it lies. Its rows need no
//! order, which is what lets convolutions use this kernel without a copy of their windows: see `taps`.

use rayon::prelude::*;

use crate::cpu::binary::add_assign;
use crate::cpu::lanes::Lanes;
use crate::cpu::{Scratch, chunks};
use crate::{DType, Float};

/// Rows of a tile.
pub(crate) const TILE: usize = 8;

/// Columns of a tile, and of a panel: 32 of f32, 16 of f64. Either fills two of the widest vector registers: a tile is 16
/// registers, and each element of A, loaded once for all lanes, serves two multiplications.
pub(crate) const fn panel<T>() -> usize {
    128 / size_of::<T>()
}

/// Terms of a sum that are added before the next panel's turn: so many rows of a panel are half of the first-level cache.
pub(crate) const TERMS: usize = 128;

/// `len` consecutive terms of the sums in a tile, and where they begin in A and B.
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
    /// From one term to the next, in A and in B.
    steps: [usize; 2],
    runs: &'a [Run],
    /// Behind the last term, in A and in B.
    reach: [usize; 2],
}

impl<'a, T: Float> Sums<'a, T> {
    pub fn new(a: &'a [T], b: &'a [T], steps: [usize; 2], runs: &'a [Run]) -> Self {
        let reach = |start: fn(&Run) -> usize, step: usize| {
            runs.iter().filter(|run| run.len > 0).map(|run| start(run) + (run.len - 1) * step + 1).max().unwrap_or(0)
        };
        let reach = [reach(|run| run.a, steps[0]), reach(|run| run.b, steps[1])];
        Sums { a, b, steps, runs, reach }
    }

    /// c[i, j] = begin + the sum over all terms p of a[rows[i] + p] b[at + p + j], for each row i of the target.
    #[inline]
    pub fn tile(&self, rows: &[usize; TILE], at: usize, begin: Begin<'_, T>, mut to: Target<'_, T>) {
        assert!(to.columns <= panel::<T>() && to.rows.len() <= TILE, "a tile is 8 rows of a panel");
        assert!(to.rows.iter().all(|&row| row + to.columns <= to.c.len()), "rows lie within C");
        assert!(!matches!(begin, Begin::Bias(bias) if bias.len() < to.columns), "the bias is as long as a row");
        if self.reach[0] > 0 {
            let last = rows.iter().fold(0, |last, &row| last.max(row));
            assert!(last + self.reach[0] <= self.a.len() && at + self.reach[1] + panel::<T>() - 1 <= self.b.len());
        }
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                // SAFETY: the processor was just asked, and the largest indices compared with the lengths.
                return unsafe { x86::avx512(self, rows, at, begin, &mut to) };
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                // SAFETY: as above.
                return unsafe { x86::avx2(self, rows, at, begin, &mut to) };
            }
        }
        for first in (0..to.columns).step_by(4) {
            // SAFETY: the largest indices were compared with the lengths.
            unsafe { self.columns::<[T; 4], 1>(rows, at, begin, &mut to, first) };
        }
    }

    /// C vectors of columns of a tile, from column `first` on.
    ///
    /// # Safety
    /// `tile` has compared the largest indices with the lengths; V's instructions exist.
    #[inline(always)]
    unsafe fn columns<V: Lanes<T>, const C: usize>(
        &self,
        rows: &[usize; TILE],
        at: usize,
        begin: Begin<'_, T>,
        to: &mut Target<'_, T>,
        first: usize,
    ) {
        // Lanes of vector c that are columns of C.
        let wanted = |c: usize| to.columns.saturating_sub(first + c * V::N).min(V::N);
        let mut sum = [[V::splat(T::ZERO); C]; TILE];
        // SAFETY: every index is at most the one that was compared, and `first` + C N at most the width of a panel.
        unsafe {
            if let Begin::Bias(bias) = begin {
                for c in 0..C {
                    let bias = V::load_first(wanted(c), bias.as_ptr().wrapping_add(first + c * V::N));
                    sum.iter_mut().for_each(|sum| sum[c] = bias);
                }
            }
            let b = self.b.as_ptr().wrapping_add(at + first);
            for run in self.runs {
                let a = rows.map(|row| self.a.as_ptr().wrapping_add(row + run.a));
                let (mut b, mut p) = (b.wrapping_add(run.b), 0);
                for _ in 0..run.len {
                    let mut columns = [V::splat(T::ZERO); C];
                    for c in 0..C {
                        columns[c] = V::load(b.add(c * V::N));
                    }
                    for i in 0..TILE {
                        let x = V::splat(*a[i].add(p));
                        for c in 0..C {
                            sum[i][c] = sum[i][c].add_product(x, columns[c]);
                        }
                    }
                    b = b.wrapping_add(self.steps[1]);
                    p += self.steps[0];
                }
            }
            for (sum, row) in sum.iter().zip(to.rows) {
                for c in 0..C {
                    let (to, count) = (to.c.as_mut_ptr().wrapping_add(row + first + c * V::N), wanted(c));
                    let before = if matches!(begin, Begin::Add) { V::load_first(count, to) } else { V::splat(T::ZERO) };
                    sum[c].add(before).store_first(count, to);
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;
    use std::arch::x86_64::{__m256, __m256d, __m512, __m512d};

    /// # Safety
    /// As `Sums::columns`.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn avx512<T: Float>(sums: &Sums<'_, T>, rows: &[usize; TILE], at: usize, begin: Begin<T>, to: &mut Target<T>) {
        // SAFETY: the caller's promise; T is the type that its DTYPE names.
        unsafe {
            match (T::DTYPE, 2 * to.columns > panel::<T>()) {
                (DType::F32, true) => same::<_, Sums<f32>>(sums).columns::<__m512, 2>(rows, at, *same(&begin), same_mut(to), 0),
                (DType::F32, false) => same::<_, Sums<f32>>(sums).columns::<__m512, 1>(rows, at, *same(&begin), same_mut(to), 0),
                (_, true) => same::<_, Sums<f64>>(sums).columns::<__m512d, 2>(rows, at, *same(&begin), same_mut(to), 0),
                (_, false) => same::<_, Sums<f64>>(sums).columns::<__m512d, 1>(rows, at, *same(&begin), same_mut(to), 0),
            }
        }
    }

    /// # Safety
    /// As `Sums::columns`.
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn avx2<T: Float>(sums: &Sums<'_, T>, rows: &[usize; TILE], at: usize, begin: Begin<T>, to: &mut Target<T>) {
        for first in (0..to.columns).step_by(panel::<T>() / 4) {
            // SAFETY: the caller's promise; T is the type that its DTYPE names.
            unsafe {
                match T::DTYPE {
                    DType::F32 => same::<_, Sums<f32>>(sums).columns::<__m256, 1>(rows, at, *same(&begin), same_mut(to), first),
                    _ => same::<_, Sums<f64>>(sums).columns::<__m256d, 1>(rows, at, *same(&begin), same_mut(to), first),
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
}

/// A matrix inside a slice: element (i, j) is `data[i * row + j * col]`. Transposing one is swapping the steps.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    data: &'a [T],
    row: usize,
    col: usize,
}

impl<'a, T: Float> Matrix<'a, T> {
    /// A dense matrix of `columns` columns, row after row; with `transposed` its transpose, as a view.
    pub fn new(data: &'a [T], columns: usize, transposed: bool) -> Self {
        if transposed { Matrix { data, row: 1, col: columns } } else { Matrix { data, row: columns, col: 1 } }
    }

    fn skip(self, rows: usize, cols: usize) -> Self {
        Matrix { data: &self.data[rows * self.row + cols * self.col..], ..self }
    }

    /// Its first `rows` rows of columns `first..first + count` as a panel; what is left of the panel's width is 0.
    fn pack(self, rows: usize, first: usize, count: usize, to: &mut [T]) {
        let (wide, from) = (panel::<T>(), &self.data[first * self.col..]);
        if count < wide {
            to.fill(T::ZERO);
        }
        if self.col == 1 {
            to.chunks_mut(wide).enumerate().for_each(|(p, to)| to[..count].copy_from_slice(&from[p * self.row..][..count]));
        } else {
            for j in 0..count {
                let column = from[j * self.col..].iter().step_by(self.row).take(rows);
                to[j..].iter_mut().step_by(wide).zip(column).for_each(|(to, &x)| *to = x);
            }
        }
    }
}

/// Rows of C a task works on.
const ROWS: usize = 64;

/// Terms a task adds up when C is too small to be cut by rows, as in a weight's gradient over all pixels.
const LONG: usize = 2048;

/// Multiply-adds below which a second thread costs more than it saves: some twenty microseconds' worth.
const SMALL: usize = 1 << 20;

/// C = begin + A B; A is m x k, B k x n, and C m x n, dense, row after row.
///
/// Large products are cut into blocks of rows, or of terms where there are many of those; by size alone.
pub(crate) fn gemm<T: Float>([m, k, n]: [usize; 3], a: Matrix<'_, T>, b: Matrix<'_, T>, begin: Begin<'_, T>, c: &mut [T]) {
    assert_eq!(c.len(), m * n, "C is dense");
    if m * n == 0 {
        return;
    }
    if k >= 2 * LONG && m * n <= 1 << 18 {
        // Each block of terms makes a matrix of its own. No more than 64, for the memory they take.
        let length = LONG.max(k.div_ceil(64));
        let partial = (0..k.div_ceil(length)).into_par_iter().map(|i| {
            let (first, mut c) = (i * length, Scratch::new(m * n));
            let count = length.min(k - first);
            multiply(a.skip(0, first), &pack(b.skip(first, 0), count, n), count, n, (Begin::Zero, &mut c));
            c
        });
        match begin {
            Begin::Zero => c.fill(T::ZERO),
            Begin::Bias(bias) => c.chunks_mut(n).for_each(|row| row.copy_from_slice(bias)),
            Begin::Add => (),
        }
        return add_assign(c, &sum_pairwise(partial.collect()));
    }
    let packed = pack(b, k, n);
    let rows = if m * k * n <= SMALL { m } else { ROWS };
    chunks(c, rows * n, |start, c| multiply(a.skip(start / n, 0), &packed, k, n, (begin, c)));
}

/// B as panels: for each block of terms, for each panel of columns, the rows of the block.
fn pack<T: Float>(b: Matrix<'_, T>, k: usize, n: usize) -> Scratch<T> {
    let wide = panel::<T>();
    let columns = n.next_multiple_of(wide);
    let mut packed = Scratch::new(k * columns);
    chunks(&mut packed, TERMS * columns, |start, to| {
        let (b, rows) = (b.skip(start / columns, 0), to.len() / columns);
        for (first, to) in (0..n).step_by(wide).zip(to.chunks_mut((rows * wide).max(1))) {
            b.pack(rows, first, wide.min(n - first), to);
        }
    });
    packed
}

/// C = begin + A B on this thread, with B packed.
fn multiply<T: Float>(a: Matrix<'_, T>, packed: &[T], k: usize, n: usize, (begin, c): (Begin<'_, T>, &mut [T])) {
    let (wide, m) = (panel::<T>(), c.len() / n);
    let columns = n.next_multiple_of(wide);
    for block in (0..k.max(1)).step_by(TERMS) {
        let terms = TERMS.min(k - block);
        let runs = [Run { a: block * a.col, b: 0, len: terms }];
        let sums = Sums::new(a.data, &packed[block * columns..][..terms * columns], [a.col, wide], &runs);
        let begin = if block == 0 { begin } else { Begin::Add };
        for (i, first) in (0..n).step_by(wide).enumerate() {
            for row in (0..m).step_by(TILE) {
                // A tile that is not full does its last row several times.
                let from = std::array::from_fn(|i| (row + i).min(m - 1) * a.row);
                let to: [usize; TILE] = std::array::from_fn(|i| (row + i) * n + first);
                let target = Target { c, rows: &to[..TILE.min(m - row)], columns: wide.min(n - first) };
                sums.tile(&from, i * terms * wide, begin.skip(first), target);
            }
        }
    }
}

/// The sum of equally long vectors by a tree that depends on their number alone. At least one is given.
pub(crate) fn sum_pairwise<T: Float>(mut parts: Vec<Scratch<T>>) -> Scratch<T> {
    let mut apart = 1;
    while apart < parts.len() {
        for pair in parts.chunks_mut(2 * apart).filter(|pair| pair.len() > apart) {
            let (left, right) = pair.split_at_mut(apart);
            add_assign(&mut left[0], &right[0]);
        }
        apart *= 2;
    }
    parts.swap_remove(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole numbers, so that every order of additions and every instruction set gives the same bits.
    fn narrow_kernels_agree<T: Float>() {
        let (wide, terms) = (panel::<T>(), 37);
        let numbers = |n: usize| (0..n).map(|i| T::from_f64((i * 7919 % 97) as f64)).collect::<Vec<T>>();
        let (a, b, bias) = (numbers(TILE * terms), numbers(terms * wide), numbers(wide));
        let (runs, from) = ([Run { a: 0, b: 0, len: terms }], std::array::from_fn(|i| i * terms));
        let sums = Sums::new(&a, &b, [1, wide], &runs);
        for columns in [1, 3, 8, wide / 2, wide - 5, wide] {
            let rows: [usize; TILE] = std::array::from_fn(|i| i * wide);
            let mut c: [Vec<T>; 3] = std::array::from_fn(|_| vec![T::ONE; TILE * wide]);
            sums.tile(&from, 0, Begin::Bias(&bias), Target { c: &mut c[0], rows: &rows[..TILE - 1], columns });
            let mut plain = Target { c: &mut c[2], rows: &rows[..TILE - 1], columns };
            for first in (0..columns).step_by(4) {
                // SAFETY: all indices lie within the slices made above.
                unsafe { sums.columns::<[T; 4], 1>(&from, 0, Begin::Bias(&bias), &mut plain, first) };
            }
            assert_eq!(c[0], c[2], "{columns} columns");
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                let mut avx2 = Target { c: &mut c[1], rows: &rows[..TILE - 1], columns };
                // SAFETY: as above, and the processor was just asked.
                unsafe { x86::avx2(&sums, &from, 0, Begin::Bias(&bias), &mut avx2) };
                assert_eq!(c[0], c[1], "{columns} columns");
            }
        }
    }

    #[test]
    fn every_kernel_computes_the_same() {
        narrow_kernels_agree::<f32>();
        narrow_kernels_agree::<f64>();
    }
}
