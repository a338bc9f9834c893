//! Elementwise and reducing ops on bf16, which are computed in f32: against f64 on the same
//! numbers.
//!
//! With 8 significant bits, rounding is off by 2^-8 of the number at most. A result that is
//! computed in f32 and rounded once is off by that and by f32's own roundings, which are 2^-16 of
//! that; what is made of more than one rounded number is off by more, as each case says.

use wavemix::ops::{
    AttentionOptions, BatchNormOptions, Interpolation, Statistics, attention, avg_pool2d,
    batch_norm, concat, group_norm, layer_norm, max_pool2d, rms_norm, stack,
};
use wavemix::{DType, Result, Rng, Shape, Tensor, Var, Window};

use crate::helpers::on_threads;

/// Half a unit in the last place, relative to the number.
const ROUNDING: f64 = 1.0 / 256.0;

struct Case {
    name: &'static str,
    /// Of the operands; those of one axis stay f32, as statistics and their like do.
    shapes: &'static [&'static [usize]],
    /// Operands are drawn from here.
    range: [f64; 2],
    run: fn(&[Var]) -> Result<Var>,
    /// Roundings to bf16 in a gradient beyond its own, each at most that of the largest number of
    /// the gradient.
    more: f64,
}

const MAPS: &[&[usize]] = &[&[3, 21, 30, 24]];
const PAIR: &[&[usize]] = &[&[3, 21, 30, 24], &[3, 21, 30, 24]];
const SPREAD: &[&[usize]] = &[&[3, 21, 30, 24], &[3, 1, 1, 24]];
const NORM: &[&[usize]] = &[&[3, 21, 30, 24], &[24], &[24]];
const NORM_ALONE: &[&[usize]] = &[&[3, 21, 30, 24], &[24]];
const NORM_ADD: &[&[usize]] = &[&[3, 21, 30, 24], &[3, 21, 30, 24], &[24], &[24]];
const HEADS: &[&[usize]] = &[&[3, 2, 50, 24], &[3, 2, 40, 24], &[3, 2, 40, 16]];
const AROUND_0: [f64; 2] = [-3.0, 3.0];
const POSITIVE: [f64; 2] = [0.5, 3.0];

fn case(
    name: &'static str,
    shapes: &'static [&'static [usize]],
    run: fn(&[Var]) -> Result<Var>,
) -> Case {
    Case {
        name,
        shapes,
        range: AROUND_0,
        run,
        more: 0.0,
    }
}

fn cases() -> Vec<Case> {
    let positive = |case: Case| Case {
        range: POSITIVE,
        ..case
    };
    let more = |more: f64, case: Case| Case { more, ..case };
    vec![
        case("neg", MAPS, |v| v[0].neg()),
        case("abs", MAPS, |v| v[0].abs()),
        // y is rounded before the gradient is made of it.
        more(1.0, case("exp", MAPS, |v| v[0].exp())),
        positive(case("log", MAPS, |v| v[0].log())),
        more(1.0, positive(case("sqrt", MAPS, |v| v[0].sqrt()))),
        case("square", MAPS, |v| v[0].square()),
        // y^2: twice the rounding of y.
        more(2.0, positive(case("recip", MAPS, |v| v[0].recip()))),
        positive(case("powf", MAPS, |v| v[0].powf(1.5))),
        // 1 - y^2 for y up to 1, and 1 itself is rounded away from by half as much.
        more(2.0, case("tanh", MAPS, |v| v[0].tanh())),
        // y (1 - y) for y up to 1, four times the largest slope.
        more(4.0, case("sigmoid", MAPS, |v| v[0].sigmoid())),
        case("relu", MAPS, |v| v[0].relu()),
        case("silu", MAPS, |v| v[0].silu()),
        case("gelu", MAPS, |v| v[0].gelu()),
        case("clamp", MAPS, |v| v[0].clamp(-1.0, 2.0)),
        case("add_scalar", MAPS, |v| v[0].add_scalar(0.7)),
        case("mul_scalar", MAPS, |v| v[0].mul_scalar(0.7)),
        case("div_scalar", MAPS, |v| v[0].div_scalar(0.7)),
        case("leaky_relu", MAPS, |v| v[0].leaky_relu(0.1)),
        case("elu", MAPS, |v| v[0].elu(1.5)),
        case("relu6", MAPS, |v| v[0].relu6()),
        case("hardswish", MAPS, |v| v[0].hardswish()),
        case("softplus", MAPS, |v| v[0].softplus()),
        positive(case("log1p", MAPS, |v| v[0].log1p())),
        case("sin", MAPS, |v| v[0].sin()),
        case("cos", MAPS, |v| v[0].cos()),
        case("erf", MAPS, |v| v[0].erf()),
        case("dropout", MAPS, |v| v[0].dropout(0.3, &Rng::new(3))),
        case("gelu_dropout", MAPS, |v| {
            v[0].gelu_dropout(0.3, Some(&Rng::new(3)))
        }),
        case("add", PAIR, |v| &v[0] + &v[1]),
        case("sub", PAIR, |v| &v[0] - &v[1]),
        case("mul", PAIR, |v| &v[0] * &v[1]),
        positive(case("div", PAIR, |v| &v[0] / &v[1])),
        case("maximum", PAIR, |v| v[0].maximum(&v[1])),
        case("minimum", PAIR, |v| v[0].minimum(&v[1])),
        case("add, spread", SPREAD, |v| &v[0] + &v[1]),
        // The terms of b's gradient are rounded before they are added up.
        more(1.0, case("mul, spread", SPREAD, |v| &v[0] * &v[1])),
        // Its gradients are added in place.
        case("used twice", MAPS, |v| {
            &v[0].mul_scalar(0.5)? + &v[0].mul_scalar(0.25)?
        }),
        case("dwt", MAPS, |v| v[0].dwt()),
        case("idwt", MAPS, |v| v[0].idwt([41, 60])),
        case("dft_real", MAPS, |v| v[0].dft_real([1, 2, 3])),
        case("sum of rows", MAPS, |v| v[0].sum([0, 1, 2])),
        case("sum of columns", MAPS, |v| v[0].sum_keep(3)),
        case("mean", MAPS, |v| v[0].mean([1, 2])),
        case("var", MAPS, |v| v[0].var([1, 2], true)),
        case("norm", MAPS, |v| v[0].norm([1, 2])),
        case("cumsum", MAPS, |v| v[0].cumsum(1)),
        case("max", MAPS, |v| v[0].max(3)),
        case("global_avg_pool", MAPS, |v| v[0].global_avg_pool()),
        case("avg_pool2d", MAPS, |v| {
            avg_pool2d(
                &v[0],
                [3, 2],
                Window {
                    stride: [2, 2],
                    ..Window::default()
                },
            )
        }),
        case("max_pool2d", MAPS, |v| {
            max_pool2d(
                &v[0],
                [2, 2],
                Window {
                    stride: [2, 2],
                    ..Window::default()
                },
            )
        }),
        case("upsample", MAPS, |v| {
            v[0].upsample([42, 60], Interpolation::Bicubic)
        }),
        case("softmax", MAPS, |v| v[0].softmax(3)),
        case("log_softmax", MAPS, |v| v[0].log_softmax(3)),
        case("attention", HEADS, |v| {
            attention(&v[0], &v[1], &v[2], AttentionOptions::default())
        }),
        case("pad", MAPS, |v| v[0].pad(&[(0, 0), (1, 2), (0, 1), (0, 0)])),
        case("slice", MAPS, |v| v[0].slice(3, 5..17)),
        case("permute", MAPS, |v| v[0].permute(&[3, 0, 2, 1])),
        case("reshape", MAPS, |v| v[0].reshape([63, 720])),
        case("concat", PAIR, |v| concat(&[&v[0], &v[1]], 3)),
        case("stack", PAIR, |v| stack(&[&v[0], &v[1]], 3)),
        case("tril", MAPS, |v| v[0].tril(2)),
        case("index_select", MAPS, |v| {
            v[0].index_select(1, &Tensor::from_vec(vec![3i64, 20, 3, 0], [4])?)
        }),
        // Sums of f32, rounded once.
        case("scatter_add", PAIR, |v| {
            let each: Vec<i64> = (0..3 * 21 * 30 * 24).map(|i| i * i % 21).collect();
            v[0].scatter_add(1, &Tensor::from_vec(each, [3, 21, 30, 24])?, &v[1])
        }),
        case("layer_norm", NORM, |v| {
            layer_norm(&v[0], &v[1], &v[2], 1e-5)
        }),
        case("group_norm", NORM, |v| {
            group_norm(&v[0], 3, &v[1], &v[2], 1e-5)
        }),
        case("rms_norm", NORM_ALONE, |v| rms_norm(&v[0], &v[1], 1e-5)),
        case("batch_norm", NORM, |v| {
            Ok(batch_norm(&v[0], &v[1], &v[2], BatchNormOptions::default())?.0)
        }),
        case("batch_norm_add", NORM_ADD, |v| {
            Ok(batch_norm(
                &v[0],
                &v[2],
                &v[3],
                BatchNormOptions {
                    residual: Some(&v[1]),
                    ..Default::default()
                },
            )?
            .0)
        }),
        case("batch_norm_eval", NORM, |v| {
            batch_norm(
                &v[0],
                &v[1],
                &v[2],
                BatchNormOptions {
                    statistics: Statistics::Given(&running(&v[1])?, &running(&v[1])?),
                    ..Default::default()
                },
            )
            .map(|(y, _)| y)
        }),
        case("batch_norm_eval_add", NORM_ADD, |v| {
            let running = running(&v[2])?;
            batch_norm(
                &v[0],
                &v[2],
                &v[3],
                BatchNormOptions {
                    residual: Some(&v[1]),
                    statistics: Statistics::Given(&running, &running),
                    ..Default::default()
                },
            )
            .map(|(y, _)| y)
        }),
    ]
}

/// Some running statistics, of the type of gamma.
fn running(gamma: &Var) -> Result<Tensor> {
    Tensor::arange(0.5, 0.125, gamma.shape()[0], DType::F32).cast(gamma.dtype())
}

/// The output and each operand's gradient, computed in `dtype` from numbers that are bf16.
fn outcome(case: &Case, dtype: DType) -> Vec<(DType, Vec<f64>)> {
    let operand = |(i, shape): (usize, &&[usize])| {
        let rounded = Tensor::uniform(
            Shape::new(shape).unwrap(),
            case.range[0],
            case.range[1],
            DType::BF16,
            &Rng::new(7 + i as u64),
        );
        let own = if dtype == DType::BF16 && shape.len() == 1 {
            DType::F32
        } else {
            dtype
        };
        Var::leaf(rounded.cast(own).unwrap())
    };
    let operands: Vec<Var> = case.shapes.iter().enumerate().map(operand).collect();
    let y = (case.run)(&operands).unwrap();
    let dy = Tensor::normal(y.shape(), 0.0, 1.0, DType::BF16, &Rng::new(5))
        .cast(y.dtype())
        .unwrap();
    let gradients = y.backward_from(dy, &[]).unwrap();
    let all = [y.value().clone()]
        .into_iter()
        .chain(operands.iter().map(|v| gradients.of(v).unwrap().clone()));
    all.map(|x| (x.dtype(), x.cast(DType::F64).unwrap().to_vec().unwrap()))
        .collect()
}

#[test]
fn each_is_f64_rounded() {
    for case in cases() {
        let (got, want) = (outcome(&case, DType::BF16), outcome(&case, DType::F64));
        assert_eq!(got[0].0, DType::BF16, "{}", case.name);
        for (i, ((dtype, got), (_, want))) in got.iter().zip(&want).enumerate() {
            let largest = want.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
            // Of f32's own roundings, each 2^-24 of the largest number, a sum of 1890 has some 44,
            // and a quotient some more.
            let mut room = 200.0 * largest / f64::from(1 << 24);
            room += if i > 0 {
                case.more * ROUNDING * largest
            } else {
                0.0
            };
            let own = if *dtype == DType::BF16 { ROUNDING } else { 0.0 };
            for (k, (got, want)) in got.iter().zip(want).enumerate() {
                let off = (got - want).abs();
                assert!(
                    off <= own * want.abs() + room,
                    "{}, result {i}, element {k}: {got}, not {want}",
                    case.name
                );
            }
        }
    }
}

#[test]
fn two_threads_give_the_bits_of_one() {
    for case in cases() {
        let run = |threads| on_threads(threads, || outcome(&case, DType::BF16));
        assert!(run(1) == run(2), "{}", case.name);
    }
}

/// Sums are f32 where they are asked for: gradients of weights are.
#[test]
fn gradients_of_statistics_stay_wide() {
    let norm = cases()
        .into_iter()
        .find(|case| case.name == "batch_norm")
        .unwrap();
    let types: Vec<DType> = outcome(&norm, DType::BF16)
        .into_iter()
        .map(|(dtype, _)| dtype)
        .collect();
    assert_eq!(types, [DType::BF16, DType::BF16, DType::F32, DType::F32]);
}
