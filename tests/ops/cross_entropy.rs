use proptest::prelude::*;
use wavemix::gradcheck::gradcheck;
use wavemix::ops::{CrossEntropyOptions, cross_entropy};
use wavemix::{DType, Rng, Shape, Tensor, Var};

use crate::helpers::{assert_starts, on_threads};

fn options(label_smoothing: f64, ignore_index: Option<i64>) -> CrossEntropyOptions {
    CrossEntropyOptions {
        label_smoothing,
        ignore_index,
    }
}

pub fn labels_of(values: &[i64]) -> Tensor {
    Tensor::from_slice(values, [values.len()]).unwrap()
}

pub fn gradient(loss: &Var, logits: &Var) -> Vec<f32> {
    let gradients = loss.backward().unwrap();
    gradients.of(logits).unwrap().to_vec::<f32>().unwrap()
}

/// The definition: the mean of -sum of target ln(softmax).
fn naive(logits: &[f64], labels: &[i64], k: usize, smoothing: f64, ignored: Option<i64>) -> f64 {
    let counted: Vec<_> = logits
        .chunks(k)
        .zip(labels)
        .filter(|(_, label)| Some(**label) != ignored)
        .collect();
    let loss = |(row, label): &(&[f64], &i64)| {
        let total: f64 = row.iter().map(|x| x.exp()).sum();
        let target = |j: usize| {
            smoothing / k as f64
                + if j as i64 == **label {
                    1.0 - smoothing
                } else {
                    0.0
                }
        };
        row.iter()
            .enumerate()
            .map(|(j, x)| -target(j) * (x.exp() / total).ln())
            .sum::<f64>()
    };
    counted.iter().map(loss).sum::<f64>() / counted.len().max(1) as f64
}

#[test]
fn agrees_with_pytorch() {
    let logits = Var::leaf(
        Tensor::from_vec(
            vec![1.0, 2.0, 3.0, -1.0, 0.5, 0.0, 4.0, 1.0, -2.0f64],
            [3, 3],
        )
        .unwrap(),
    );
    let loss = cross_entropy(&logits, &labels_of(&[2, 0, -100]), options(0.1, Some(-100))).unwrap();
    let expected = 1.264201618223888;
    let gradient = [
        0.02834861991852355,
        0.10569756886073216,
        -0.13404618877925578,
        -0.40569084051180226,
        0.25660802696642315,
        0.14908281354537908,
        0.0,
        0.0,
        0.0,
    ];
    assert!((loss.value().item().unwrap() - expected).abs() < 1e-14);
    let dx = loss
        .backward()
        .unwrap()
        .of(&logits)
        .unwrap()
        .to_vec::<f64>()
        .unwrap();
    assert!(
        dx.iter().zip(gradient).all(|(a, b)| (a - b).abs() < 1e-14),
        "{dx:?}"
    );
}

#[test]
fn large_logits_do_not_overflow() {
    let logits = Var::leaf(Tensor::from_vec(vec![1e4f32, -1e4, 0.0], [1, 3]).unwrap());
    let loss = cross_entropy(&logits, &labels_of(&[1]), CrossEntropyOptions::default()).unwrap();
    assert_eq!(loss.value().item().unwrap(), 2e4);
    assert_eq!(gradient(&loss, &logits), [1.0, -1.0, 0.0]);
}

#[test]
fn nothing_counted_is_no_loss() {
    let logits = Var::leaf(Tensor::ones([2, 3], DType::F32));
    let loss = cross_entropy(&logits, &labels_of(&[255, 255]), options(0.1, Some(255))).unwrap();
    assert_eq!(loss.value().item().unwrap(), 0.0);
    assert_eq!(gradient(&loss, &logits), [0.0; 6]);
    let loss = cross_entropy(
        &Var::from(Tensor::ones([0, 3], DType::F32)),
        &labels_of(&[]),
        options(0.0, None),
    )
    .unwrap();
    assert_eq!(loss.value().item().unwrap(), 0.0);
}

/// A loss of [n, k] logits and its gradient: the same bits on two threads, and in f32 near those in
/// f64. Gradients are weights of at most `weight` over n, and their exponents are off by the
/// rounding of numbers near 16.
pub fn check_precision(
    [n, k]: [usize; 2],
    weight: f64,
    loss: impl Fn(&Var, &Tensor) -> wavemix::Result<Var> + Sync,
) {
    let rng = Rng::new(6);
    let exact = Tensor::normal([n, k], 0.0, 3.0, DType::F32, &rng);
    let label = |i| i64::from(rng.stream(1).word(i) % k as u32);
    let labels = labels_of(&(0..n as u64).map(label).collect::<Vec<_>>());
    let run = |threads, dtype| {
        on_threads(threads, || {
            let logits = Var::leaf(exact.cast(dtype).unwrap());
            let loss = loss(&logits, &labels).unwrap();
            let gradients = loss.backward().unwrap();
            let dx = gradients.of(&logits).unwrap().cast(DType::F64).unwrap();
            (loss.value().item().unwrap(), dx.to_vec::<f64>().unwrap())
        })
    };
    let (single, double) = (run(1, DType::F32), run(1, DType::F64));
    assert!(single == run(2, DType::F32));
    let eps = f64::from(f32::EPSILON);
    assert!((single.0 - double.0).abs() < 8.0 * eps * double.0 && double.0 > 1.0);
    let mut pairs = single.1.iter().zip(&double.1);
    assert!(pairs.all(|(a, b)| (a - b).abs() < 16.0 * weight * eps / n as f64));
}

#[test]
fn single_precision_and_two_threads() {
    check_precision([3000, 47], 1.0, |logits, labels| {
        cross_entropy(logits, labels, options(0.1, None))
    });
}

#[test]
fn errors() {
    let logits = Var::from(Tensor::zeros([2, 3], DType::F32));
    let error = |logits: &Var, labels: &Tensor, options| {
        cross_entropy(logits, labels, options)
            .err()
            .unwrap()
            .to_string()
    };
    assert_starts(
        &error(&logits, &labels_of(&[0, 3]), options(0.0, None)),
        "cross_entropy: labels expects labels in 0..3, got 3 at position 1 (cross_entropy.rs:",
    );
    assert_starts(
        &error(&logits, &labels_of(&[-1, 0]), options(0.0, Some(255))),
        "cross_entropy: labels expects labels in 0..3 or 255, which is ignored, got -1 at position 0",
    );
    assert_starts(
        &error(&logits, &labels_of(&[0]), options(0.0, None)),
        "cross_entropy: labels expects [2], got [1]",
    );
    assert_starts(
        &error(&logits, &Tensor::zeros([2], DType::U8), options(0.0, None)),
        "cross_entropy: labels expects i64, got u8",
    );
    assert_starts(
        &error(&logits, &labels_of(&[0, 0]), options(1.5, None)),
        "cross_entropy: label_smoothing expects a number in 0..=1, got 1.5",
    );
    assert_starts(
        &error(
            &Var::from(Tensor::zeros([0], DType::F32)),
            &Tensor::zeros([], DType::I64),
            options(0.0, None),
        ),
        "cross_entropy: logits expects [.., classes] with at least one class, got [0]",
    );
    assert_starts(
        &error(
            &Var::from(Tensor::zeros([2, 3], DType::I64)),
            &labels_of(&[0, 0]),
            options(0.0, None),
        ),
        "cross_entropy: logits expects f32 or f64, got i64",
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn value_and_gradient(lead in prop::collection::vec(1usize..5, 0..3), k in 1usize..20, smooth: bool, ignore: bool, seed: u64) {
        let (rng, shape) = (Rng::new(seed), [&lead[..], &[k]].concat());
        let logits = Tensor::normal(Shape::new(&shape)?, 0.0, 2.0, DType::F64, &rng);
        let (smoothing, ignored) = (if smooth { 0.2 } else { 0.0 }, ignore.then_some(0));
        let labels: Vec<i64> = (0..lead.iter().product::<usize>() as u64).map(|i| i64::from(rng.stream(1).word(i) % k as u32)).collect();
        let expected = naive(logits.as_slice()?, &labels, k, smoothing, ignored);
        let labels = Tensor::from_vec(labels, Shape::new(&lead)?)?;
        let loss = cross_entropy(&Var::from(&logits), &labels, options(smoothing, ignored))?;
        prop_assert!((loss.value().item()? - expected).abs() < 1e-13);
        gradcheck(|v| cross_entropy(&v[0], &labels, options(smoothing, ignored)), &[logits])?;
    }
}
