//! Registers of sums: what is added to them, and what they are stored as.

use half::bf16;

use crate::Stored;
use crate::cpu::simd::Lanes;

/// A register of sums, to which products of T are added.
pub(super) trait Products<T: Stored>: Lanes<T::Compute> {
    /// One factor for each sum, or those that go together.
    type Factor: Copy;
    /// The same for all sums.
    ///
    /// # Safety
    /// What goes together is readable at `from`; for the types of x86 the processor has the
    /// instructions.
    unsafe fn all(from: *const T) -> Self::Factor;
    /// Another for each sum.
    ///
    /// # Safety
    /// As `all`, N times as many.
    unsafe fn each(from: *const T) -> Self::Factor;
    /// self + a b.
    fn add_products(self, a: Self::Factor, b: Self::Factor) -> Self;
    /// Writes the first `count` sums.
    ///
    /// # Safety
    /// As `Lanes::store_first`.
    #[inline(always)]
    unsafe fn put<O: Stored<Compute = T::Compute>>(self, count: usize, to: *mut O) {
        // SAFETY: the caller's promise.
        unsafe { self.store_converted(count, to) }
    }
}

macro_rules! one_by_one {
    ($($t:ty)*) => {$(
        impl<V: Lanes<$t>> Products<$t> for V {
            type Factor = V;
            #[inline(always)]
            unsafe fn all(from: *const $t) -> V {
                // SAFETY: the caller's promise.
                V::splat(unsafe { *from })
            }
            #[inline(always)]
            unsafe fn each(from: *const $t) -> V {
                // SAFETY: the caller's promise.
                unsafe { V::load(from) }
            }
            #[inline(always)]
            fn add_products(self, a: V, b: V) -> V {
                self.add_product(a, b)
            }
        }
    )*};
}
one_by_one! { f32 f64 }

/// In pairs by the definition, which tests hold the instruction against: a processor without it
/// multiplies bf16 as f32.
impl Products<bf16> for [f32; 4] {
    type Factor = [[bf16; 2]; 4];
    #[inline(always)]
    unsafe fn all(from: *const bf16) -> Self::Factor {
        // SAFETY: the caller's promise.
        [unsafe { *from.cast() }; 4]
    }
    #[inline(always)]
    unsafe fn each(from: *const bf16) -> Self::Factor {
        // SAFETY: the caller's promise.
        unsafe { *from.cast() }
    }
    #[inline(always)]
    fn add_products(self, a: Self::Factor, b: Self::Factor) -> Self {
        // The upper one first, as the instruction does.
        std::array::from_fn(|i| {
            self[i]
                + a[i][1].to_compute() * b[i][1].to_compute()
                + a[i][0].to_compute() * b[i][0].to_compute()
        })
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;
    use crate::DType;
    use crate::cpu::simd::x86::store_rounded;
    use std::arch::x86_64::{
        __m512, __m512bh, _mm512_dpbf16_ps, _mm512_loadu_si512, _mm512_set1_epi32,
    };

    impl Products<bf16> for __m512 {
        type Factor = __m512bh;
        #[inline(always)]
        unsafe fn all(from: *const bf16) -> __m512bh {
            // SAFETY: the caller's promise; both types are 64 bytes for which every pattern is a
            // value.
            unsafe { std::mem::transmute(_mm512_set1_epi32(from.cast::<i32>().read_unaligned())) }
        }
        #[inline(always)]
        unsafe fn each(from: *const bf16) -> __m512bh {
            // SAFETY: as above.
            unsafe { std::mem::transmute(_mm512_loadu_si512(from.cast())) }
        }
        #[inline(always)]
        fn add_products(self, a: __m512bh, b: __m512bh) -> Self {
            // SAFETY: only kernels compiled for these instructions use this type.
            unsafe { _mm512_dpbf16_ps(self, a, b) }
        }
        /// With the instruction that rounds 16 at once.
        #[inline(always)]
        unsafe fn put<O: Stored<Compute = f32>>(self, count: usize, to: *mut O) {
            // SAFETY: the caller's promise.
            unsafe {
                if O::DTYPE == DType::BF16 {
                    store_rounded(self, count, to.cast())
                } else {
                    self.store_converted(count, to)
                }
            }
        }
    }
}
