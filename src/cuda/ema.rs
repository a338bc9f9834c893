//! The exponential moving average of weights.

use super::{Slice, SliceMut, Source};
use crate::{DType, Result};

static SOURCE: Source = Source::new("ema", include_str!("../../kernels/ema.cu"));

/// mean = keep mean + (1 - keep) x. `keep` holds both factors, in device memory.
pub(crate) fn update(mean: &mut SliceMut, x: Slice, keep: Slice) -> Result<()> {
    let launch = x
        .gpu
        .kernel(&SOURCE, "ema", DType::F32)?
        .arg(mean)
        .arg(x)
        .count(x.elements)
        .arg(keep);
    launch
        .each(x.elements.div_ceil(4))
        .moves(3 * x.bytes())
        .launch()
}
