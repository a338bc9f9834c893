//! Accumulator registers and their multiply-accumulate step: FMA, or the dot product of VNNI pairs
//! of bf16.

use half::bf16;

use crate::Stored;
use crate::cpu::simd::Lanes;

/// A register of accumulators, in the compute type of operands of type T.
pub(super) trait Accumulator<T: Stored>: Lanes<T::Compute> {
    /// A register of operands: for each accumulator one element, or a VNNI pair.
    type Operand: Copy;
    /// One element or pair of A, for all lanes.
    ///
    /// # Safety
    /// It is readable at `from`; for the types of x86 the CPU has the instructions.
    unsafe fn broadcast(from: *const T) -> Self::Operand;
    /// N elements or pairs of a row of B, one for each lane.
    ///
    /// # Safety
    /// As `broadcast`, N times as many.
    unsafe fn load_columns(from: *const T) -> Self::Operand;
    /// self + a b.
    fn multiply_accumulate(self, a: Self::Operand, b: Self::Operand) -> Self;
    /// Writes the first `count` accumulators to C, rounded to its type.
    ///
    /// # Safety
    /// As `Lanes::store_first`.
    #[inline(always)]
    unsafe fn store_output<O: Stored<Compute = T::Compute>>(self, count: usize, to: *mut O) {
        // SAFETY: the caller's promise.
        unsafe { self.store_converted(count, to) }
    }
}

macro_rules! one_by_one {
    ($($t:ty)*) => {$(
        impl<V: Lanes<$t>> Accumulator<$t> for V {
            type Operand = V;
            #[inline(always)]
            unsafe fn broadcast(from: *const $t) -> V {
                // SAFETY: the caller's promise.
                V::splat(unsafe { *from })
            }
            #[inline(always)]
            unsafe fn load_columns(from: *const $t) -> V {
                // SAFETY: the caller's promise.
                unsafe { V::load(from) }
            }
            #[inline(always)]
            fn multiply_accumulate(self, a: V, b: V) -> V {
                self.add_product(a, b)
            }
        }
    )*};
}
one_by_one! { f32 f64 }

/// VNNI pairs by their definition, which tests compare the instruction with. Where pairs do not
/// pay, bf16 is multiplied as f32 (`dispatch`).
impl Accumulator<bf16> for [f32; 4] {
    type Operand = [[bf16; 2]; 4];
    #[inline(always)]
    unsafe fn broadcast(from: *const bf16) -> Self::Operand {
        // SAFETY: the caller's promise.
        [unsafe { *from.cast() }; 4]
    }
    #[inline(always)]
    unsafe fn load_columns(from: *const bf16) -> Self::Operand {
        // SAFETY: the caller's promise.
        unsafe { *from.cast() }
    }
    #[inline(always)]
    fn multiply_accumulate(self, a: Self::Operand, b: Self::Operand) -> Self {
        // The second element first, as VDPBF16PS does.
        std::array::from_fn(|i| {
            self[i]
                + a[i][1].to_compute() * b[i][1].to_compute()
                + a[i][0].to_compute() * b[i][0].to_compute()
        })
    }
}
