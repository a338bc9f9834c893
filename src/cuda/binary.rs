//! Two operands, element by element, with broadcasting.

use super::runtime::launch::{Axes, pack};
use super::{Slice, SliceMut};
use crate::cpu::binary::{Kind, steps};
use crate::{DType, Result, Shape};

/// y = a (op) b, both broadcast to `shape`.
pub(crate) fn forward(
    kind: Kind,
    [a, b]: [(Slice, &Shape); 2],
    shape: &Shape,
    y: &mut SliceMut,
) -> Result<()> {
    let (gpu, dtype, n) = (a.0.gpu, a.0.dtype, shape.elements());
    let whole = a.1 == b.1;
    let launch = gpu.kernel(
        "binary",
        if whole { "binary" } else { "binary_axes" },
        dtype,
    )?;
    let mut launch = launch.arg(kind as i32).arg(a.0).arg(b.0).arg(y).count(n);
    if !whole {
        launch = launch.axes(broadcast(shape, [a.1, b.1]))?;
    }
    launch
        .each(n.div_ceil(pack(dtype)))
        .moves(a.0.bytes() + b.0.bytes() + n * dtype.bytes())
        .launch()
}

/// dx = (partial of y with respect to operand `side`) dy, all in the shape of dy.
pub(crate) fn backward(
    kind: Kind,
    side: usize,
    [a, b]: [(Slice, &Shape); 2],
    (dy, shape): (Slice, &Shape),
    dx: &mut SliceMut,
) -> Result<()> {
    let launch = dy
        .gpu
        .kernel("binary", "binary_backward", dy.dtype)?
        .arg(kind as i32)
        .arg(side as i32);
    let launch = launch
        .arg(a.0)
        .arg(b.0)
        .arg(dy)
        .arg(dx)
        .count(dy.elements)
        .axes(broadcast(shape, [a.1, b.1]))?;
    launch
        .each(dy.elements.div_ceil(pack(dy.dtype)))
        .moves(4 * dy.bytes())
        .launch()
}

/// sum += x; a sum in f32 takes terms of 16 bits too.
pub(crate) fn add_assign(sum: &mut SliceMut, x: Slice) -> Result<()> {
    let mixed = sum.as_slice().dtype == DType::F32 && x.dtype != DType::F32;
    let bytes = x.bytes() + 2 * sum.as_slice().bytes();
    let launch = x
        .gpu
        .kernel(
            "binary",
            if mixed {
                "add_assign_mixed"
            } else {
                "add_assign"
            },
            x.dtype,
        )?
        .arg(sum)
        .arg(x);
    launch
        .count(x.elements)
        .each(x.elements.div_ceil(pack(x.dtype)))
        .moves(bytes)
        .launch()
}

/// The axes of `shape` with the steps of two operands that are repeated to it.
pub(super) fn broadcast(shape: &Shape, operands: [&Shape; 2]) -> Axes {
    let [a, b] = operands.map(|own| steps(own, shape));
    Axes::new((0..shape.len()).map(|axis| (shape[axis], [a[axis] as isize, b[axis] as isize])))
}
