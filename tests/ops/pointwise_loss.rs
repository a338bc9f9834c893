use proptest::prelude::*;
use wavemix::gradcheck::gradcheck;
use wavemix::ops::mse;
use wavemix::{DType, Rng, Shape, Tensor, Var};

use crate::helpers::{assert_starts, on_threads};

#[test]
fn by_hand() {
    let of = |values: &[f32]| Var::leaf(Tensor::from_slice(values, [2, 2]).unwrap());
    let (a, b) = (of(&[1.0, 2.0, 3.0, 4.0]), of(&[1.0, 0.0, 3.0, 8.0]));
    let loss = mse(&a, &b).unwrap();
    assert_eq!(loss.value().item().unwrap(), 5.0);
    let gradients = loss.backward().unwrap();
    assert_eq!(
        gradients.of(&a).unwrap().to_vec::<f32>().unwrap(),
        [0.0, 1.0, 0.0, -2.0]
    );
    assert_eq!(
        gradients.of(&b).unwrap().to_vec::<f32>().unwrap(),
        [0.0, -1.0, 0.0, 2.0]
    );
}

#[test]
fn single_precision_and_two_threads() {
    let draw =
        |stream| Tensor::normal([100_003], 0.0, 1.0, DType::F32, &Rng::new(8).stream(stream));
    let (a, b) = (draw(0), draw(1));
    let run = |threads, dtype| {
        on_threads(threads, || {
            mse(
                &a.cast(dtype).unwrap().into(),
                &b.cast(dtype).unwrap().into(),
            )
            .unwrap()
            .value()
            .item()
            .unwrap()
        })
    };
    assert_eq!(run(1, DType::F32), run(2, DType::F32));
    assert!((run(1, DType::F32) - run(1, DType::F64)).abs() < 4.0 * f64::from(f32::EPSILON));
}

#[test]
fn errors() {
    let zeros =
        |shape: &[usize], dtype| Var::from(Tensor::zeros(Shape::new(shape).unwrap(), dtype));
    let error = |a, b| mse(&a, &b).err().unwrap().to_string();
    assert_starts(
        &error(zeros(&[2], DType::F32), zeros(&[1], DType::F32)),
        "mse: target expects the shape of prediction, [2], with elements, got [1] (pointwise_loss.rs:",
    );
    assert_starts(
        &error(zeros(&[0], DType::F32), zeros(&[0], DType::F32)),
        "mse: target expects the shape of prediction, [0], with elements, got [0]",
    );
    assert_starts(
        &error(zeros(&[2], DType::F32), zeros(&[2], DType::F64)),
        "mse: target expects the dtype of prediction, f32, got f64",
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn value_and_gradients(dims in prop::collection::vec(1usize..6, 0..4), seed: u64) {
        let draw = |stream| Tensor::normal(Shape::new(&dims).unwrap(), 0.0, 1.0, DType::F64, &Rng::new(seed).stream(stream));
        let (a, b) = (draw(0), draw(1));
        let squares = a.as_slice::<f64>()?.iter().zip(b.as_slice::<f64>()?).map(|(a, b)| (a - b) * (a - b));
        let expected = squares.sum::<f64>() / a.elements() as f64;
        prop_assert!((mse(&(&a).into(), &(&b).into())?.value().item()? - expected).abs() < 1e-13);
        gradcheck(|v| mse(&v[0], &v[1]), &[a, b])?;
    }
}
