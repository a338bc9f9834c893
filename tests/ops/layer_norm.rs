use proptest::prelude::*;
use wavemix::gradcheck::gradcheck;
use wavemix::ops::layer_norm;
use wavemix::{DType, Rng, Shape, Tensor, Var};

use crate::helpers::{assert_starts, on_threads};

#[path = "layer_norm/group_norm.rs"]
mod group_norm;

const EPS: f64 = 1e-5;

fn normal(shape: &[usize], dtype: DType, seed: u64) -> Tensor {
    Tensor::normal(Shape::new(shape).unwrap(), 0.3, 1.5, dtype, &Rng::new(seed))
}

#[test]
fn one_row_by_hand() {
    // Mean 3, variance 4: (x - 3) / 2 = (-1, 1, -1, 1).
    let of = |values: &[f64]| Var::from(Tensor::from_slice(values, [4]).unwrap());
    let y = layer_norm(
        &of(&[1.0, 5.0, 1.0, 5.0]),
        &of(&[1.0, 2.0, 3.0, 4.0]),
        &of(&[0.0, 10.0, 0.0, 0.0]),
        0.0,
    )
    .unwrap();
    assert_eq!(y.value().to_vec::<f64>().unwrap(), [-1.0, 12.0, -3.0, 4.0]);
}

#[test]
fn single_precision_and_two_threads() {
    let (x, gamma, beta) = (
        normal(&[333, 129], DType::F32, 1),
        normal(&[129], DType::F32, 2),
        normal(&[129], DType::F32, 3),
    );
    let run = |threads, dtype| {
        on_threads(threads, || {
            let leaves = [&x, &gamma, &beta].map(|t| Var::leaf(t.cast(dtype).unwrap()));
            let y = layer_norm(&leaves[0], &leaves[1], &leaves[2], EPS).unwrap();
            let gradients = y
                .backward_from(normal(&[333, 129], DType::F32, 4).cast(dtype).unwrap(), &[])
                .unwrap();
            let dx = leaves.each_ref().map(|leaf| {
                gradients
                    .of(leaf)
                    .unwrap()
                    .cast(DType::F64)
                    .unwrap()
                    .to_vec::<f64>()
                    .unwrap()
            });
            (
                y.value().cast(DType::F64).unwrap().to_vec::<f64>().unwrap(),
                dx,
            )
        })
    };
    let (single, double) = (run(1, DType::F32), run(1, DType::F64));
    assert!(single == run(2, DType::F32));
    let worst = |a: &[f64], b: &[f64]| {
        a.iter()
            .zip(b)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f64::max)
    };
    let eps = f64::from(f32::EPSILON);
    // Numbers up to 10 in sums over 129.
    assert!(worst(&single.0, &double.0) < 10.0 * eps * 129f64.sqrt());
    assert!(worst(&single.1[0], &double.1[0]) < 10.0 * eps * 129f64.sqrt());
    // Sums over the rows: of dy xhat, whose terms carry roundings of their own, and of dy, which
    // are exact.
    let dy = normal(&[333, 129], DType::F32, 4).to_vec::<f32>().unwrap();
    let (gamma, beta) = (
        gamma.to_vec::<f32>().unwrap(),
        beta.to_vec::<f32>().unwrap(),
    );
    for j in 0..129 {
        let dy = |r: usize| f64::from(dy[r * 129 + j]);
        let xhat = |r: usize| (double.0[r * 129 + j] - f64::from(beta[j])) / f64::from(gamma[j]);
        let (dgamma, dbeta) = (
            [&single, &double].map(|run| run.1[1][j]),
            [&single, &double].map(|run| run.1[2][j]),
        );
        assert!(
            (dgamma[0] - dgamma[1]).abs() < rounding(&|r| dy(r) * xhat(r), TERM),
            "dgamma[{j}]: {dgamma:?}"
        );
        assert!(
            (dbeta[0] - dbeta[1]).abs() < rounding(&dy, 0.0),
            "dbeta[{j}]: {dbeta:?}"
        );
    }
}

/// Variance of the relative error of a term dy xhat, in variances of one rounding. Three are its
/// own: of x - mean, and of the two products. The rest is in mean and variance of the row, sums
/// over 129 elements in 16 lanes of 9 terms that are then joined in four levels; with x of mean 0.3
/// and deviation 1.5 the variances add up as in [`rounding`]: the mean is off by 0.6 roundings of a
/// number near 1, that is xhat by 0.4, 0.2 as a variance; the sum of squares has a relative error
/// of 1.5 roundings, 2.4 as a variance, joined by those of the factor 1 / 129, of + eps and of the
/// squares themselves: 4.5, of which the root leaves a quarter. The root and 1 / root add 1 each.
const TERM: f64 = 3.0 + 0.2 + 4.5 / 4.0 + 2.0;

/// Six standard deviations of the error of a sum of 333 terms in f32, added in blocks of 63 whose
/// sums are then added in f64, as `layer_norm` adds up the columns' gradients.
///
/// A rounding to nearest is off by at most eps/2 |result|, any error up to there being as likely:
/// its standard deviation is at most eps/2 |result| / sqrt 3. Here the results are each partial sum
/// and, `own` times as variances, each term; all roundings are independent, so variances add up.
/// The result itself is rounded once more. That one of 258 numbers lies beyond six deviations
/// happens in one of 10^6 draws of the data, and the data are fixed.
fn rounding(term: &dyn Fn(usize) -> f64, own: f64) -> f64 {
    let (mut partial, mut whole, mut squares) = (0.0, 0.0, 0.0);
    for r in 0..333 {
        partial = if r % 63 == 0 {
            term(r)
        } else {
            partial + term(r)
        };
        whole += term(r);
        squares += partial * partial + own * term(r) * term(r);
    }
    6.0 * f64::from(f32::EPSILON) / 2.0 * ((squares + whole * whole) / 3.0).sqrt()
}

#[test]
fn errors() {
    let zeros =
        |shape: &[usize], dtype| Var::from(Tensor::zeros(Shape::new(shape).unwrap(), dtype));
    let error = |x, gamma, beta| {
        layer_norm(&x, &gamma, &beta, EPS)
            .err()
            .unwrap()
            .to_string()
    };
    assert_starts(
        &error(
            zeros(&[2, 4], DType::F32),
            zeros(&[4], DType::F32),
            zeros(&[3], DType::F32),
        ),
        "layer_norm: beta expects [c = 4], got [3] (layer_norm.rs:",
    );
    assert_starts(
        &error(
            zeros(&[2, 4], DType::F64),
            zeros(&[4], DType::F32),
            zeros(&[4], DType::F32),
        ),
        "layer_norm: gamma expects the dtype of x, f64, got f32",
    );
    assert_starts(
        &error(
            zeros(&[2, 0], DType::F32),
            zeros(&[0], DType::F32),
            zeros(&[0], DType::F32),
        ),
        "layer_norm: x expects [.., c] with at least one channel, got [2, 0]",
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn value_and_gradients(lead in prop::collection::vec(1usize..5, 0..3), c in 4usize..24, seed: u64) {
        let shape = [&lead[..], &[c]].concat();
        let inputs = [normal(&shape, DType::F64, seed), normal(&[c], DType::F64, seed ^ 1), normal(&[c], DType::F64, seed ^ 2)];
        let vars = inputs.each_ref().map(Var::from);
        let y = layer_norm(&vars[0], &vars[1], &vars[2], EPS)?.value().to_vec::<f64>()?;
        let (gamma, beta) = (inputs[1].to_vec::<f64>()?, inputs[2].to_vec::<f64>()?);
        let mut tame = true;
        for (x, y) in inputs[0].as_slice::<f64>()?.chunks(c).zip(y.chunks(c)) {
            let mean = x.iter().sum::<f64>() / c as f64;
            let var = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / c as f64;
            tame &= var > 0.1;
            for j in 0..c {
                prop_assert!((y[j] - ((x[j] - mean) / (var + EPS).sqrt() * gamma[j] + beta[j])).abs() < 1e-12);
            }
        }
        // Differences see a curvature of 1 / std: keep away from rows that are all but constant.
        if tame {
            gradcheck(|v| layer_norm(&v[0], &v[1], &v[2], EPS), &inputs)?;
        }
    }
}
