//! Segments of the arena, and what one step is told.

use std::ops::Range;

use crate::params::Group;
use crate::{Error, Params, Result, Tensor};

/// What one step asks of a method, for one segment of the arena.
pub(super) struct Step {
    /// The number of this step, from 1.
    pub number: u64,
    /// The learning rate, the group's scale included.
    pub lr: f64,
    /// The group's factor on the weight decay.
    pub decay_scale: f64,
}

/// The arena cut where the group changes: neighbours of one group are updated in one go.
pub(super) fn segments(params: &Params) -> Vec<(Range<usize>, Group)> {
    let mut segments: Vec<(Range<usize>, Group)> = Vec::new();
    for entry in params.entries() {
        let end = entry.offset + entry.shape.elements();
        match segments.last_mut() {
            Some((range, group)) if *group == entry.group => range.end = end,
            _ => segments.push((entry.offset..end, entry.group)),
        }
    }
    segments
}

/// Checks that `gradients` is laid out like the arena.
#[track_caller]
pub(super) fn like_arena(op: &'static str, params: &Params, gradients: &Tensor) -> Result<()> {
    let arena = params.arena();
    crate::ops::same_device(op, ("the parameters", arena), ("gradients", gradients))?;
    if (gradients.shape(), gradients.dtype()) != (arena.shape(), arena.dtype()) {
        let expected = format!(
            "{} of {}, as Gradients::flatten gives",
            arena.shape(),
            arena.dtype()
        );
        return Err(Error::operand(
            op,
            "gradients",
            expected,
            format!("{} of {}", gradients.shape(), gradients.dtype()),
        ));
    }
    Ok(())
}
