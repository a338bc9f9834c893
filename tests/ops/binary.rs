use proptest::prelude::*;
use wavemix::gradcheck::gradcheck;
use wavemix::{DType, Rng, Tensor, Var};

use crate::helpers::assert_error;

fn constant(values: &[f64], shape: impl Into<wavemix::Shape>) -> Var {
    Tensor::from_slice(values, shape).unwrap().into()
}

#[test]
fn values_broadcast() {
    let (a, b) = (
        constant(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3]),
        constant(&[2.0, 4.0], [2, 1]),
    );
    let values = |y: wavemix::Result<Var>| y.unwrap().value().to_vec::<f64>().unwrap();
    assert_eq!(values(&a + &b), [3.0, 4.0, 5.0, 8.0, 9.0, 10.0]);
    assert_eq!(values(&a - &b), [-1.0, 0.0, 1.0, 0.0, 1.0, 2.0]);
    assert_eq!(values(&a * &b / &a), [2.0, 2.0, 2.0, 4.0, 4.0, 4.0]);
    assert_eq!(values(a.maximum(&b)), [2.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(values(b.minimum(&a)), [1.0, 2.0, 2.0, 4.0, 4.0, 4.0]);
}

#[test]
fn errors_name_the_operand_and_the_line() {
    let (a, b) = (constant(&[1.0, 2.0], [2]), constant(&[1.0, 2.0, 3.0], [3]));
    let (line, sum) = (line!(), &a + &b);
    let error = sum.err().unwrap().to_string();
    assert_eq!(
        error,
        format!("add: b expects a shape that broadcasts with [2], got [3] (binary.rs:{line})")
    );
    let single = Var::from(Tensor::scalar(1.0f32));
    assert_error(
        &constant(&[1.0], []) * &single,
        "mul: b expects the dtype of a, f64, got f32",
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn gradients(dims in prop::collection::vec(1usize..5, 1..4), ones in any::<[bool; 6]>(), seed: u64) {
        let rng = Rng::new(seed);
        // Two shapes that broadcast with one another: some axes repeated, a leading one perhaps
        // missing.
        let shape = |flags: &[bool]| dims.iter().zip(flags).map(|(&d, &one)| if one { 1 } else { d }).collect::<Vec<_>>();
        let (sa, sb) = (shape(&ones[..3]), shape(&ones[3..]));
        let sb = if ones[0] { &sb[1..] } else { &sb[..] };
        let draw = |s: &[usize], stream| Tensor::uniform(wavemix::Shape::new(s).unwrap(), 0.5, 2.0, DType::F64, &rng.stream(stream));
        let inputs = [draw(&sa, 0), draw(sb, 1)];
        gradcheck(|v| &v[0] + &v[1], &inputs)?;
        gradcheck(|v| &v[0] - &v[1], &inputs)?;
        gradcheck(|v| &v[0] * &v[1], &inputs)?;
        gradcheck(|v| &v[0] / &v[1], &inputs)?;
        let apart = [inputs[0].clone(), (&Var::from(&inputs[1]) + &Var::from(Tensor::scalar(2.0f64))).unwrap().into_value()];
        gradcheck(|v| v[0].maximum(&v[1]), &apart)?;
        gradcheck(|v| v[0].minimum(&v[1]), &apart)?;
    }
}

/// Operands that are owned, borrowed or the outcome of another op, and numbers on either side.
#[test]
fn operators_take_all_kinds_of_operands() {
    let a = || Var::leaf(Tensor::from_vec(vec![2.0, -3.0], [2]).unwrap());
    let b = || Var::leaf(Tensor::from_vec(vec![0.5, 4.0], [2]).unwrap());
    let check = |y: wavemix::Result<Var>, want: [f64; 2]| {
        assert_eq!(y.unwrap().value().to_vec::<f64>().unwrap(), want);
    };
    let (x, y) = (a(), b());
    macro_rules! all {
        ($op:tt, $want:expr) => {
            check(&x $op &y, $want);
            check(&x $op b(), $want);
            check(a() $op &y, $want);
            check(a() $op b(), $want);
            check(&x $op Ok(b()), $want);
            check(a() $op Ok(b()), $want);
            check(Ok(a()) $op &y, $want);
            check(Ok(a()) $op b(), $want);
        };
    }
    all!(+, [2.5, 1.0]);
    all!(-, [1.5, -7.0]);
    all!(*, [1.0, -12.0]);
    all!(/, [4.0, -0.75]);
    macro_rules! numbers {
        ($op:tt, $with:expr, $of:expr) => {
            check(&x $op 4.0, $with);
            check(a() $op 4.0, $with);
            check(4.0 $op &x, $of);
            check(4.0 $op a(), $of);
        };
    }
    numbers!(+, [6.0, 1.0], [6.0, 1.0]);
    numbers!(-, [-2.0, -7.0], [2.0, 7.0]);
    numbers!(*, [8.0, -12.0], [8.0, -12.0]);
    numbers!(/, [0.5, -0.75], [2.0, 4.0 * (1.0 / -3.0)]);
    check(-&x, [-2.0, 3.0]);
    check(-a(), [-2.0, 3.0]);
    // An error on the way is the error of the whole.
    let failed = Var::from(Tensor::zeros([3], DType::F64)) + &x;
    assert!((failed * &y).is_err());
}

proptest! {
    #[test]
    fn gradients_with_numbers(c in 0.5f64..3.0, seed: u64) {
        let x = Tensor::uniform([2, 3], 0.5, 2.0, DType::F64, &Rng::new(seed));
        gradcheck(|v| (c - &v[0])? * ((c / &v[0])? + (&v[0] / c)?)?, &[x])?;
    }
}
