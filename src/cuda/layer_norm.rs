//! Layer normalisation; a warp takes a position.

use super::batch_norm::{are_f32, partial_sums};
use super::reduce::finish;
use super::{Slice, SliceMut, Source};
use crate::Result;

static SOURCE: Source = Source::new("layer_norm", include_str!("../../kernels/layer_norm.cu"));

/// y, and mean and 1 / std of each position; without a beta the mean counts as 0.
pub(crate) fn forward(
    x: Slice,
    gamma: Slice,
    beta: Option<Slice>,
    eps: f64,
    stats: &mut SliceMut,
    y: &mut SliceMut,
) -> Result<()> {
    let (c, rows) = (gamma.elements, x.elements / gamma.elements);
    let launch = x
        .gpu
        .kernel(&SOURCE, "layer_norm", x.dtype)?
        .arg(x)
        .arg(y)
        .arg(stats)
        .arg(gamma)
        .arg(beta);
    let launch = launch
        .arg(are_f32(gamma))
        .arg(eps as f32)
        .count(rows)
        .sizes([c])?;
    launch.warps(rows).moves(2 * x.bytes()).launch()
}

/// dx; `centered` where the forward pass took a mean off.
pub(crate) fn backward_input(
    [x, dy, stats]: [Slice; 3],
    gamma: Slice,
    centered: bool,
    dx: &mut SliceMut,
) -> Result<()> {
    let (c, rows) = (gamma.elements, x.elements / gamma.elements);
    let launch = x
        .gpu
        .kernel(&SOURCE, "layer_norm_backward", x.dtype)?
        .arg(x)
        .arg(dy)
        .arg(dx)
        .arg(stats);
    launch
        .arg(gamma)
        .arg(are_f32(gamma))
        .arg(i32::from(centered))
        .count(rows)
        .sizes([c])?
        .warps(rows)
        .moves(3 * x.bytes())
        .launch()
}

/// dgamma, then dbeta, in one row of 2 c elements of f32.
pub(crate) fn gradient_sums([x, dy, stats]: [Slice; 3], sums: &mut SliceMut) -> Result<()> {
    let c = sums.as_slice().elements / 2;
    let (part, splits) = partial_sums((&SOURCE, "layer_norm_sums"), [x, dy, stats], c)?;
    finish(part.read(), x.dtype, [1, splits, 2 * c], 1.0, sums)
}
