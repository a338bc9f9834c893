//! The order of the elements of rows: runs sorted by counting, then merged two by two.

use super::{Slice, SliceMut, Source};
use crate::{DType, Result};

static SOURCE: Source = Source::new("sort", include_str!("../../kernels/sort.cu"));

/// Elements of a run. A thread compares its element with all of its run, which replaces six merges.
const RUN: usize = 64;

/// Where the elements of each row of `length` are, in ascending (or descending) order.
pub(crate) fn argsort(x: Slice, length: usize, descending: bool, at: &mut SliceMut) -> Result<()> {
    let n = x.elements;
    if n == 0 {
        return Ok(());
    }
    let names = match x.dtype {
        DType::U8 => ["sort_runs_u8", "merge_runs_u8"],
        DType::I64 => ["sort_runs_i64", "merge_runs_i64"],
        _ => ["sort_runs", "merge_runs"],
    };
    let merges = length.div_ceil(RUN).next_power_of_two().trailing_zeros();
    let mut other = x.gpu.scratch(if merges > 0 { n } else { 0 }, DType::I64)?;
    // Merges go back and forth between two arrays; the last one writes to `at`.
    let mut here = merges.is_multiple_of(2);
    let launch = x.gpu.kernel(&SOURCE, names[0], x.dtype)?.arg(x);
    let launch = match here {
        true => launch.arg(&mut *at),
        false => launch.arg(&mut other.write()),
    };
    let launch = launch.count(n).sizes([length, RUN])?;
    launch
        .arg(i32::from(descending))
        .each(n)
        .moves(x.bytes() + 8 * n)
        .launch()?;
    for merge in 0..merges {
        let launch = x.gpu.kernel(&SOURCE, names[1], x.dtype)?.arg(x);
        let launch = match here {
            true => launch.arg(at.as_slice()).arg(&mut other.write()),
            false => launch.arg(other.read()).arg(&mut *at),
        };
        let launch = launch.count(n).sizes([length, RUN << merge])?;
        launch
            .arg(i32::from(descending))
            .each(n)
            .moves(x.bytes() + 16 * n)
            .launch()?;
        here = !here;
    }
    Ok(())
}

/// dx[r, at[r, j]] = dy[r, j] for rows of `length` and `k` different places in each, 0 elsewhere.
pub(crate) fn place(
    at: Slice,
    dy: Slice,
    [length, k]: [usize; 2],
    dx: &mut SliceMut,
) -> Result<()> {
    if k < length {
        dx.fill(0.0)?;
    }
    let size = dy.dtype.bytes();
    let name = ["place_1", "place_2", "place_4", "place_8"][size.trailing_zeros() as usize];
    let launch = dy
        .gpu
        .kernel(&SOURCE, name, dy.dtype)?
        .arg(at)
        .arg(dy)
        .arg(dx)
        .count(dy.elements)
        .sizes([length, k])?;
    launch
        .each(dy.elements)
        .moves(at.bytes() + 2 * dy.bytes())
        .launch()
}
