//! General matrix multiplication, [m, k] x [k, n] -> [m, n], after GotoBLAS and BLIS.
//!
//! ```text
//! pack B into panels of NR columns, KC rows each, in parallel         pack.rs
//! for ic in 0..m by rows_per_task           loop 3, in parallel: rows of a task, about MC or more
//!     for pc in 0..k by KC                  loop 4: KC x NR of B are half of L1
//!         pack A[ic.., pc..], where it has to be packed by columns
//!         for ib in the task's rows by ROW_BATCH  within loop 3: ROW_BATCH x KC of A stay in L2
//!             pack A[ib.., pc..], where it has to be packed by rows
//!             for jr in 0..n by NR                loop 2: a panel of B stays in L1
//!                 for ir in the batch by MR       loop 1: a tile of C in registers
//!                     for p in 0..KC              the micro-kernel
//!                         C[MR, NR] += A[MR, p] B[p, NR]
//!     epilogue(C[ic..])                     while these rows are in a cache
//! ```
//!
//! The loops have BLIS's numbers. Loop 3 is outside of loop 4 here, so that a task owns its rows of
//! C; and there is no loop 5 over NC columns, as the operands of a network's layers are small
//! enough for the whole of B to be packed at once. Up to 256 KiB of it stay in L2; more comes from
//! L3, once for each task. Most tasks have fewer rows than one batch; batches matter where there
//! are few terms and columns, so that a task has many rows. `blocking` has the sizes. Sources: Goto
//! and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008); Van Zee and van de
//! Geijn, "BLIS: A Framework for Rapidly Instantiating BLAS Functionality" (2015).
//!
//! With AVX2, whose registers hold half a panel, loop 2 takes a panel in two halves.
//!
//! **Edges.** B is packed with zeros up to a whole panel. A tile that lacks rows reads its first
//! row again in their place, and one of at most 4 rows takes a micro-kernel of 4 rows, half of MR.
//! Only the rows and columns that C has are stored. Where C, or its last panel, has few columns (up
//! to 16 with AVX-512, 8 with AVX2, 4 with NEON), tiles are made of fewer or narrower vectors.
//!
//! **Types.** T is what operands are stored as, F what they are packed and multiplied as, O what C
//! is stored as; all three have one compute type. V is a vector register of it.
//!
//! f32 is multiplied as above. A C of bf16 is rounded once, so a tile accumulates all k terms
//! before it is written: KC is k then. f64, in which tests compute what the other types are
//! compared with, goes to the crate `matrixmultiply` (`dgemm`), so that it does not run through the
//! code that it judges. Convolutions in f64 do share the micro-kernel's loop with the others,
//! compiled without vector instructions of its own; that loop is judged by `conv::reference`.
//!
//! What makes it fast:
//!
//! * the micro-kernel holds a tile of C in registers, so each element loaded serves MR or NR FMAs;
//! * B is packed, once for all tasks, in the order in which it is read (`pack` says what that
//!   gains; with split-K each task packs its terms, or reads them where they lie, if B is dense, as
//!   wide as a panel or half of one, and not multiplied in VNNI pairs);
//! * A is read where it lies, through row offsets, so convolutions need no im2col. It is copied
//!   only where it has to be converted, where VNNI pairs are not side by side, where AMX tiles
//!   would load rows that begin within a cache line, and where its strides would evict it from the
//!   caches (`ALayout`);
//! * bf16 is multiplied by tiles (`amx`) or in VNNI pairs (AVX512-BF16), whichever this CPU does
//!   faster than f32; else it is converted while packed;
//! * a product with many terms and a small C is cut along k (split-K, not in f64) into tasks of
//!   their own, whose results are added up in a tree;
//! * a prologue computes B while it is packed, an epilogue works on rows of C just written. So in
//!   the backward pass of a 1 x 1 convolution behind GELU neither GELU's output nor its gradient is
//!   in memory as a whole (`cpu::gelu_dropout`).
//!
//! Tasks depend on sizes alone, so any number of threads gives the same bits. `reference` is the
//! definition in three plain loops.

mod accumulator;
#[cfg(target_arch = "x86_64")]
mod amx;
mod blocking;
mod dgemm;
mod dispatch;
mod epilogue;
mod indirection;
mod macrokernel;
mod microkernel;
#[cfg(target_arch = "aarch64")]
mod neon;
mod operand;
mod pack;
mod packed;
mod reference;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::ops::Range;

pub(crate) use blocking::{KC, MR, Size, dot_width, nr};
use half::bf16;

use blocking::{rows_per_task, terms_per_task};
pub(crate) use dispatch::{Microkernel, TILE_TERMS, multiplies_by_tiles, multiplies_natively};
pub(crate) use epilogue::{Accumulate, Epilogue};
pub(crate) use indirection::RowOffsets;
use macrokernel::macro_kernel;
pub(crate) use microkernel::{KSegment, OutputPanel, TileProduct};
pub(crate) use operand::Operand;
use pack::{PackedB, pack_b};
pub(crate) use pack::{
    copy_long, copy_short, interleave_rows, to_operand, to_operands, transpose_pairs,
};
pub(crate) use packed::Packed;

use crate::cpu::binary::add_assign;
use crate::cpu::{Scratch, chunks, part_of_an_op};
use crate::tensor::timeline;
use crate::{Float, Stored};

/// [m, k] x [k, n] -> [m, n]: C = `accumulate` + A B, with C dense and row-major.
pub(crate) fn gemm<T: GemmElement, O: Stored<Compute = T::Compute>>(
    size: Size,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    accumulate: Accumulate<'_, O>,
    c: &mut [O],
) {
    gemm_with_epilogue(size, a, b, accumulate, c, &|_, _| {});
}

/// As [`gemm`], and calls `epilogue` for all rows of C. The first row of each call is a multiple of
/// [`MR`], so that dropout's random bits begin with whole words.
pub(crate) fn gemm_with_epilogue<T: GemmElement, O: Stored<Compute = T::Compute>>(
    size: Size,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    accumulate: Accumulate<'_, O>,
    c: &mut [O],
    epilogue: Epilogue<'_, O>,
) {
    assert!(a.prologue.is_none(), "only B may be computed");
    assert_eq!(c.len(), size.m * size.n, "C is dense");
    if size.m * size.n == 0 {
        return;
    }
    if size.k == 0 {
        reference::gemm(size, a, b, accumulate, c);
        return epilogue(0, c);
    }
    T::gemm(Gemm {
        size,
        a,
        b,
        accumulate,
        c,
        epilogue,
    });
}

/// A product with something to multiply: what [`gemm_with_epilogue`] takes.
pub(crate) struct Gemm<'a, T, O> {
    size: Size,
    a: Operand<'a, T>,
    b: Operand<'a, T>,
    accumulate: Accumulate<'a, O>,
    c: &'a mut [O],
    epilogue: Epilogue<'a, O>,
}

/// An element type of operands, and how this CPU multiplies it.
pub(crate) trait GemmElement: Microkernel<Compute: Microkernel> {
    fn gemm<O: Stored<Compute = Self::Compute>>(gemm: Gemm<'_, Self, O>);
}

impl GemmElement for f32 {
    fn gemm<O: Stored<Compute = f32>>(gemm: Gemm<'_, f32, O>) {
        gemm.run::<f32>();
    }
}

impl GemmElement for bf16 {
    fn gemm<O: Stored<Compute = f32>>(gemm: Gemm<'_, bf16, O>) {
        if multiplies_natively::<bf16>(gemm.size.k, gemm.size.n) {
            gemm.run::<bf16>();
        } else {
            gemm.run::<f32>();
        }
    }
}

impl GemmElement for f64 {
    fn gemm<O: Stored<Compute = f64>>(gemm: Gemm<'_, f64, O>) {
        let Gemm { size, a, b, .. } = gemm;
        dgemm::gemm(size, a, b, gemm.accumulate, gemm.c, gemm.epilogue);
    }
}

impl<T: Stored, O: Stored<Compute = T::Compute>> Gemm<'_, T, O> {
    /// With operands that are packed and multiplied as type F.
    fn run<F: Microkernel<Compute = T::Compute>>(self) {
        match terms_per_task(self.size) {
            Some(terms) => {
                let sums = self.split_k::<F>(terms);
                self.accumulate.add_sums(&sums, self.size.n, self.c);
                (self.epilogue)(0, self.c);
            }
            None => self.row_blocks::<F>(),
        }
    }

    /// Loop 3: the rows of C in blocks, each of them a task.
    fn row_blocks<F: Microkernel<Compute = T::Compute>>(self) {
        let Size { k, n, .. } = self.size;
        let data: &[F] = &pack_b(self.b, k, n);
        let width = nr::<F>();
        let b = PackedB::new(data, width, [k, n]);
        chunks(self.c, rows_per_task(self.size) * n, |start, c| {
            // [rows, k] x [k, n] -> [rows, n]
            macro_kernel(self.a.skip(start / n, 0), b, self.accumulate, c);
            (self.epilogue)(start, c);
        });
    }

    /// A B for a small C: each task takes some terms and has a C of its own, which are added up in
    /// a tree.
    fn split_k<F: Microkernel<Compute = T::Compute>>(&self, terms: usize) -> Scratch<T::Compute> {
        let Size { m, k, n } = self.size;
        let task = |i: usize| {
            let mut c = Scratch::<T::Compute>::new(m * n);
            let first = i * terms;
            let (a, b, k) = (
                self.a.skip(0, first),
                self.b.skip(first, 0),
                terms.min(k - first),
            );
            // [m, k] x [k, n] -> [m, n], with the terms of this task.
            let mut multiply = |data: &[F], width: usize| {
                let b = PackedB::new(data, width, [k, n]);
                macro_kernel(a, b, Accumulate::Zero, &mut c);
            };
            let mut computed = None;
            match b.as_panel::<F>(k, n, &mut computed) {
                Some(panel) => {
                    let mut converted = (F::DTYPE != T::DTYPE).then(|| Scratch::new(panel.len()));
                    let converted = converted.as_deref_mut().unwrap_or_default();
                    multiply(to_operands(panel, converted), n);
                }
                None => multiply(&pack_b(b, k, n), nr::<F>()),
            }
            c
        };
        sum_pairwise(0..k.div_ceil(terms), &task)
    }
}

/// The sum of at least one vector, all equally long, in a tree that depends on their number alone.
/// `task` computes each where the walk through the tree comes to it: a thread holds one for each
/// level, not all.
pub(crate) fn sum_pairwise<T: Float>(
    range: Range<usize>,
    task: &(dyn Fn(usize) -> Scratch<T> + Sync),
) -> Scratch<T> {
    if range.len() == 1 {
        let _busy = part_of_an_op(timeline::is_on());
        return task(range.start);
    }
    // The left half has the largest power of two that is smaller than the length.
    let middle = range.start + range.len().next_power_of_two() / 2;
    let halves = (range.start..middle, middle..range.end);
    let (mut sum, right) = rayon::join(
        || sum_pairwise(halves.0, task),
        || sum_pairwise(halves.1, task),
    );
    add_assign(&mut sum, &right);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integers(count: usize, step: usize) -> Vec<bf16> {
        (0..count)
            .map(|i| bf16::from_f64((i * step % 7) as f64 - 3.0))
            .collect()
    }

    /// Integers, so that all sums are exact: bf16 in VNNI pairs and converted to f32 against the
    /// definition, with few and with many terms, and with C of both types. (f32 operands, which are
    /// read where they lie, are in `packed`'s test, and in `tests/ops/matmul.rs` within 2 k eps of
    /// f64.)
    #[test]
    fn operands_of_either_type_give_what_the_reference_gives() {
        for (m, k, n) in [
            (3, 1, 5),
            (1, 47, 5),
            (300, 147, 33),
            (7, 2 * blocking::SPLIT_K + 1, 32),
            (130, 150, 136),
        ] {
            let size = Size { m, k, n };
            let (a, b, bias) = (
                integers(m * k, 7919),
                integers(k * n, 104_729),
                integers(n, 5),
            );
            for transposed in [[false, false], [true, false], [false, true], [true, true]] {
                let a = Operand::new(&a, if transposed[0] { m } else { k }, transposed[0]);
                let b = Operand::new(&b, if transposed[1] { k } else { n }, transposed[1]);
                agree(size, a, b, Accumulate::Bias(&bias));
                agree::<f32>(size, a, b, Accumulate::Zero);
                agree::<f32>(size, a, b, Accumulate::Existing);
            }
        }
    }

    fn agree<O: Stored<Compute = f32>>(
        size: Size,
        a: Operand<'_, bf16>,
        b: Operand<'_, bf16>,
        accumulate: Accumulate<'_, O>,
    ) {
        let Size { m, k, n } = size;
        let multiply = |as_type: fn(Gemm<'_, bf16, O>)| {
            let mut c = vec![O::from_f64(1.0); m * n];
            as_type(Gemm {
                size,
                a,
                b,
                accumulate,
                c: &mut c,
                epilogue: &|_, _| {},
            });
            c
        };
        let want = multiply(|g| reference::gemm(g.size, g.a, g.b, g.accumulate, g.c));
        assert!(
            multiply(|g| g.run::<bf16>()) == want,
            "{m} x {k} x {n}: VNNI pairs"
        );
        assert!(
            multiply(|g| g.run::<f32>()) == want,
            "{m} x {k} x {n}: as f32"
        );
    }

    /// f64 by another library's kernels.
    #[test]
    fn f64_gives_what_the_reference_gives() {
        for (m, k, n) in [(1, 1, 1), (70, 300, 45), (200, 3, 17)] {
            let doubles = |x: Vec<bf16>| x.into_iter().map(f64::from).collect::<Vec<f64>>();
            let (a, b) = (
                doubles(integers(m * k, 7919)),
                doubles(integers(k * n, 104_729)),
            );
            let bias = doubles(integers(n, 5));
            let (a, b) = (Operand::new(&a, m, true), Operand::new(&b, k, true));
            for accumulate in [
                Accumulate::Bias(&bias[..]),
                Accumulate::Existing,
                Accumulate::Zero,
            ] {
                let [mut c, mut want] = [vec![1.0; m * n], vec![1.0; m * n]];
                gemm(Size { m, k, n }, a, b, accumulate, &mut c);
                reference::gemm(Size { m, k, n }, a, b, accumulate, &mut want);
                assert!(c == want, "{m} x {k} x {n}");
            }
        }
    }

    #[test]
    fn a_product_of_no_terms_is_what_it_is_accumulated_onto() {
        let (a, b) = (Operand::new(&[], 0, false), Operand::new(&[], 2, false));
        for (accumulate, want) in [
            (Accumulate::Zero, [0.0, 0.0]),
            (Accumulate::Bias(&[2.0, -3.0]), [2.0, -3.0]),
            (Accumulate::Existing, [5.0, 7.0]),
        ] {
            let mut c = [5.0_f32, 7.0];
            gemm::<f32, f32>(Size { m: 1, k: 0, n: 2 }, a, b, accumulate, &mut c);
            assert_eq!(c, want);
        }
    }
}
