//! Keeping some elements and zeroing the others, by the processor's numbered random words.

use super::launch::pack;
use super::{Slice, SliceMut, graph};
use crate::{Result, Rng};

/// y = x / (1 - p) where the element's uniform number reaches p, else 0.
pub(crate) fn apply(p: f64, rng: &Rng, x: Slice, y: &mut SliceMut) -> Result<()> {
    let (seed, stream) = rng.key();
    let (threshold, scale) = drop(p);
    let launch = x.gpu.kernel("dropout", "dropout", x.dtype)?.arg(x).arg(y).count(x.elements);
    let launch = launch.arg(seed).arg(stream).arg(graph::key(rng)).arg(threshold).arg(scale);
    launch.each(x.elements.div_ceil(pack(x.dtype))).moves(2 * x.bytes()).launch()
}

/// What a random word's upper 24 bits must reach for its element to stay, and what that is then multiplied by.
pub(super) fn drop(p: f64) -> (u32, f32) {
    ((p * f64::from(1u32 << 24)).ceil() as u32, (1.0 / (1.0 - p)) as f32)
}
