//! Average and maximum pooling.

use super::conv2d::window;
use super::runtime::launch::together;
use super::{Slice, SliceMut, Source};
use crate::Result;
use crate::tensor::window::Geometry;

static SOURCE: Source = Source::new("pool", include_str!("../../kernels/pool.cu"));

/// y = the mean over each window.
pub(crate) fn average(g: &Geometry, x: Slice, y: &mut SliceMut) -> Result<()> {
    from_one("avg_pool", g, x, y)
}

/// dx = the sum of dy / (kh kw) over the windows an element lies in.
pub(crate) fn backward_average(g: &Geometry, dy: Slice, dx: &mut SliceMut) -> Result<()> {
    from_one("avg_pool_backward", g, dy, dx)
}

/// y = the maximum of each window.
pub(crate) fn maximum(g: &Geometry, x: Slice, y: &mut SliceMut) -> Result<()> {
    from_one("max_pool", g, x, y)
}

fn from_one(name: &'static str, g: &Geometry, x: Slice, y: &mut SliceMut) -> Result<()> {
    let (v, n) = (
        together(g.big[2], &[x, y.as_slice()]),
        y.as_slice().elements,
    );
    let launch = x
        .gpu
        .kernel(&SOURCE, name, x.dtype)?
        .arg(x)
        .arg(y)
        .arg(window(x.gpu, g)?)
        .sizes([v])?;
    launch
        .each(n / v)
        .moves(x.bytes() + n * x.dtype.bytes())
        .launch()
}

/// dx = the sum of dy over the windows in which an element is the first that equals the maximum.
pub(crate) fn backward_maximum(
    g: &Geometry,
    [x, y, dy]: [Slice; 3],
    dx: &mut SliceMut,
) -> Result<()> {
    let v = together(g.big[2], &[x, y, dy, dx.as_slice()]);
    let launch = x
        .gpu
        .kernel(&SOURCE, "max_pool_backward", x.dtype)?
        .arg(x)
        .arg(y)
        .arg(dy)
        .arg(dx);
    let launch = launch.arg(window(x.gpu, g)?).sizes([v])?;
    launch
        .each(x.elements / v)
        .moves(2 * (x.bytes() + y.bytes()))
        .launch()
}
