//! Segments of the arena: neighbours that a step treats alike.

use std::borrow::Cow;
use std::ops::Range;

use crate::params::Group;
use crate::{Element, Error, Params, Result, Tensor};

/// The arena cut where the group changes: neighbours of one group are updated in one go, with the
/// elements between them that belong to none. Those have a weight, a gradient and moments of 0, of
/// which the rules of this crate make 0 again (Adam only with an eps above 0).
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

/// The values of a segment's parameters, one after the other, from an array like the arena: a slice
/// of it, or a copy where elements of no parameter lie between them. A sum over these is the same
/// wherever the parameters lie.
pub(super) fn packed<'a, T: Element>(
    params: &Params,
    segment: &Range<usize>,
    flat: &'a [T],
) -> Cow<'a, [T]> {
    let ranges: Vec<Range<usize>> = params
        .entries()
        .iter()
        .map(|entry| entry.offset..entry.offset + entry.shape.elements())
        .filter(|range| segment.start <= range.start && range.end <= segment.end)
        .collect();
    if ranges.iter().map(Range::len).sum::<usize>() == segment.len() {
        return Cow::Borrowed(&flat[segment.clone()]);
    }
    let pieces: Vec<&[T]> = ranges.into_iter().map(|range| &flat[range]).collect();
    Cow::Owned(pieces.concat())
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
