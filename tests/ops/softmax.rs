use proptest::prelude::*;
use wavemix::gradcheck::gradcheck;
use wavemix::{DType, Rng, Shape, Tensor, Var};

#[test]
fn by_hand_and_without_overflow() {
    let ln = |x: f64| x.ln();
    let x = Var::from(Tensor::from_vec(vec![ln(1.0), ln(2.0), ln(5.0), 1e4, 1e4, -1e4], [2, 3]).unwrap());
    let y = x.softmax(1).unwrap().value().to_vec::<f64>().unwrap();
    assert!(y.iter().zip([0.125, 0.25, 0.625, 0.5, 0.5, 0.0]).all(|(a, b)| (a - b).abs() < 1e-15), "{y:?}");
    let y = x.log_softmax(1).unwrap().value().to_vec::<f64>().unwrap();
    let expected = [ln(0.125), ln(0.25), ln(0.625), ln(0.5), ln(0.5), -2e4 + ln(0.5)];
    assert!(y.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-11), "{y:?}");
    let columns = x.transpose(0, 1).unwrap().softmax(0).unwrap().transpose(0, 1).unwrap();
    assert_eq!(columns.value().to_vec::<f64>().unwrap(), x.softmax(1).unwrap().value().to_vec::<f64>().unwrap());
}

#[test]
fn single_precision_and_two_threads() {
    let x = Tensor::normal([1000, 77], 0.0, 3.0, DType::F32, &Rng::new(3));
    let dy = Tensor::normal([1000, 77], 0.0, 1.0, DType::F32, &Rng::new(4));
    for log in [false, true] {
        let run = |threads, dtype| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let x = Var::leaf(x.cast(dtype).unwrap());
                let y = if log { x.log_softmax(1) } else { x.softmax(1) }.unwrap();
                let gradients = y.backward_from(dy.cast(dtype).unwrap(), &[]).unwrap();
                [y.value(), gradients.of(&x).unwrap()].map(|t| t.cast(DType::F64).unwrap().to_vec::<f64>().unwrap())
            })
        };
        let (single, double) = (run(1, DType::F32), run(1, DType::F64));
        assert!(single == run(2, DType::F32));
        // Exponents near 16 are rounded at 16 eps; a gradient of the logarithm has them times the sum of 77 dy.
        let eps = f64::from(f32::EPSILON);
        let limits = [32.0 * eps, if log { 32.0 * eps * 77f64.sqrt() } else { 32.0 * eps }];
        let close = |i: usize| single[i].iter().zip(&double[i]).all(|(a, b)| (a - b).abs() < limits[i]);
        assert!(close(0) && close(1), "log: {log}");
    }
}

#[test]
fn errors() {
    let e = Var::from(Tensor::zeros([2, 3], DType::F32)).softmax(2).err().unwrap().to_string();
    assert!(e.starts_with("softmax: axis expects one of the 2 axes of [2, 3], with elements, got 2 (softmax.rs:"), "{e}");
    let e = Var::from(Tensor::zeros([2, 0], DType::F32)).log_softmax(1).err().unwrap().to_string();
    assert!(e.starts_with("log_softmax: axis expects one of the 2 axes of [2, 0], with elements, got 1"), "{e}");
    let e = Var::from(Tensor::zeros([2], DType::U8)).softmax(0).err().unwrap().to_string();
    assert!(e.starts_with("softmax: x expects f32 or f64, got u8"), "{e}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn value_and_gradient(dims in prop::collection::vec(1usize..6, 1..4), axis in 0usize..4, seed: u64) {
        let axis = axis % dims.len();
        let x = Tensor::normal(Shape::new(&dims)?, 0.0, 2.0, DType::F64, &Rng::new(seed));
        let exponentials = Var::from(&x).exp()?;
        let expected = (&exponentials / &exponentials.sum(&[axis], true)?)?.value().to_vec::<f64>()?;
        let y = Var::from(&x).softmax(axis)?.value().to_vec::<f64>()?;
        let log = Var::from(&x).log_softmax(axis)?.value().to_vec::<f64>()?;
        for i in 0..y.len() {
            prop_assert!((y[i] - expected[i]).abs() < 1e-14 && (log[i] - expected[i].ln()).abs() < 1e-13);
        }
        gradcheck(|v| v[0].softmax(axis), std::slice::from_ref(&x))?;
        gradcheck(|v| v[0].log_softmax(axis), &[x])?;
    }
}
