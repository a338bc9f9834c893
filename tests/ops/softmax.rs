use proptest::prelude::*;
use wavemix::gradcheck::gradcheck;
use wavemix::{DType, Rng, Shape, Tensor, Var};

use crate::helpers::{assert_error, on_threads};

#[test]
fn by_hand_and_without_overflow() {
    let ln = |x: f64| x.ln();
    let x = Var::from(
        Tensor::from_vec(vec![ln(1.0), ln(2.0), ln(5.0), 1e4, 1e4, -1e4], [2, 3]).unwrap(),
    );
    let y = x.softmax(1).unwrap().value().to_vec::<f64>().unwrap();
    assert!(
        y.iter()
            .zip([0.125, 0.25, 0.625, 0.5, 0.5, 0.0])
            .all(|(a, b)| (a - b).abs() < 1e-15),
        "{y:?}"
    );
    let y = x.log_softmax(1).unwrap().value().to_vec::<f64>().unwrap();
    let expected = [
        ln(0.125),
        ln(0.25),
        ln(0.625),
        ln(0.5),
        ln(0.5),
        -2e4 + ln(0.5),
    ];
    assert!(
        y.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-11),
        "{y:?}"
    );
    let columns = x
        .transpose(0, 1)
        .unwrap()
        .softmax(0)
        .unwrap()
        .transpose(0, 1)
        .unwrap();
    assert_eq!(
        columns.value().to_vec::<f64>().unwrap(),
        x.softmax(1).unwrap().value().to_vec::<f64>().unwrap()
    );
}

#[test]
fn single_precision_and_two_threads() {
    let x = Tensor::normal([1000, 77], 0.0, 3.0, DType::F32, &Rng::new(3));
    let dy = Tensor::normal([1000, 77], 0.0, 1.0, DType::F32, &Rng::new(4));
    for log in [false, true] {
        let run = |threads, dtype| {
            on_threads(threads, || {
                let x = Var::leaf(x.cast(dtype).unwrap());
                let y = if log { x.log_softmax(1) } else { x.softmax(1) }.unwrap();
                let gradients = y.backward_from(dy.cast(dtype).unwrap(), &[]).unwrap();
                [y.value(), gradients.of(&x).unwrap()]
                    .map(|t| t.cast(DType::F64).unwrap().to_vec::<f64>().unwrap())
            })
        };
        let (single, double) = (run(1, DType::F32), run(1, DType::F64));
        assert!(single == run(2, DType::F32));
        // Exponents near 16 are rounded at 16 eps.
        let eps = f64::from(f32::EPSILON);
        let off = |i: usize| single[i].iter().zip(&double[i]).map(|(a, b)| (a - b).abs());
        assert!(off(0).all(|error| error < 32.0 * eps), "log: {log}");
        if log {
            let [x, dy] = [&x, &dy].map(|t| t.cast(DType::F64).unwrap().to_vec::<f64>().unwrap());
            let rows = x.chunks(77).zip(double[0].chunks(77)).zip(dy.chunks(77));
            let limits = rows.flat_map(|((x, y), dy)| log_gradient_rounding([x, y, dy]));
            let worst = off(1)
                .zip(limits)
                .map(|(error, limit)| error / limit)
                .fold(0.0, f64::max);
            assert!(worst < 1.0, "log: {worst} of the limit");
        } else {
            assert!(off(1).all(|error| error < 32.0 * eps));
        }
    }
}

/// How far dx = dy - e^y S, S = the sum of dy, may be off in f32 for each element of a row.
///
/// u = eps/2 bounds the relative error of a rounding, and u \[v\] its error, \[v\] being the power
/// of two at or below |v|. exp and ln are off by two units in the last place at most, which is 4 u
/// \[v\] (asserted where they are defined).
///
/// ```text
/// error of dx  <= u |dx| + e^y (|S| (error of y + 5 u) + error of S)      5: exp's 4 and the product's 1
/// error of y   <= u ([y] + [x - largest]) + error of l                    y = (x - largest) - l, l = ln(sum of e^(x - largest))
/// error of l   <= 4 u [l] + (8 + 4 + ln 77) u                             the last: what the sum is off by, relatively
/// error of S   <= 6 u sqrt(sum of squared partial sums / 3)
/// ```
///
/// The sum of exponentials is rounded in 8 additions of positive numbers (4 in a lane, 4 joining 16
/// lanes), by exp, and in its arguments: by u times the mean of largest - x under the softmax,
/// which is below ln 77. Additions of S round independently, each by a deviation of at most u
/// |partial sum| / sqrt 3; the bound is six deviations of the whole.
fn log_gradient_rounding([x, y, dy]: [&[f64]; 3]) -> Vec<f64> {
    let u = f64::from(f32::EPSILON) / 2.0;
    let power = |v: f64| {
        if v == 0.0 {
            0.0
        } else {
            v.abs().log2().floor().exp2()
        }
    };
    let (mut lanes, mut squares) = ([0.0; 16], 0.0);
    let mut add = |lanes: &mut [f64; 16], l: usize, term: f64| {
        lanes[l] += term;
        squares += lanes[l] * lanes[l];
    };
    dy.iter()
        .enumerate()
        .for_each(|(i, &dy)| add(&mut lanes, i % 16, dy));
    for half in [8, 4, 2, 1] {
        for l in 0..half {
            let other = lanes[l + half];
            add(&mut lanes, l, other);
        }
    }
    let (sum, sum_error) = (lanes[0], 6.0 * u * (squares / 3.0_f64).sqrt());
    let largest = x.iter().copied().fold(f64::MIN, f64::max);
    let log_sum = (x[0] - largest) - y[0];
    let log_sum_error = u * (4.0 * power(log_sum) + 12.0 + 77f64.ln());
    let limit = |((&x, &y), &dy): ((&f64, &f64), &f64)| {
        let p = y.exp();
        let y_error = u * (power(y) + power(x - largest)) + log_sum_error;
        u * (dy - p * sum).abs() + p * (sum.abs() * (y_error + 5.0 * u) + sum_error)
    };
    x.iter().zip(y).zip(dy).map(limit).collect()
}

#[test]
fn errors() {
    assert_error(
        Var::from(Tensor::zeros([2, 3], DType::F32)).softmax(2),
        "softmax: axis expects one of the 2 axes of [2, 3], with elements, got 2 (softmax.rs:",
    );
    assert_error(
        Var::from(Tensor::zeros([2, 0], DType::F32)).log_softmax(1),
        "log_softmax: axis expects one of the 2 axes of [2, 0], with elements, got 1",
    );
    assert_error(
        Var::from(Tensor::zeros([2], DType::U8)).softmax(0),
        "softmax: x expects f32 or f64, got u8",
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn value_and_gradient(dims in prop::collection::vec(1usize..6, 1..4), axis in 0usize..4, seed: u64) {
        let axis = axis % dims.len();
        let x = Tensor::normal(Shape::new(&dims)?, 0.0, 2.0, DType::F64, &Rng::new(seed));
        let exponentials = Var::from(&x).exp()?;
        let expected = (&exponentials / &exponentials.sum_keep(axis)?)?.value().to_vec::<f64>()?;
        let y = Var::from(&x).softmax(axis)?.value().to_vec::<f64>()?;
        let log = Var::from(&x).log_softmax(axis)?.value().to_vec::<f64>()?;
        for i in 0..y.len() {
            prop_assert!((y[i] - expected[i]).abs() < 1e-14 && (log[i] - expected[i].ln()).abs() < 1e-13);
        }
        gradcheck(|v| v[0].softmax(axis), std::slice::from_ref(&x))?;
        gradcheck(|v| v[0].log_softmax(axis), &[x])?;
    }
}
