//! Matrix products, attention, and what is computed along axes.

use crate::Result;
use crate::onnx::encode::Attribute;
use crate::onnx::graph::{Graph, Layout};
use crate::onnx::record::Event;

/// An operand of a matrix product, its last two axes exchanged where it is transposed.
fn operand(graph: &mut Graph, value: usize, transposed: bool) -> Result<String> {
    let x = graph.take(value, Layout::Nhwc)?;
    Ok(if transposed {
        let rank = graph.traced.rank(value) as i64;
        let mut order: Vec<i64> = (0..rank).collect();
        order.swap(rank as usize - 2, rank as usize - 1);
        graph.node("Transpose", &[&x], vec![("perm", Attribute::Ints(order))])
    } else {
        x
    })
}

pub(super) fn matmul(graph: &mut Graph, event: &Event) -> Result<()> {
    let [of_a, of_b] = event.attributes.flags;
    let a = operand(graph, event.inputs[0], of_a)?;
    let b = operand(graph, event.inputs[1], of_b)?;
    let y = graph.node("MatMul", &[&a, &b], vec![]);
    graph.produce(event.output, Layout::Nhwc, y);
    Ok(())
}

/// `Gemm` is for matrices alone; for others runtimes fuse the three.
pub(super) fn linear(graph: &mut Graph, event: &Event) -> Result<()> {
    let x = graph.take(event.inputs[0], Layout::Nhwc)?;
    let bias = match event.inputs.get(2) {
        Some(&bias) => Some(graph.take(bias, Layout::Nhwc)?),
        None => None,
    };
    let y = if graph.traced.rank(event.inputs[0]) == 2 {
        let weight = graph.take(event.inputs[1], Layout::Nhwc)?;
        let mut inputs = vec![&*x, &*weight];
        inputs.extend(bias.as_deref());
        graph.node("Gemm", &inputs, vec![("transB", Attribute::Int(1))])
    } else {
        let weight = operand(graph, event.inputs[1], true)?;
        let product = graph.node("MatMul", &[&x, &weight], vec![]);
        match bias {
            Some(bias) => graph.node("Add", &[&product, &bias], vec![]),
            None => product,
        }
    };
    graph.produce(event.output, Layout::Nhwc, y);
    Ok(())
}

/// Scores, which `causal` makes -infinity above the diagonal, their softmax, and means.
pub(super) fn attention(graph: &mut Graph, event: &Event) -> Result<()> {
    let [scale, causal] = [
        event.attributes.numbers[0],
        f32::from(event.attributes.flags[0]),
    ];
    let q = graph.take(event.inputs[0], Layout::Nhwc)?;
    let scale = graph.number(scale);
    let q = graph.node("Mul", &[&q, &scale], vec![]);
    let k = operand(graph, event.inputs[1], true)?;
    let v = graph.take(event.inputs[2], Layout::Nhwc)?;
    let mut scores = graph.node("MatMul", &[&q, &k], vec![]);
    if causal != 0.0 {
        let shape = graph.node("Shape", &[&scores], vec![("start", Attribute::Int(2))]);
        let lowest = graph.number(f32::NEG_INFINITY);
        let all = graph.node("Expand", &[&lowest, &shape], vec![]);
        let one = graph.ints(&[1]);
        let later = graph.node("Trilu", &[&all, &one], vec![]);
        scores = graph.node("Add", &[&scores, &later], vec![]);
    }
    let weights = graph.node("Softmax", &[&scores], vec![("axis", Attribute::Int(-1))]);
    let y = graph.node("MatMul", &[&weights, &v], vec![]);
    graph.produce(event.output, Layout::Nhwc, y);
    Ok(())
}

/// Along the last axis: of another, the op is made of transpositions and this.
pub(super) fn softmax(graph: &mut Graph, event: &Event) -> Result<()> {
    let x = graph.take(event.inputs[0], Layout::Nhwc)?;
    let op = match event.op {
        "softmax" => "Softmax",
        _ => "LogSoftmax",
    };
    let y = graph.node(op, &[&x], vec![("axis", Attribute::Int(-1))]);
    graph.produce(event.output, Layout::Nhwc, y);
    Ok(())
}

pub(super) fn layer_norm(graph: &mut Graph, event: &Event) -> Result<()> {
    let mut inputs = Vec::new();
    for &input in &event.inputs {
        inputs.push(graph.take(input, Layout::Nhwc)?);
    }
    let inputs: Vec<&str> = inputs.iter().map(|input| &**input).collect();
    let eps = Attribute::Float(event.attributes.numbers[0]);
    let y = graph.node("LayerNormalization", &inputs, vec![("epsilon", eps)]);
    graph.produce(event.output, Layout::Nhwc, y);
    Ok(())
}

/// x / sqrt(mean of x^2 + eps) gamma: an op of its own from version 23 on only.
pub(super) fn rms_norm(graph: &mut Graph, event: &Event) -> Result<()> {
    let x = graph.take(event.inputs[0], Layout::Nhwc)?;
    let gamma = graph.take(event.inputs[1], Layout::Nhwc)?;
    let square = graph.node("Mul", &[&x, &x], vec![]);
    let mean = reduced(graph, "ReduceMean", &square, (vec![-1], true));
    let eps = graph.number(event.attributes.numbers[0]);
    let more = graph.node("Add", &[&mean, &eps], vec![]);
    let root = graph.node("Sqrt", &[&more], vec![]);
    let unit = graph.node("Div", &[&x, &root], vec![]);
    let y = graph.node("Mul", &[&unit, &gamma], vec![]);
    graph.produce(event.output, Layout::Nhwc, y);
    Ok(())
}

/// A reduction over axes, which stay with length 1 or go. Axes are an input from version 18 on, of
/// sums from 13.
fn reduced(graph: &mut Graph, op: &'static str, x: &str, (axes, keep): (Vec<i64>, bool)) -> String {
    let keep = ("keepdims", Attribute::Int(i64::from(keep)));
    if graph.opset >= 18 || op == "ReduceSum" {
        let axes = graph.ints(&axes);
        graph.node(op, &[x, &axes], vec![keep])
    } else {
        graph.node(op, &[x], vec![("axes", Attribute::Ints(axes)), keep])
    }
}

pub(super) fn reduce(graph: &mut Graph, event: &Event) -> Result<()> {
    let op = match event.op {
        "sum" => "ReduceSum",
        "mean" => "ReduceMean",
        "max" => "ReduceMax",
        _ => "ReduceMin",
    };
    let (input, axes) = (event.inputs[0], &event.attributes.counts);
    if axes.is_empty() {
        // Nothing to reduce; ONNX takes no axes for all of them.
        let (x, layout) = graph.in_any_layout(input)?;
        graph.produce(event.output, layout, x);
        return Ok(());
    }
    let keep = graph.traced.rank(event.output) == graph.traced.rank(input);
    let (x, layout) = match keep {
        true => graph.in_any_layout(input)?,
        false => (graph.take(input, Layout::Nhwc)?, Layout::Nhwc),
    };
    let axes = axes.iter().map(|&axis| layout.axis(axis) as i64).collect();
    let y = reduced(graph, op, &x, (axes, keep));
    graph.produce(event.output, layout, y);
    Ok(())
}

/// The real part after transforms along one axis after the other. `DFT` has real and imaginary part
/// as its last axis.
pub(super) fn dft_real(graph: &mut Graph, event: &Event) -> Result<()> {
    if event.attributes.counts.contains(&0) {
        return Err(event.refused("along the batch"));
    }
    let x = graph.take(event.inputs[0], Layout::Nhwc)?;
    let last = graph.ints(&[-1]);
    let mut y = graph.node("Unsqueeze", &[&x, &last], vec![]);
    for &axis in &event.attributes.counts {
        y = if graph.opset >= 20 {
            let axis = graph.whole_number(axis as i64);
            graph.node("DFT", &[&y, "", &axis], vec![])
        } else {
            graph.node("DFT", &[&y], vec![("axis", Attribute::Int(axis as i64))])
        };
    }
    let real = graph.whole_number(0);
    let y = graph.node("Gather", &[&y, &real], vec![("axis", Attribute::Int(-1))]);
    graph.produce(event.output, Layout::Nhwc, y);
    Ok(())
}
