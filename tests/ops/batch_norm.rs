use proptest::prelude::*;
use wavemix::gradcheck::{adjoint_check, gradcheck};
use wavemix::ops::{
    BatchNormOptions, BatchStats, Statistics, batch_norm, conv_transpose2d,
    conv_transpose2d_with_stats,
};
use wavemix::{DType, Rng, Shape, Tensor, Var, Window};

use crate::helpers::{assert_error, assert_starts, on_threads};

const EPS: f64 = 1e-5;

fn normal(shape: &[usize], dtype: DType, seed: u64) -> Tensor {
    Tensor::normal(Shape::new(shape).unwrap(), 0.3, 1.5, dtype, &Rng::new(seed))
}

/// Mean, biased variance and normalised values, by the definition.
fn naive(x: &[f64], gamma: &[f64], beta: &[f64]) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let c = gamma.len();
    let channel = |i: usize| x.iter().skip(i).step_by(c);
    let n = (x.len() / c) as f64;
    let mean: Vec<f64> = (0..c).map(|i| channel(i).sum::<f64>() / n).collect();
    let var: Vec<f64> = (0..c)
        .map(|i| channel(i).map(|x| (x - mean[i]).powi(2)).sum::<f64>() / n)
        .collect();
    let y = x
        .iter()
        .enumerate()
        .map(|(k, x)| (x - mean[k % c]) / (var[k % c] + EPS).sqrt() * gamma[k % c] + beta[k % c]);
    (y.collect(), mean, var)
}

fn worst(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    // Not-a-number is the worst.
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, |worst, off| {
            if off > worst || off.is_nan() {
                off
            } else {
                worst
            }
        })
}

fn in_f64(x: &Tensor) -> Vec<f64> {
    x.cast(DType::F64).unwrap().to_vec().unwrap()
}

#[test]
fn one_channel_by_hand() {
    // Mean 3, variance 4: (x - 3) / 2, times 10, plus 1.
    let x = Var::from(Tensor::from_vec(vec![1.0f64, 5.0, 1.0, 5.0], [2, 2, 1]).unwrap());
    let vector = |v: f64| Var::from(Tensor::from_vec(vec![v], [1]).unwrap());
    let (y, stats) = batch_norm(
        &x,
        &vector(10.0),
        &vector(1.0),
        BatchNormOptions {
            eps: 0.0,
            ..Default::default()
        },
    )
    .unwrap();
    assert_eq!(y.value().to_vec::<f64>().unwrap(), [-9.0, 11.0, -9.0, 11.0]);
    assert_eq!(
        (
            stats.mean.item().unwrap(),
            stats.var.item().unwrap(),
            stats.count
        ),
        (3.0, 4.0, 4)
    );
    let y = batch_norm(
        &x,
        &vector(10.0),
        &vector(1.0),
        BatchNormOptions {
            eps: 0.0,
            statistics: Statistics::Given(&stats.mean, &stats.var),
            ..Default::default()
        },
    )
    .map(|(y, _)| y)
    .unwrap();
    assert_eq!(y.value().to_vec::<f64>().unwrap(), [-9.0, 11.0, -9.0, 11.0]);
}

/// Single precision with a mean a thousand times the deviation, over enough rows for many blocks.
#[test]
fn statistics_are_safe_in_single_precision() {
    for c in [1, 3, 64, 200] {
        let x = Tensor::normal(
            [40_000 / c, c],
            1000.0,
            1.0,
            DType::F32,
            &Rng::new(c as u64),
        );
        let (gamma, beta) = (
            Tensor::ones([c], DType::F32),
            Tensor::zeros([c], DType::F32),
        );
        let (y, stats) = batch_norm(
            &Var::from(&x),
            &gamma.clone().into(),
            &beta.into(),
            BatchNormOptions::default(),
        )
        .unwrap();
        let (expected, mean, var) = naive(&in_f64(&x), &in_f64(&gamma), &vec![0.0; c]);
        let eps = f64::from(f32::EPSILON);
        assert!(
            worst(&in_f64(&stats.mean), &mean) < 1000.0 * eps,
            "{c} channels"
        );
        // A mean rounded at 1000 eps moves each deviation as much, its square by twice that times
        // the deviation.
        assert!(worst(&in_f64(&stats.var), &var) < 8.0 * eps, "{c} channels");
        assert!(
            worst(&in_f64(y.value()), &expected) < 1000.0 * eps,
            "{c} channels"
        );
    }
}

#[test]
fn two_threads_give_the_bits_of_one() {
    let x = Var::leaf(normal(&[5, 31, 31, 24], DType::F32, 1));
    let (gamma, beta) = (
        Var::leaf(normal(&[24], DType::F32, 2)),
        Var::leaf(normal(&[24], DType::F32, 3)),
    );
    let run = |threads| {
        on_threads(threads, || {
            let (y, stats) = batch_norm(&x, &gamma, &beta, BatchNormOptions::default()).unwrap();
            let values = [y.value().clone(), stats.mean, stats.var];
            let gradients = y
                .backward_from(normal(&[5, 31, 31, 24], DType::F32, 4), &[])
                .unwrap();
            let gradients =
                [&x, &gamma, &beta].map(|v| gradients.of(v).unwrap().to_vec::<f32>().unwrap());
            (values.map(|v| v.to_vec::<f32>().unwrap()), gradients)
        })
    };
    assert!(run(1) == run(2));
}

/// With a residual: the numbers of the two ops, to the bit, forward and backward. Where x is made
/// again of y in the backward pass, what depends on x may be off by what its roundings become.
#[test]
fn fused_is_composed() {
    let shape = [5, 31, 31, 24];
    let [x, residual] = [1, 2].map(|seed| Var::leaf(normal(&shape, DType::F32, seed)));
    let beta = Var::leaf(normal(&[24], DType::F32, 4));
    let (mean, var) = (
        normal(&[24], DType::F32, 5),
        Tensor::uniform([24], 0.5, 2.0, DType::F32, &Rng::new(6)),
    );
    let far_from_0 = Tensor::uniform([24], 0.5, 1.5, DType::F32, &Rng::new(3));
    let mut near_0 = far_from_0.to_vec::<f32>().unwrap();
    near_0[7] = -0.01;
    for (gamma, made_again) in [
        (far_from_0, true),
        (Tensor::from_vec(near_0, [24]).unwrap(), false),
    ] {
        let gamma = Var::leaf(gamma);
        let outcome = |y: Var| {
            let gradients = y.backward_from(normal(&shape, DType::F32, 7), &[]).unwrap();
            let gradients = [&beta, &residual, &x, &gamma]
                .map(|v| gradients.of(v).unwrap().to_vec::<f32>().unwrap());
            (y.into_value().to_vec::<f32>().unwrap(), gradients)
        };
        let (fused, _) = batch_norm(
            &x,
            &gamma,
            &beta,
            BatchNormOptions {
                residual: Some(&residual),
                ..Default::default()
            },
        )
        .unwrap();
        let composed = &batch_norm(&x, &gamma, &beta, BatchNormOptions::default())
            .unwrap()
            .0
            + &residual;
        let (fused, composed) = (outcome(fused), outcome(composed.unwrap()));
        assert!(
            fused.0 == composed.0 && fused.1[..2] == composed.1[..2],
            "training"
        );
        // y, residual and beta are below 8 and rounded a few times on the way to xhat, which is
        // divided by gamma >= 1/2.
        let xhat = 8.0 * 4.0 * f32::EPSILON / 0.5;
        // dgamma sums dy xhat, with dy below 5, over the pixels; dx takes dgamma / n xhat, with
        // xhat below 5, out of dy.
        let pixels = (5 * 31 * 31) as f32;
        for (i, bound) in [(2, 1.6 * 2.0 * 5.0 * 5.0 * xhat), (3, 5.0 * pixels * xhat)] {
            let bound = if made_again { bound } else { 0.0 };
            assert!(
                fused.1[i]
                    .iter()
                    .zip(&composed.1[i])
                    .all(|(a, b)| (a - b).abs() <= bound),
                "gradient {i}"
            );
        }
        let fused = batch_norm(
            &x,
            &gamma,
            &beta,
            BatchNormOptions {
                residual: Some(&residual),
                statistics: Statistics::Given(&mean, &var),
                ..Default::default()
            },
        )
        .map(|(y, _)| y)
        .unwrap();
        let composed = &batch_norm(
            &x,
            &gamma,
            &beta,
            BatchNormOptions {
                statistics: Statistics::Given(&mean, &var),
                ..Default::default()
            },
        )
        .map(|(y, _)| y)
        .unwrap()
            + &residual;
        assert!(outcome(fused) == outcome(composed.unwrap()), "evaluation");
    }
}

/// dx, dgamma and dbeta by the definition, in f64.
fn gradients(x: &[f64], gamma: &[f64], dy: &[f64]) -> [Vec<f64>; 3] {
    let c = gamma.len();
    let (xhat, _, var) = naive(x, &vec![1.0; c], &vec![0.0; c]);
    let rows = (x.len() / c) as f64;
    let sum = |f: &dyn Fn(usize) -> f64| -> Vec<f64> {
        (0..c)
            .map(|i| (i..x.len()).step_by(c).map(f).sum::<f64>())
            .collect()
    };
    let (dgamma, dbeta) = (sum(&|k| dy[k] * xhat[k]), sum(&|k| dy[k]));
    let dx = (0..x.len()).map(|k| {
        let i = k % c;
        gamma[i] / (var[i] + EPS).sqrt() * (dy[k] - dbeta[i] / rows - xhat[k] * dgamma[i] / rows)
    });
    [dx.collect(), dgamma, dbeta]
}

/// xhat is recomputed from y - residual - beta, and rounded as those are: not where that would
/// show. In each case the first channel has this residual, beta and gamma, and the others ordinary
/// ones.
#[test]
fn gradients_do_not_depend_on_what_is_added() {
    let inf = f64::INFINITY;
    let cases = [
        (0.0, 0.0, 1.0),
        (100.0, 0.0, 1.0),
        (1e3, 0.0, 1.0),
        (1e5, 0.0, 1.0),
        (-1e7, 0.0, 1.0),
        (inf, 0.0, 1.0),
        (f64::NAN, 0.0, 1.0),
        (0.0, 100.0, 1.0),
        (0.0, 1e3, 1.0),
        (0.0, -1e5, 1.0),
        (0.0, 1e7, 1.0),
        (1e7, -1e7, 1.0),
        (1.0, 0.0, 0.01),
        (1.0, 0.0, -1e-4),
        (1e5, 0.0, 1e3),
        (0.0, 0.0, 0.0),
    ];
    // By hand: four rows. And so many that threads share them, of which the last alone has the
    // residual.
    for (rows, last) in [(4, false), (40_000, true)] {
        let draw = |seed| {
            if rows == 4 {
                vec![]
            } else {
                in_f64(&normal(&[rows, 3], DType::BF16, seed))
            }
        };
        let x = if last {
            draw(1)
        } else {
            (0..12).map(|k| (k / 3) as f64 + 1.0).collect()
        };
        let dy = if last {
            draw(2)
        } else {
            [1.0, 0.0, 0.0, -0.5]
                .iter()
                .flat_map(|&dy| [dy; 3])
                .collect()
        };
        for ((added, shift, factor), dtype) in cases
            .into_iter()
            .flat_map(|case| [DType::F32, DType::BF16, DType::F64].map(|dtype| (case, dtype)))
        {
            let residual: Vec<f64> = (0..3 * rows)
                .map(|k| {
                    if k % 3 == 0 && (!last || k + 3 == 3 * rows) {
                        added
                    } else {
                        ((k * 7) % 5) as f64
                    }
                })
                .collect();
            let (gamma, beta) = ([factor, 1.0, 1.5], [shift, 0.25, 0.0]);
            let wide = if dtype == DType::BF16 {
                DType::F32
            } else {
                dtype
            };
            let leaf = |v: &[f64], shape: &[usize], dtype| {
                Var::leaf(
                    Tensor::from_slice(v, Shape::new(shape).unwrap())
                        .unwrap()
                        .cast(dtype)
                        .unwrap(),
                )
            };
            let map = |v: &[f64]| leaf(v, &[rows, 3], dtype);
            let ([x_var, residual], [gamma_var, beta]) = (
                [map(&x), map(&residual)],
                [&gamma, &beta].map(|v| leaf(v, &[3], wide)),
            );
            let (y, _) = batch_norm(
                &x_var,
                &gamma_var,
                &beta,
                BatchNormOptions {
                    residual: Some(&residual),
                    ..Default::default()
                },
            )
            .unwrap();
            let got = y.backward_from(map(&dy).into_value(), &[]).unwrap();
            let want = gradients(
                &x,
                &gamma.map(|g| Tensor::scalar(g).cast(wide).unwrap().item().unwrap()),
                &dy,
            );
            // What y may be beside gamma (see LARGEST_RATIO), and what rounding makes of it; and
            // the sums of f32 over blocks.
            let unit = if dtype == DType::F64 {
                f64::EPSILON
            } else {
                f64::from(f32::EPSILON)
            } / 2.0;
            let recomputed =
                dtype != DType::BF16 && added.abs().max(shift.abs()) < 256.0 * factor.abs();
            let room = unit * if recomputed { 2.0 * 256.0 } else { 32.0 };
            let size = |v: &[f64]| v.iter().fold(1.0f64, |size, v| size.max(v.abs()));
            for (i, (var, want)) in [&x_var, &gamma_var, &beta].iter().zip(&want).enumerate() {
                let own = if i == 0 && dtype == DType::BF16 {
                    2f64.powi(-8)
                } else {
                    0.0
                };
                // Errors of xhat in dgamma add up over the rows at random, and all agree at worst
                // for few.
                let terms = if i == 0 { 1.0 } else { (rows as f64).sqrt() };
                let got = in_f64(got.of(var).unwrap());
                let off = worst(&got, want);
                let allowed = (room * terms + own) * size(want);
                assert!(
                    off <= allowed,
                    "{dtype}, {rows} rows, {added:e} and {shift:e} added, gamma {factor}: gradient {i} off by {off:e} of {allowed:e}"
                );
            }
        }
    }
}

/// Those of a map taken as it is made, by each way there is to make one, are those of the map as it
/// is then.
#[test]
fn statistics_of_a_convolution() {
    let enlarging = Window {
        stride: [2; 2],
        padding: [1; 2],
        ..Window::default()
    };
    let cases = [
        // Of many images and of one, cut into rows or by phases; with products in registers, of
        // matrices, and as they are defined.
        ([9, 7, 5, 16], [16, 4, 4, 16], enlarging),
        ([1, 12, 10, 16], [16, 4, 4, 16], enlarging),
        ([6, 14, 14, 64], [64, 4, 4, 64], enlarging),
        ([1, 14, 14, 64], [64, 4, 4, 64], enlarging),
        ([3, 11, 9, 24], [24, 4, 4, 20], enlarging),
        (
            [70, 3, 3, 5],
            [5, 2, 2, 3],
            Window {
                stride: [2; 2],
                ..Window::default()
            },
        ),
        (
            [2, 20, 30, 6],
            [6, 3, 3, 1],
            Window {
                groups: 6,
                ..enlarging
            },
        ),
        // Pixel by pixel: taps so far apart that a frame around the image would be nearly all
        // zeros.
        (
            [8, 2, 2, 3],
            [3, 3, 3, 2],
            Window {
                dilation: [1500; 2],
                padding: [1500; 2],
                ..Window::default()
            },
        ),
        // With outputs that no input reaches.
        (
            [5, 4, 3, 2],
            [2, 1, 2, 3],
            Window {
                stride: [3, 4],
                output_padding: [1, 2],
                ..Window::default()
            },
        ),
    ];
    for (dtype, (shape, weight, window)) in [DType::F32, DType::BF16, DType::F64]
        .into_iter()
        .flat_map(|d| cases.map(|c| (d, c)))
    {
        let [x, w] = [normal(&shape, dtype, 1), normal(&weight, dtype, 2)].map(Var::from);
        let bias = Var::from(normal(&[weight[3] * window.groups], dtype, 3));
        let run = |threads| {
            let (y, stats) = on_threads(threads, || {
                conv_transpose2d_with_stats(&x, &w, Some(&bias), window)
            })
            .unwrap();
            (y, stats.unwrap())
        };
        let ((y, stats), (_, again)) = (run(1), run(2));
        let plain = conv_transpose2d(&x, &w, Some(&bias), window).unwrap();
        assert_eq!(in_f64(y.value()), in_f64(plain.value()), "{shape:?}");
        assert_eq!(
            [&stats.mean, &stats.var].map(in_f64),
            [&again.mean, &again.var].map(in_f64),
            "{shape:?}: two threads"
        );
        let y = in_f64(y.value());
        let c = stats.mean.elements();
        let (_, mean, var) = naive(&y, &vec![1.0; c], &vec![0.0; c]);
        let room = if dtype == DType::F64 { 1e-12 } else { 1e-6 };
        assert_eq!(stats.count, y.len() / c);
        for (got, want) in [(&stats.mean, mean), (&stats.var, var.clone())] {
            let off = worst(&in_f64(got), &want);
            assert!(
                off <= room * var.iter().fold(1.0, |a: f64, &b| a.max(b)),
                "{dtype:?} {shape:?}: off by {off:e}"
            );
        }
    }
}

#[test]
fn no_numbers_have_no_statistics() {
    let [x, w] =
        [[0, 3, 3, 2], [2, 2, 2, 4]].map(|shape| Var::from(Tensor::zeros(shape, DType::F32)));
    assert!(
        conv_transpose2d_with_stats(&x, &w, None, Window::default())
            .unwrap()
            .1
            .is_none()
    );
}

/// A normalisation with the statistics given is the one that takes them, forwards and back.
#[test]
fn given_statistics_are_those_taken() {
    let leaf = |shape: &[usize], seed| Var::leaf(normal(shape, DType::F64, seed));
    let operands = [
        leaf(&[4, 6, 5, 3], 1),
        leaf(&[4, 6, 5, 3], 2),
        leaf(&[3], 3),
        leaf(&[3], 4),
    ];
    let run = |given: bool| {
        let [x, residual, gamma, beta] = &operands;
        let (y, stats) = batch_norm(
            x,
            gamma,
            beta,
            BatchNormOptions {
                residual: Some(residual),
                ..Default::default()
            },
        )
        .unwrap();
        let y = if given {
            batch_norm(
                x,
                gamma,
                beta,
                BatchNormOptions {
                    residual: Some(residual),
                    statistics: Statistics::Known(stats),
                    ..Default::default()
                },
            )
            .unwrap()
            .0
        } else {
            y
        };
        let gradients = y.square().unwrap().mean_all().unwrap().backward().unwrap();
        let all = [y.value().clone()]
            .into_iter()
            .chain(operands.iter().map(|v| gradients.of(v).unwrap().clone()));
        all.map(|t| in_f64(&t)).collect::<Vec<_>>()
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn errors() {
    let of = |shape: &[usize], dtype| Var::from(Tensor::zeros(Shape::new(shape).unwrap(), dtype));
    let error = |x: &Var, gamma: &Var, beta: &Var| {
        batch_norm(x, gamma, beta, BatchNormOptions::default())
            .err()
            .unwrap()
            .to_string()
    };
    let vector = of(&[4], DType::F32);
    assert_starts(
        &error(&of(&[1, 1, 4], DType::F32), &vector, &vector),
        "batch_norm: x expects more than one value per channel when training, got [1, 1, 4] (batch_norm.rs:",
    );
    assert_starts(
        &error(&of(&[3, 4], DType::F32), &vector, &of(&[1, 4], DType::F32)),
        "batch_norm: beta expects [c = 4], got [1, 4]",
    );
    assert_starts(
        &error(&of(&[3, 4], DType::F64), &vector, &vector),
        "batch_norm: gamma expects the dtype of x, f64, got f32",
    );
    let pair = [&of(&[3, 4], DType::F32), &of(&[2, 4], DType::F32)];
    assert_error(
        batch_norm(
            pair[0],
            &vector,
            &vector,
            BatchNormOptions {
                residual: Some(pair[1]),
                ..Default::default()
            },
        ),
        "batch_norm: residual expects the shape of x, [3, 4], got [2, 4] (batch_norm.rs:",
    );
    let (x, y) = (of(&[6, 4], DType::F32), of(&[3, 4], DType::F32));
    // Times 4 channels the second count would be 24 too, modulo 2^64.
    for count in [3, 6 + (1 << 62), usize::MAX, 0] {
        let stats = BatchStats {
            count,
            ..batch_norm(&y, &vector, &vector, BatchNormOptions::default())
                .unwrap()
                .1
        };
        let e = batch_norm(
            &x,
            &vector,
            &vector,
            BatchNormOptions {
                residual: Some(&x),
                statistics: Statistics::Known(stats),
                ..Default::default()
            },
        )
        .err()
        .unwrap()
        .to_string();
        let got = format!("got [4] and [4] of {count} (batch_norm.rs:");
        assert!(
            e.starts_with(&format!(
                "batch_norm: stats expects mean and variance [c = 4] of 6 numbers each, {got}"
            )),
            "{e}"
        );
    }
    assert_starts(
        &error(&of(&[3, 0], DType::F32), &vector, &vector),
        "batch_norm: x expects [.., c] with at least one channel, got [3, 0]",
    );
    let short = Tensor::zeros([3], DType::F32);
    assert_error(
        batch_norm(
            &of(&[3, 4], DType::F32),
            &vector,
            &vector,
            BatchNormOptions {
                statistics: Statistics::Given(vector.value(), &short),
                ..Default::default()
            },
        )
        .map(|(y, _)| y),
        "batch_norm: var expects [c = 4], got [3] (batch_norm.rs:",
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn value_and_gradients(lead in prop::collection::vec(1usize..5, 1..4), c in 1usize..6, seed: u64) {
        prop_assume!(lead.iter().product::<usize>() > 2);
        let shape = [&lead[..], &[c]].concat();
        let inputs = [normal(&shape, DType::F64, seed), normal(&[c], DType::F64, seed ^ 1), normal(&[c], DType::F64, seed ^ 2)];
        let vars = inputs.each_ref().map(Var::from);
        let (y, stats) = batch_norm(&vars[0], &vars[1], &vars[2], BatchNormOptions::default())?;
        let (expected, mean, var) = naive(&in_f64(&inputs[0]), &in_f64(&inputs[1]), &in_f64(&inputs[2]));
        prop_assert!(worst(&in_f64(&stats.mean), &mean) < 1e-13 && worst(&in_f64(&stats.var), &var) < 1e-13);
        prop_assert!(worst(&in_f64(y.value()), &expected) < 1e-10);
        // Differences see a curvature of 1 / std: keep away from channels that are all but
        // constant.
        if var.iter().all(|&var| var > 0.1) {
            gradcheck(|v| Ok(batch_norm(&v[0], &v[1], &v[2], BatchNormOptions::default())?.0), &inputs)?;
        }
        let (mean, var) = (normal(&[c], DType::F64, seed ^ 3), Tensor::uniform([c], 0.5, 2.0, DType::F64, &Rng::new(seed)));
        gradcheck(|v| batch_norm(&v[0], &v[1], &v[2], BatchNormOptions { statistics: Statistics::Given(&mean, &var), ..Default::default() }).map(|(y, _)| y), &inputs)?;
        // About zero and without a shift it is linear in x alone.
        let zero = Tensor::zeros([c], DType::F64);
        adjoint_check(|x| batch_norm(x, &vars[1], &(&zero).into(), BatchNormOptions { statistics: Statistics::Given(&zero, &var), ..Default::default() }).map(|(y, _)| y), &shape)?;
    }
}

/// Of two vectors beside an x of 16 bits each may have its own type, and its gradient comes in
/// that.
#[test]
fn gradients_are_of_their_own_vectors_type() {
    let (half, single) = (DType::BF16, DType::F32);
    let x = Var::leaf(Tensor::normal([6, 2], 0.0, 1.0, half, &Rng::new(1)));
    for types in [
        [half, half],
        [half, single],
        [single, half],
        [single, single],
    ] {
        let [gamma, beta] = types.map(|dtype| Var::leaf(Tensor::ones([2], dtype)));
        let outputs = [
            batch_norm(&x, &gamma, &beta, BatchNormOptions::default())
                .unwrap()
                .0,
            wavemix::ops::batch_norm(
                &x,
                &gamma,
                &beta,
                BatchNormOptions {
                    statistics: Statistics::Given(gamma.value(), beta.value()),
                    ..Default::default()
                },
            )
            .map(|(y, _)| y)
            .unwrap(),
            wavemix::ops::layer_norm(&x, &gamma, &beta, 1e-5).unwrap(),
        ];
        for y in outputs {
            let gradients = y.backward_from(Tensor::ones(y.shape(), half), &[]).unwrap();
            for (vector, dtype) in [&gamma, &beta].into_iter().zip(types) {
                assert_eq!(gradients.of(vector).unwrap().dtype(), dtype, "{types:?}");
            }
            assert_eq!(
                gradients
                    .of(&beta)
                    .unwrap()
                    .cast(DType::F64)
                    .unwrap()
                    .to_vec::<f64>()
                    .unwrap(),
                [6.0, 6.0]
            );
        }
    }
}
