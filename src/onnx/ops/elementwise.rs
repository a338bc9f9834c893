//! Functions of elements. They take images in the layout in which these are there.

use crate::Result;
use crate::onnx::encode::Attribute;
use crate::onnx::graph::{Graph, Layout};
use crate::onnx::record::Event;

/// The functions of one operand.
pub(super) const FUNCTIONS: [&str; 26] = [
    "neg",
    "abs",
    "exp",
    "log",
    "sqrt",
    "recip",
    "tanh",
    "sigmoid",
    "relu",
    "softplus",
    "sin",
    "cos",
    "erf",
    "hardswish",
    "square",
    "powf",
    "silu",
    "gelu",
    "clamp",
    "relu6",
    "add_scalar",
    "mul_scalar",
    "div_scalar",
    "leaky_relu",
    "elu",
    "log1p",
];

/// A function of one operand.
pub(super) fn function(graph: &mut Graph, event: &Event) -> Result<()> {
    let (x, layout) = graph.in_any_layout(event.inputs[0])?;
    let [first, second] = event.attributes.numbers;
    let x = &*x;
    let y = match event.op {
        "neg" => graph.node("Neg", &[x], vec![]),
        "abs" => graph.node("Abs", &[x], vec![]),
        "exp" => graph.node("Exp", &[x], vec![]),
        "log" => graph.node("Log", &[x], vec![]),
        "sqrt" => graph.node("Sqrt", &[x], vec![]),
        "recip" => graph.node("Reciprocal", &[x], vec![]),
        "tanh" => graph.node("Tanh", &[x], vec![]),
        "sigmoid" => graph.node("Sigmoid", &[x], vec![]),
        "relu" => graph.node("Relu", &[x], vec![]),
        "softplus" => graph.node("Softplus", &[x], vec![]),
        "sin" => graph.node("Sin", &[x], vec![]),
        "cos" => graph.node("Cos", &[x], vec![]),
        "erf" => graph.node("Erf", &[x], vec![]),
        "hardswish" => graph.node("HardSwish", &[x], vec![]),
        "square" => graph.node("Mul", &[x, x], vec![]),
        "powf" => with_number(graph, "Pow", x, first),
        "add_scalar" => with_number(graph, "Add", x, first),
        "mul_scalar" => with_number(graph, "Mul", x, first),
        "div_scalar" => with_number(graph, "Div", x, first),
        "clamp" => clip(graph, x, [first, second]),
        "relu6" => clip(graph, x, [0.0, 6.0]),
        "leaky_relu" => graph.node("LeakyRelu", &[x], vec![("alpha", Attribute::Float(first))]),
        "elu" => graph.node("Elu", &[x], vec![("alpha", Attribute::Float(first))]),
        "silu" => {
            let gate = graph.node("Sigmoid", &[x], vec![]);
            graph.node("Mul", &[x, &gate], vec![])
        }
        "log1p" => {
            let more = with_number(graph, "Add", x, 1.0);
            graph.node("Log", &[&more], vec![])
        }
        "gelu" => gelu(graph, x),
        _ => return Err(event.refused("which has no counterpart")),
    };
    graph.produce(event.output, layout, y);
    Ok(())
}

fn with_number(graph: &mut Graph, op: &'static str, x: &str, number: f32) -> String {
    let number = graph.number(number);
    graph.node(op, &[x, &number], vec![])
}

fn clip(graph: &mut Graph, x: &str, bounds: [f32; 2]) -> String {
    let [low, high] = bounds.map(|bound| graph.number(bound));
    graph.node("Clip", &[x, &low, &high], vec![])
}

/// x (1 + erf(x / sqrt 2)) / 2, an op of its own since version 20.
fn gelu(graph: &mut Graph, x: &str) -> String {
    if graph.opset >= 20 {
        return graph.node("Gelu", &[x], vec![]);
    }
    let scaled = with_number(graph, "Mul", x, std::f32::consts::FRAC_1_SQRT_2);
    let erf = graph.node("Erf", &[&scaled], vec![]);
    let more = with_number(graph, "Add", &erf, 1.0);
    let product = graph.node("Mul", &[x, &more], vec![]);
    with_number(graph, "Mul", &product, 0.5)
}

/// A function of two operands, which broadcast as here.
pub(super) fn binary(graph: &mut Graph, event: &Event) -> Result<()> {
    let op = match event.op {
        "add" => "Add",
        "sub" => "Sub",
        "mul" => "Mul",
        "div" => "Div",
        "maximum" => "Max",
        _ => "Min",
    };
    let inputs = [event.inputs[0], event.inputs[1]];
    let ranks = inputs.map(|input| graph.traced.rank(input));
    // A single number is the same in any layout.
    let fits = ranks.iter().all(|rank| [0, 4].contains(rank));
    let first = inputs.iter().any(|&input| graph.has(input, Layout::Nchw));
    let layout = match fits && first {
        true => Layout::Nchw,
        false => Layout::Nhwc,
    };
    let layout_of = |rank: usize| if rank == 4 { layout } else { Layout::Nhwc };
    let a = graph.take(inputs[0], layout_of(ranks[0]))?;
    let b = graph.take(inputs[1], layout_of(ranks[1]))?;
    let y = graph.node(op, &[&a, &b], vec![]);
    graph.produce(event.output, layout, y);
    Ok(())
}
