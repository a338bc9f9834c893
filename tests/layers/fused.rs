//! Layers that take GELU and dropout in, against the three one after the other.

use wavemix::nn::Linear;
use wavemix::{DType, Module, Params, Pass, Rng, Tensor, Var};

use crate::helpers::assert_error;

fn layer() -> (Linear, Params) {
    let declare = |names: &mut wavemix::params::Names| Linear::new(names, "a", [6, 5]);
    Params::declare(DType::F64, &Rng::new(1), declare).unwrap()
}

/// The output, and the gradients of x and of all weights by a probe.
fn outcome(fused: bool, training: bool) -> [Vec<f64>; 3] {
    let (layer, params) = layer();
    let draw = |shape, seed| Tensor::normal(shape, 0.0, 1.0, DType::F64, &Rng::new(seed));
    let x = Var::leaf(draw([2, 3, 6], 2));
    let pass = match training {
        true => Pass::train(&params, Rng::new(3)),
        false => Pass::eval(&params),
    };
    let y = match fused {
        true => layer.forward_gelu_dropout(&pass, &x, 0.3).unwrap(),
        false => {
            let hidden = x.gelu_dropout(0.3, pass.rng().as_ref()).unwrap();
            layer.forward(&pass, &hidden).unwrap()
        }
    };
    assert_eq!(y.shape()[..], [2, 3, 5]);
    let gradients = y.backward_from(draw([2, 3, 5], 4), &[]).unwrap();
    let weights = gradients.flatten(&params).unwrap();
    let all = [y.value(), gradients.of(&x).unwrap(), &weights];
    all.map(|x| x.to_vec().unwrap())
}

#[test]
fn a_linear_layer_behind_gelu_and_dropout() {
    for training in [true, false] {
        let (got, want) = (outcome(true, training), outcome(false, training));
        for (got, want) in got.iter().flatten().zip(want.iter().flatten()) {
            // Sums of up to six products, in another order.
            let allowed = 8.0 * f64::EPSILON * want.abs().max(4.0);
            assert!((got - want).abs() <= allowed, "{got} is not {want}");
        }
    }
}

#[test]
fn of_other_shapes() {
    let (layer, params) = layer();
    let of = |x: Tensor| layer.forward_gelu_dropout(&Pass::eval(&params), &x.into(), 0.3);
    let scalar = of(Tensor::scalar(1.0));
    assert_error(scalar, "linear: x expects [.., 6], got [] (fused.rs");
    let wide = of(Tensor::ones([2, 7], DType::F64));
    assert_error(wide, "linear: x expects [.., 6], got [2, 7] (fused.rs");
}
