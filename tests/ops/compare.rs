use proptest::prelude::*;
use wavemix::gradcheck::gradcheck;
use wavemix::ops::select;
use wavemix::{DType, Result, Rng, Shape, Tensor, Var};

use crate::helpers::assert_errors;

#[test]
fn masks_broadcast() {
    let (a, b) = (
        Tensor::from_vec(vec![1.0f32, 2.0, 3.0], [3]).unwrap(),
        Tensor::from_vec(vec![2.0f32, f32::NAN], [2, 1]).unwrap(),
    );
    let bits = |mask: Result<Tensor>| {
        let mask = mask.unwrap();
        assert_eq!(mask.shape().to_string(), "[2, 3]");
        mask.to_vec::<u8>().unwrap()
    };
    assert_eq!(bits(a.eq(&b)), [0, 1, 0, 0, 0, 0]);
    assert_eq!(bits(a.ne(&b)), [1, 0, 1, 1, 1, 1]);
    assert_eq!(bits(a.lt(&b)), [1, 0, 0, 0, 0, 0]);
    assert_eq!(bits(a.le(&b)), [1, 1, 0, 0, 0, 0]);
    assert_eq!(bits(a.gt(&b)), [0, 0, 1, 0, 0, 0]);
    assert_eq!(bits(a.ge(&b)), [0, 1, 1, 0, 0, 0]);
    let large = Tensor::from_vec(vec![i64::MAX, i64::MAX - 1], [2]).unwrap();
    assert_eq!(
        large
            .eq(&Tensor::scalar(i64::MAX))
            .unwrap()
            .to_vec::<u8>()
            .unwrap(),
        [1, 0],
        "compared as integers"
    );
}

#[test]
fn errors() {
    let x = Tensor::zeros([2], DType::F32);
    let cases = [
        (
            x.lt(&Tensor::zeros([3], DType::F32)),
            "lt: b expects a shape that broadcasts with [2], got [3]",
        ),
        (
            x.eq(&Tensor::zeros([2], DType::U8)),
            "eq: b expects the dtype of a, f32, got u8",
        ),
        (
            select(&x, &(&x).into(), &(&x).into()).map(Var::into_value),
            "select: mask expects u8, got f32",
        ),
        (
            select(&Tensor::zeros([3], DType::U8), &(&x).into(), &(&x).into()).map(Var::into_value),
            "select: mask expects a shape that broadcasts with [2], got [3]",
        ),
        (
            select(
                &Tensor::zeros([2], DType::U8),
                &(&x).into(),
                &Tensor::scalar(1.0f64).into(),
            )
            .map(Var::into_value),
            "select: b expects the dtype of a, f32, got f64",
        ),
    ];
    assert_errors(cases, "compare.rs");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn selection(dims in prop::collection::vec(1usize..5, 1..4), ones in any::<[bool; 9]>(), seed: u64) {
        let rng = Rng::new(seed);
        let shape = |k: usize| Shape::new(&dims.iter().zip(&ones[k..]).map(|(&d, &one)| if one { 1 } else { d }).collect::<Vec<_>>()).unwrap();
        let draw = |k: usize| Tensor::normal(shape(3 * k), 0.0, 1.0, DType::F64, &rng.stream(k as u64));
        let mask = draw(0).gt(&Tensor::scalar(0.0)).unwrap();
        gradcheck(|v| select(&mask, &v[0], &v[1]), &[draw(1), draw(2)])?;
        // A mask is a number: m a + (1 - m) b.
        let (m, a, b) = (Var::from(mask.cast(DType::F64).unwrap()), Var::from(draw(1)), Var::from(draw(2)));
        let want = (&(&m * &a).unwrap() + &(&(m.mul_scalar(-1.0).unwrap().add_scalar(1.0)).unwrap() * &b).unwrap()).unwrap();
        let got = select(&mask, &a, &b).unwrap();
        prop_assert_eq!(got.shape(), want.shape());
        prop_assert_eq!(got.value().to_vec::<f64>().unwrap(), want.value().to_vec::<f64>().unwrap());
    }
}
