//! Gradcheck itself: right rules pass, and a wrong factor anywhere is found.

mod helpers;

use std::ops::Range;

use helpers::assert_starts;
use proptest::prelude::*;
use wavemix::autograd::Backward;
use wavemix::gradcheck::{adjoint_check, gradcheck};
use wavemix::{DType, Result, Rng, Shape, Tensor, Var};

/// y = x^3, whose backward multiplies elements `wrong` of the gradient by `factor`.
fn cube(x: &Var, wrong: Range<usize>, factor: f64) -> Result<Var> {
    let constant = x.detach();
    let y = (&constant.square()? * &constant)?.into_value();
    Ok(Var::record("cube", &[x], y, || Cube {
        x: x.value().clone(),
        wrong,
        factor,
    }))
}

struct Cube {
    x: Tensor,
    wrong: Range<usize>,
    factor: f64,
}

impl Backward for Cube {
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let dx = (&Var::from(&self.x).square()?.mul_scalar(3.0)? * &Var::from(dy))?.into_value();
        let mut values = dx.to_vec::<f64>()?;
        values[self.wrong]
            .iter_mut()
            .for_each(|dx| *dx *= self.factor);
        Ok(vec![Some(Tensor::from_vec(values, self.x.shape())?)])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.x]
    }
}

/// y = 2 x, with a backward that gives `slope` dy.
fn double(x: &Var, slope: f64) -> Result<Var> {
    struct Double(f64);
    impl Backward for Double {
        fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
            Ok(vec![Some(Var::from(dy).mul_scalar(self.0)?.into_value())])
        }
        fn saves(&self) -> Vec<&Tensor> {
            vec![]
        }
    }
    Ok(Var::record(
        "double",
        &[x],
        x.detach().mul_scalar(2.0)?.into_value(),
        || Double(slope),
    ))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_wrong_factor_is_found(dims in prop::collection::vec(1usize..5, 0..4), off in 0.1f64..2.0, above: bool, seed: u64) {
        let shape = Shape::new(&dims).unwrap();
        let x = [Tensor::uniform(shape, 0.5, 2.0, DType::F64, &Rng::new(seed))];
        let cube = |x: &Var, factor| cube(x, 0..shape.elements(), factor);
        gradcheck(|v| cube(&v[0], 1.0), &x)?;
        let factor = if above { 1.0 + off } else { 1.0 - off };
        let error = gradcheck(|v| cube(&v[0], factor), &x).err().map(|e| e.to_string()).unwrap_or_default();
        prop_assert!(error.starts_with("gradcheck: input 0: the gradient gives "), "factor {factor}: `{error}`");
        // Also behind other ops, and as the second of two inputs.
        let error = gradcheck(|v| (&v[0] * &cube(&v[1], factor)?)?.mul_scalar(0.1)?.tanh(), &[x[0].clone(), x[0].clone()]);
        prop_assert!(error.is_err_and(|e| e.to_string().starts_with("gradcheck: input 1: ")));
        adjoint_check(|x| double(x, 2.0), &dims)?;
        prop_assert!(adjoint_check(|x| double(x, 2.0 + off), &dims).is_err());
    }
}

#[test]
fn single_precision_and_missing_gradients_are_refused() {
    assert_starts(
        &gradcheck(|v| v[0].neg(), &[Tensor::zeros([2], DType::F32)])
            .unwrap_err()
            .to_string(),
        "gradcheck: inputs expects f64, got f32 (gradcheck.rs:",
    );
    let x = [Tensor::ones([3], DType::F64), Tensor::ones([3], DType::F64)];
    assert_starts(
        &gradcheck(|v| &v[0] + &v[1].detach(), &x)
            .unwrap_err()
            .to_string(),
        "gradcheck: input 1: the gradient gives 0.0",
    );
}

#[test]
fn one_wrong_element_among_many_is_found() {
    let x = [Tensor::uniform(
        [10, 10],
        0.5,
        2.0,
        DType::F64,
        &Rng::new(3),
    )];
    for wrong in 0..100 {
        assert!(
            gradcheck(|v| cube(&v[0], wrong..wrong + 1, 1.1), &x).is_err(),
            "element {wrong}"
        );
    }
}

/// Comparisons with not-a-number are false, and an infinite gradient makes an infinite tolerance.
#[test]
fn gradients_that_are_not_finite_are_found() {
    let x = [Tensor::uniform([5, 7], 0.5, 2.0, DType::F64, &Rng::new(4))];
    // The square of 1e200 is infinite too.
    for factor in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e200] {
        for wrong in [0..1, 34..35, 0..35] {
            let checked = gradcheck(|v| cube(&v[0], wrong.clone(), factor), &x);
            assert!(checked.is_err(), "elements {wrong:?} times {factor}");
        }
        let checked = adjoint_check(|x| double(x, factor), &[5, 7]);
        assert!(checked.is_err(), "a slope of {factor}");
    }
}
