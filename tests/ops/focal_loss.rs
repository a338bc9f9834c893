use proptest::prelude::*;
use wavemix::gradcheck::gradcheck;
use wavemix::ops::{CrossEntropyOptions, cross_entropy, focal_loss};
use wavemix::{DType, Rng, Shape, Tensor, Var};

use crate::cross_entropy::{check_precision, gradient, labels_of};
use crate::helpers::assert_error;

#[test]
fn one_position_by_hand() {
    // p = 1/4: (3/4)^2 ln 4.
    let logits = Var::from(Tensor::zeros([2, 4], DType::F64));
    let loss = focal_loss(&logits, &labels_of(&[1, 255]), 2.0, Some(255)).unwrap();
    assert!((loss.value().item().unwrap() - 0.5625 * 4f64.ln()).abs() < 1e-15);
}

#[test]
fn certainty_is_no_loss_and_no_gradient() {
    for gamma in [0.0, 0.5, 1.0, 2.0] {
        let logits = Var::leaf(
            Tensor::from_vec(vec![200.0f32, 0.0, -1.0, 0.0, 200.0, 3.0], [2, 3]).unwrap(),
        );
        let loss = focal_loss(&logits, &labels_of(&[0, 255]), gamma, Some(255)).unwrap();
        assert_eq!(loss.value().item().unwrap(), 0.0);
        assert_eq!(gradient(&loss, &logits), [0.0; 6], "gamma {gamma}");
    }
}

#[test]
fn single_precision_and_two_threads() {
    check_precision([5000, 20], 2.0, |logits, labels| {
        focal_loss(logits, labels, 2.0, None)
    });
}

#[test]
fn errors() {
    let logits = Var::from(Tensor::zeros([2, 3], DType::F32));
    assert_error(
        focal_loss(&logits, &labels_of(&[0, 7]), 2.0, None),
        "focal_loss: labels expects labels in 0..3, got 7 at position 1 (focal_loss.rs:",
    );
    for gamma in [-1.0, f64::NAN, f64::INFINITY] {
        assert_error(
            focal_loss(&logits, &labels_of(&[0, 0]), gamma, None),
            &format!("focal_loss: gamma expects a finite number not below 0, got {gamma}"),
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn value_and_gradient(lead in prop::collection::vec(1usize..5, 0..3), k in 1usize..20, gamma in 0usize..5, ignore: bool, seed: u64) {
        let (rng, shape) = (Rng::new(seed), [&lead[..], &[k]].concat());
        let logits = Tensor::normal(Shape::new(&shape)?, 0.0, 1.0, DType::F64, &rng);
        let (gamma, ignored) = ([0.0, 0.5, 1.0, 2.0, 3.5][gamma], ignore.then_some(0));
        let values: Vec<i64> = (0..lead.iter().product::<usize>() as u64).map(|i| i64::from(rng.stream(1).word(i) % k as u32)).collect();
        let counted = logits.as_slice::<f64>()?.chunks(k).zip(&values).filter(|(_, label)| Some(**label) != ignored);
        let losses: Vec<f64> = counted.map(|(row, &label)| {
            let p = row[label as usize].exp() / row.iter().map(|x| x.exp()).sum::<f64>();
            -(1.0 - p).powf(gamma) * p.ln()
        }).collect();
        let expected = losses.iter().sum::<f64>() / losses.len().max(1) as f64;
        let labels = Tensor::from_vec(values, Shape::new(&lead)?)?;
        let loss = focal_loss(&Var::from(&logits), &labels, gamma, ignored)?;
        prop_assert!((loss.value().item()? - expected).abs() < 1e-13);
        if gamma == 0.0 {
            let options = CrossEntropyOptions { ignore_index: ignored, ..Default::default() };
            prop_assert!((cross_entropy(&Var::from(&logits), &labels, options)?.value().item()? - expected).abs() < 1e-13);
        }
        gradcheck(|v| focal_loss(&v[0], &labels, gamma, ignored), &[logits])?;
    }
}

/// What an ignored position holds does not matter: its label need not be a class, nor its logits
/// numbers.
#[test]
fn an_ignored_position_of_no_numbers_has_no_gradient() {
    for dtype in [DType::F32, DType::F64, DType::BF16] {
        let logits = Tensor::from_vec(
            vec![
                f64::NAN,
                1.0,
                f64::NEG_INFINITY,
                f64::NEG_INFINITY,
                0.0,
                0.0,
            ],
            [3, 2],
        )
        .unwrap();
        let x = Var::leaf(logits.cast(dtype).unwrap());
        let labels = Tensor::from_vec(vec![255i64, 255, 0], [3]).unwrap();
        let loss = focal_loss(&x, &labels, 2.0, Some(255)).unwrap();
        let gradients = loss.backward().unwrap();
        let dx = gradients
            .of(&x)
            .unwrap()
            .cast(DType::F64)
            .unwrap()
            .to_vec::<f64>()
            .unwrap();
        assert!(
            loss.value().item().unwrap().is_finite() && dx[..4] == [0.0; 4] && dx[4] < 0.0,
            "{dtype}: {dx:?}"
        );
    }
}
