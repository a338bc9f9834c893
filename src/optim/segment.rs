//! Segments of the arena: neighbours that a step treats alike.

use std::ops::Range;

use crate::params::Group;
use crate::{Error, Params, Result, Tensor};

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
