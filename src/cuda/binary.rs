//! Two operands, element by element, with broadcasting.

use super::runtime::launch::{Axes, pack};
use super::{Slice, SliceMut};
use crate::cpu::binary::{Kind, steps};
use crate::{DType, Result, Shape};

/// y = a (op) b, both broadcast to the last of the shapes, those of a, b and y.
pub(crate) fn forward(
    kind: Kind,
    [a, b]: [Slice; 2],
    [shape_a, shape_b, shape]: [&Shape; 3],
    y: &mut SliceMut,
) -> Result<()> {
    let (gpu, dtype, n) = (a.gpu, a.dtype, shape.elements());
    let whole = shape_a == shape_b;
    let launch = gpu.kernel(
        "binary",
        if whole { "binary" } else { "binary_axes" },
        dtype,
    )?;
    let mut launch = launch.arg(kind as i32).arg(a).arg(b).arg(y).count(n);
    if !whole {
        launch = launch.axes(broadcast(shape, [shape_a, shape_b]))?;
    }
    launch
        .each(n.div_ceil(pack(dtype)))
        .moves(a.bytes() + b.bytes() + n * dtype.bytes())
        .launch()
}

/// dx = (partial of y with respect to operand `side`) dy, all in the shape of dy.
pub(crate) fn backward(
    kind: Kind,
    side: usize,
    [a, b, dy]: [Slice; 3],
    [shape_a, shape_b, shape]: [&Shape; 3],
    dx: &mut SliceMut,
) -> Result<()> {
    let launch = dy
        .gpu
        .kernel("binary", "binary_backward", dy.dtype)?
        .arg(kind as i32)
        .arg(side as i32);
    let launch = launch
        .arg(a)
        .arg(b)
        .arg(dy)
        .arg(dx)
        .count(dy.elements)
        .axes(broadcast(shape, [shape_a, shape_b]))?;
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
