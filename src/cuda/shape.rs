//! Slices, padding, concatenation, permutation: each is a copy of a box of elements, with a stride
//! along each axis in the source and in the target.

use super::runtime::launch::Axes;
use super::{Slice, SliceMut, Source};
use crate::{DType, Result};

pub(super) static SOURCE: Source = Source::new("shape", include_str!("../../kernels/shape.cu"));

/// The most blocks along y and z that a grid may have.
const MOST: usize = 65_535;

/// y = a strided view of x that begins at `start`: for each axis its length in y and its stride in
/// x.
pub(crate) fn take(
    x: Slice,
    start: isize,
    axes: &[(usize, isize)],
    y: &mut SliceMut,
) -> Result<()> {
    let own = strides(axes.iter().map(|axis| axis.0));
    let both = axes.iter().zip(own);
    let both = both.map(|(&(length, step), own)| (length, [step, own as isize]));
    copy_box((x, start as usize), (y, 0), Axes::new(both))
}

/// y = x padded with zeros: for each axis its length in x, the padding before, its length in y.
pub(crate) fn pad(x: Slice, axes: &[(usize, usize, usize)], y: &mut SliceMut) -> Result<()> {
    let own = strides(axes.iter().map(|axis| axis.0));
    let all = strides(axes.iter().map(|axis| axis.2));
    let start = axes
        .iter()
        .zip(&all)
        .map(|(axis, step)| axis.1 * step)
        .sum();
    let both = axes.iter().zip(own.into_iter().zip(all));
    let both = both.map(|(axis, (own, all))| (axis.0, [own as isize, all as isize]));
    y.fill(0.0)?;
    copy_box((x, 0), (y, start), Axes::new(both))
}

/// y = the parts concatenated: for each of the outer rows, a row of each part.
pub(crate) fn concat(xs: &[Slice], outer: usize, y: &mut SliceMut) -> Result<()> {
    let (row, mut start) = (y.as_slice().elements / outer, 0);
    for &x in xs {
        let own = x.elements / outer;
        let axes = Axes::new([(outer, [own as isize, row as isize]), (own, [1, 1])]);
        copy_box((x, 0), (y, start), axes)?;
        start += own;
    }
    Ok(())
}

/// y = the lower or upper triangle of each matrix `[rows, columns]` of x, zeros elsewhere.
pub(crate) fn triangle(
    x: Slice,
    size: [usize; 2],
    diagonal: i64,
    upper: bool,
    y: &mut SliceMut,
) -> Result<()> {
    let name = ["triangle_1", "triangle_2", "triangle_4", "triangle_8"]
        [x.dtype.bytes().trailing_zeros() as usize];
    let launch = x
        .gpu
        .kernel(&SOURCE, name, DType::F32)?
        .arg(x)
        .arg(y)
        .count(x.elements)
        .sizes(size)?
        .arg(diagonal)
        .arg(i32::from(upper));
    launch.each(x.elements).moves(2 * x.bytes()).launch()
}

/// The strides of a dense array with axes of these lengths.
fn strides(lengths: impl DoubleEndedIterator<Item = usize>) -> Vec<usize> {
    let (mut step, mut strides) = (1, Vec::new());
    for length in lengths.rev() {
        strides.push(step);
        step *= length;
    }
    strides.reverse();
    strides
}

/// Copies a box: element (i, j, ..) from x[start + i a0 + j a1 ..] to y[start' + i b0 + j b1 ..],
/// with the strides of `axes`.
pub(crate) fn copy_box(x: (Slice, usize), y: (&mut SliceMut, usize), axes: Axes) -> Result<()> {
    let ((x, from), (y, to)) = (x, y);
    let (n, size) = (axes.elements(), x.dtype.bytes());
    if n == 0 {
        return Ok(());
    }
    let (x, mut y) = (x.part(from, x.elements - from), {
        let left = y.as_slice().elements - to;
        y.part(to, left)
    });
    if let Some((batch, rows, columns)) = transposition(axes) {
        let name = ["transpose_1", "transpose_2", "transpose_4", "transpose_8"]
            [size.trailing_zeros() as usize];
        let launch = x
            .gpu
            .kernel(&SOURCE, name, DType::F32)?
            .arg(x)
            .arg(&mut y)
            .sizes([batch, rows, columns])?;
        return launch
            .tiles([
                columns.div_ceil(32),
                rows.div_ceil(32).min(MOST),
                batch.min(MOST),
            ])
            .moves(2 * n * size)
            .launch();
    }
    // Elements that are contiguous in both arrays are copied several at a time.
    let width = [16, 8, 4, 2]
        .into_iter()
        .find(|&width| width > size && fits(&axes, [x.address, y.0.address], size, width));
    let (width, axes) = width.map_or((size, axes), |width| (width, widened(axes, width / size)));
    let name = [
        "copy_box_1",
        "copy_box_2",
        "copy_box_4",
        "copy_box_8",
        "copy_box_16",
    ][width.trailing_zeros() as usize];
    let pieces = axes.elements();
    let launch = x
        .gpu
        .kernel(&SOURCE, name, DType::F32)?
        .arg(x)
        .arg(&mut y)
        .count(pieces)
        .axes(axes)?;
    launch.each(pieces).moves(2 * n * size).launch()
}

/// Whether the box can be copied `width` bytes at a time.
fn fits(axes: &Axes, addresses: [u64; 2], size: usize, width: usize) -> bool {
    let together = width / size;
    let mut axes = axes.iter().rev();
    let inner = axes
        .next()
        .is_some_and(|(length, steps)| steps == [1, 1] && length % together == 0);
    inner
        && addresses
            .iter()
            .all(|address| address.is_multiple_of(width as u64))
        && axes.all(|(_, steps)| steps.iter().all(|step| step % together as isize == 0))
}

/// The same box in elements `together` times as wide.
fn widened(axes: Axes, together: usize) -> Axes {
    let last = axes.iter().len() - 1;
    Axes::new(
        axes.iter()
            .enumerate()
            .map(|(i, (length, steps))| match i == last {
                true => (length / together, steps),
                false => (length, steps.map(|step| step / together as isize)),
            }),
    )
}

/// Batch, rows and columns where the box is dense matrices `[rows, columns]` written transposed.
fn transposition(axes: Axes) -> Option<(usize, usize, usize)> {
    let list: Vec<(usize, [isize; 2])> = axes.iter().collect();
    let (outer, inner) = list.split_at(list.len().checked_sub(2)?);
    let &[(columns, [1, down]), (rows, [across, 1])] = inner else {
        return None;
    };
    if across != columns as isize || down != rows as isize {
        return None;
    }
    let matrix = (rows * columns) as isize;
    match *outer {
        [] => Some((1, rows, columns)),
        [(batch, steps)] if steps == [matrix, matrix] => Some((batch, rows, columns)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_merged_and_transpositions_found() {
        let dense = Axes::new([(2, [12, 12]), (3, [4, 4]), (4, [1, 1])]);
        assert_eq!(dense.iter().collect::<Vec<_>>(), [(24, [1, 1])]);
        assert_eq!(widened(dense, 4).iter().collect::<Vec<_>>(), [(6, [1, 1])]);
        assert!(fits(&dense, [32, 48], 4, 16) && !fits(&dense, [32, 36], 4, 16));
        // [2, 3, 4] permuted to [2, 4, 3].
        let turned = Axes::new([(2, [12, 12]), (4, [1, 3]), (3, [4, 1])]);
        assert_eq!(transposition(turned), Some((2, 3, 4)));
        // The same of a part of wider rows.
        assert_eq!(transposition(Axes::new([(4, [1, 3]), (3, [5, 1])])), None);
    }
}
