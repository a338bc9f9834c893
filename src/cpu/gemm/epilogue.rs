//! What C is accumulated onto, and what is done with its rows once they are complete.

/// What the accumulators of C start from (BLAS's beta, and a bias).
#[derive(Clone, Copy)]
pub(crate) enum Accumulate<'a, T> {
    /// 0.
    Zero,
    /// One value for each column.
    Bias(&'a [T]),
    /// What C holds: C += A B.
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

/// Called with the index of an element of C and all complete rows from it on, while they are in a
/// cache.
pub(crate) type Epilogue<'a, O> = &'a (dyn Fn(usize, &mut [O]) + Sync);
