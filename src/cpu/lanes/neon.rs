//! The registers of NEON, which every processor of aarch64 has.

use std::arch::aarch64::*;

use super::Lanes;

macro_rules! registers {
    ($($t:ty, $v:ty, $n:literal: $splat:ident $load:ident $store:ident $add:ident $sub:ident $fma:ident;)*) => {$(
        impl Lanes<$t> for $v {
            const N: usize = $n;
            type Words = [u64; 16];
            #[inline(always)]
            fn splat(x: $t) -> Self {
                // SAFETY: every processor of this architecture has these instructions.
                unsafe { $splat(x) }
            }
            #[inline(always)]
            unsafe fn load(from: *const $t) -> Self {
                // SAFETY: the caller's promise; no alignment is asked for.
                unsafe { $load(from) }
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $t) {
                // SAFETY: the caller's promise; no alignment is asked for.
                unsafe { $store(to, self) }
            }
            #[inline(always)]
            fn add(self, b: Self) -> Self {
                // SAFETY: as in `splat`.
                unsafe { $add(self, b) }
            }
            #[inline(always)]
            fn sub(self, b: Self) -> Self {
                // SAFETY: as in `splat`.
                unsafe { $sub(self, b) }
            }
            #[inline(always)]
            fn add_product(self, a: Self, b: Self) -> Self {
                // SAFETY: as in `splat`.
                unsafe { $fma(self, a, b) }
            }
        }
    )*};
}
registers! {
    f32, float32x4_t, 4: vdupq_n_f32 vld1q_f32 vst1q_f32 vaddq_f32 vsubq_f32 vfmaq_f32;
    f64, float64x2_t, 2: vdupq_n_f64 vld1q_f64 vst1q_f64 vaddq_f64 vsubq_f64 vfmaq_f64;
}
