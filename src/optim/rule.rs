//! What an optimizer is, to everything that is not about one of them.

use crate::cuda::SliceMut;
use crate::cuda::clip as cuda;
use crate::optim::segment::Step;
use crate::{Float, Result};

/// An update rule with its settings: one file each.
pub(super) trait Rule {
    /// A learning rate to begin with.
    const DEFAULT_LR: f64 = 1e-3;

    /// The name that it is chosen by.
    fn name(&self) -> &'static str;

    /// The names of the moments that it keeps of each weight.
    fn moments(&self) -> &'static [&'static str];

    /// The factors whose powers correct the moments of the first steps; 0 where there are none.
    fn betas(&self) -> (f64, f64) {
        (0.0, 0.0)
    }

    /// How strongly weights are drawn to 0.
    fn weight_decay(&mut self) -> &mut f64;

    /// Its other settings, and whether each is in its range.
    fn settings(&self) -> Vec<(&'static str, f64, bool)>;

    /// One step of one segment on the CPU; `moments` in the order of their names.
    fn update<T: Float>(&self, step: &Step, w: &mut [T], dw: &[T], moments: Vec<&mut [T]>);

    /// One step of the whole arena on a GPU.
    fn launch<'a>(
        &self,
        w: &mut SliceMut<'a>,
        moments: &mut [SliceMut<'a>],
        at: cuda::Step,
    ) -> Result<()>;
}

/// Whether a factor of a running mean is in its range.
pub(super) fn is_factor(x: f64) -> bool {
    (0.0..1.0).contains(&x)
}

/// Whether a setting is a number from 0 on.
pub(super) fn is_at_least_0(x: f64) -> bool {
    x >= 0.0 && x.is_finite()
}
