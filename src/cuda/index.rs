//! Gathers of elements and rows by index, and their gradients. x is `[outer, length, inner]`.

use super::{Slice, SliceMut, Source};
use crate::{DType, Result};

static SOURCE: Source = Source::new("index", include_str!("../../kernels/index.cu"));

const WIDTHS: [usize; 5] = [1, 2, 4, 8, 16];

/// The first position whose index is not in `0..length`. Waits for the device.
pub(crate) fn first_outside(at: Slice, length: usize) -> Result<Option<usize>> {
    let mut found = at.gpu.scratch(1, DType::F32)?;
    found.write().write(&i32::MAX.to_le_bytes())?;
    let launch = at
        .gpu
        .kernel(&SOURCE, "check_range", DType::F32)?
        .arg(at)
        .count(at.elements)
        .count(length);
    launch
        .arg(&mut found.write())
        .each(at.elements)
        .moves(at.bytes())
        .launch()?;
    let mut bytes = [0; 4];
    found.read().read(&mut bytes)?;
    let position = i32::from_le_bytes(bytes);
    Ok((position != i32::MAX).then_some(position as usize))
}

/// y[o, m, i] = x[o, at[o, m, i], i].
pub(crate) fn gather(
    x: Slice,
    at: Slice,
    [length, m, inner]: [usize; 3],
    y: &mut SliceMut,
) -> Result<()> {
    let name =
        ["gather_1", "gather_2", "gather_4", "gather_8"][x.dtype.bytes().trailing_zeros() as usize];
    let launch = x
        .gpu
        .kernel(&SOURCE, name, x.dtype)?
        .arg(x)
        .arg(at)
        .arg(y)
        .count(at.elements)
        .sizes([length, m, inner])?;
    launch
        .each(at.elements)
        .moves(at.bytes() + 2 * at.elements * x.dtype.bytes())
        .launch()
}

/// y[o, m, :] = x[o, at[m], :].
pub(crate) fn rows(
    x: Slice,
    at: Slice,
    [length, m, inner]: [usize; 3],
    y: &mut SliceMut,
) -> Result<()> {
    let (size, n) = (x.dtype.bytes(), y.as_slice().elements);
    let addresses = [x.address, y.as_slice().address];
    let fits = |width: &usize| {
        (inner * size).is_multiple_of(*width)
            && addresses
                .iter()
                .all(|address| address.is_multiple_of(*width as u64))
    };
    let width = WIDTHS
        .into_iter()
        .rev()
        .find(|width| *width >= size && fits(width))
        .unwrap_or(size);
    let name = ["rows_1", "rows_2", "rows_4", "rows_8", "rows_16"][width.trailing_zeros() as usize];
    let pieces = n * size / width;
    let launch = x
        .gpu
        .kernel(&SOURCE, name, x.dtype)?
        .arg(x)
        .arg(at)
        .arg(y)
        .count(pieces);
    launch
        .sizes([length, m, inner * size / width])?
        .each(pieces)
        .moves(2 * n * size)
        .launch()
}

/// dx, in f32: the sum of dy over all indices of [`gather`] that read the element.
pub(crate) fn scatter(dy: Slice, at: Slice, sizes: [usize; 3], dx: &mut SliceMut) -> Result<()> {
    add("gather_backward", dy, at, sizes, dx)
}

/// dx, in f32: the sum of dy over all indices of [`rows`] that read the row.
pub(crate) fn add_rows(dy: Slice, at: Slice, sizes: [usize; 3], dx: &mut SliceMut) -> Result<()> {
    add("rows_backward", dy, at, sizes, dx)
}

fn add(
    name: &'static str,
    dy: Slice,
    at: Slice,
    sizes: [usize; 3],
    dx: &mut SliceMut,
) -> Result<()> {
    let n = dx.as_slice().elements;
    let launch = dy
        .gpu
        .kernel(&SOURCE, name, dy.dtype)?
        .arg(dy)
        .arg(at)
        .arg(dx)
        .count(n)
        .sizes(sizes)?;
    launch.each(n).moves(dy.bytes() + 4 * n).launch()
}

/// 1 at the index of each label, 0 elsewhere.
pub(crate) fn one_hot(labels: Slice, classes: usize, y: &mut SliceMut) -> Result<()> {
    let n = labels.elements * classes;
    let launch = labels
        .gpu
        .kernel(&SOURCE, "one_hot", y.as_slice().dtype)?
        .arg(labels)
        .arg(y)
        .count(n)
        .sizes([classes])?;
    launch.each(n).moves(n * 4).launch()
}
