//! A graph in the encoding of ONNX: `onnx.proto`'s messages and the numbers of their fields.
//!
//! Source: <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>.

use std::fmt;

use crate::io::protobuf::Message;

/// An op with its inputs and its one output, after which the node is named.
pub(super) struct Node {
    pub op: &'static str,
    pub inputs: Vec<String>,
    pub output: String,
    pub attributes: Vec<(&'static str, Attribute)>,
}

/// An attribute of a node.
pub(super) enum Attribute {
    Int(i64),
    Float(f32),
    Text(&'static str),
    Ints(Vec<i64>),
}

/// A constant of f32, or of i64 where it is whole.
pub(super) struct Initializer {
    pub name: String,
    pub dims: Vec<i64>,
    pub whole: bool,
    pub bytes: Vec<u8>,
}

/// An input or output of the graph: its name, the number of its type, and for each axis a length or a
/// name.
pub(super) struct Port {
    pub name: String,
    pub element: i64,
    pub axes: Vec<Result<i64, String>>,
}

impl fmt::Display for Port {
    /// `images: f32 [batch, 3, height, width]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let axes = self.axes.iter().map(|axis| match axis {
            Ok(length) => length.to_string(),
            Err(name) => name.clone(),
        });
        let element = if self.element == UINT8 { "u8" } else { "f32" };
        let (name, axes) = (&self.name, axes.collect::<Vec<_>>().join(", "));
        write!(f, "{name}: {element} [{axes}]")
    }
}

/// The numbers of types, `TensorProto.DataType`.
pub(super) const FLOAT: i64 = 1;
pub(super) const UINT8: i64 = 2;
const INT64: i64 = 7;

/// A whole model, `ModelProto`.
pub(super) struct ModelFile<'a> {
    pub opset: i64,
    pub nodes: &'a [Node],
    pub initializers: &'a [Initializer],
    pub ports: [&'a Port; 2],
    pub metadata: Vec<(String, String)>,
}

impl ModelFile<'_> {
    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        // The first version of the format that has the set of ops: readers refuse newer ones.
        let format = if self.opset < 20 { 8 } else { 9 };
        let opset = Message::new().text(1, "").int(2, self.opset);
        let model = Message::new()
            .int(1, format)
            .text(2, "wavemix")
            .text(3, env!("CARGO_PKG_VERSION"))
            .message(7, &self.graph())
            .message(8, &opset);
        let metadata = self.metadata.iter().fold(model, |model, (key, value)| {
            model.message(14, &Message::new().text(1, key).text(2, value))
        });
        metadata.bytes().to_vec()
    }

    /// `GraphProto`.
    fn graph(&self) -> Message {
        let nodes = self.nodes.iter();
        let graph = nodes.fold(Message::new(), |graph, node| {
            graph.message(1, &of_node(node))
        });
        let graph = graph.text(2, "model");
        let initializers = self.initializers.iter();
        let graph = initializers.fold(graph, |graph, own| graph.message(5, &of_initializer(own)));
        let [input, output] = self.ports.map(of_port);
        graph.message(11, &input).message(12, &output)
    }
}

/// `NodeProto`.
fn of_node(node: &Node) -> Message {
    let inputs = node.inputs.iter();
    let message = inputs.fold(Message::new(), |message, input| message.text(1, input));
    let message = message
        .text(2, &node.output)
        .text(3, &node.output)
        .text(4, node.op);
    node.attributes
        .iter()
        .fold(message, |message, (name, value)| {
            let own = Message::new().text(1, name);
            // The value's field, and the number of its kind in field 20.
            let own = match value {
                Attribute::Float(value) => own.float(2, *value).int(20, 1),
                Attribute::Int(value) => own.int(3, *value).int(20, 2),
                Attribute::Text(value) => own.text(4, value).int(20, 3),
                Attribute::Ints(values) => ints(own, 8, values).int(20, 7),
            };
            message.message(5, &own)
        })
}

/// Several whole numbers, a field each.
fn ints(message: Message, number: u32, values: &[i64]) -> Message {
    let add = |message: Message, &value: &i64| message.int(number, value);
    values.iter().fold(message, add)
}

/// `TensorProto`, little-endian.
fn of_initializer(own: &Initializer) -> Message {
    ints(Message::new(), 1, &own.dims)
        .int(2, if own.whole { INT64 } else { FLOAT })
        .text(8, &own.name)
        .blob(9, &own.bytes)
}

/// `ValueInfoProto`.
fn of_port(port: &Port) -> Message {
    let shape = port.axes.iter().fold(Message::new(), |shape, axis| {
        let dimension = match axis {
            Ok(length) => Message::new().int(1, *length),
            Err(name) => Message::new().text(2, name),
        };
        shape.message(1, &dimension)
    });
    let tensor = Message::new().int(1, port.element).message(2, &shape);
    Message::new()
        .text(1, &port.name)
        .message(2, &Message::new().message(1, &tensor))
}
