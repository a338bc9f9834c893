//! `Float`: the two types that are computed with.

use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::Element;
use crate::cpu::math;

/// f32 or f64, with the arithmetic that ops are written in.
pub trait Float:
    Element + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self> + std::iter::Sum
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// The distance from 1 to the next number: the unit of rounding errors.
    const EPSILON: Self;

    /// Whether it is not a number.
    #[inline(always)]
    fn is_nan(self) -> bool {
        self.partial_cmp(&self).is_none()
    }

    /// The larger of two; either where one is not a number.
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
    /// The error function, 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to this.
    fn erf(self) -> Self;
    /// This to the power `p`. Slow: one library call each.
    fn powf(self, p: Self) -> Self;

    /// 1 / (1 + e^-x), by the exponential that cannot overflow.
    #[inline(always)]
    fn sigmoid(self) -> Self {
        let e = (-self.abs()).exp();
        (if self > Self::ZERO { Self::ONE } else { e }) / (Self::ONE + e)
    }

    /// The standard normal distribution's cumulative function, (1 + erf(x / sqrt 2)) / 2.
    #[inline(always)]
    fn normal_cdf(self) -> Self {
        let half = Self::from_f64(0.5);
        half + half * (self * Self::from_f64(std::f64::consts::FRAC_1_SQRT_2)).erf()
    }

    /// Its density, e^(-x^2/2) / sqrt(2 pi).
    #[inline(always)]
    fn normal_density(self) -> Self {
        let height = std::f64::consts::FRAC_1_SQRT_2 * 0.5 * std::f64::consts::FRAC_2_SQRT_PI;
        (Self::from_f64(-0.5) * self * self).exp() * Self::from_f64(height)
    }
}

macro_rules! float {
    ($($t:ident: $exp:path, $ln:path, $tanh:path, $erf:path;)*) => {$(
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
            fn erf(self) -> $t { $erf(self) }
            #[inline(always)]
            fn powf(self, p: $t) -> $t { self.powf(p) }
        }
    )*};
}
float! {
    f32: math::exp_f32, math::ln_f32, math::tanh_f32, math::erf_f32;
    f64: f64::exp, f64::ln, f64::tanh, math::erf_f64;
}
