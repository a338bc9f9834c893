//! `Float`: the two types that are computed with. `Stored`: the types that elements are stored in.

use std::ops::{Add, Div, Mul, Neg, Sub};

use half::bf16;

use crate::Element;
use crate::cpu::simd::math;

/// f32 or f64, with the arithmetic that ops are written in.
pub trait Float:
    Stored<Compute = Self>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + std::iter::Sum
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// The distance from 1 to the next larger value: the unit of rounding errors.
    const EPSILON: Self;

    /// Whether it is NaN.
    #[inline(always)]
    fn is_nan(self) -> bool {
        self.partial_cmp(&self).is_none()
    }

    /// The larger of two; either of them if one is NaN.
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        if self > other { self } else { other }
    }

    /// The absolute value.
    fn abs(self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
    /// e to this power.
    fn exp(self) -> Self;
    /// The natural logarithm.
    fn ln(self) -> Self;
    /// The hyperbolic tangent.
    fn tanh(self) -> Self;
    /// This to the power `p`. Slow: one library call each.
    fn powf(self, p: Self) -> Self;

    /// 1 / (1 + e^-x), by the exponential that cannot overflow.
    #[inline(always)]
    fn sigmoid(self) -> Self {
        let e = (-self.abs()).exp();
        (if self > Self::ZERO { Self::ONE } else { e }) / (Self::ONE + e)
    }
}

/// A storage type, and its compute type: bf16 takes half the memory of f32, and is computed with in
/// f32. (Products of bf16 are multiplied as they are stored where the CPU does that faster, and
/// summed in f32, which gives the exact products all the same.)
pub trait Stored: Element {
    /// The type that it is computed in.
    type Compute: Float;
    /// The same value, exactly.
    fn to_compute(self) -> Self::Compute;
    /// The nearest value of this type, ties to even.
    fn from_compute(x: Self::Compute) -> Self;
}

impl Stored for bf16 {
    type Compute = f32;
    /// bf16 is the upper half of an f32.
    #[inline(always)]
    fn to_compute(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
    /// Without branches, so that a loop becomes vector instructions.
    #[inline(always)]
    fn from_compute(x: f32) -> bf16 {
        let bits = x.to_bits();
        // A half and, where the last bit kept is odd, one more carry into it.
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
        // NaN could round to infinity: it keeps its upper bits, and its quiet bit is set.
        let quiet = bits >> 16 | 0x40;
        bf16::from_bits(if x.is_nan() { quiet } else { rounded } as u16)
    }
}

macro_rules! float {
    ($($t:ident: $exp:path, $ln:path, $tanh:path;)*) => {$(
        impl Stored for $t {
            type Compute = $t;
            #[inline(always)]
            fn to_compute(self) -> $t { self }
            #[inline(always)]
            fn from_compute(x: $t) -> $t { x }
        }

        impl Float for $t {
            const ZERO: $t = 0.0;
            const ONE: $t = 1.0;
            const EPSILON: $t = $t::EPSILON;
            #[inline(always)]
            fn abs(self) -> $t { self.abs() }
            #[inline(always)]
            fn sqrt(self) -> $t { self.sqrt() }
            #[inline(always)]
            fn exp(self) -> $t { $exp(self) }
            #[inline(always)]
            fn ln(self) -> $t { $ln(self) }
            #[inline(always)]
            fn tanh(self) -> $t { $tanh(self) }
            #[inline(always)]
            fn powf(self, p: $t) -> $t { self.powf(p) }
        }
    )*};
}
float! {
    f32: math::exp_f32, math::ln_f32, math::tanh_f32;
    f64: f64::exp, f64::ln, f64::tanh;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_rounds_as_half_does() {
        let halves = (0..=u16::MAX).map(|i| f32::from_bits(u32::from(i) << 16));
        for x in halves.flat_map(|x| {
            [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff].map(|low| f32::from_bits(x.to_bits() | low))
        }) {
            assert_eq!(
                bf16::from_compute(x).to_bits(),
                bf16::from_f32(x).to_bits(),
                "{x}"
            );
        }
        assert_eq!(bf16::from_f32(-3.25).to_compute(), -3.25);
    }
}
