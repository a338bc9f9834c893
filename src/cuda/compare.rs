//! Comparison of two operands, and selection between them.

use super::binary::axes;
use super::{Slice, SliceMut, Source};
use crate::cpu::binary::Broadcast;
use crate::{DType, Result};

static SOURCE: Source = Source::new("compare", include_str!("../../kernels/compare.cu"));

/// y = 1 where the relation of a and b is in the set `holds`, else 0, both broadcast to the shape
/// of y.
pub(crate) fn forward(
    holds: u8,
    [a, b]: [Slice; 2],
    shapes: &Broadcast,
    y: &mut SliceMut,
) -> Result<()> {
    let name = match a.dtype {
        DType::U8 => "compare_u8",
        DType::I64 => "compare_i64",
        _ => "compare",
    };
    let n = shapes.result.elements();
    let launch = a
        .gpu
        .kernel(&SOURCE, name, a.dtype)?
        .arg(i32::from(holds))
        .arg(a)
        .arg(b)
        .arg(y)
        .count(n);
    launch
        .axes(axes(shapes))?
        .each(n)
        .moves(a.bytes() + b.bytes() + n)
        .launch()
}

/// y = a where the mask is not 0, else b; all have the same length.
pub(crate) fn select(mask: Slice, a: Slice, b: Slice, y: &mut SliceMut) -> Result<()> {
    let name =
        ["select_1", "select_2", "select_4", "select_8"][a.dtype.bytes().trailing_zeros() as usize];
    let launch = a
        .gpu
        .kernel(&SOURCE, name, a.dtype)?
        .arg(mask)
        .arg(a)
        .arg(b)
        .arg(y);
    launch
        .count(a.elements)
        .each(a.elements)
        .moves(mask.bytes() + 3 * a.bytes())
        .launch()
}
