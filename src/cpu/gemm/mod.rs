//! Operand products, and how they are cut into tasks.

mod accumulator;
mod blocking;
mod dispatch;
mod epilogue;
mod indirection;
mod microkernel;
#[cfg(target_arch = "aarch64")]
mod neon;
mod operand;
mod pack;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::ops::Range;

pub(crate) use blocking::{KC, MR, Size, dot_width, nr};
use blocking::{PREFETCH_MIN_BYTES, ROW_BATCH, k_block, rows_per_task, terms_per_task};
pub(crate) use dispatch::{GemmElement, Microkernel, multiplies_natively};
pub(crate) use epilogue::{Accumulate, Epilogue};
pub(crate) use indirection::RowOffsets;
pub(crate) use microkernel::{KSegment, OutputTile, TileProduct};
pub(crate) use operand::Operand;
use pack::Place;

use crate::cpu::binary::add_assign;
use crate::cpu::simd::convert::convert;
use crate::cpu::{Scratch, chunks, vectorize};
use crate::tensor::dtype::{as_type, as_type_mut};
use crate::{Float, Stored};

/// A number as it is multiplied: as it is stored, or wide.
#[inline(always)]
pub(crate) fn factor<T: Stored, F: Stored<Compute = T::Compute>>(x: T) -> F {
    match as_type(std::slice::from_ref(&x)) {
        Some(&[x]) => x,
        _ => F::from_compute(x.to_compute()),
    }
}

/// Numbers as they are multiplied, or the first of `room` that they are written to.
pub(crate) fn factors<'a, T: Stored, F: Stored<Compute = T::Compute>>(
    x: &'a [T],
    room: &'a mut [F],
) -> &'a [F] {
    as_type(x).unwrap_or_else(|| {
        copy_many(x, &mut room[..x.len()]);
        &room[..x.len()]
    })
}

/// Copies a few elements, as they are multiplied, without the call that the compiler would make of
/// it.
#[inline(always)]
pub(crate) fn copy<T: Stored, F: Stored<Compute = T::Compute>>(from: &[T], to: &mut [F]) {
    if let Some(from) = as_type::<T, F>(from) {
        let ((from, last), (to, rest)) = (from.as_chunks::<8>(), to.as_chunks_mut::<8>());
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        let rest = if to.len() > from.len() {
            to[from.len()].as_mut_slice()
        } else {
            rest
        };
        return rest.iter_mut().zip(last).for_each(|(to, from)| *to = *from);
    }
    to.iter_mut()
        .zip(from)
        .for_each(|(to, from)| *to = factor(*from));
}

/// Copies many elements, as they are multiplied.
pub(crate) fn copy_many<T: Stored, F: Stored<Compute = T::Compute>>(from: &[T], to: &mut [F]) {
    match (as_type(from), as_type_mut(to)) {
        (Some(from), _) => to.copy_from_slice(from),
        (None, Some(to)) => convert(from, to),
        (None, None) => unreachable!("factors are as they are stored, or wide"),
    }
}

/// `count` rows of some elements two by two, element by element: a0 b0 a1 b1 ..., the last one of
/// an odd number with zeros. RowOffsets begin `step` apart, and pairs of them are written 2 `wide` apart.
pub(crate) fn pair_rows<'a, T: Stored, F: Stored<Compute = T::Compute>>(
    rows: &[T],
    [count, elements, step]: [usize; 3],
    to: &'a mut [F],
    wide: usize,
) -> &'a [F] {
    let rows: &[F] =
        as_type(rows).expect("numbers that go together are multiplied as they are stored");
    interleave(
        rows,
        [elements, step],
        &mut to[..count / 2 * 2 * wide],
        wide,
    );
    if count % 2 == 1 {
        let (odd, to) = (
            &rows[(count - 1) * step..][..elements],
            &mut to[(count - 1) * wide..],
        );
        to.as_chunks_mut::<2>()
            .0
            .iter_mut()
            .zip(odd)
            .for_each(|(to, &a)| *to = [a, F::default()]);
    }
    &to[..count.next_multiple_of(2) * wide]
}

vectorize! {
    fn interleave<T: Stored>(rows: &[T], from: [usize; 2], to: &mut [T], wide: usize) {
        let [elements, step] = from;
        for (i, to) in to.chunks_exact_mut(2 * wide).enumerate() {
            let (a, b) = (&rows[2 * i * step..][..elements], &rows[(2 * i + 1) * step..][..elements]);
            for ((to, &a), &b) in to.as_chunks_mut::<2>().0.iter_mut().zip(a).zip(b) {
                *to = [a, b];
            }
        }
    }
}

/// C = begin + A B; A is m x k, B k x n, and C m x n, dense, row after row.
///
/// Large products are cut into blocks of rows, or of terms where there are many of those; by size
/// alone.
pub(crate) fn gemm<T: GemmElement, O: Stored<Compute = T::Compute>>(
    size: [usize; 3],
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    begin: Accumulate<'_, O>,
    c: &mut [O],
) {
    gemm_with_epilogue(size, a, b, begin, c, &|_, _| {});
}

/// As [`gemm`], and `then` for all rows of C. They begin at multiples of [`MR`].
pub(crate) fn gemm_with_epilogue<T: GemmElement, O: Stored<Compute = T::Compute>>(
    size: [usize; 3],
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    begin: Accumulate<'_, O>,
    c: &mut [O],
    then: Epilogue<'_, O>,
) {
    assert!(a.made.is_none(), "only the right side may be made");
    if multiplies_natively::<T>() {
        gemm_of::<T, T, O>(size, a, b, begin, c, then)
    } else {
        gemm_of::<T::Compute, T, O>(size, a, b, begin, c, then)
    }
}

/// As [`gemm_with_epilogue`], of factors of type F.
fn gemm_of<F: Microkernel<Compute = T::Compute>, T: Stored, O: Stored<Compute = T::Compute>>(
    [m, k, n]: [usize; 3],
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    begin: Accumulate<'_, O>,
    c: &mut [O],
    then: Epilogue<'_, O>,
) {
    assert_eq!(c.len(), m * n, "C is dense");
    if m * n == 0 {
        return;
    }
    if k == 0 {
        // TileProduct of no products.
        for c in c.chunks_mut(n) {
            match begin {
                Accumulate::Zero => c.fill(O::default()),
                Accumulate::Bias(bias) => c.copy_from_slice(&bias[..n]),
                Accumulate::Existing => {}
            }
        }
        return then(0, c);
    }
    let size = Size { m, k, n };
    if let Some(length) = terms_per_task(size) {
        // Each block of terms makes a matrix of its own.
        let partial = |i: usize| {
            let (first, mut c) = (i * length, Scratch::<T::Compute>::new(m * n));
            let count = length.min(k - first);
            let (b, mut made) = (b.skip(first, 0), None);
            match b.as_panel::<F>(count, n, &mut made) {
                Some(panel) => {
                    let mut room = (F::DTYPE != T::DTYPE).then(|| Scratch::new(panel.len()));
                    let panel: &[F] = factors(panel, room.as_deref_mut().unwrap_or_default());
                    multiply(
                        a.skip(0, first),
                        (panel, n),
                        [count, n],
                        Accumulate::Zero,
                        &mut c,
                    );
                }
                None => multiply(
                    a.skip(0, first),
                    (&pack_b::<F, T>(b, count, n), nr::<F>()),
                    [count, n],
                    Accumulate::Zero,
                    &mut c,
                ),
            }
            c
        };
        let sums = sum_pairwise(0..k.div_ceil(length), &partial);
        for (c, sums) in c.chunks_mut(n).zip(sums.chunks(n)) {
            match begin {
                Accumulate::Zero => c
                    .iter_mut()
                    .zip(sums)
                    .for_each(|(c, &sum)| *c = O::from_compute(sum)),
                Accumulate::Bias(bias) => c
                    .iter_mut()
                    .zip(sums)
                    .zip(bias)
                    .for_each(|((c, &sum), b)| *c = O::from_compute(b.to_compute() + sum)),
                Accumulate::Existing => c
                    .iter_mut()
                    .zip(sums)
                    .for_each(|(c, &sum)| *c = O::from_compute(c.to_compute() + sum)),
            }
        }
        return then(0, c);
    }
    let packed = pack_b::<F, T>(b, k, n);
    let rows = rows_per_task(size);
    chunks(c, rows * n, |start, c| {
        multiply(a.skip(start / n, 0), (&packed, nr::<F>()), [k, n], begin, c);
        then(start, c);
    });
}

/// B as panels: for each block of terms, for each panel of columns, the rows of the block.
fn pack_b<F: Stored<Compute = T::Compute>, T: Stored>(
    b: Operand<'_, T>,
    k: usize,
    n: usize,
) -> Scratch<F> {
    let (wide, t) = (nr::<F>(), dot_width::<F>());
    let columns = n.next_multiple_of(wide);
    let mut packed = Scratch::new(k.next_multiple_of(t) * columns);
    chunks(&mut packed, KC * t * columns, |start, to| {
        let (first, rows) = (start / columns, to.len() / columns);
        let (count, mut made) = (rows.min(k - first), None);
        let b = b.skip(first, 0).rows(count, &mut made);
        for (column, to) in (0..n)
            .step_by(wide)
            .zip(to.chunks_mut((rows * wide).max(1)))
        {
            b.pack(count, (column, wide.min(n - column)), wide, to);
        }
    });
    packed
}

/// C = begin + A B on this thread, with B packed into panels of some width.
fn multiply<F: Microkernel<Compute = T::Compute>, T: Stored, O: Stored<Compute = T::Compute>>(
    a: Operand<'_, T>,
    (packed, wide): (&[F], usize),
    [k, n]: [usize; 2],
    begin: Accumulate<'_, O>,
    c: &mut [O],
) {
    let (t, m, size) = (dot_width::<F>(), c.len() / n, k_block::<F, O>(k));
    let place = Place::of::<F, T>(a, [m, k, n], size);
    let ([row, step], elements) = match place {
        Place::Here => ([a.row, a.col * t], 0),
        Place::InRows { apart, .. } => ([apart, 1], m.min(ROW_BATCH) * apart),
        Place::InColumns { apart, .. } => ([t, apart * t], size.next_multiple_of(t) * apart),
    };
    let mut room = (elements > 0).then(|| Scratch::new(elements));
    let room = room.as_deref_mut().unwrap_or_default();
    let [turn, last] = [m.min(ROW_BATCH) / ROW_BATCH * ROW_BATCH, m % ROW_BATCH]
        .map(|rows| RowOffsets::dense::<F>(rows, [row, n], n.min(wide)));
    for first in (0..k).step_by(size) {
        let (count, block) = (size.min(k - first), a.skip(0, first));
        place.lay_columns(block, [m, count], room);
        // The panels of B are cut at every KC terms; a longer block goes from piece to piece.
        let (terms, piece, columns) = (count.next_multiple_of(t), KC * t, n.next_multiple_of(wide));
        let runs = |panel: usize| -> Vec<KSegment> {
            let pieces = (0..terms)
                .step_by(piece)
                .map(|at| (at, piece.min(terms - at)));
            let run = |(at, len)| KSegment {
                a: at / t * step,
                b: (first + at) * columns + panel * len * wide,
                len: len / t,
            };
            pieces.map(run).collect()
        };
        let panels: Vec<Vec<KSegment>> = (0..n.div_ceil(wide)).map(runs).collect();
        let begin = if first == 0 {
            begin
        } else {
            Accumulate::Existing
        };
        for (top, rows) in (0..m)
            .step_by(ROW_BATCH)
            .zip(std::iter::repeat_n(&turn, m / ROW_BATCH).chain([&last]))
        {
            place.lay_rows(block, top..m.min(top + ROW_BATCH), count, room);
            let data = match place {
                Place::Here => {
                    &as_type(block.data).expect("they are factors as they are")[top * row..]
                }
                Place::InRows { .. } => &room[..],
                Place::InColumns { .. } => &room[top * t..],
            };
            for (i, (column, runs)) in (0..n).step_by(wide).zip(&panels).enumerate() {
                let ahead = i == 0
                    && matches!(place, Place::Here)
                    && a.col == 1
                    && k * size_of::<T>() >= PREFETCH_MIN_BYTES;
                let sums = TileProduct::new(data, packed, [step, wide * t], runs)
                    .prefetch_next_tile(ahead);
                sums.tiles(
                    rows,
                    0,
                    begin,
                    OutputTile {
                        c: &mut c[top * n..],
                        first: column,
                        columns: wide.min(n - column),
                    },
                );
            }
        }
    }
}

/// The sum of equally long vectors, one at least, by a tree that depends on their number alone.
/// Each is made where the walk through the tree comes to it: a thread holds one for each level, not
/// all.
pub(crate) fn sum_pairwise<T: Float>(
    range: Range<usize>,
    make: &(dyn Fn(usize) -> Scratch<T> + Sync),
) -> Scratch<T> {
    if range.len() == 1 {
        return make(range.start);
    }
    // To the left the largest power of two that leaves something to the right.
    let middle = range.start + range.len().next_power_of_two() / 2;
    let halves = (range.start..middle, middle..range.end);
    let (mut sum, right) = rayon::join(
        || sum_pairwise(halves.0, make),
        || sum_pairwise(halves.1, make),
    );
    add_assign(&mut sum, &right);
    sum
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;

    /// Whole numbers, so that all sums are exact: bf16 in pairs and as f32, against the definition,
    /// in few and in many terms.
    #[test]
    fn factors_of_either_type_give_the_same() {
        let numbers = |count: usize, step: usize| -> Vec<bf16> {
            (0..count)
                .map(|i| bf16::from_f64((i * step % 7) as f64 - 3.0))
                .collect()
        };
        for (m, k, n) in [
            (3, 1, 5),
            (1, 47, 5),
            (300, 147, 33),
            (9, 0, 4),
            (7, 2 * blocking::SPLIT_K + 1, 32),
            (130, 150, 136),
        ] {
            let (a, b, bias) = (numbers(m * k, 7919), numbers(k * n, 104_729), numbers(n, 5));
            for turned in [[false, false], [true, false], [false, true], [true, true]] {
                let left = Operand::new(&a, if turned[0] { m } else { k }, turned[0]);
                let right = Operand::new(&b, if turned[1] { k } else { n }, turned[1]);
                let at = |of: Operand<bf16>, i: usize, j: usize| {
                    of.data[i * of.row + j * of.col].to_compute()
                };
                let sum = |i: usize, j: usize| {
                    (0..k)
                        .map(|p| at(left, i, p) * at(right, p, j))
                        .sum::<f32>()
                };
                let want =
                    |i: usize| bf16::from_compute(sum(i / n, i % n) + bias[i % n].to_compute());
                let [mut pairs, mut wide] = [vec![bf16::ZERO; m * n], vec![bf16::ZERO; m * n]];
                gemm_of::<bf16, _, _>(
                    [m, k, n],
                    left,
                    right,
                    Accumulate::Bias(&bias),
                    &mut pairs,
                    &|_, _| {},
                );
                gemm_of::<f32, _, _>(
                    [m, k, n],
                    left,
                    right,
                    Accumulate::Bias(&bias),
                    &mut wide,
                    &|_, _| {},
                );
                assert!(
                    pairs.iter().enumerate().all(|(i, &c)| c == want(i)),
                    "{m} x {k} x {n}, {turned:?}: pairs"
                );
                assert!(wide == pairs, "{m} x {k} x {n}, {turned:?}: as f32");
                // TileProduct that stay wide are added up block by block.
                let [mut pairs, mut wide] = [vec![1.0; m * n], vec![1.0; m * n]];
                gemm_of::<bf16, _, f32>(
                    [m, k, n],
                    left,
                    right,
                    Accumulate::Zero,
                    &mut pairs,
                    &|_, _| {},
                );
                gemm_of::<f32, _, f32>(
                    [m, k, n],
                    left,
                    right,
                    Accumulate::Zero,
                    &mut wide,
                    &|_, _| {},
                );
                let exact = |sums: &[f32]| {
                    sums.iter()
                        .enumerate()
                        .all(|(i, &c)| c == sum(i / n, i % n))
                };
                assert!(
                    exact(&pairs) && exact(&wide),
                    "{m} x {k} x {n}, {turned:?}: wide sums"
                );
            }
        }
    }
}
