//! The registers of NEON, which every CPU of aarch64 has.

use std::arch::aarch64::*;

use super::lanes::{Lanes, registers};

registers! {
    f32, float32x4_t, 4, [u64; 16]: vdupq_n_f32 vld1q_f32 vst1q_f32 vaddq_f32 vsubq_f32 add_product;
}

/// a b + sum, with the operands in the order of x86's FMA.
///
/// # Safety
/// None is needed: every CPU of this architecture has the instruction.
#[inline(always)]
unsafe fn add_product(a: float32x4_t, b: float32x4_t, sum: float32x4_t) -> float32x4_t {
    // SAFETY: as above.
    unsafe { vfmaq_f32(sum, a, b) }
}
