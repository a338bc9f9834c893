//! Transposed convolution: an implicit GEMM for each pair of phases, that is, for the outputs whose
//! row and column leave the same remainders when divided by the strides.

use super::conv2d::{Tile, depthwise, of_no_channels, window};
use super::runtime::launch::together;
use super::{Slice, SliceMut, Source};
use crate::Result;
use crate::tensor::window::Geometry;

pub(super) static SOURCE: Source = Source::new(
    "conv_transpose2d",
    include_str!("../../kernels/conv_transpose2d.cu"),
);

/// big = the transposed convolution of small: the forward pass of conv_transpose2d, the input
/// gradient of conv2d.
pub(crate) fn forward(
    g: &Geometry,
    small: Slice,
    weight: Slice,
    bias: Option<Slice>,
    tf32: bool,
    big: &mut SliceMut,
) -> Result<()> {
    if g.small[2] == 0 {
        return of_no_channels(bias, g.big[2], big);
    }
    if g.is_depthwise() {
        return depthwise("depthwise_transposed", g, [small, weight], bias, big);
    }
    let (gpu, groups, [down, right]) = (small.gpu, g.window.groups, g.window.stride);
    // The sum runs over the small image's channels: the weight is transposed so that those are
    // contiguous.
    let mut transposed = gpu.scratch(weight.elements, weight.dtype)?;
    let launch = gpu
        .kernel(&SOURCE, "transpose_weight", weight.dtype)?
        .arg(weight)
        .arg(&mut transposed.write());
    launch
        .arg(window(gpu, g)?)
        .each(weight.elements)
        .moves(2 * weight.bytes())
        .launch()?;
    let c = g.big[2] / groups;
    let (tile, v) = (
        Tile::new(gpu, small.dtype, tf32, c),
        together(g.small[2] / groups, &[small, transposed.read()]),
    );
    let bytes = small.bytes() + weight.bytes() + big.as_slice().bytes();
    let launch = gpu
        .kernel(&SOURCE, tile.name(true), small.dtype)?
        .arg(small)
        .arg(transposed.read())
        .arg(bias)
        .arg(big);
    let launch = launch.arg(window(gpu, g)?).sizes([v])?;
    let pixels = g.n * g.big[0].div_ceil(down) * g.big[1].div_ceil(right);
    let grid = [
        pixels.div_ceil(128),
        groups * c.div_ceil(tile.width),
        down * right,
    ];
    launch
        .grid(grid, tile.threads)
        .moves(bytes)
        .counts(g.flops())
        .launch()
}
