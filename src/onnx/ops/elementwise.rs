//! Functions of elements. They take images in the layout in which these are there.

use crate::Result;
use crate::onnx::encode::Attribute;
use crate::onnx::graph::{Graph, Layout};
use crate::onnx::record::Event;

/// What a function of one operand is made of.
#[derive(Clone, Copy)]
enum Function {
    /// This node.
    Node(&'static str),
    /// This node, whose second operand is the function's parameter.
    WithNumber(&'static str),
    /// This node, whose attribute `alpha` is the function's parameter.
    WithAlpha(&'static str),
    /// The nodes that are added here for this operand and these parameters.
    Composed(fn(&mut Graph, &str, [f32; 2]) -> String),
}

/// The functions of one operand.
const FUNCTIONS: [(&str, Function); 26] = [
    ("neg", Function::Node("Neg")),
    ("abs", Function::Node("Abs")),
    ("exp", Function::Node("Exp")),
    ("log", Function::Node("Log")),
    ("sqrt", Function::Node("Sqrt")),
    ("recip", Function::Node("Reciprocal")),
    ("tanh", Function::Node("Tanh")),
    ("sigmoid", Function::Node("Sigmoid")),
    ("relu", Function::Node("Relu")),
    ("softplus", Function::Node("Softplus")),
    ("sin", Function::Node("Sin")),
    ("cos", Function::Node("Cos")),
    ("erf", Function::Node("Erf")),
    ("hardswish", Function::Node("HardSwish")),
    ("powf", Function::WithNumber("Pow")),
    ("add_scalar", Function::WithNumber("Add")),
    ("mul_scalar", Function::WithNumber("Mul")),
    ("div_scalar", Function::WithNumber("Div")),
    ("leaky_relu", Function::WithAlpha("LeakyRelu")),
    ("elu", Function::WithAlpha("Elu")),
    (
        "square",
        Function::Composed(|graph, x, _| graph.node("Mul", &[x, x], vec![])),
    ),
    ("clamp", Function::Composed(clip)),
    (
        "relu6",
        Function::Composed(|graph, x, _| clip(graph, x, [0.0, 6.0])),
    ),
    ("silu", Function::Composed(silu)),
    ("gelu", Function::Composed(gelu)),
    ("log1p", Function::Composed(log1p)),
];

fn find(op: &str) -> Option<Function> {
    let own = FUNCTIONS.iter().find(|(name, _)| *name == op);
    own.map(|(_, function)| *function)
}

/// Whether an op is a function of one operand.
pub(super) fn is_function(op: &str) -> bool {
    find(op).is_some()
}

/// A function of one operand.
pub(super) fn function(graph: &mut Graph, event: &Event) -> Result<()> {
    let Some(function) = find(event.op) else {
        return Err(event.refused("which has no counterpart"));
    };
    let (x, layout) = graph.in_any_layout(event.inputs[0])?;
    let parameters = event.attributes.numbers;
    let y = match function {
        Function::Node(op) => graph.node(op, &[&x], vec![]),
        Function::WithNumber(op) => with_number(graph, op, &x, parameters[0]),
        Function::WithAlpha(op) => {
            let alpha = Attribute::Float(parameters[0]);
            graph.node(op, &[&x], vec![("alpha", alpha)])
        }
        Function::Composed(nodes) => nodes(graph, &x, parameters),
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

fn silu(graph: &mut Graph, x: &str, _: [f32; 2]) -> String {
    let gate = graph.node("Sigmoid", &[x], vec![]);
    graph.node("Mul", &[x, &gate], vec![])
}

/// log(u) with u = 1 + x rounded, and c / u, where c = x - (u - 1) is what the rounding took:
/// log(u + c) = log(u) + c / u up to c^2 / (2 u^2), which is below f32's digits, also where log(u)
/// is 0 and this is x. Where x is u - 1 it is log(u) alone: at -1 and infinity c / u would be NaN.
fn log1p(graph: &mut Graph, x: &str, _: [f32; 2]) -> String {
    let u = with_number(graph, "Add", x, 1.0);
    let log = graph.node("Log", &[&u], vec![]);
    let back = with_number(graph, "Sub", &u, 1.0);
    let rest = graph.node("Sub", &[x, &back], vec![]);
    let correction = graph.node("Div", &[&rest, &u], vec![]);
    let corrected = graph.node("Add", &[&log, &correction], vec![]);
    let exact = graph.node("Equal", &[x, &back], vec![]);
    graph.node("Where", &[&exact, &log, &corrected], vec![])
}

/// x (1 + erf(x / sqrt 2)) / 2, an op of its own since version 20.
fn gelu(graph: &mut Graph, x: &str, _: [f32; 2]) -> String {
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
