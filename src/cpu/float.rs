//! What the loops of this crate ask of floats beyond [`Float`] and [`Stored`]: GELU, sine, cosine and
//! the error function, and keeping or zeroing an element.

use half::bf16;

use crate::cpu::simd::{math, trig};
use crate::{Float, Stored};

/// A compute type with the functions of these loops. `FUSED` uses FMAs, which round once: for where
/// the CPU has them.
pub(crate) trait LoopFloat: Float {
    /// How far from 0 [`LoopFloat::sin_near`] and [`LoopFloat::cos_near`] are right.
    const FAR: Self;
    /// The sine, up to `FAR` from 0.
    fn sin_near(self) -> Self;
    /// The cosine, up to `FAR` from 0.
    fn cos_near(self) -> Self;
    /// The error function.
    fn erf(self) -> Self;
    /// This value if `kept`, else 0. A bit mask, not a branch, so that loops stay vectorized.
    fn only_if(self, kept: bool) -> Self;
    /// e to this power, which is at most 0: 0 where that is subnormal.
    fn exp_weight<const FUSED: bool>(self) -> Self;
    /// GELU: x Phi(x), with the cumulative distribution function of the standard normal, Phi(x) =
    /// (1 + erf(x / sqrt 2)) / 2.
    fn gelu<const FUSED: bool>(self) -> Self;
    /// GELU's derivative, Phi(x) + x phi(x), with the density phi(x) = e^(-x^2/2) / sqrt(2 pi).
    fn gelu_slope<const FUSED: bool>(self) -> Self;
}

/// A storage type with the functions of these loops.
pub(crate) trait LoopStored: Stored<Compute: LoopFloat> {
    /// [`LoopFloat::gelu`] for a result that is rounded to this type: in 16 bits off by 1e-5 at
    /// most, which is less than the rounding of any value above 0.0025.
    #[inline(always)]
    fn gelu_to_round<const FUSED: bool>(x: Self::Compute) -> Self::Compute {
        x.gelu::<FUSED>()
    }
    /// [`LoopFloat::gelu_slope`] likewise.
    #[inline(always)]
    fn gelu_slope_to_round<const FUSED: bool>(x: Self::Compute) -> Self::Compute {
        x.gelu_slope::<FUSED>()
    }
}

impl LoopFloat for f32 {
    const FAR: f32 = trig::FAR;
    #[inline(always)]
    fn sin_near(self) -> f32 {
        trig::sin_f32(self)
    }
    #[inline(always)]
    fn cos_near(self) -> f32 {
        trig::cos_f32(self)
    }
    #[inline(always)]
    fn erf(self) -> f32 {
        math::erf_f32(self)
    }
    #[inline(always)]
    fn only_if(self, kept: bool) -> f32 {
        f32::from_bits(self.to_bits() & if kept { !0 } else { 0 })
    }
    #[inline(always)]
    fn exp_weight<const FUSED: bool>(self) -> f32 {
        math::exp_weight_f32::<FUSED>(self)
    }
    #[inline(always)]
    fn gelu<const FUSED: bool>(self) -> f32 {
        math::gelu_f32::<FUSED>(self)
    }
    #[inline(always)]
    fn gelu_slope<const FUSED: bool>(self) -> f32 {
        math::gelu_slope_f32::<FUSED>(self)
    }
}

impl LoopFloat for f64 {
    const FAR: f64 = f64::INFINITY;
    #[inline(always)]
    fn sin_near(self) -> f64 {
        self.sin()
    }
    #[inline(always)]
    fn cos_near(self) -> f64 {
        self.cos()
    }
    #[inline(always)]
    fn erf(self) -> f64 {
        math::erf_f64(self)
    }
    #[inline(always)]
    fn only_if(self, kept: bool) -> f64 {
        f64::from_bits(self.to_bits() & if kept { !0 } else { 0 })
    }
    #[inline(always)]
    fn exp_weight<const FUSED: bool>(self) -> f64 {
        self.exp()
    }
    #[inline(always)]
    fn gelu<const FUSED: bool>(self) -> f64 {
        math::gelu_f64(self)
    }
    #[inline(always)]
    fn gelu_slope<const FUSED: bool>(self) -> f64 {
        math::gelu_slope_f64(self)
    }
}

impl LoopStored for f32 {}
impl LoopStored for f64 {}
impl LoopStored for bf16 {
    #[inline(always)]
    fn gelu_to_round<const FUSED: bool>(x: f32) -> f32 {
        math::gelu_for_bf16::<FUSED>(x)
    }
    #[inline(always)]
    fn gelu_slope_to_round<const FUSED: bool>(x: f32) -> f32 {
        math::gelu_slope_for_bf16::<FUSED>(x)
    }
}
