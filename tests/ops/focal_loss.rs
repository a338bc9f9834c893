use proptest::prelude::*;
use wavemix::gradcheck::gradcheck;
use wavemix::ops::{CrossEntropyOptions, cross_entropy, focal_loss};
use wavemix::{DType, Rng, Shape, Tensor, Var};

fn labels_of(values: &[i64]) -> Tensor {
    Tensor::from_slice(values, [values.len()]).unwrap()
}

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
        assert_eq!(
            loss.backward()
                .unwrap()
                .of(&logits)
                .unwrap()
                .to_vec::<f32>()
                .unwrap(),
            [0.0; 6],
            "gamma {gamma}"
        );
    }
}

#[test]
fn single_precision_and_two_threads() {
    let (n, k, rng) = (5000, 20, Rng::new(6));
    let exact = Tensor::normal([n, k], 0.0, 3.0, DType::F32, &rng);
    let labels = labels_of(
        &(0..n as u64)
            .map(|i| i64::from(rng.stream(1).word(i) % 20))
            .collect::<Vec<_>>(),
    );
    let run = |threads, dtype| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let logits = Var::leaf(exact.cast(dtype).unwrap());
            let loss = focal_loss(&logits, &labels, 2.0, None).unwrap();
            let dx = loss
                .backward()
                .unwrap()
                .of(&logits)
                .unwrap()
                .cast(DType::F64)
                .unwrap()
                .to_vec::<f64>()
                .unwrap();
            (loss.value().item().unwrap(), dx)
        })
    };
    let (single, double) = (run(1, DType::F32), run(1, DType::F64));
    assert!(single == run(2, DType::F32));
    let eps = f64::from(f32::EPSILON);
    assert!((single.0 - double.0).abs() < 8.0 * eps * double.0 && double.0 > 1.0);
    // Each weight is below 2, and exponents are off by the rounding of numbers near 16.
    assert!(
        single
            .1
            .iter()
            .zip(&double.1)
            .all(|(a, b)| (a - b).abs() < 32.0 * eps / n as f64)
    );
}

#[test]
fn errors() {
    let logits = Var::from(Tensor::zeros([2, 3], DType::F32));
    let e = focal_loss(&logits, &labels_of(&[0, 7]), 2.0, None)
        .err()
        .unwrap()
        .to_string();
    assert!(
        e.starts_with(
            "focal_loss: labels expects labels in 0..3, got 7 at position 1 (focal_loss.rs:"
        ),
        "{e}"
    );
    for gamma in [-1.0, f64::NAN, f64::INFINITY] {
        let e = focal_loss(&logits, &labels_of(&[0, 0]), gamma, None)
            .err()
            .unwrap()
            .to_string();
        assert!(
            e.starts_with(&format!(
                "focal_loss: gamma expects a finite number not below 0, got {gamma}"
            )),
            "{e}"
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
