use proptest::prelude::*;
use wavemix::gradcheck::{adjoint_check, gradcheck};
use wavemix::ops::{
    BatchNormOptions, BatchStats, Statistics, batch_norm, conv_transpose2d,
    conv_transpose2d_with_stats,
};
use wavemix::{DType, Rng, Shape, Tensor, Var, Window};

use crate::helpers::{assert_error, assert_starts, on_threads};

#[path = "batch_norm/gradients.rs"]
mod gradients;
#[path = "batch_norm/statistics.rs"]
mod statistics;

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
        // In a block up to 128 squares of a channel are summed in a chain. A chain of k roundings
        // is off by sqrt(k) / 6 eps of its sum in the mean, 1.9 eps; this is four times as much.
        // That the mean of a block is off by d, at most 1000 eps, adds d^2, an eighth of eps: -2 d
        // times the deviations adds up to 0.
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
