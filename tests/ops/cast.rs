use wavemix::gradcheck::adjoint_check;
use wavemix::{DType, Rng, Tensor, Var};

use crate::helpers::assert_error;

#[test]
fn values_are_rounded_to_nearest_and_back_without_loss() {
    let x = Tensor::from_vec(
        vec![1.0f32, 1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, -70000.0, 0.0],
        [5],
    )
    .unwrap();
    let y = Var::from(&x)
        .cast(DType::BF16)
        .unwrap()
        .cast(DType::F32)
        .unwrap();
    // Seven bits after the point: 1/256 is half a step, and ties go to even.
    assert_eq!(
        y.value().to_vec::<f32>().unwrap(),
        [1.0, 1.0, 1.0 + 4.0 / 256.0, -70144.0, 0.0]
    );
    let half = Var::from(&x)
        .cast(DType::F16)
        .unwrap()
        .cast(DType::F64)
        .unwrap();
    assert_eq!(
        half.value().to_vec::<f64>().unwrap(),
        [
            1.0,
            1.0 + 1.0 / 256.0,
            1.0 + 3.0 / 256.0,
            f64::NEG_INFINITY,
            0.0
        ]
    );
}

#[test]
fn gradients_come_back_in_the_operands_type() {
    let x = Var::leaf(Tensor::normal([3, 5], 0.0, 1.0, DType::F64, &Rng::new(1)));
    let y = x.cast(DType::BF16).unwrap();
    let dy = Tensor::normal([3, 5], 0.0, 1.0, DType::F64, &Rng::new(2))
        .cast(DType::BF16)
        .unwrap();
    let dx = y.backward_from(dy.clone(), &[]).unwrap();
    assert_eq!(
        dx.of(&x).unwrap().to_vec::<f64>().unwrap(),
        dy.cast(DType::F64).unwrap().to_vec::<f64>().unwrap()
    );
    adjoint_check(|x| x.cast(DType::F64), &[4, 3]).unwrap();
}

#[test]
fn integers_have_no_gradient() {
    let labels = Var::from(Tensor::scalar(3i64));
    assert_error(
        labels.cast(DType::F32),
        "cast: dtype expects floats, as only those have a gradient, got i64",
    );
}

/// Shapes, picking and extremes take every float type, and so do their gradients.
#[test]
fn f16_goes_both_ways_where_nothing_is_computed() {
    let x = Var::leaf(
        Tensor::arange(0.0, 1.0, 6, DType::F16)
            .reshape([2, 3])
            .unwrap(),
    );
    let at = Tensor::from_vec(vec![1i64, 1], [2]).unwrap();
    let mask = Tensor::from_vec(vec![1u8, 0, 1], [3]).unwrap();
    let outputs = [
        (x.expand([2, 2, 3]), [2.0; 6]),
        (x.max(1), [0.0, 0.0, 1.0, 0.0, 0.0, 1.0]),
        (x.index_select(0, &at), [0.0, 0.0, 0.0, 2.0, 2.0, 2.0]),
        (
            x.gather(0, &at.reshape([1, 2]).unwrap()),
            [0.0, 0.0, 0.0, 1.0, 1.0, 0.0],
        ),
        (
            wavemix::ops::select(&mask, &x, &x.detach()),
            [1.0, 0.0, 1.0, 1.0, 0.0, 1.0],
        ),
    ];
    for (i, (y, want)) in outputs.into_iter().enumerate() {
        let y = y.unwrap();
        let gradients = y
            .backward_from(Tensor::ones(y.shape(), DType::F16), &[])
            .unwrap();
        let dx = gradients.of(&x).unwrap();
        assert_eq!(
            (
                dx.dtype(),
                dx.cast(DType::F64).unwrap().to_vec::<f64>().unwrap()
            ),
            (DType::F16, want.to_vec()),
            "{i}"
        );
    }
}
