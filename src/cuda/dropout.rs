//! Dropout, by the same counter-based random bits as on the CPU.

use super::runtime::graph;
use super::runtime::launch::pack;
use super::{Slice, SliceMut, Source};
use crate::cpu::dropout::threshold;
use crate::{Result, Rng};

static SOURCE: Source = Source::new("dropout", include_str!("../../kernels/dropout.cu"));

/// y = x / (1 - p) where the element's random bits, as a fraction, reach p, else 0.
pub(crate) fn forward(p: f64, rng: &Rng, x: Slice, y: &mut SliceMut) -> Result<()> {
    let (seed, stream) = rng.key();
    let (threshold, scale) = drop(p);
    let launch = x
        .gpu
        .kernel(&SOURCE, "dropout", x.dtype)?
        .arg(x)
        .arg(y)
        .count(x.elements);
    let launch = launch
        .arg(seed)
        .arg(stream)
        .arg(graph::key(rng))
        .arg(threshold)
        .arg(scale);
    launch
        .each(x.elements.div_ceil(pack(x.dtype)))
        .moves(2 * x.bytes())
        .launch()
}

/// The threshold that an element's random bits, as a fraction of 2^16, must reach for it to be
/// kept, and the factor that it is then multiplied by.
pub(super) fn drop(p: f64) -> (u32, f32) {
    (threshold(p), (1.0 / (1.0 - p)) as f32)
}
