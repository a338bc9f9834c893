//! GELU and dropout in one pass.

use super::dropout::drop;
use super::runtime::graph;
use super::runtime::launch::pack;
use super::{Slice, SliceMut, Source};
use crate::{Result, Rng};

pub(super) static SOURCE: Source = Source::new(
    "gelu_dropout",
    include_str!("../../kernels/gelu_dropout.cu"),
);

/// y = dropout(gelu(x)).
pub(crate) fn forward(p: f64, rng: &Rng, x: Slice, y: &mut SliceMut) -> Result<()> {
    let ((seed, stream), (threshold, scale)) = (rng.key(), drop(p));
    let launch = x
        .gpu
        .kernel(&SOURCE, "gelu_dropout", x.dtype)?
        .arg(x)
        .arg(y)
        .count(x.elements);
    let launch = launch
        .arg(seed)
        .arg(stream)
        .arg(graph::key(rng))
        .arg(threshold)
        .arg(scale);
    launch
        .each(x.elements.div_ceil(pack(x.dtype)))
        .moves(2 * x.bytes())
        .launch()
}

/// dx = dropout(dy) gelu'(x).
pub(crate) fn backward(p: f64, rng: &Rng, x: Slice, dy: Slice, dx: &mut SliceMut) -> Result<()> {
    let ((seed, stream), (threshold, scale)) = (rng.key(), drop(p));
    let launch = x
        .gpu
        .kernel(&SOURCE, "gelu_dropout_backward", x.dtype)?
        .arg(x)
        .arg(dy)
        .arg(dx);
    let launch = launch
        .count(x.elements)
        .arg(seed)
        .arg(stream)
        .arg(graph::key(rng))
        .arg(threshold)
        .arg(scale);
    launch
        .each(x.elements.div_ceil(pack(x.dtype)))
        .moves(3 * x.bytes())
        .launch()
}
