//! Sums, extremes and orders along axes; softmax.

use serde_json::json;
use wavemix::{Result, Var};

use super::Values::{self, NearOne, Plain};
use super::pointwise::SIZES;
use super::{Spec, leaf, of};
use crate::case::Needs::{self, Dy, Operands, OperandsTwice};

type OverAxis = fn(&Var, usize) -> Result<Var>;

/// Rows of a layer, of tokens; the pixels of images; a column's sum over rows.
const AXES: [(&[usize], usize); 4] = [
    (&[64, 120], 1),
    (&[64, 65, 128], 2),
    (&[64, 3136, 64], 1),
    (&[50176, 64], 0),
];

const OVER_AXES: [(&str, Values, Needs, OverAxis); 8] = [
    ("sum", Plain, Dy, |x, axis| x.sum(axis)),
    ("mean", Plain, Dy, |x, axis| x.mean(axis)),
    ("var", Plain, OperandsTwice, |x, axis| x.var(axis, true)),
    ("std", Plain, OperandsTwice, |x, axis| x.std(axis, true)),
    ("prod", NearOne, Operands, |x, axis| x.prod(axis)),
    ("norm", Plain, Operands, |x, axis| x.norm(axis)),
    ("max", Plain, Operands, |x, axis| x.max(axis)),
    ("min", Plain, Operands, |x, axis| x.min(axis)),
];

/// Ops whose result has the operand's shape; `cumsum` is one.
const ALONG_AXES: [(&str, Needs, OverAxis); 1] = [("cumsum", Dy, Var::cumsum)];

/// Short rows: logits of ten classes; rows of scores of ViT-128; scores of a large ViT.
const SCORES: [(&[usize], usize); 5] = [
    (&[64, 10], 1),
    (&[64, 4, 65, 65], 3),
    (&[4096, 1000], 1),
    (&[16, 12, 197, 197], 3),
    (&[64, 784, 16], 2),
];

/// Logits, and long rows.
const ROWS: [&[usize]; 4] = [&[64, 10], &[64, 1000], &[4096, 1000], &[16, 65536]];

pub fn specs() -> Vec<Spec> {
    let mut specs = Vec::new();
    for (op, values, needs, f) in OVER_AXES {
        specs.extend(AXES.map(|(size, axis)| {
            Spec::new(op, vec![of(values, size)], needs, move |v| f(&v[0], axis))
                .with(json!({"axis": axis}))
        }));
    }
    for (op, needs, f) in ALONG_AXES {
        specs.extend(AXES.map(|(size, axis)| {
            Spec::new(op, vec![leaf(size)], needs, move |v| f(&v[0], axis))
                .with(json!({"axis": axis}))
        }));
    }
    let all: [(&str, fn(&Var) -> Result<Var>); 2] =
        [("sum_all", Var::sum_all), ("mean_all", Var::mean_all)];
    for (op, f) in all {
        specs.extend(SIZES.map(|size| Spec::new(op, vec![leaf(size)], Dy, move |v| f(&v[0]))));
    }
    let normalised: [(&str, OverAxis); 2] =
        [("softmax", Var::softmax), ("log_softmax", Var::log_softmax)];
    for (op, f) in normalised {
        specs.extend(SCORES.map(|(size, axis)| {
            Spec::new(op, vec![leaf(size)], Operands, move |v| f(&v[0], axis))
                .with(json!({"axis": axis}))
        }));
    }
    specs.extend(orders());
    specs
}

fn orders() -> Vec<Spec> {
    let orders: [(&str, fn(&Var) -> Result<Var>); 5] = [
        ("argmax", |x| x.value().argmax(1).map(Var::from)),
        ("argmin", |x| x.value().argmin(1).map(Var::from)),
        ("argsort", |x| x.value().argsort(1, false).map(Var::from)),
        ("sort", |x| x.sort(1, false).map(|(y, _)| y)),
        ("topk", |x| x.topk(5).map(|(y, _)| y)),
    ];
    let each = orders.into_iter().flat_map(|(op, f)| {
        ROWS.map(|size| Spec::new(op, vec![leaf(size)], Dy, move |v| f(&v[0])))
    });
    each.collect()
}
