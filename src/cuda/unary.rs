//! One operand, element by element.

use super::runtime::launch::pack;
use super::{Slice, SliceMut};
use crate::Result;
use crate::cpu::unary::Kind;

/// y = f(x).
pub(crate) fn forward(kind: Kind, x: Slice, y: &mut SliceMut) -> Result<()> {
    let (number, [p, q]) = code(kind);
    let launch = x
        .gpu
        .kernel("unary", "unary", x.dtype)?
        .arg(number)
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
    let (number, [p, q]) = code(kind);
    let launch = dy
        .gpu
        .kernel("unary", "unary_backward", dy.dtype)?
        .arg(number)
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

/// The kernel's number of a function, and its scalars.
fn code(kind: Kind) -> (i32, [f32; 2]) {
    match kind {
        Kind::Neg => (0, [0.0; 2]),
        Kind::Abs => (1, [0.0; 2]),
        Kind::Exp => (2, [0.0; 2]),
        Kind::Log => (3, [0.0; 2]),
        Kind::Sqrt => (4, [0.0; 2]),
        Kind::Square => (5, [0.0; 2]),
        Kind::Recip => (6, [0.0; 2]),
        Kind::Powf(p) => (7, [p as f32, 0.0]),
        Kind::Tanh => (8, [0.0; 2]),
        Kind::Sigmoid => (9, [0.0; 2]),
        Kind::Relu => (10, [0.0; 2]),
        Kind::Silu => (11, [0.0; 2]),
        Kind::Gelu => (12, [0.0; 2]),
        Kind::Clamp(low, high) => (13, [low as f32, high as f32]),
        Kind::AddScalar(c) => (14, [c as f32, 0.0]),
        Kind::MulScalar(c) => (15, [c as f32, 0.0]),
    }
}
