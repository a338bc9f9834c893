use proptest::prelude::*;
use wavemix::gradcheck::gradcheck;
use wavemix::ops::{bce_with_logits, huber_loss, l1_loss, mse, smooth_l1_loss};
use wavemix::{DType, Result, Rng, Shape, Tensor, Var};

use crate::helpers::{assert_errors, assert_starts, message, on_threads};

type Loss = fn(&Var, &Var) -> Result<Var>;

/// Each loss with the definition of an element's.
const LOSSES: &[(&str, Loss, fn(f64, f64) -> f64)] = &[
    ("mse", mse, |a, b| (a - b) * (a - b)),
    ("l1_loss", l1_loss, |a, b| (a - b).abs()),
    (
        "huber_loss",
        |a, b| huber_loss(a, b, 0.75),
        |a, b| huber(a - b, 0.75),
    ),
    (
        "smooth_l1_loss",
        |a, b| smooth_l1_loss(a, b, 0.75),
        |a, b| huber(a - b, 0.75) / 0.75,
    ),
    (
        "smooth_l1_loss, beta 0",
        |a, b| smooth_l1_loss(a, b, 0.0),
        |a, b| (a - b).abs(),
    ),
    (
        "bce_with_logits",
        |a, b| bce_with_logits(a, b, None),
        |x, t| -(t * sigmoid(x).ln() + (1.0 - t) * sigmoid(-x).ln()),
    ),
    (
        "bce_with_logits, weighted",
        |a, b| bce_with_logits(a, b, Some(&Tensor::scalar(3.0).cast(a.dtype())?)),
        |x, t| -(3.0 * t * sigmoid(x).ln() + (1.0 - t) * sigmoid(-x).ln()),
    ),
];

/// Each loss with its value, and both gradients, of the operands of `as_in_pytorch`.
type Known = (&'static str, f64, [f64; 6], [f64; 6]);

const SIXTH: f64 = 1.0 / 6.0;

const PYTORCH: &[Known] = &[
    (
        "mse",
        2.7395833333333335,
        [-1.0, -SIXTH, -0.25, 0.0, 0.41666666666666663, 0.75],
        [1.0, SIXTH, 0.25, 0.0, -0.41666666666666663, -0.75],
    ),
    (
        "l1_loss",
        1.2916666666666667,
        [-SIXTH, -SIXTH, -SIXTH, 0.0, SIXTH, SIXTH],
        [SIXTH, SIXTH, SIXTH, 0.0, -SIXTH, -SIXTH],
    ),
    (
        "huber_loss",
        0.7395833333333334,
        [-0.125, -0.08333333333333333, -0.125, 0.0, 0.125, 0.125],
        [0.125, 0.08333333333333333, 0.125, 0.0, -0.125, -0.125],
    ),
    (
        "smooth_l1_loss",
        0.9861111111111112,
        [-SIXTH, -0.1111111111111111, -SIXTH, 0.0, SIXTH, SIXTH],
        [SIXTH, 0.1111111111111111, SIXTH, 0.0, -SIXTH, -SIXTH],
    ),
    (
        "bce_with_logits",
        1.0043370048064206,
        [
            -0.14679951299631375,
            0.0629234447996909,
            -0.07297058318570032,
            0.020409888533642433,
            0.09459574603227394,
            0.03376235447040556,
        ],
        [
            0.3333333333333333,
            0.08333333333333333,
            -0.041666666666666664,
            -0.08333333333333333,
            -0.25,
            -0.5,
        ],
    ),
    (
        "bce_with_logits, weighted",
        1.0198586606476667,
        [
            -0.07339975649815687,
            0.0629234447996909,
            -0.218911749557101,
            0.03614074973356516,
            0.08699468254034241,
            0.021905886176013894,
        ],
        [
            0.15608933241308565,
            0.24567949736335112,
            0.1503131399596145,
            -0.12283974868167556,
            -0.21643112033620793,
            -0.48380421614208596,
        ],
    ),
];

fn huber(d: f64, delta: f64) -> f64 {
    if d.abs() <= delta {
        0.5 * d * d
    } else {
        delta * (d.abs() - 0.5 * delta)
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[test]
fn by_hand() {
    let of = |values: &[f32]| Var::leaf(Tensor::from_slice(values, [2, 2]).unwrap());
    let (a, b) = (of(&[1.0, 2.0, 3.0, 4.0]), of(&[1.0, 0.0, 3.0, 8.0]));
    let loss = mse(&a, &b).unwrap();
    assert_eq!(loss.value().item().unwrap(), 5.0);
    let gradients = loss.backward().unwrap();
    let of = |x: &Var| gradients.of(x).unwrap().to_vec::<f32>().unwrap();
    assert_eq!(of(&a), [0.0, 1.0, 0.0, -2.0]);
    assert_eq!(of(&b), [0.0, -1.0, 0.0, 2.0]);
}

/// PyTorch 2.15's values and gradients in f64.
#[test]
fn as_in_pytorch() {
    let a = [-2.0, -0.5, 0.25, 0.5, 1.5, 3.0];
    let b = [1.0, 0.0, 1.0, 0.5, 0.25, 0.75];
    for (name, want, da, db) in PYTORCH {
        let [a, b] = [a, b].map(|x| Var::leaf(Tensor::from_slice(&x, [2, 3]).unwrap()));
        let weight = Tensor::from_slice(&[0.5, 2.0, 3.0], [3]).unwrap();
        let loss = match *name {
            "bce_with_logits, weighted" => bce_with_logits(&a, &b, Some(&weight)),
            name => LOSSES.iter().find(|loss| loss.0 == name).unwrap().1(&a, &b),
        };
        let loss = loss.unwrap();
        let gradients = loss.backward().unwrap();
        let of = |x: &Var| gradients.of(x).unwrap().to_vec::<f64>().unwrap();
        let same = |got: &[f64], want: &[f64]| {
            got.len() == want.len() && got.iter().zip(want).all(|(x, y)| (x - y).abs() < 1e-15)
        };
        assert!(same(&[loss.value().item().unwrap()], &[*want]), "{name}");
        assert!(same(&of(&a), da), "{name}: {:?}, not {da:?}", of(&a));
        assert!(same(&of(&b), db), "{name}: {:?}, not {db:?}", of(&b));
    }
}

#[test]
fn single_precision_and_two_threads() {
    let draw =
        |stream| Tensor::normal([100_003], 0.0, 1.0, DType::F32, &Rng::new(8).stream(stream));
    let (a, b) = (draw(0), draw(1));
    for (name, loss, _) in LOSSES {
        let run = |threads, dtype| {
            on_threads(threads, || {
                let [a, b] = [&a, &b].map(|x| Var::leaf(x.cast(dtype).unwrap()));
                let y = loss(&a, &b).unwrap();
                let gradients = y.backward().unwrap();
                let of = |x: &Var| gradients.of(x).unwrap().cast(DType::F64).unwrap();
                let [da, db] = [&a, &b].map(|x| of(x).to_vec::<f64>().unwrap());
                (y.value().item().unwrap(), da, db)
            })
        };
        let (one, want) = (run(1, DType::F32), run(1, DType::F64));
        assert!(one == run(2, DType::F32), "{name}");
        // A rounding of each of the 4,096 terms of a block, as a random walk: 64 units of 2^-24
        // would be allowed.
        let off = (one.0 - want.0).abs();
        assert!(
            off < 4.0 * f64::from(f32::EPSILON) * want.0.max(1.0),
            "{name}: {off:e}"
        );
        let steep = 16.0 * f64::from(f32::EPSILON) / a.elements() as f64;
        for (got, want) in one.1.iter().chain(&one.2).zip(want.1.iter().chain(&want.2)) {
            assert!((got - want).abs() <= steep, "{name}: {got:e}, not {want:e}");
        }
        // In 16 bits the loss is f32, and the gradient is of the operand's type.
        let [a, b] = [&a, &b].map(|x| Var::leaf(x.cast(DType::BF16).unwrap()));
        let y = loss(&a, &b).unwrap();
        let gradients = y.backward().unwrap();
        let types = [y.dtype(), gradients.of(&a).unwrap().dtype()];
        assert_eq!(types, [DType::F32, DType::BF16], "{name}");
    }
}

/// Certain logits neither overflow nor lose the digits of a small loss.
#[test]
fn binary_cross_entropy_of_large_logits() {
    for (x, t, want) in [
        (100.0, 1.0, (-100f64).exp()),
        (-100.0, 0.0, (-100f64).exp()),
        (80.0, 0.0, 80.0),
        (-80.0, 1.0, 80.0),
        (1e30, 0.0, 1e30),
    ] {
        let of = |x: f64| Var::from(Tensor::scalar(x).cast(DType::F32).unwrap());
        for weight in [None, Some(Tensor::scalar(1f32))] {
            let loss = bce_with_logits(&of(x), &of(t), weight.as_ref()).unwrap();
            let got = loss.value().item().unwrap();
            // e^-100 is subnormal in f32.
            let allowed = 1e-6 * want + f64::from(f32::MIN_POSITIVE);
            assert!(
                (got - want).abs() <= allowed,
                "{x}, {t}: {got:e}, not {want:e}"
            );
        }
    }
}

#[test]
fn errors() {
    let zeros =
        |shape: &[usize], dtype| Var::from(Tensor::zeros(Shape::new(shape).unwrap(), dtype));
    for (name, loss, _) in LOSSES {
        let error = |a, b| message(loss(&a, &b));
        let (op, _) = name.split_once(',').unwrap_or((name, ""));
        let first = if op == "bce_with_logits" {
            "logits"
        } else {
            "prediction"
        };
        assert_starts(
            &error(zeros(&[2], DType::F32), zeros(&[1], DType::F32)),
            &format!(
                "{op}: target expects the shape of {first}, [2], with elements, got [1] (pointwise_loss.rs:"
            ),
        );
        assert_starts(
            &error(zeros(&[0], DType::F32), zeros(&[0], DType::F32)),
            &format!("{op}: target expects the shape of {first}, [0], with elements, got [0]"),
        );
        assert_starts(
            &error(zeros(&[2], DType::F32), zeros(&[2], DType::F64)),
            &format!("{op}: target expects the dtype of {first}, f32, got f64"),
        );
    }
    let x = zeros(&[2, 3], DType::F32);
    let weight = |shape: &[usize], dtype| {
        let weight = zeros(shape, dtype).into_value();
        bce_with_logits(&x, &x, Some(&weight))
    };
    let cases: [(Result<Var>, &str); 6] = [
        (
            huber_loss(&x, &x, 0.0),
            "huber_loss: delta expects a finite number above 0, got 0",
        ),
        (
            huber_loss(&x, &x, f64::NAN),
            "huber_loss: delta expects a finite number above 0, got NaN",
        ),
        (
            smooth_l1_loss(&x, &x, -1.0),
            "smooth_l1_loss: beta expects a finite number not below 0, got -1",
        ),
        (
            weight(&[2], DType::F32),
            "bce_with_logits: pos_weight expects a shape that broadcasts to [2, 3], got [2]",
        ),
        (
            weight(&[4, 2, 3], DType::F32),
            "bce_with_logits: pos_weight expects a shape that broadcasts to [2, 3], got [4, 2, 3]",
        ),
        (
            weight(&[3], DType::F64),
            "bce_with_logits: pos_weight expects the dtype of logits, f32, got f64",
        ),
    ];
    assert_errors(cases, "pointwise_loss.rs");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn value_and_gradients(dims in prop::collection::vec(1usize..6, 0..4), seed: u64) {
        let draw = |stream| Tensor::normal(Shape::new(&dims).unwrap(), 0.0, 1.0, DType::F64, &Rng::new(seed).stream(stream));
        let (a, d) = (draw(0), draw(1));
        // Differences stay away from 0 and from 0.75, where slopes break or jump.
        let away = |&d: &f64| if d.abs() < 0.05 || (d.abs() - 0.75).abs() < 0.05 { d + 0.2 } else { d };
        let apart: Vec<f64> = a.as_slice::<f64>()?.iter().zip(d.as_slice::<f64>()?).map(|(a, d)| a - away(d)).collect();
        let b = Tensor::from_vec(apart, a.shape())?;
        for (name, loss, definition) in LOSSES {
            let each = a.as_slice::<f64>()?.iter().zip(b.as_slice::<f64>()?).map(|(&a, &b)| definition(a, b));
            let expected = each.sum::<f64>() / a.elements() as f64;
            let got = loss(&(&a).into(), &(&b).into())?.value().item()?;
            prop_assert!((got - expected).abs() < 1e-13, "{name}: {got}, not {expected}");
            gradcheck(|v| loss(&v[0], &v[1]), &[a.clone(), b.clone()]).map_err(|e| TestCaseError::fail(format!("{name}: {e}")))?;
        }
    }
}
