//! Other shapes of the same elements, parts of them, and repetitions.

use crate::Result;
use crate::onnx::encode::Attribute;
use crate::onnx::graph::{Graph, Layout, Length};
use crate::onnx::record::Event;

/// The lengths of a value's axes at each size of the input.
fn all_lengths(graph: &Graph, value: usize) -> Vec<Vec<usize>> {
    (0..graph.traced.rank(value))
        .map(|axis| graph.traced.lengths(value, axis))
        .collect()
}

/// `Reshape` has two signs beside lengths: 0 for that of the same axis of the operand, and once -1
/// for what is left.
pub(super) fn reshape(graph: &mut Graph, event: &Event) -> Result<()> {
    let (input, x) = (event.inputs[0], graph.take(event.inputs[0], Layout::Nhwc)?);
    let (old, new) = (all_lengths(graph, input), all_lengths(graph, event.output));
    let mut lengths: Vec<Option<Length>> = Vec::new();
    for (axis, own) in new.iter().enumerate() {
        let is_fixed = own.iter().all(|length| *length == own[0]);
        lengths.push(match old.get(axis) == Some(own) && !is_fixed {
            true => Some(Length::Fixed(0)),
            false => is_fixed.then_some(Length::Fixed(own[0])),
        });
    }
    let unknown = lengths.iter().filter(|length| length.is_none()).count();
    let shape = if unknown <= 1 {
        let sign = |length: &Option<Length>| match length {
            Some(Length::Fixed(length)) => *length as i64,
            _ => -1,
        };
        graph.ints(&lengths.iter().map(sign).collect::<Vec<_>>())
    } else {
        let mut found = Vec::new();
        for (length, own) in lengths.into_iter().zip(&new) {
            found.push(match length {
                Some(length) => length,
                None => graph.length(own, &[input])?,
            });
        }
        graph.lengths(&found)
    };
    let y = graph.node("Reshape", &[&x, &shape], vec![]);
    graph.produce(event.output, Layout::Nhwc, y);
    Ok(())
}

pub(super) fn permute(graph: &mut Graph, event: &Event) -> Result<()> {
    let (x, layout) = graph.in_any_layout(event.inputs[0])?;
    let order = event
        .attributes
        .counts
        .iter()
        .map(|&axis| layout.axis(axis) as i64)
        .collect();
    let y = graph.node("Transpose", &[&x], vec![("perm", Attribute::Ints(order))]);
    graph.produce(event.output, Layout::Nhwc, y);
    Ok(())
}

pub(super) fn expand(graph: &mut Graph, event: &Event) -> Result<()> {
    let x = graph.take(event.inputs[0], Layout::Nhwc)?;
    let mut lengths = Vec::new();
    for own in all_lengths(graph, event.output) {
        lengths.push(graph.length(&own, &event.inputs)?);
    }
    let shape = graph.lengths(&lengths);
    let y = graph.node("Expand", &[&x, &shape], vec![]);
    graph.produce(event.output, Layout::Nhwc, y);
    Ok(())
}

/// From the start, up to the start and the length of the result.
pub(super) fn slice(graph: &mut Graph, event: &Event) -> Result<()> {
    let (x, layout) = graph.in_any_layout(event.inputs[0])?;
    let axis = event.attributes.counts[0];
    let starts = graph.traced.sizes(event.number, 0);
    let lengths = graph.traced.lengths(event.output, axis);
    let ends: Vec<usize> = starts
        .iter()
        .zip(&lengths)
        .map(|(start, length)| start + length)
        .collect();
    let start = graph.length(&starts, &event.inputs)?;
    // All that is behind the start: so it is for any size.
    let whole = graph.traced.lengths(event.inputs[0], axis);
    let end = match ends == whole {
        true => graph.ints(&[i64::MAX]),
        false => {
            let end = graph.length(&ends, &event.inputs)?;
            graph.lengths(&[end])
        }
    };
    let start = graph.lengths(&[start]);
    let axes = graph.ints(&[layout.axis(axis) as i64]);
    let y = graph.node("Slice", &[&x, &start, &end, &axes], vec![]);
    graph.produce(event.output, layout, y);
    Ok(())
}

/// Zeros: the numbers before all axes, then the numbers behind them.
pub(super) fn pad(graph: &mut Graph, event: &Event) -> Result<()> {
    let (x, layout) = graph.in_any_layout(event.inputs[0])?;
    let rank = graph.traced.rank(event.output);
    let mut around = vec![Length::Fixed(0); 2 * rank];
    for axis in 0..rank {
        for side in 0..2 {
            let zeros = graph.traced.sizes(event.number, 2 * axis + side);
            around[side * rank + layout.axis(axis)] = graph.length(&zeros, &event.inputs)?;
        }
    }
    let around = graph.lengths(&around);
    let y = graph.node("Pad", &[&x, &around], vec![]);
    graph.produce(event.output, layout, y);
    Ok(())
}

pub(super) fn concat(graph: &mut Graph, event: &Event) -> Result<()> {
    let first = event
        .inputs
        .iter()
        .any(|&input| graph.has(input, Layout::Nchw));
    let layout = match first {
        true => Layout::Nchw,
        false => Layout::Nhwc,
    };
    let mut parts = Vec::new();
    for &input in &event.inputs {
        parts.push(graph.take(input, layout)?);
    }
    let parts: Vec<&str> = parts.iter().map(|part| &**part).collect();
    let axis = layout.axis(event.attributes.counts[0]) as i64;
    let y = graph.node("Concat", &parts, vec![("axis", Attribute::Int(axis))]);
    graph.produce(event.output, layout, y);
    Ok(())
}
