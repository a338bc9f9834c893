//! Softmax of rows; a warp takes a row.

use super::{Slice, SliceMut, Source};
use crate::Result;

static SOURCE: Source = Source::new("softmax", include_str!("../../kernels/softmax.cu"));

/// y = the softmax of each row of k, or its logarithm.
pub(crate) fn forward(log: bool, x: Slice, k: usize, y: &mut SliceMut) -> Result<()> {
    let rows = x.elements / k;
    let launch = x
        .gpu
        .kernel(&SOURCE, "softmax", x.dtype)?
        .arg(i32::from(log))
        .arg(x)
        .arg(y)
        .count(rows);
    launch.sizes([k])?.warps(rows).moves(2 * x.bytes()).launch()
}

/// dx, from y.
pub(crate) fn backward(log: bool, y: Slice, dy: Slice, k: usize, dx: &mut SliceMut) -> Result<()> {
    let rows = y.elements / k;
    let launch = y
        .gpu
        .kernel(&SOURCE, "softmax_backward", y.dtype)?
        .arg(i32::from(log))
        .arg(y)
        .arg(dy)
        .arg(dx)
        .count(rows);
    launch.sizes([k])?.warps(rows).moves(3 * y.bytes()).launch()
}
