//! Comparing two operands, and choosing between them.

use super::binary::broadcast;
use super::{Slice, SliceMut};
use crate::{DType, Result, Shape};

/// y = 1 where a and b lie as one of `holds`, else 0, both broadcast to `shape`.
pub(crate) fn apply(
    holds: u8,
    [a, b]: [(Slice, &Shape); 2],
    shape: &Shape,
    y: &mut SliceMut,
) -> Result<()> {
    let name = match a.0.dtype {
        DType::U8 => "compare_u8",
        DType::I64 => "compare_i64",
        _ => "compare",
    };
    let n = shape.elements();
    let launch =
        a.0.gpu
            .kernel("compare", name, a.0.dtype)?
            .arg(i32::from(holds))
            .arg(a.0)
            .arg(b.0)
            .arg(y)
            .count(n);
    launch
        .axes(broadcast(shape, [a.1, b.1]))?
        .each(n)
        .moves(a.0.bytes() + b.0.bytes() + n)
        .launch()
}

/// y = a where the mask is not 0, else b; all of one length.
pub(crate) fn select(mask: Slice, a: Slice, b: Slice, y: &mut SliceMut) -> Result<()> {
    let name =
        ["select_1", "select_2", "select_4", "select_8"][a.dtype.bytes().trailing_zeros() as usize];
    let launch = a
        .gpu
        .kernel("compare", name, a.dtype)?
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
