use proptest::prelude::*;
use wavemix::gradcheck::{adjoint_check, gradcheck};
use wavemix::ops::{CrossEntropyOptions, cross_entropy, nll_loss};
use wavemix::{DType, Rng, Shape, Tensor, Var};

use crate::cross_entropy::{check_precision, labels_of};
use crate::helpers::assert_errors;

/// PyTorch 2.15's value and gradient, as of
/// `nll_loss(x, torch.tensor([2, -100, 0]), ignore_index=-100)`.
#[test]
fn as_in_pytorch() {
    let x = [-0.5, -1.0, -1.5, -2.0, -0.25, -3.0, -0.75, -1.25, -2.5];
    let x = Var::leaf(Tensor::from_slice(&x, [3, 3]).unwrap());
    let loss = nll_loss(&x, &labels_of(&[2, -100, 0]), Some(-100)).unwrap();
    assert_eq!(loss.value().item().unwrap(), 1.125);
    let dx = loss.backward().unwrap().of(&x).unwrap().to_vec::<f64>();
    assert_eq!(dx.unwrap(), [0.0, 0.0, -0.5, 0.0, 0.0, 0.0, -0.5, 0.0, 0.0]);
}

/// Where PyTorch divides 0 by 0.
#[test]
fn no_position_that_counts_is_no_loss_and_no_gradient() {
    for dtype in [DType::F32, DType::F64, DType::BF16] {
        let nan = Tensor::full([2, 3], f64::NAN, dtype);
        let x = Var::leaf(nan);
        let loss = nll_loss(&x, &labels_of(&[255, 255]), Some(255)).unwrap();
        assert_eq!(loss.value().item().unwrap(), 0.0);
        let gradients = loss.backward().unwrap();
        let dx = gradients.of(&x).unwrap();
        assert_eq!(dx.dtype(), dtype);
        assert_eq!(
            dx.cast(DType::F64).unwrap().to_vec::<f64>().unwrap(),
            [0.0; 6]
        );
    }
}

#[test]
fn single_precision_and_two_threads() {
    check_precision([5000, 20], 1.0, |logits, labels| {
        nll_loss(&logits.log_softmax(1)?, labels, None)
    });
}

#[test]
fn errors() {
    let x = Var::from(Tensor::zeros([2, 3], DType::F32));
    let flat = Var::from(Tensor::zeros([2, 0], DType::F32));
    let cases = [
        (
            nll_loss(&x, &labels_of(&[0, 7]), None),
            "nll_loss: labels expects labels in 0..3, got 7 at position 1",
        ),
        (
            nll_loss(&x, &labels_of(&[0, -1]), Some(9)),
            "nll_loss: labels expects labels in 0..3 or 9, which is ignored, got -1 at position 1",
        ),
        (
            nll_loss(&x, &labels_of(&[0]), None),
            "nll_loss: labels expects [2], got [1]",
        ),
        (
            nll_loss(&flat, &labels_of(&[0, 0]), None),
            "nll_loss: log_p expects [.., classes] with at least one class, got [2, 0]",
        ),
    ];
    assert_errors(cases, "nll_loss.rs");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn after_log_softmax_it_is_cross_entropy(lead in prop::collection::vec(1usize..5, 0..3), k in 1usize..20, ignore: bool, seed: u64) {
        let (rng, shape) = (Rng::new(seed), [&lead[..], &[k]].concat());
        let x = Tensor::normal(Shape::new(&shape)?, 0.0, 2.0, DType::F64, &rng);
        let ignored = ignore.then_some(0);
        let labels: Vec<i64> = (0..lead.iter().product::<usize>() as u64).map(|i| i64::from(rng.stream(1).word(i) % k as u32)).collect();
        let labels = Tensor::from_vec(labels, Shape::new(&lead)?)?;
        let axis = lead.len();
        let options = CrossEntropyOptions { ignore_index: ignored, ..Default::default() };
        let want = cross_entropy(&Var::from(&x), &labels, options)?.value().item()?;
        let got = nll_loss(&Var::from(&x).log_softmax(axis)?, &labels, ignored)?.value().item()?;
        prop_assert!((got - want).abs() < 1e-13);
        adjoint_check(|x| nll_loss(x, &labels, ignored), &shape)?;
        gradcheck(|v| nll_loss(&v[0].log_softmax(axis)?, &labels, ignored), &[x])?;
    }
}
