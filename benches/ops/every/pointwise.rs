//! Elementwise ops and comparisons.

use wavemix::ops::select;
use wavemix::{DType, Result, Rng, Tensor, Var};

use super::Values::{self, Mask, Plain, Positive};
use super::{Spec, constant, leaf, of};
use crate::case::Needs::{self, Dy, Nothing, Operands};

/// A layer of LeNet, the tokens of ViT-128, a feature map of ResNet-18 at a larger size.
pub const SIZES: [&[usize]; 3] = [&[64, 120], &[64, 65, 128], &[64, 56, 56, 64]];

type Function = fn(&Var) -> Result<Var>;
type Pair = fn(&Var, &Var) -> Result<Var>;
type Comparison = fn(&Tensor, &Tensor) -> Result<Tensor>;

const FUNCTIONS: [(&str, Values, Needs, Function); 29] = [
    ("add_scalar", Plain, Nothing, |x| x.add_scalar(0.5)),
    ("mul_scalar", Plain, Dy, |x| x.mul_scalar(0.5)),
    ("div_scalar", Plain, Dy, |x| x.div_scalar(0.3)),
    ("neg", Plain, Dy, Var::neg),
    ("abs", Plain, Operands, Var::abs),
    ("exp", Plain, Operands, Var::exp),
    ("log", Positive, Operands, Var::log),
    ("log1p", Positive, Operands, Var::log1p),
    ("sqrt", Positive, Operands, Var::sqrt),
    ("square", Plain, Operands, Var::square),
    ("recip", Positive, Operands, Var::recip),
    ("powf", Positive, Operands, |x| x.powf(1.7)),
    ("sin", Plain, Operands, Var::sin),
    ("cos", Plain, Operands, Var::cos),
    ("erf", Plain, Operands, Var::erf),
    ("tanh", Plain, Operands, Var::tanh),
    ("sigmoid", Plain, Operands, Var::sigmoid),
    ("clamp", Plain, Operands, |x| x.clamp(-0.5, 0.5)),
    ("relu", Plain, Operands, Var::relu),
    ("relu6", Plain, Operands, Var::relu6),
    ("leaky_relu", Plain, Operands, |x| x.leaky_relu(0.01)),
    ("elu", Plain, Operands, |x| x.elu(1.0)),
    ("gelu", Plain, Operands, Var::gelu),
    ("silu", Plain, Operands, Var::silu),
    ("hardswish", Plain, Operands, Var::hardswish),
    ("softplus", Plain, Operands, Var::softplus),
    ("dropout", Plain, Dy, |x| x.dropout(0.5, &Rng::new(7))),
    ("drop_path", Plain, Dy, |x| x.drop_path(0.1, &Rng::new(7))),
    ("cast", Plain, Dy, |x| x.cast(DType::BF16)),
];

const PAIRS: [(&str, Values, Needs, Pair); 6] = [
    ("add", Plain, Nothing, |a, b| a + b),
    ("sub", Plain, Dy, |a, b| a - b),
    ("mul", Plain, Operands, |a, b| a * b),
    ("div", Positive, Operands, |a, b| a / b),
    ("maximum", Plain, Operands, Var::maximum),
    ("minimum", Plain, Operands, Var::minimum),
];

const COMPARISONS: [(&str, Comparison); 6] = [
    ("eq", Tensor::eq),
    ("ne", Tensor::ne),
    ("lt", Tensor::lt),
    ("le", Tensor::le),
    ("gt", Tensor::gt),
    ("ge", Tensor::ge),
];

pub fn specs() -> Vec<Spec> {
    let mut specs = Vec::new();
    for (op, values, needs, f) in FUNCTIONS {
        let of_size = |size| Spec::new(op, vec![of(values, size)], needs, move |v| f(&v[0]));
        specs.extend(SIZES.map(of_size));
    }
    let dropped = |v: &[Var]| v[0].gelu_dropout(0.5, Some(&Rng::new(7)));
    specs.extend(SIZES.map(|size| Spec::new("gelu_dropout", vec![leaf(size)], Operands, dropped)));
    for (op, values, needs, f) in PAIRS {
        let run = move |v: &[Var]| f(&v[0], &v[1]);
        let of_sizes = |a, b| Spec::new(op, vec![of(values, a), of(values, b)], needs, run);
        specs.extend(SIZES.map(|size| of_sizes(size, size)));
        // A row that is repeated, as a bias is.
        specs.push(of_sizes(&[64, 28, 28, 64], &[64]));
    }
    for (op, compare) in COMPARISONS {
        let run = move |v: &[Var]| compare(v[0].value(), v[1].value()).map(Var::from);
        let pair = |size| Spec::new(op, vec![constant(size), constant(size)], Dy, run);
        specs.extend(SIZES.map(pair));
    }
    let selected = |v: &[Var]| select(v[0].value(), &v[1], &v[2]);
    specs.extend(SIZES.map(|size| {
        let operands = vec![of(Mask, size), leaf(size), leaf(size)];
        Spec::new("select", operands, Dy, selected)
    }));
    specs
}
