//! Losses.

use wavemix::ops::{
    CrossEntropyOptions, bce_with_logits, cross_entropy, focal_loss, huber_loss, l1_loss, mse,
    nll_loss, smooth_l1_loss,
};
use wavemix::{Result, Tensor, Var};

use super::Values::{Index, Positive};
use super::pointwise::SIZES;
use super::{Operand, Spec, constant, leaf, of};
use crate::case::Needs::Operands;

/// Logits: ten classes, a thousand, a class at each pixel.
const LOGITS: [[usize; 2]; 4] = [[64, 10], [64, 1000], [50176, 21], [4096, 1000]];

pub fn specs() -> Vec<Spec> {
    type OfLabels = fn(&Var, &Tensor) -> Result<Var>;
    let of_labels: [(&str, OfLabels); 3] = [
        ("cross_entropy", |x, labels| {
            cross_entropy(x, labels, CrossEntropyOptions::default())
        }),
        ("focal_loss", |x, labels| focal_loss(x, labels, 2.0, None)),
        ("nll_loss", |x, labels| nll_loss(x, labels, None)),
    ];
    let mut specs = Vec::new();
    for (op, f) in of_labels {
        specs.extend(LOGITS.map(|[rows, classes]| {
            let operands = vec![leaf([rows, classes]), of(Index(classes), [rows])];
            Spec::new(op, operands, Operands, move |v| f(&v[0], v[1].value()))
        }));
    }
    type OfPairs = fn(&Var, &Var) -> Result<Var>;
    let of_pairs: [(&str, OfPairs); 4] = [
        ("mse", mse),
        ("l1_loss", l1_loss),
        ("huber_loss", |x, y| huber_loss(x, y, 0.5)),
        ("smooth_l1_loss", |x, y| smooth_l1_loss(x, y, 0.5)),
    ];
    for (op, f) in of_pairs {
        specs.extend(SIZES.map(|size| {
            Spec::new(op, vec![leaf(size), constant(size)], Operands, move |v| {
                f(&v[0], &v[1])
            })
        }));
    }
    specs.extend(SIZES.map(|size| {
        let target = Operand {
            leaf: false,
            ..of(Positive, size)
        };
        let run = |v: &[Var]| bce_with_logits(&v[0], &v[1], None);
        Spec::new("bce_with_logits", vec![leaf(size), target], Operands, run)
    }));
    specs
}
