//! The transcendental functions.
//!
//! f64 uses the standard library's, and an `erf` written here, which it lacks. In f32 each function
//! is a few multiplications and additions without branches or tables, so that loops over slices are
//! vectorized. Multiplications and additions are rounded separately, which gives the same bits on
//! every CPU. GELU is the exception: it takes as long as all other functions together, and half as
//! long with FMAs.
//!
//! The recipe is always the same: reduce the argument to a short interval by an identity, such as
//! `exp(x) = 2^n exp(x - n ln 2)`, evaluate a polynomial there, and undo the reduction. The
//! polynomials are minimax, found by the Remez exchange algorithm in 40-digit arithmetic with the
//! error relative to the result, then rounded to the type. The interval and the error before
//! rounding stand at each. Exact terms (1 + x in exp, x in tanh) are kept apart and added last:
//! that, more than the polynomial, keeps the error at about one unit in the last place.

#![allow(
    clippy::excessive_precision,
    reason = "coefficients stand as the fit gave them; the compiler rounds them"
)]

/// c0 + c1 x + c2 x^2 + ..., the highest coefficient first, by Horner's rule: in f32, if `fused`,
/// with an FMA for each coefficient.
macro_rules! polynomial {
    ($x:expr; $first:expr $(, $c:expr)*) => {{
        let x = $x;
        let y = $first;
        $(let y = y * x + $c;)*
        y
    }};
    ($x:expr, fused: $fused:expr; $first:expr $(, $c:expr)*) => {
        if $fused {
            let y: f32 = $first;
            $(let y = y.mul_add($x, $c);)*
            y
        } else {
            polynomial!($x; $first $(, $c)*)
        }
    };
}

pub(super) use polynomial;

/// 1.5 2^23: adding it to an f32 below 2^22 shifts the fraction out, which rounds to the nearest
/// integer.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts. The first has few enough bits that its product with any exponent is exact.
const LN2_HIGH: f32 = 355.0 / 512.0;
const LN2_LOW: f32 = (std::f64::consts::LN_2 - 355.0 / 512.0) as f32;

/// 2^n for n in -126..=127, from the bits of `ROUND + n`.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) << 23) as u32)
}

/// e^x: 2^n e^r with r in [-ln(2)/2, ln(2)/2]. Error of the polynomial 3.1e-9.
#[inline(always)]
pub(crate) fn exp_f32(x: f32) -> f32 {
    // Beyond these the result is 0 or infinite; not-a-number fails both comparisons and passes
    // through.
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -104.0 { -104.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let p = polynomial!(r; 0.001_381_458_04, 0.008_368_725_379, 0.041_668_388_89, 0.166_665_205_6, 0.499_999_934_4);
    let y = (r * r * p + r) + 1.0;
    // In two steps: 2^n itself may be infinite (n = 128) or subnormal (n < -126).
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = n >> 1;
    y * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// e^x for an x of at most 0, a weight beside one of 1: as [`exp_f32`], but 0 where that is subnormal.
/// So 2^n takes one step, and with FMAs it takes half as long.
#[inline(always)]
pub(crate) fn exp_weight_f32<const FUSED: bool>(x: f32) -> f32 {
    /// ln of the smallest normal number, rounded up.
    const END: f32 = -87.33654;
    let multiply_add = |a: f32, b: f32, c: f32| if FUSED { a.mul_add(b, c) } else { a * b + c };
    let shifted = multiply_add(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = multiply_add(n, -LN2_LOW, multiply_add(n, -LN2_HIGH, x));
    let p = polynomial!(r, fused: FUSED; 0.001_381_458_04, 0.008_368_725_379, 0.041_668_388_89, 0.166_665_205_6, 0.499_999_934_4);
    let y = multiply_add(r * r, p, r) + 1.0;
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let y = y * power_of_two(n);
    if x < END { 0.0 } else { y }
}

/// ln x: k ln 2 + ln(1 + f) with 1 + f in [sqrt(1/2), sqrt(2)]. Error of the polynomial 7.5e-10.
#[inline(always)]
pub(crate) fn ln_f32(x: f32) -> f32 {
    let small = x < f32::MIN_POSITIVE;
    let scaled = if small { x * 8_388_608.0 } else { x };
    // Counting bits from sqrt(1/2), the exponent field is k and the rest is where 1 + f lies.
    let base = std::f32::consts::FRAC_1_SQRT_2.to_bits() as i32;
    let k = (scaled.to_bits() as i32).wrapping_sub(base) >> 23;
    let f = f32::from_bits((scaled.to_bits() as i32).wrapping_sub(k << 23) as u32) - 1.0;
    let k = k as f32 - if small { 23.0 } else { 0.0 };
    let p = polynomial!(f; 0.067_466_414_06, -0.116_756_515_6, 0.118_881_614_5, -0.124_055_887_7, 0.142_195_524_7,
        -0.166_679_958_8, 0.200_021_186_5, -0.250_000_096, 0.333_333_126);
    let y = (f - (f * f * 0.5 - (f * f * f * p + k * LN2_LOW))) + k * LN2_HIGH;
    let y = if x == f32::INFINITY { x } else { y };
    let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
    if x >= 0.0 { y } else { f32::NAN }
}

/// tanh x: x + x^3 p(x^2) up to 0.625 (error of the polynomial 4.4e-9), 1 - 2 / (e^2x + 1) beyond.
#[inline(always)]
pub(crate) fn tanh_f32(x: f32) -> f32 {
    let size = x.abs();
    let u = x * x;
    let p = polynomial!(u; -0.005_704_988_063, 0.020_639_088_18, -0.053_739_715_37, 0.133_314_422, -0.333_332_819_4);
    let near = size * u * p + size;
    let far = 1.0 - 2.0 / (exp_f32(size + size) + 1.0);
    (if size <= 0.625 { near } else { far }).copysign(x)
}

/// min(|x|, end). Not-a-number fails the comparison and passes through.
#[inline(always)]
fn size_up_to(end: f32, x: f32) -> f32 {
    let t = x.abs();
    if t > end { end } else { t }
}

/// max(x, 0) - t tail.
#[inline(always)]
fn gelu_of_tail<const FUSED: bool>(x: f32, t: f32, tail: f32) -> f32 {
    polynomial!(tail, fused: FUSED; -t, if x > 0.0 { x } else { 0.0 })
}

/// GELU, x Phi(x) with the standard normal distribution's cumulative function Phi. By symmetry
/// Phi(-t) for t >= 0 is enough: x Phi(x) is max(x, 0) - t Phi(-t) with t = |x|. Past 5.875 Phi(-t)
/// is below 2.2e-9 and taken as 0. Before, it is (5.875 - t)^2 p(t) / q(t): the square makes the
/// end smooth and the 0 exact, so that GELU of -1e30 is 0. Fitted on 0..=5.875 with weight 1 + t,
/// since t multiplies it: error 1.9e-8 of 1 / (1 + t). The last coefficient of p is moved within
/// that to make Phi(0) 1/2.
#[inline(always)]
pub(crate) fn gelu_f32<const FUSED: bool>(x: f32) -> f32 {
    const END: f32 = 5.875;
    const HALF_AT_0: f32 = 0.5 / (END * END);
    let t = size_up_to(END, x);
    let p = polynomial!(t, fused: FUSED; -3.063_771_486e-6, 8.173_994_826e-5, -8.787_198_466e-4, 0.004_765_621_904, -0.013_058_773_76,
        HALF_AT_0);
    let q = polynomial!(t, fused: FUSED; 8.187_719_473e-5, 4.005_147_025e-4, -0.003_213_766_101, 0.027_974_237_01, -0.083_960_121_79,
        0.310_559_691_8, -0.444_003_071_5, 1.0);
    let tail = (END - t) * (END - t) * p / q;
    gelu_of_tail::<FUSED>(x, t, tail)
}

/// The derivative of GELU, Phi(x) + x phi(x), with the normal density phi. It is 1 minus itself at
/// -x, and built as Phi is above: taken as 0 before -6.25, where it is below 8e-9. Error 3.4e-8.
#[inline(always)]
pub(crate) fn gelu_slope_f32<const FUSED: bool>(x: f32) -> f32 {
    const END: f32 = 6.25;
    const HALF_AT_0: f32 = 0.5 / (END * END);
    let t = size_up_to(END, x);
    let p = polynomial!(t, fused: FUSED; -1.798_394_73e-5, 4.058_717_602e-4, -0.003_539_125_898, 0.014_499_061, -0.026_092_699_69,
        HALF_AT_0);
    let q = polynomial!(t, fused: FUSED; 1.272_100_484e-4, -0.001_268_185_848, 0.008_304_842_686, -0.034_138_548_81, 0.115_948_484_2,
        -0.276_457_275_9, 0.593_619_287_2, -0.762_729_442_2, 1.0);
    let tail = (END - t) * (END - t) * p / q;
    if x < 0.0 { tail } else { 1.0 - tail }
}

/// [`gelu_f32`] for a result that is rounded to bf16, with half as many coefficients: error 8.1e-6
/// of 1 / (1 + t), 0 before -4.875.
#[inline(always)]
pub(crate) fn gelu_for_bf16<const FUSED: bool>(x: f32) -> f32 {
    const END: f32 = 4.875;
    const HALF_AT_0: f32 = 0.5 / (END * END);
    let t = size_up_to(END, x);
    let p = polynomial!(t, fused: FUSED; -2.517_371_646e-4, 0.003_240_441_208, -0.014_135_391_28, HALF_AT_0);
    let q = polynomial!(t, fused: FUSED; 0.017_309_477_03, -0.042_869_328_44, 0.246_261_945_9, -0.284_504_591_2, 1.0);
    let tail = (END - t) * (END - t) * p / q;
    gelu_of_tail::<FUSED>(x, t, tail)
}

/// [`gelu_slope_f32`] likewise. Error 4.5e-6.
#[inline(always)]
pub(crate) fn gelu_slope_for_bf16<const FUSED: bool>(x: f32) -> f32 {
    const END: f32 = 5.25;
    const HALF_AT_0: f32 = 0.5 / (END * END);
    let t = size_up_to(END, x);
    let p = polynomial!(t, fused: FUSED; -0.001_089_465_568, 0.010_912_868_07, -0.031_718_126_17, HALF_AT_0);
    let q = polynomial!(t, fused: FUSED; 0.004_130_479_094, -0.020_183_357_5, 0.080_558_562_87, -0.172_211_402_4, 0.455_491_204_3,
        -0.533_944_665_2, 1.0);
    let tail = (END - t) * (END - t) * p / q;
    if x < 0.0 { tail } else { 1.0 - tail }
}

/// x Phi(x) in f64.
pub(crate) fn gelu_f64(x: f64) -> f64 {
    let cdf = normal_cdf_f64(x);
    // 0 at -infinity, not 0 times infinity.
    if cdf == 0.0 { 0.0 } else { x * cdf }
}

fn normal_cdf_f64(x: f64) -> f64 {
    0.5 + 0.5 * erf_f64(x * std::f64::consts::FRAC_1_SQRT_2)
}

/// Phi(x) + x phi(x) in f64, with phi(x) = e^(-x^2/2) / sqrt(2 pi).
pub(crate) fn gelu_slope_f64(x: f64) -> f64 {
    const HEIGHT: f64 = std::f64::consts::FRAC_1_SQRT_2 * 0.5 * std::f64::consts::FRAC_2_SQRT_PI;
    let density = (-0.5 * x * x).exp() * HEIGHT;
    // At infinity the limits, not 0 times infinity.
    normal_cdf_f64(x) + if density == 0.0 { 0.0 } else { x * density }
}

/// erf x in f64: its Taylor series up to 1, 1 - e^(-x^2) p(t) with t = (x - 3) / (x + 3) up to 6,
/// beyond which it is 1.
///
/// The change of variable flattens e^(x^2) erfc x, which falls off like 1 / x. Error of p 1.5e-18
/// of the result. Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.5, for the
/// series.
pub(crate) fn erf_f64(x: f64) -> f64 {
    let size = x.abs();
    if size <= 1.0 {
        // 2/sqrt(pi) sum of (-1)^n x^(2n+1) / (n! (2n+1)): the term n = 18 is below 1e-17.
        let (u, mut power, mut sum) = (x * x, x, 0.0);
        for n in 1..=18 {
            power *= -u / f64::from(n);
            sum += power / f64::from(2 * n + 1);
        }
        return std::f64::consts::FRAC_2_SQRT_PI * (x + sum);
    }
    if size > 6.0 {
        return 1f64.copysign(x);
    }
    let t = (size - 3.0) / (size + 3.0);
    let p = polynomial!(t; 1.261_695_807_046_181e-6, 2.001_738_885_036_938_7e-6, -8.008_815_836_631_509e-6,
        -1.284_158_689_443_099e-5, 6.406_349_084_713_192e-5, 4.525_379_905_441_005e-5, -5.970_626_320_980_321e-4,
        7.077_465_003_839_453_5e-4, 4.269_136_366_525_811e-3, -2.439_249_931_993_091_2e-2, 7.166_583_719_718_649e-2,
        -1.501_159_365_007_652_5e-1, 2.456_038_017_123_379_4e-1, -3.262_335_600_430_372_7e-1, 1.790_011_511_813_899_4e-1);
    if size.is_nan() {
        x
    } else {
        (1.0 - (-x * x).exp() * p).copysign(x)
    }
}

/// erf x: x + x p(x^2) up to 0.9375 (error of the polynomial 5.1e-10), 1 - e^q(|x|) up to 4 (error
/// 1.5e-9 of erf), beyond which it is 1 but for 1.6e-8.
#[inline(always)]
pub(crate) fn erf_f32(x: f32) -> f32 {
    let t = size_up_to(4.0, x);
    let u = t * t;
    let p = polynomial!(u; 8.267_462_961e-5, -8.118_075_78e-4, 0.005_198_829_889, -0.026_858_497_1, 0.112_836_789_7,
        -0.376_126_326_4, 0.128_379_166_5);
    let near = t * p + t;
    let q = polynomial!(t; 1.939_003_901e-4, -0.003_023_160_538, 0.022_146_634_67, -0.103_764_288_9, -0.637_373_809_5,
        -1.127_561_275, -2.235_043_947e-4);
    let far = 1.0 - exp_f32(q);
    (if t <= 0.9375 { near } else { far }).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worst error over every 1009th f32 between -limit and limit, in units in the last place
    /// of the true value.
    fn worst(f: fn(f32) -> f32, truth: fn(f64) -> f64, low: f32, high: f32) -> (f64, f32) {
        let mut worst = (0.0, 0.0);
        for bits in (0..=u32::MAX).step_by(1009) {
            let x = f32::from_bits(bits);
            if x >= low && x <= high {
                let want = truth(f64::from(x));
                // Subnormal values have the unit in the last place of the smallest normal one.
                let exponent =
                    (want.abs().max(f64::from(f32::MIN_POSITIVE)).to_bits() >> 52) as i32 - 1023;
                let error = (f64::from(f(x)) - want).abs() / 2f64.powi(exponent - 23);
                if error > worst.0 || error.is_nan() {
                    worst = (error, x);
                }
            }
        }
        worst
    }

    #[test]
    fn single_precision_is_off_by_two_units_at_most() {
        let cases: [(&str, fn(f32) -> f32, fn(f64) -> f64, f32, f32); 4] = [
            ("exp", exp_f32, f64::exp, -103.9, 88.722_8),
            ("ln", ln_f32, f64::ln, f32::from_bits(1), f32::MAX),
            ("tanh", tanh_f32, f64::tanh, f32::MIN, f32::MAX),
            ("erf", erf_f32, erf_f64, f32::MIN, f32::MAX),
        ];
        for (name, f, truth, low, high) in cases {
            let (error, at) = worst(f, truth, low, high);
            println!("{name}: {error:.3} ulp at {at:e}");
            assert!(
                error <= 2.0,
                "{name}: {error} units in the last place at {at:e}"
            );
        }
    }

    #[test]
    fn weights_are_off_by_two_units_at_most_and_end_in_0() {
        for f in [exp_weight_f32::<true>, exp_weight_f32::<false>] {
            let (error, at) = worst(f, f64::exp, -87.336, 0.0);
            assert!(error <= 2.0, "{error} units in the last place at {at:e}");
            let inf = f32::INFINITY;
            assert_eq!(
                [-inf, -1e30, -104.0, -87.337, -0.0, 0.0].map(f),
                [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]
            );
            assert!(f(f32::NAN).is_nan() && f(-87.336) >= f32::MIN_POSITIVE);
        }
    }

    #[test]
    fn ends_of_the_range() {
        let inf = f32::INFINITY;
        assert_eq!(
            [-inf, -1e30, -104.5, 0.0, 88.73, 1e30, inf].map(exp_f32),
            [0.0, 0.0, 0.0, 1.0, inf, inf, inf]
        );
        assert_eq!([0.0, -0.0, 1.0, inf].map(ln_f32), [-inf, -inf, 0.0, inf]);
        assert_eq!(
            [-inf, -30.0, 30.0, inf].map(tanh_f32),
            [-1.0, -1.0, 1.0, 1.0]
        );
        assert_eq!([-inf, -4.0, 4.0, inf].map(erf_f32), [-1.0, -1.0, 1.0, 1.0]);
        for f in [gelu_f32::<true>, gelu_f32::<false>] {
            assert_eq!(
                [-inf, -1e30, -6.25, -0.0, 0.0, 6.25, 1e30, inf].map(f),
                [0.0, 0.0, 0.0, 0.0, 0.0, 6.25, 1e30, inf]
            );
        }
        for f in [gelu_slope_f32::<true>, gelu_slope_f32::<false>] {
            assert_eq!(
                [-inf, -1e30, -6.25, -0.0, 0.0, 6.25, 1e30, inf].map(f),
                [0.0, 0.0, 0.0, 0.5, 0.5, 1.0, 1.0, 1.0]
            );
        }
        for f in [
            exp_f32,
            ln_f32,
            tanh_f32,
            erf_f32,
            gelu_f32::<true>,
            gelu_slope_f32::<true>,
        ] {
            assert!(f(f32::NAN).is_nan());
        }
        assert!(ln_f32(-1e-30).is_nan() && ln_f32(-inf).is_nan() && erf_f64(f64::NAN).is_nan());
        for f in [tanh_f32, erf_f32] {
            assert!(f(-0.0).is_sign_negative() && f(0.0).is_sign_positive());
        }
    }

    /// The slope is built from 1 and a half, and GELU is of their magnitude, so errors are counted
    /// in units of 1's last place.
    fn gelu_and_its_slope_are_off_by_two_units_of_one_at_most<const FUSED: bool>() {
        let unit = f64::from(f32::EPSILON);
        for bits in (0..=u32::MAX).step_by(1009) {
            let x = f32::from_bits(bits);
            if x.is_finite() {
                let wide = f64::from(x);
                let (gelu, slope) = (gelu_f32::<FUSED>(x), gelu_slope_f32::<FUSED>(x));
                assert!(
                    (f64::from(slope) - gelu_slope_f64(wide)).abs() <= 2.0 * unit,
                    "slope at {x}: {slope}"
                );
                // On the negative side the product falls to 0: there the error must not grow with
                // x.
                let want = gelu_f64(wide);
                assert!(
                    (f64::from(gelu) - want).abs() <= 2.0 * unit * want.abs().max(0.5),
                    "gelu({x}) = {gelu}"
                );
            }
        }
    }

    #[test]
    fn gelu_and_its_slope() {
        gelu_and_its_slope_are_off_by_two_units_of_one_at_most::<true>();
        gelu_and_its_slope_are_off_by_two_units_of_one_at_most::<false>();
        short_gelu_and_its_slope_are_off_by_a_hundred_thousandth::<true>();
        short_gelu_and_its_slope_are_off_by_a_hundred_thousandth::<false>();
    }

    /// Of every finite bf16.
    fn short_gelu_and_its_slope_are_off_by_a_hundred_thousandth<const FUSED: bool>() {
        for x in (0..=u16::MAX)
            .map(half::bf16::from_bits)
            .filter(|x| x.is_finite())
        {
            let (x, wide) = (x.to_f32(), x.to_f64());
            let (gelu, slope) = (gelu_for_bf16::<FUSED>(x), gelu_slope_for_bf16::<FUSED>(x));
            assert!(
                (f64::from(slope) - gelu_slope_f64(wide)).abs() <= 1e-5,
                "slope at {x}: {slope}"
            );
            let want = gelu_f64(wide);
            let own = f64::from(f32::EPSILON) * want.abs();
            assert!(
                (f64::from(gelu) - want).abs() <= 1e-5 + own,
                "gelu({x}) = {gelu}"
            );
        }
        let inf = f32::INFINITY;
        assert_eq!(
            [-inf, -1e30, -0.0, 0.0, 1e30, inf].map(gelu_for_bf16::<FUSED>),
            [0.0, 0.0, 0.0, 0.0, 1e30, inf]
        );
        assert_eq!(
            [-inf, 0.0, inf].map(gelu_slope_for_bf16::<FUSED>),
            [0.0, 0.5, 1.0]
        );
        assert!(
            gelu_for_bf16::<FUSED>(f32::NAN).is_nan()
                && gelu_slope_for_bf16::<FUSED>(f32::NAN).is_nan()
        );
    }

    #[test]
    fn erf_in_double_precision() {
        // From 30-digit arithmetic.
        let known = [
            (1e-300, 1.128_379_167_095_512_6e-300),
            (1e-8, 1.128_379_167_095_512_5e-8),
            (0.1, 0.112_462_916_018_284_9),
            (0.5, 0.520_499_877_813_046_5),
            (0.9999, 0.842_659_278_048_759_5),
            (1.0, 0.842_700_792_949_714_9),
            (1.5, 0.966_105_146_475_310_7),
            (2.0, 0.995_322_265_018_952_7),
            (3.0, 0.999_977_909_503_001_4),
            (4.5, 0.999_999_999_803_384),
            (5.9, 0.999_999_999_999_999_9),
            (6.5, 1.0),
        ];
        for (x, want) in known {
            assert!(
                (erf_f64(x) / want - 1.0).abs() < 3e-16,
                "erf {x}: {:e}, not {want:e}",
                erf_f64(x)
            );
            assert_eq!(erf_f64(-x), -erf_f64(x));
        }
    }
}
