//! Groups of channels, and the root mean square, against their definitions.

use proptest::prelude::*;
use wavemix::gradcheck::gradcheck;
use wavemix::ops::{group_norm, rms_norm};
use wavemix::{DType, Rng, Tensor, Var};

use super::normal;
use crate::helpers::{assert_errors, on_threads};

const EPS: f64 = 1e-2;

/// Mean and biased variance.
fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (
        mean,
        values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn groups(n in 1usize..3, middle in prop::collection::vec(1usize..4, 0..3), groups in 1usize..4, own in 1usize..4, seed: u64) {
        let c = groups * own;
        let shape = [&[n][..], &middle, &[c]].concat();
        let inputs = [normal(&shape, DType::F64, seed), normal(&[c], DType::F64, 1), normal(&[c], DType::F64, 2)];
        let vars = inputs.each_ref().map(Var::from);
        let y = group_norm(&vars[0], groups, &vars[1], &vars[2], EPS)?.to_vec::<f64>()?;
        let [x, gamma, beta] = inputs.each_ref().map(|x| x.to_vec::<f64>().unwrap());
        let positions: usize = middle.iter().product();
        for image in 0..n {
            for group in 0..groups {
                let places: Vec<usize> = (0..positions * own).map(|i| (image * positions + i / own) * c + group * own + i % own).collect();
                let (mean, var) = moments(&places.iter().map(|&i| x[i]).collect::<Vec<_>>());
                for i in places {
                    let want = (x[i] - mean) / (var + EPS).sqrt() * gamma[i % c] + beta[i % c];
                    prop_assert!((y[i] - want).abs() < 1e-12, "{} is not {want}", y[i]);
                }
            }
        }
        gradcheck(|v| group_norm(&v[0], groups, &v[1], &v[2], EPS), &inputs)?;
    }

    #[test]
    fn root_mean_squares(lead in prop::collection::vec(1usize..5, 0..3), c in 1usize..24, seed: u64) {
        let shape = [&lead[..], &[c]].concat();
        let inputs = [normal(&shape, DType::F64, seed), normal(&[c], DType::F64, 1)];
        let vars = inputs.each_ref().map(Var::from);
        let y = rms_norm(&vars[0], &vars[1], EPS)?.to_vec::<f64>()?;
        let [x, gamma] = inputs.each_ref().map(|x| x.to_vec::<f64>().unwrap());
        for (x, y) in x.chunks(c).zip(y.chunks(c)) {
            let root = (x.iter().map(|x| x * x).sum::<f64>() / c as f64 + EPS).sqrt();
            for j in 0..c {
                prop_assert!((y[j] - x[j] / root * gamma[j]).abs() < 1e-12);
            }
        }
        gradcheck(|v| rms_norm(&v[0], &v[1], EPS), &inputs)?;
    }
}

#[test]
fn two_threads_give_the_bits_of_one() {
    let [x, gamma, beta] =
        [&[4, 30, 21, 24][..], &[24], &[24]].map(|shape| Var::leaf(normal(shape, DType::F32, 1)));
    let run = |threads| {
        on_threads(threads, || {
            let y = group_norm(&x, 3, &gamma, &beta, EPS).unwrap();
            let y = rms_norm(&y, &gamma, EPS).unwrap();
            let gradients = y.backward_from(y.value().clone(), &[]).unwrap();
            [&x, &gamma, &beta].map(|v| gradients.of(v).unwrap().to_vec::<f32>().unwrap())
        })
    };
    assert!(run(1) == run(2));
}

/// Many images, few positions, none at all.
#[test]
fn nothing_to_normalise() {
    let vector = |value| Var::from(Tensor::full([4], value, DType::F32));
    for shape in [&[0, 3, 4][..], &[3, 0, 4], &[0, 1 << 48, 4]] {
        let x = Var::leaf(Tensor::zeros(shape, DType::F32));
        let y = group_norm(&x, 2, &vector(1.0), &vector(0.0), EPS).unwrap();
        assert_eq!(y.shape()[..], *shape);
        let gradients = y.backward_from(y.value().clone(), &[]).unwrap();
        assert_eq!(gradients.of(&x).unwrap().shape()[..], *shape);
    }
    let x = Var::from(Tensor::normal([2, 4], 0.0, 1.0, DType::F32, &Rng::new(1)));
    let y = group_norm(&x, 4, &vector(1.0), &vector(0.5), EPS).unwrap();
    assert_eq!(
        y.to_vec::<f32>().unwrap(),
        [0.5; 8],
        "each group has one number"
    );
}

/// A position of zeros, with nothing added to its mean square.
#[test]
fn a_root_of_zero_divides_nothing() {
    let x = Var::leaf(Tensor::from_vec(vec![0.0f32, 0.0, -2.0, 2.0], [2, 2]).unwrap());
    let gamma = Var::leaf(Tensor::from_vec(vec![3.0f32, 5.0], [2]).unwrap());
    let y = rms_norm(&x, &gamma, 0.0).unwrap();
    assert_eq!(y.to_vec::<f32>().unwrap(), [0.0, 0.0, -3.0, 5.0]);
    let dy = Tensor::ones([2, 2], DType::F32);
    let gradients = y.backward_from(dy, &[]).unwrap();
    // g = (3, 5), xhat = (-1, 1), the mean of their product is 1: (3 + 1, 5 - 1) / 2.
    let dx = gradients.of(&x).unwrap();
    assert_eq!(dx.to_vec::<f32>().unwrap(), [0.0, 0.0, 2.0, 2.0]);
    let dgamma = gradients.of(&gamma).unwrap();
    assert_eq!(dgamma.to_vec::<f32>().unwrap(), [-1.0, 1.0]);
}

#[test]
fn errors() {
    let zeros = |shape: &[usize]| Var::from(Tensor::zeros(shape, DType::F32));
    let wide = Var::from(Tensor::zeros([4], DType::F64));
    let (four, x) = (zeros(&[4]), zeros(&[2, 3, 4]));
    let cases = [
        (
            group_norm(&zeros(&[4]), 2, &four, &four, EPS),
            "group_norm: x expects [n, .., c] with at least one channel, got [4]",
        ),
        (
            group_norm(&x, 3, &four, &four, EPS),
            "group_norm: groups expects a divisor of the 4 channels, got 3",
        ),
        (
            group_norm(&x, 2, &four, &zeros(&[3]), EPS),
            "group_norm: beta expects [c = 4], got [3]",
        ),
        (
            group_norm(&x, 2, &wide, &four, EPS),
            "group_norm: gamma expects the dtype of x, f32, got f64",
        ),
        (
            rms_norm(&zeros(&[2, 0]), &four, EPS),
            "rms_norm: x expects [.., c] with at least one channel, got [2, 0]",
        ),
        (
            rms_norm(&x, &zeros(&[3]), EPS),
            "rms_norm: gamma expects [c = 4], got [3]",
        ),
    ];
    assert_errors(cases, "group_norm.rs");
}
