//! Sine and cosine in f32, by the recipe of [`math`](super::math).
//!
//! The argument is reduced in f64, whose conversions are vectorized too: near a multiple of pi the
//! result is the small rest of a subtraction, of which an f32 would have few digits. Source: Cody
//! and Waite, "Software manual for the elementary functions" (1980), chapter 8.

#![allow(
    clippy::excessive_precision,
    reason = "coefficients stand as the fit gave them; the compiler rounds them"
)]

use std::f64::consts::{FRAC_2_PI, FRAC_PI_2};

use super::math::polynomial;

/// How far from 0 the functions here are right. Further away the multiple of pi / 2 would have more
/// bits than its product with [`HIGH`] has room for.
pub(crate) const FAR: f32 = 1_048_576.0;

/// pi / 2 in two parts. The first has 33 bits, so that its product with an integer of up to 20 bits
/// is exact.
const HIGH: f64 = f64::from_bits(FRAC_PI_2.to_bits() >> 20 << 20);
const LOW: f64 = 6.077_100_506_506_192e-11;

/// 1.5 2^52: adding it to an f64 below 2^51 shifts the fraction out, which rounds to the nearest
/// integer.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// The sine of x, for x up to [`FAR`] from 0. Not a number for infinities.
#[inline(always)]
pub(crate) fn sin_f32(x: f32) -> f32 {
    let (r, quarters) = reduced(x);
    of_quarter(r, quarters)
}

/// The cosine of x, likewise: the sine a quarter turn further on.
#[inline(always)]
pub(crate) fn cos_f32(x: f32) -> f32 {
    let (r, quarters) = reduced(x);
    of_quarter(r, quarters.wrapping_add(1))
}

/// x = k pi / 2 + r with r in [-pi/4, pi/4]: r, and the last bits of k.
#[inline(always)]
fn reduced(x: f32) -> (f32, u32) {
    let x = f64::from(x);
    let shifted = x * FRAC_2_PI + ROUND;
    let k = shifted - ROUND;
    let r = (x - k * HIGH) - k * LOW;
    (r as f32, shifted.to_bits() as u32)
}

/// sin(r + k pi / 2): sin r, cos r, -sin r or -cos r. sin r is r + r^3 p(r^2), error of the polynomial
/// 3.8e-9; cos r is 1 - r^2 / 2 + r^4 q(r^2), error 1.2e-10.
#[inline(always)]
fn of_quarter(r: f32, k: u32) -> f32 {
    let u = r * r;
    let p = polynomial!(u; -1.951_528_328e-4, 0.008_332_160_763, -0.166_666_546_1);
    let q = polynomial!(u; 2.443_315_708e-5, -0.001_388_731_625, 0.041_666_645_68);
    // The sign of r, also where that is -0.
    let sin = (r * u * p + r).copysign(r);
    let cos = (u * u * q - 0.5 * u) + 1.0;
    let y = if k & 1 == 0 { sin } else { cos };
    // Bit 1 of k, as the sign.
    f32::from_bits(y.to_bits() ^ (k & 2) << 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error in units in the last place of the true value.
    fn error(got: f32, want: f64) -> f64 {
        let exponent = (want.abs().max(f64::from(f32::MIN_POSITIVE)).to_bits() >> 52) as i32 - 1023;
        (f64::from(got) - want).abs() / 2f64.powi(exponent - 23)
    }

    fn check(x: f32) {
        let wide = f64::from(x);
        for (name, got, want) in [
            ("sin", sin_f32(x), wide.sin()),
            ("cos", cos_f32(x), wide.cos()),
        ] {
            let error = error(got, want);
            assert!(
                error <= 2.0,
                "{name} {x:e}: {error} units in the last place"
            );
        }
    }

    #[test]
    fn off_by_two_units_at_most() {
        let all = (0..=u32::MAX).step_by(1009).map(f32::from_bits);
        all.filter(|x| x.abs() <= FAR).for_each(check);
        [FAR, -FAR].into_iter().for_each(check);
    }

    /// Where the result is the rest of a subtraction: the floats around each zero and each extreme.
    #[test]
    fn off_by_two_units_near_multiples_of_half_pi() {
        let mut k = 0;
        loop {
            let x = (f64::from(k) * FRAC_PI_2) as f32;
            if x.next_up() > FAR {
                return;
            }
            for x in [x.next_down(), x, x.next_up()] {
                check(x);
                check(-x);
            }
            k += 1;
        }
    }

    #[test]
    fn zeros_infinities_and_not_a_number() {
        assert_eq!(sin_f32(-0.0).to_bits(), (-0f32).to_bits());
        assert_eq!(sin_f32(0.0).to_bits(), 0);
        assert_eq!((cos_f32(0.0), cos_f32(-0.0)), (1.0, 1.0));
        for x in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            assert!(sin_f32(x).is_nan() && cos_f32(x).is_nan());
        }
    }
}
