//! What C is accumulated onto, and what is done with its rows once they are complete.

use crate::{Float, Stored};

/// What the elements of C start from: BLAS's beta, or a bias.
#[derive(Clone, Copy)]
pub(crate) enum Accumulate<'a, T> {
    /// 0.
    Zero,
    /// One value for each column.
    Bias(&'a [T]),
    /// What C holds: C += A B.
    Existing,
}

impl<T> Accumulate<'_, T> {
    /// From column `first` on.
    pub fn skip(self, first: usize) -> Self {
        match self {
            Accumulate::Bias(bias) => Accumulate::Bias(&bias[first..]),
            other => other,
        }
    }
}

impl<T: Stored> Accumulate<'_, T> {
    /// What an element of column j starts from, where C holds `existing`.
    pub(super) fn start(self, j: usize, existing: T) -> T::Compute {
        match self {
            Accumulate::Zero => T::Compute::ZERO,
            Accumulate::Bias(bias) => bias[j].to_compute(),
            Accumulate::Existing => existing.to_compute(),
        }
    }

    /// C = what it starts from + `sums`, both with n columns.
    pub(super) fn add_sums(self, sums: &[T::Compute], n: usize, c: &mut [T]) {
        for (c, sums) in c.chunks_mut(n).zip(sums.chunks(n)) {
            for (j, (c, &sum)) in c.iter_mut().zip(sums).enumerate() {
                *c = T::from_compute(match self {
                    Accumulate::Zero => sum,
                    start => start.start(j, *c) + sum,
                });
            }
        }
    }
}

/// Called with each part of a product or convolution once it is complete, while it is in a cache:
/// the index of its first element, and the part, which it may change. Parts of a product are whole
/// rows; after split-K there is one call, with all of C.
///
/// There are two. GELU's derivative, with or without dropout, multiplies rows of a product
/// ([`cpu::gelu_dropout`](crate::cpu::gelu_dropout)); BatchNorm's statistics are sums over the
/// outputs of a transposed convolution.
pub(crate) type Epilogue<'a, O> = &'a (dyn Fn(usize, &mut [O]) + Sync);
