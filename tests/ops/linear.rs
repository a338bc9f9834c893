use proptest::prelude::*;
use wavemix::gradcheck::{adjoint_check, gradcheck};
use wavemix::ops::linear;
use wavemix::{DType, Rng, Shape, Tensor, Var};

#[test]
fn values() {
    let x = |values: &[f64], shape: &[usize]| {
        Var::from(Tensor::from_slice(values, Shape::new(shape).unwrap()).unwrap())
    };
    let (w, b) = (
        x(&[1.0, 2.0, 0.0, -1.0, 3.0, 1.0], &[3, 2]),
        x(&[10.0, 20.0, 30.0], &[3]),
    );
    let y = linear(&x(&[1.0, 2.0, 3.0, 4.0], &[2, 1, 2]), &w, Some(&b)).unwrap();
    assert_eq!(y.shape().to_string(), "[2, 1, 3]");
    assert_eq!(
        y.value().to_vec::<f64>().unwrap(),
        [15.0, 18.0, 35.0, 21.0, 16.0, 43.0]
    );
    let y = linear(&x(&[1.0, 2.0], &[2]), &w, None).unwrap();
    assert_eq!(y.value().to_vec::<f64>().unwrap(), [5.0, -2.0, 5.0]);
    let none = linear(&x(&[], &[2, 0]), &x(&[], &[3, 0]), Some(&b)).unwrap();
    assert_eq!(
        none.value().to_vec::<f64>().unwrap(),
        [10.0, 20.0, 30.0, 10.0, 20.0, 30.0]
    );
    assert_eq!(
        linear(&x(&[], &[0, 2]), &w, Some(&b))
            .unwrap()
            .shape()
            .to_string(),
        "[0, 3]"
    );
}

#[test]
fn errors() {
    let x = |shape: &[usize]| Var::from(Tensor::zeros(Shape::new(shape).unwrap(), DType::F32));
    let error = |x: &Var, w: &Var, b: &Var| linear(x, w, Some(b)).err().unwrap().to_string();
    let (input, w, b) = (x(&[4, 2]), x(&[3, 2]), x(&[3]));
    assert!(error(&x(&[]), &w, &b).starts_with("linear: x expects [.., c_in], got [] (linear.rs:"));
    assert!(
        error(&input, &x(&[2]), &b)
            .starts_with("linear: weight expects [c_out, c_in], got [2] (linear.rs:")
    );
    assert!(error(&input, &x(&[3, 5]), &b).starts_with(
        "linear: weight expects [c_out, c_in = 2] for x [.., c_in] = [4, 2], got [3, 5] (linear.rs:"
    ));
    assert!(
        error(&input, &w, &x(&[2]))
            .starts_with("linear: bias expects [c_out = 3], got [2] (linear.rs:")
    );
    let wide = Var::from(Tensor::zeros([3], DType::F64));
    assert!(
        error(&input, &w, &wide)
            .starts_with("linear: bias expects the dtype of x, f32, got f64 (linear.rs:")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn gradients(before in prop::collection::vec(1usize..4, 0..3), c_in in 1usize..6, c_out in 1usize..6, bias: bool, seed: u64) {
        let shape = [&before[..], &[c_in]].concat();
        let draw = |s: &[usize], i| Tensor::normal(Shape::new(s).unwrap(), 0.0, 1.0, DType::F64, &Rng::new(seed).stream(i));
        let mut inputs = vec![draw(&shape, 0), draw(&[c_out, c_in], 1)];
        inputs.extend(bias.then(|| draw(&[c_out], 2)));
        gradcheck(|v| linear(&v[0], &v[1], v.get(2)), &inputs)?;
        adjoint_check(|x| linear(x, &Var::from(&inputs[1]), None), &shape)?;
        adjoint_check(|w| linear(&Var::from(&inputs[0]), w, None), &[c_out, c_in])?;
    }
}
