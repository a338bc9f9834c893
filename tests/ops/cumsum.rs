use proptest::prelude::*;
use wavemix::gradcheck::adjoint_check;
use wavemix::{DType, Rng, Shape, Tensor, Var};

use crate::helpers::{assert_errors, on_threads};

/// PyTorch 2.15's sums, and their gradients for dy = 1, 2, ..
#[test]
fn as_in_pytorch() {
    let x = Tensor::from_slice(&[1.0, -2.0, 0.5, 0.0, 3.0, -1.0], [2, 3]).unwrap();
    for (axis, want, dx) in [
        (
            0,
            [1.0, -2.0, 0.5, 1.0, 1.0, -0.5],
            [5.0, 7.0, 9.0, 4.0, 5.0, 6.0],
        ),
        (
            1,
            [1.0, -1.0, -0.5, 0.0, 3.0, 2.0],
            [6.0, 5.0, 3.0, 15.0, 11.0, 6.0],
        ),
    ] {
        let x = Var::leaf(x.clone());
        let y = x.cumsum(axis).unwrap();
        assert_eq!(y.value().to_vec::<f64>().unwrap(), want);
        let dy = Tensor::arange(1.0, 1.0, 6, DType::F64).reshape([2, 3]);
        let gradients = y.backward_from(dy.unwrap(), &[]).unwrap();
        assert_eq!(gradients.of(&x).unwrap().to_vec::<f64>().unwrap(), dx);
    }
}

/// A row is summed in f64, so that each sum is rounded once: also rows that are cut into blocks.
#[test]
fn single_precision_and_two_threads() {
    for (dims, dtype, unit) in [
        ([3, 100_003], DType::F32, 2f64.powi(-24)),
        ([3, 100_003], DType::BF16, 2f64.powi(-8)),
        ([1000, 70], DType::F32, 2f64.powi(-24)),
    ] {
        let x = Tensor::normal(dims, 0.0, 1.0, dtype, &Rng::new(3));
        let run = |threads, dtype| {
            on_threads(threads, || {
                let x = Var::leaf(x.cast(dtype).unwrap());
                let y = x.cumsum(1).unwrap();
                let gradients = y.backward_from(x.value().clone(), &[]).unwrap();
                [y.value(), gradients.of(&x).unwrap()]
                    .map(|t| t.cast(DType::F64).unwrap().to_vec::<f64>().unwrap())
            })
        };
        let (got, want) = (run(1, dtype), run(1, DType::F64));
        assert!(got == run(2, dtype), "{dims:?} {dtype}");
        for (got, want) in got.iter().zip(&want) {
            for (got, want) in got.iter().zip(want) {
                // 16 bits are rounded to f32 first; f64 sums of 1e5 terms near 1e3 are off by 1e-9.
                let allowed = 1.01 * unit * want.abs() + 1e-8;
                assert!((got - want).abs() <= allowed, "{dtype}: {got}, not {want}");
            }
        }
    }
}

#[test]
fn errors() {
    let x = Var::from(Tensor::zeros([2, 3], DType::F32));
    let bytes = Var::from(Tensor::zeros([2, 3], DType::U8));
    let cases = [
        (
            x.cumsum(2),
            "cumsum: axis expects below 2 for [2, 3], got 2",
        ),
        (bytes.cumsum(0), "cumsum: x expects f32 or f64, got u8"),
    ];
    assert_errors(cases, "cumsum.rs");
}

proptest! {
    #[test]
    fn each_is_the_sum_of_those_before(dims in prop::collection::vec(1usize..6, 1..5), axis in 0usize..4, seed: u64) {
        let axis = axis.min(dims.len() - 1);
        let x = Tensor::normal(Shape::new(&dims)?, 0.0, 1.0, DType::F64, &Rng::new(seed));
        let y = Var::from(&x).cumsum(axis)?;
        for i in 0..dims[axis] {
            let want = Var::from(&x).slice(axis, 0..i + 1)?.sum_keep(axis)?;
            let got = y.slice(axis, i..i + 1)?;
            let pairs = got.to_vec::<f64>()?.into_iter().zip(want.to_vec::<f64>()?);
            prop_assert!(pairs.into_iter().all(|(got, want)| (got - want).abs() < 1e-14));
        }
        adjoint_check(|x| x.cumsum(axis), &dims)?;
    }
}
