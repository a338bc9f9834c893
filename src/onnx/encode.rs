//! A graph in the encoding of ONNX: `onnx.proto`'s messages and the numbers of their fields.
//!
//! Source: <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>.

use std::fmt;

use crate::io::protobuf::Message;
use crate::{Error, Result, Tensor};

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

/// A constant.
pub(super) struct Initializer {
    pub name: String,
    pub dims: Vec<i64>,
    pub data: Data,
}

/// The elements of a constant.
pub(super) enum Data {
    /// Those of a tensor of f32.
    Tensor(Tensor),
    Floats(Vec<f32>),
    Ints(Vec<i64>),
}

impl Data {
    /// Number of bytes in the file.
    fn size(&self) -> u64 {
        match self {
            Data::Tensor(tensor) => 4 * tensor.shape().elements() as u64,
            Data::Floats(values) => 4 * values.len() as u64,
            Data::Ints(values) => 8 * values.len() as u64,
        }
    }

    /// The bytes in the file, little-endian.
    fn bytes(&self) -> Result<Vec<u8>> {
        let of_floats = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect();
        Ok(match self {
            Data::Tensor(tensor) => of_floats(&tensor.to_vec::<f32>()?),
            Data::Floats(values) => of_floats(values),
            Data::Ints(values) => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        })
    }
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

/// Bytes of a message of Protocol Buffers that are too many for readers. ONNX keeps larger weights
/// in files beside the model's, which are not written here.
const LIMIT: u64 = 1 << 31;

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
    ///
    /// # Errors
    /// A file of 2 GiB or more: of weights so large before any is copied.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let constants = self.initializers.iter().map(|own| own.data.size()).sum();
        check_size(constants)?;
        // The first version of the format that has the set of ops: readers refuse newer ones.
        let format = if self.opset < 20 { 8 } else { 9 };
        let opset = Message::new().text(1, "").int(2, self.opset);
        let model = Message::new()
            .int(1, format)
            .text(2, "wavemix")
            .text(3, env!("CARGO_PKG_VERSION"))
            .message(7, &self.graph()?)
            .message(8, &opset);
        let metadata = self.metadata.iter().fold(model, |model, (key, value)| {
            model.message(14, &Message::new().text(1, key).text(2, value))
        });
        let bytes = metadata.into_bytes();
        check_size(bytes.len() as u64)?;
        Ok(bytes)
    }

    /// `GraphProto`.
    fn graph(&self) -> Result<Message> {
        let nodes = self.nodes.iter();
        let graph = nodes.fold(Message::new(), |graph, node| {
            graph.message(1, &of_node(node))
        });
        let mut graph = graph.text(2, "model");
        for own in self.initializers {
            graph = graph.message(5, &of_initializer(own)?);
        }
        let [input, output] = self.ports.map(of_port);
        Ok(graph.message(11, &input).message(12, &output))
    }
}

/// Checks that a file may have this many bytes.
fn check_size(bytes: u64) -> Result<()> {
    match bytes < LIMIT {
        true => Ok(()),
        false => Err(Error::Argument(format!(
            "an ONNX file is smaller than 2 GiB, that of this model would have {bytes} bytes or more"
        ))),
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

/// `TensorProto`.
fn of_initializer(own: &Initializer) -> Result<Message> {
    let kind = match own.data {
        Data::Tensor(_) | Data::Floats(_) => FLOAT,
        Data::Ints(_) => INT64,
    };
    Ok(ints(Message::new(), 1, &own.dims)
        .int(2, kind)
        .text(8, &own.name)
        .blob(9, &own.data.bytes()?))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;
    use crate::tensor::memory::shapes_only;

    /// With tensors that have shapes, and no memory.
    #[test]
    fn two_gibibytes_are_refused_before_they_are_copied() {
        let port = Port {
            name: "x".into(),
            element: FLOAT,
            axes: vec![],
        };
        let weight = |elements: usize| Initializer {
            name: "w".into(),
            dims: vec![elements as i64],
            data: Data::Tensor(shapes_only(|| Tensor::zeros([elements], DType::F32))),
        };
        let file = ModelFile {
            opset: 17,
            nodes: &[],
            initializers: &[weight(1 << 28), weight(1 << 28)],
            ports: [&port, &port],
            metadata: vec![],
        };
        let error = file.encode().unwrap_err().to_string();
        assert!(
            error.contains("would have 2147483648 bytes or more"),
            "{error}"
        );
        assert!(check_size((1 << 31) - 1).is_ok());
    }
}
