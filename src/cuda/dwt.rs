//! The Haar transform and its inverse.

use super::runtime::launch::together;
use super::{Slice, SliceMut, Source};
use crate::Result;

pub(super) static SOURCE: Source = Source::new("dwt", include_str!("../../kernels/dwt.cu"));

/// y = the sub-bands of images x `[n, h, w, c]`.
pub(crate) fn forward(x: Slice, size: [usize; 4], y: &mut SliceMut) -> Result<()> {
    let v = together(size[3], &[x, y.as_slice()]);
    let launch = x
        .gpu
        .kernel(&SOURCE, "dwt", x.dtype)?
        .arg(x)
        .arg(y)
        .sizes(size)?
        .sizes([v])?;
    launch.each(blocks(size) / v).moves(2 * x.bytes()).launch()
}

/// x `[n, h, w, c]` = the images whose sub-bands are y.
pub(crate) fn inverse(y: Slice, size: [usize; 4], x: &mut SliceMut) -> Result<()> {
    let v = together(size[3], &[y, x.as_slice()]);
    let launch = y
        .gpu
        .kernel(&SOURCE, "idwt", y.dtype)?
        .arg(y)
        .arg(x)
        .sizes(size)?
        .sizes([v])?;
    launch.each(blocks(size) / v).moves(2 * y.bytes()).launch()
}

/// 2 x 2 blocks of all channels.
fn blocks([n, h, w, c]: [usize; 4]) -> usize {
    n * h.div_ceil(2) * w.div_ceil(2) * c
}
