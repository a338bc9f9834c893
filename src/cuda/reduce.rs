//! Sums over the middle axis of `[outer, length, inner]`, in an order that depends on the sizes
//! alone; products, maxima and minima of rows.

use super::runtime::launch::{Columns, pack, together};
use super::{Scratch, Slice, SliceMut, Source, unary};
use crate::cpu::unary::Kind;
use crate::{DType, Result};

pub(super) static SOURCE: Source = Source::new("reduce", include_str!("../../kernels/reduce.cu"));

/// The longest row that one warp sums; longer rows are split over blocks.
const SHORT: usize = 2048;

/// y[o, i] = scale times the sum over l of x[o, l, i]; y is f32 or of x's type.
pub(crate) fn sum(
    x: Slice,
    [outer, inner]: [usize; 2],
    scale: f64,
    y: &mut SliceMut,
) -> Result<()> {
    let length = x.elements.checked_div(outer * inner).unwrap_or(0);
    if length == 0 {
        return y.fill(0.0);
    }
    if inner == 1 && length <= SHORT {
        let name = if y.as_slice().dtype == DType::F32 {
            "sum_rows_f32"
        } else {
            "sum_rows"
        };
        let launch = x
            .gpu
            .kernel(&SOURCE, name, x.dtype)?
            .arg(x)
            .arg(y)
            .count(outer)
            .sizes([length])?
            .arg(scale as f32);
        return launch.warps(outer).moves(x.bytes()).launch();
    }
    let parts = partial(x, [outer, length, inner])?;
    finish(
        parts.sums.read(),
        x.dtype,
        [outer, parts.splits, inner],
        scale,
        y,
    )
}

/// Partial sums `[outer, splits, inner]`, in f32.
pub(super) struct Parts {
    pub sums: Scratch,
    pub splits: usize,
}

/// The first launch of a long sum.
pub(super) fn partial(x: Slice, [outer, length, inner]: [usize; 3]) -> Result<Parts> {
    let (v, splits, span, across) = if inner == 1 {
        // One long row: each block sums a part of it, in packs if the parts are whole packs.
        let v = together(length, &[x]);
        let span = length
            .div_ceil(1024)
            .max(8192)
            .next_multiple_of(pack(x.dtype));
        (v, length.div_ceil(span), span, 1)
    } else {
        let plan = Columns::summing(length, inner, together(inner, &[x]));
        let splits = plan.splits.min((1024 / outer).max(1));
        let span = length.div_ceil(splits);
        (plan.v, length.div_ceil(span), span, plan.grid()[0])
    };
    let mut sums = x.gpu.scratch(outer * splits * inner, DType::F32)?;
    let launch = x
        .gpu
        .kernel(&SOURCE, "sum_columns", x.dtype)?
        .arg(x)
        .arg(&mut sums.write());
    let launch = launch.sizes([outer, length, inner, v, span])?;
    launch
        .blocks([outer * across, splits, 1])
        .moves(x.bytes())
        .launch()?;
    Ok(Parts { sums, splits })
}

/// The second launch: y[o, i] = scale times the sum over s of part[o, s, i]. y is f32 or `real`.
pub(super) fn finish(
    part: Slice,
    real: DType,
    [outer, splits, inner]: [usize; 3],
    scale: f64,
    y: &mut SliceMut,
) -> Result<()> {
    let name = if y.as_slice().dtype == DType::F32 {
        "sum_finish_f32"
    } else {
        "sum_finish"
    };
    let launch = part
        .gpu
        .kernel(&SOURCE, name, real)?
        .arg(part)
        .arg(y)
        .sizes([splits, inner])?
        .arg(scale as f32);
    // Columns that a block sums.
    let columns = match inner {
        1 => 1,
        8192.. => 256,
        _ => 8,
    };
    launch
        .blocks([outer * inner.div_ceil(columns), 1, 1])
        .moves(part.bytes())
        .launch()
}

/// The root of the sum of x^2 over each row of `length`.
pub(crate) fn norm(x: Slice, length: usize, y: &mut SliceMut) -> Result<()> {
    let rows = y.as_slice().elements;
    let mut squares = x.gpu.scratch(x.elements, x.dtype)?;
    let mut sums = x.gpu.scratch(rows, x.dtype)?;
    unary::forward(Kind::Square, x, &mut squares.write())?;
    debug_assert_eq!(rows * length, x.elements, "rows cover all elements");
    sum(squares.read(), [rows, 1], 1.0, &mut sums.write())?;
    unary::forward(Kind::Sqrt, sums.read(), y)
}

/// The product of each row of `length`; 1 of no elements.
pub(crate) fn product(x: Slice, length: usize, y: &mut SliceMut) -> Result<()> {
    if length == 0 {
        return y.fill(1.0);
    }
    let rows = x.elements / length;
    let launch = x
        .gpu
        .kernel(&SOURCE, "product", x.dtype)?
        .arg(x)
        .arg(y)
        .count(rows)
        .sizes([length])?;
    launch.warps(rows).moves(x.bytes()).launch()
}

/// dx = dy times the product of all other elements of the row.
pub(crate) fn product_backward(
    x: Slice,
    dy: Slice,
    length: usize,
    dx: &mut SliceMut,
) -> Result<()> {
    if x.elements == 0 {
        return Ok(());
    }
    let rows = x.elements / length;
    let launch = x
        .gpu
        .kernel(&SOURCE, "product_backward", x.dtype)?
        .arg(x)
        .arg(dy)
        .arg(dx)
        .count(rows)
        .sizes([length])?;
    launch.warps(rows).moves(2 * x.bytes()).launch()
}

/// The index of the largest (or smallest) element of each row of `length`; the first of equals, and
/// NaN before all.
pub(crate) fn extreme(x: Slice, length: usize, largest: bool, at: &mut SliceMut) -> Result<()> {
    let name = match x.dtype {
        DType::U8 => "extreme_u8",
        DType::I64 => "extreme_i64",
        _ => "extreme",
    };
    let rows = x.elements / length;
    let launch = x
        .gpu
        .kernel(&SOURCE, name, x.dtype)?
        .arg(x)
        .arg(at)
        .count(rows)
        .sizes([length])?;
    launch
        .arg(i32::from(largest))
        .warps(rows)
        .moves(x.bytes())
        .launch()
}

/// The indices of the `k` largest elements of each row of `length`, in descending order of the
/// elements.
pub(crate) fn topk(x: Slice, length: usize, k: usize, at: &mut SliceMut) -> Result<()> {
    if at.as_slice().elements == 0 {
        return Ok(());
    }
    if matches!(x.dtype, DType::U8 | DType::I64) {
        return super::missing("topk of integers");
    }
    let rows = x.elements / length;
    let launch = x
        .gpu
        .kernel(&SOURCE, "topk", x.dtype)?
        .arg(x)
        .arg(at)
        .count(rows)
        .sizes([length, k])?;
    launch.warps(rows).moves(k * x.bytes()).launch()
}

/// y[r, j] = x[r, at[r, j]] for rows of `length` and `k` indices in each.
pub(crate) fn pick(x: Slice, at: Slice, length: usize, k: usize, y: &mut SliceMut) -> Result<()> {
    let name = ["pick_1", "pick_2", "pick_4", "pick_8"][x.dtype.bytes().trailing_zeros() as usize];
    let launch = x
        .gpu
        .kernel(&SOURCE, name, x.dtype)?
        .arg(x)
        .arg(at)
        .arg(y)
        .count(at.elements)
        .sizes([length, k])?;
    launch
        .each(at.elements)
        .moves(at.bytes() + 2 * at.elements * x.dtype.bytes())
        .launch()
}

/// dx = dy at the index `at` of each row of `length`, 0 elsewhere.
pub(crate) fn extreme_backward(
    at: Slice,
    dy: Slice,
    length: usize,
    dx: &mut SliceMut,
) -> Result<()> {
    let n = at.elements * length;
    let launch = dy
        .gpu
        .kernel(&SOURCE, "extreme_backward", dy.dtype)?
        .arg(at)
        .arg(dy)
        .arg(dx)
        .count(n)
        .sizes([length])?;
    launch.each(n).moves(n * dy.dtype.bytes()).launch()
}
