//! Sums of all elements of a row up to each.

use super::{Slice, SliceMut, Source};
use crate::Result;

static SOURCE: Source = Source::new("cumsum", include_str!("../../kernels/cumsum.cu"));

/// y[r, i] = x[r, 0] + .. + x[r, i] for rows of `length`, or from the row's end on.
pub(crate) fn forward(x: Slice, length: usize, reverse: bool, y: &mut SliceMut) -> Result<()> {
    if x.elements == 0 {
        return Ok(());
    }
    let rows = x.elements / length;
    let launch = x
        .gpu
        .kernel(&SOURCE, "cumsum", x.dtype)?
        .arg(x)
        .arg(y)
        .count(rows)
        .sizes([length])?
        .arg(i32::from(reverse));
    launch.warps(rows).moves(2 * x.bytes()).launch()
}
