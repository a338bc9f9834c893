use proptest::prelude::*;
use wavemix::gradcheck::{adjoint_check, gradcheck};
use wavemix::{DType, Result, Rng, Tensor, Var};

use crate::helpers::{assert_error, on_threads};

type Function = fn(&Var) -> Result<Var>;

/// Each function with its definition, and where to draw its operand: away from kinks and poles.
const FUNCTIONS: &[(&str, Function, fn(f64) -> f64, f64, f64)] = &[
    ("neg", |x| x.neg(), |x| -x, -3.0, 3.0),
    ("abs", |x| x.abs(), |x| x.max(-x), 0.1, 3.0),
    ("abs", |x| x.abs(), |x| x.max(-x), -3.0, -0.1),
    ("exp", |x| x.exp(), f64::exp, -3.0, 3.0),
    ("log", |x| x.log(), f64::ln, 0.3, 5.0),
    ("sqrt", |x| x.sqrt(), f64::sqrt, 0.2, 5.0),
    ("square", |x| x.square(), |x| x * x, -3.0, 3.0),
    ("recip", |x| x.recip(), |x| 1.0 / x, 0.3, 3.0),
    ("recip", |x| x.recip(), |x| 1.0 / x, -3.0, -0.3),
    ("powf", |x| x.powf(1.7), |x| (1.7 * x.ln()).exp(), 0.2, 3.0),
    ("powf", |x| x.powf(-2.0), |x| 1.0 / (x * x), -3.0, -0.3),
    ("powf", |x| x.powf(0.0), |_| 1.0, -3.0, 3.0),
    (
        "tanh",
        |x| x.tanh(),
        |x| 1.0 - 2.0 / ((2.0 * x).exp() + 1.0),
        -3.0,
        3.0,
    ),
    (
        "sigmoid",
        |x| x.sigmoid(),
        |x| 1.0 / (1.0 + (-x).exp()),
        -5.0,
        5.0,
    ),
    ("relu", |x| x.relu(), |x| x.max(0.0), 0.1, 3.0),
    ("relu", |x| x.relu(), |x| x.max(0.0), -3.0, -0.1),
    ("silu", |x| x.silu(), |x| x / (1.0 + (-x).exp()), -5.0, 5.0),
    ("gelu", |x| x.gelu(), |x| x * normal_cdf(x), -4.0, 4.0),
    (
        "clamp",
        |x| x.clamp(-0.5, 1.5),
        |x| x.clamp(-0.5, 1.5),
        -0.4,
        1.4,
    ),
    (
        "clamp",
        |x| x.clamp(-0.5, 1.5),
        |x| x.clamp(-0.5, 1.5),
        1.6,
        3.0,
    ),
    (
        "add_scalar",
        |x| x.add_scalar(0.75),
        |x| x + 0.75,
        -3.0,
        3.0,
    ),
    (
        "mul_scalar",
        |x| x.mul_scalar(-2.5),
        |x| x * -2.5,
        -3.0,
        3.0,
    ),
    (
        "div_scalar",
        |x| x.div_scalar(-2.5),
        |x| x / -2.5,
        -3.0,
        3.0,
    ),
    ("leaky_relu", |x| x.leaky_relu(0.1), |x| x, 0.1, 3.0),
    ("leaky_relu", |x| x.leaky_relu(0.1), |x| 0.1 * x, -3.0, -0.1),
    ("elu", |x| x.elu(1.5), |x| x, 0.1, 3.0),
    ("elu", |x| x.elu(1.5), |x| 1.5 * x.exp_m1(), -3.0, -0.1),
    ("relu6", |x| x.relu6(), |_| 0.0, -3.0, -0.1),
    ("relu6", |x| x.relu6(), |x| x, 0.1, 5.9),
    ("relu6", |x| x.relu6(), |_| 6.0, 6.1, 9.0),
    ("hardswish", |x| x.hardswish(), |_| 0.0, -6.0, -3.1),
    (
        "hardswish",
        |x| x.hardswish(),
        |x| x * (x + 3.0) / 6.0,
        -2.9,
        2.9,
    ),
    ("hardswish", |x| x.hardswish(), |x| x, 3.1, 6.0),
    ("softplus", |x| x.softplus(), |x| x.exp().ln_1p(), -9.0, 9.0),
    ("log1p", |x| x.log1p(), f64::ln_1p, -0.9, 3.0),
    ("sin", |x| x.sin(), f64::sin, -9.0, 9.0),
    ("cos", |x| x.cos(), f64::cos, -9.0, 9.0),
    (
        "erf",
        |x| x.erf(),
        |x| 2.0 * normal_cdf(x * std::f64::consts::SQRT_2) - 1.0,
        -3.0,
        3.0,
    ),
];

/// Phi by its integral, with Simpson's rule on 4000 steps: right to 1e-14 on [-5, 5].
fn normal_cdf(x: f64) -> f64 {
    let (steps, density) = (4000, |t: f64| {
        (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
    });
    let h = x / f64::from(steps);
    let inner: f64 = (1..steps)
        .map(|i| density(f64::from(i) * h) * f64::from(2 + 2 * (i % 2)))
        .sum();
    0.5 + (density(0.0) + inner + density(x)) * h / 3.0
}

fn draw(low: f64, high: f64, dims: &[usize], dtype: DType, seed: u64) -> Tensor {
    Tensor::uniform(
        wavemix::Shape::new(dims).unwrap(),
        low,
        high,
        dtype,
        &Rng::new(seed),
    )
}

#[test]
fn values_follow_the_definitions() {
    for &(name, f, definition, low, high) in FUNCTIONS {
        for dtype in [DType::F64, DType::F32] {
            let x = draw(low, high, &[257], dtype, 3);
            let y = f(&x.clone().into()).unwrap().into_value();
            // f32: two units in the last place of the function, and cancellation in Phi's sum.
            let tolerance = if dtype == DType::F64 { 2e-14 } else { 4e-7 };
            for (x, y) in x
                .cast(DType::F64)
                .unwrap()
                .to_vec::<f64>()
                .unwrap()
                .into_iter()
                .zip(y.cast(DType::F64).unwrap().to_vec::<f64>().unwrap())
            {
                let want = definition(x);
                assert!(
                    (y - want).abs() <= tolerance * want.abs().max(1.0),
                    "{name}({x}) in {dtype}: {y}, not {want}"
                );
            }
        }
    }
}

#[test]
fn special_values() {
    let x = Var::from(
        Tensor::from_vec(vec![f32::NAN, f32::NEG_INFINITY, -0.0, f32::INFINITY], [4]).unwrap(),
    );
    let bits = |y: Result<Var>| y.unwrap().value().to_vec::<f32>().unwrap();
    let relu = bits(x.relu());
    assert!(relu[0].is_nan() && relu[1..] == [0.0, 0.0, f32::INFINITY]);
    let clamp = bits(x.clamp(-1.0, 2.0));
    assert!(clamp[0].is_nan() && clamp[1..] == [-1.0, 0.0, 2.0]);
    let sigmoid = bits(x.sigmoid());
    assert!(sigmoid[0].is_nan() && sigmoid[1..] == [0.0, 0.5, 1.0]);
    assert_eq!(
        bits(Var::from(Tensor::zeros([0, 3], DType::F32)).gelu()),
        [0f32; 0]
    );
}

/// Small values keep their digits: relative to the result, not to 1.
#[test]
fn small_arguments_keep_their_digits() {
    let functions: [(&str, Function, fn(f64) -> f64, f64); 4] = [
        ("log1p", |x| x.log1p(), f64::ln_1p, 1.0),
        ("log1p", |x| x.log1p(), f64::ln_1p, -1.0),
        ("elu", |x| x.elu(1.0), f64::exp_m1, -1.0),
        ("softplus", |x| x.softplus(), |x| x.exp().ln_1p(), -30.0),
    ];
    for (name, f, definition, factor) in functions {
        let x: Vec<f64> = (1..400).map(|i| factor * 0.9f64.powi(i)).collect();
        for (dtype, unit) in [(DType::F64, f64::EPSILON), (DType::F32, 2f64.powi(-23))] {
            let rounded = Tensor::from_slice(&x, [x.len()])
                .unwrap()
                .cast(dtype)
                .unwrap();
            let y = f(&rounded.clone().into()).unwrap().into_value();
            let exact = |t: &Tensor| t.cast(DType::F64).unwrap().to_vec::<f64>().unwrap();
            for (x, y) in exact(&rounded).into_iter().zip(exact(&y)) {
                let want = definition(x);
                // Where |x| is large softplus is e^x, which loses as many units as |x| has.
                let most = 6.0 + x.abs();
                assert!(
                    (y - want).abs() <= most * unit * want.abs(),
                    "{name}({x:e}) in {dtype}: {y:e}, not {want:e}"
                );
            }
        }
    }
}

/// Sine and cosine far from 0, where the loops of f32 hand over to f64, and on both sides of that: a
/// few such elements among many others.
#[test]
fn sine_and_cosine_far_from_zero() {
    let edge = 1_048_576f32;
    let far = [edge, edge.next_up(), 1e7, 3.0e10, 1e30, f32::MAX];
    let mut x: Vec<f32> = (0..2000).map(|i| i as f32 * 0.01).collect();
    for (i, &far) in far.iter().enumerate() {
        x[300 * i + 7] = far;
        x[300 * i + 8] = -far;
    }
    let leaf = Var::leaf(Tensor::from_slice(&x, [x.len()]).unwrap());
    let functions: [(Function, fn(f64) -> f64, fn(f64) -> f64); 2] = [
        (|x| x.sin(), f64::sin, f64::cos),
        (|x| x.cos(), f64::cos, |x| -x.sin()),
    ];
    for (f, value, slope) in functions {
        let y = f(&leaf).unwrap();
        let gradients = y.sum_all().unwrap().backward().unwrap();
        let dx = gradients.of(&leaf).unwrap().to_vec::<f32>().unwrap();
        let y = y.value().to_vec::<f32>().unwrap();
        for ((&x, y), dx) in x.iter().zip(y).zip(dx) {
            for (got, want) in [(y, value(f64::from(x))), (dx, slope(f64::from(x)))] {
                let off = (f64::from(got) - want).abs();
                assert!(
                    off <= 2f64.powi(-22) * want.abs(),
                    "{x:e}: {got:e}, not {want:e}"
                );
            }
        }
    }
}

#[test]
fn errors() {
    let bytes = Var::from(Tensor::zeros([2], DType::U8));
    assert_error(bytes.exp(), "exp: x expects f32 or f64, got u8 (unary.rs:");
    assert_error(
        Var::from(Tensor::zeros([2], DType::F32)).clamp(1.0, 0.5),
        "clamp: bounds expects low <= high, got 1 and 0.5 (unary.rs:",
    );
}

#[test]
fn threads_do_not_change_the_bits() {
    let x = Var::from(draw(-3.0, 3.0, &[3, 33_333], DType::F32, 5));
    let run = |threads| {
        on_threads(threads, || {
            x.gelu().unwrap().value().to_vec::<f32>().unwrap()
        })
    };
    assert_eq!(run(1), run(2));
}

/// Where the fifth derivative is large, as at ln(1 - 0.9), differences over a step of 1e-3 were
/// further from the gradient than gradcheck's tolerance.
#[test]
fn gradients_near_a_pole() {
    for seed in (0..2000).chain([2_753_507_612_318_113_025]) {
        let x = draw(-0.9, -0.8, &[2], DType::F64, seed);
        gradcheck(|v| v[0].log1p(), &[x]).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn gradients(dims in prop::collection::vec(1usize..5, 0..4), seed: u64) {
        for &(name, f, _, low, high) in FUNCTIONS {
            gradcheck(|v| f(&v[0]), &[draw(low, high, &dims, DType::F64, seed)]).map_err(|e| TestCaseError::fail(format!("{name}: {e}")))?;
        }
        adjoint_check(|x| x.neg(), &dims)?;
        adjoint_check(|x| x.mul_scalar(-2.5), &dims)?;
    }
}
