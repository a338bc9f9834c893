//! Two operands, element by element, with broadcasting.

use super::runtime::launch::{Axes, pack};
use super::{Slice, SliceMut, Source};
use crate::cpu::binary::{Broadcast, Kind, Partial};
use crate::{DType, Result};

pub(super) static SOURCE: Source = Source::new("binary", include_str!("../../kernels/binary.cu"));

/// y = a (op) b, both broadcast to the shape of y.
pub(crate) fn forward(
    kind: Kind,
    [a, b]: [Slice; 2],
    shapes: &Broadcast,
    y: &mut SliceMut,
) -> Result<()> {
    let (gpu, dtype, n) = (a.gpu, a.dtype, shapes.result.elements());
    let whole = shapes.operands[0] == shapes.operands[1];
    let launch = gpu.kernel(&SOURCE, if whole { "binary" } else { "binary_axes" }, dtype)?;
    let mut launch = launch.arg(kind as i32).arg(a).arg(b).arg(y).count(n);
    if !whole {
        launch = launch.axes(axes(shapes))?;
    }
    launch
        .each(n.div_ceil(pack(dtype)))
        .moves(a.bytes() + b.bytes() + n * dtype.bytes())
        .launch()
}

/// dx = the partial derivative times dy, all in the shape of dy.
pub(crate) fn backward(
    Partial { kind, side }: Partial,
    [a, b, dy]: [Slice; 3],
    shapes: &Broadcast,
    dx: &mut SliceMut,
) -> Result<()> {
    let launch = dy
        .gpu
        .kernel(&SOURCE, "binary_backward", dy.dtype)?
        .arg(kind as i32)
        .arg(side as i32);
    let launch = launch
        .arg(a)
        .arg(b)
        .arg(dy)
        .arg(dx)
        .count(dy.elements)
        .axes(axes(shapes))?;
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
            &SOURCE,
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

/// The axes of the result with the steps of both operands.
pub(super) fn axes(shapes: &Broadcast) -> Axes {
    let (shape, [a, b]) = (&shapes.result, shapes.steps());
    Axes::new((0..shape.len()).map(|axis| (shape[axis], [a[axis] as isize, b[axis] as isize])))
}
