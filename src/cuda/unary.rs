//! Elementwise functions of one operand.

use super::runtime::launch::pack;
use super::{Slice, SliceMut, Source};
use crate::Result;
use crate::cpu::unary::Kind;

pub(super) static SOURCE: Source = Source::new("unary", include_str!("../../kernels/unary.cu"));

/// y = f(x).
pub(crate) fn forward(kind: Kind, x: Slice, y: &mut SliceMut) -> Result<()> {
    let [p, q] = kind.parameters();
    let launch = x
        .gpu
        .kernel(&SOURCE, "unary", x.dtype)?
        .arg(kind.number())
        .arg(p)
        .arg(q)
        .arg(x)
        .arg(y);
    launch
        .count(x.elements)
        .each(x.elements.div_ceil(pack(x.dtype)))
        .moves(2 * x.bytes())
        .launch()
}

/// dx = f'(x) dy, from x or y as [`Kind::saves`] tells.
pub(crate) fn backward(kind: Kind, kept: Slice, dy: Slice, dx: &mut SliceMut) -> Result<()> {
    let [p, q] = kind.parameters();
    let launch = dy
        .gpu
        .kernel(&SOURCE, "unary_backward", dy.dtype)?
        .arg(kind.number())
        .arg(p)
        .arg(q)
        .arg(kept)
        .arg(dy)
        .arg(dx);
    launch
        .count(dy.elements)
        .each(dy.elements.div_ceil(pack(dy.dtype)))
        .moves(3 * dy.bytes())
        .launch()
}
