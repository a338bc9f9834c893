//! A reader of Protocol Buffers and of the parts of an ONNX file, written for the tests alone: from
//! the format's description, not from the writer.

/// The fields of a message: their numbers and values, in the file's order.
pub struct Fields<'a>(pub Vec<(u32, Field<'a>)>);

/// A value of a field.
#[derive(Clone, Copy)]
pub enum Field<'a> {
    Whole(u64),
    /// Of 32 bits.
    Float,
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (&byte, rest) = bytes.split_first().expect("a varint ends");
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return value;
        }
    }
}

impl<'a> Fields<'a> {
    pub fn read(mut bytes: &'a [u8]) -> Fields<'a> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let value = match key & 7 {
                0 => Field::Whole(varint(&mut bytes)),
                2 => {
                    let length = varint(&mut bytes) as usize;
                    let (value, rest) = bytes.split_at(length);
                    bytes = rest;
                    Field::Bytes(value)
                }
                5 => {
                    bytes = &bytes[4..];
                    Field::Float
                }
                other => panic!("wire type {other}"),
            };
            fields.push(((key >> 3) as u32, value));
        }
        Fields(fields)
    }

    fn all(&self, number: u32) -> impl Iterator<Item = Field<'a>> {
        let own = self.0.iter().filter(move |(own, _)| *own == number);
        own.map(|(_, value)| *value)
    }

    pub fn bytes(&self, number: u32) -> Vec<&'a [u8]> {
        let bytes = self.all(number).map(|value| match value {
            Field::Bytes(bytes) => bytes,
            _ => panic!("field {number} holds no bytes"),
        });
        bytes.collect()
    }

    pub fn texts(&self, number: u32) -> Vec<String> {
        let bytes = self.bytes(number).into_iter();
        bytes
            .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
            .collect()
    }

    pub fn messages(&self, number: u32) -> Vec<Fields<'a>> {
        self.bytes(number).into_iter().map(Fields::read).collect()
    }

    pub fn wholes(&self, number: u32) -> Vec<i64> {
        let wholes = self.all(number).map(|value| match value {
            Field::Whole(value) => value as i64,
            _ => panic!("field {number} holds no whole number"),
        });
        wholes.collect()
    }

    pub fn text(&self, number: u32) -> String {
        let [one] = &self.texts(number)[..] else {
            panic!("field {number} is not there once")
        };
        one.clone()
    }
}

pub struct Node {
    pub op: String,
    pub name: String,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    /// Names, and kinds by their number in `AttributeProto.AttributeType`.
    pub attributes: Vec<(String, i64)>,
}

pub struct Tensor {
    pub name: String,
    pub dims: Vec<i64>,
    pub kind: i64,
    pub data: Vec<u8>,
}

/// An input or output, with lengths of axes or their names.
pub struct Port {
    pub name: String,
    pub kind: i64,
    pub axes: Vec<String>,
}

pub struct File {
    pub format: i64,
    pub opset: i64,
    pub nodes: Vec<Node>,
    pub tensors: Vec<Tensor>,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
    pub metadata: Vec<(String, String)>,
}

impl File {
    pub fn read(bytes: &[u8]) -> File {
        let model = Fields::read(bytes);
        let [graph] = &model.messages(7)[..] else {
            panic!("one graph")
        };
        let [opset] = &model.messages(8)[..] else {
            panic!("one set of operators")
        };
        assert_eq!(opset.text(1), "");
        let metadata = model.messages(14);
        File {
            format: model.wholes(1)[0],
            opset: opset.wholes(2)[0],
            nodes: graph.messages(1).iter().map(node).collect(),
            tensors: graph.messages(5).iter().map(tensor).collect(),
            inputs: graph.messages(11).iter().map(port).collect(),
            outputs: graph.messages(12).iter().map(port).collect(),
            metadata: metadata
                .iter()
                .map(|entry| (entry.text(1), entry.text(2)))
                .collect(),
        }
    }
}

fn node(fields: &Fields) -> Node {
    let attributes = fields.messages(5);
    Node {
        op: fields.text(4),
        name: fields.text(3),
        inputs: fields.texts(1),
        outputs: fields.texts(2),
        attributes: attributes
            .iter()
            .map(|own| (own.text(1), own.wholes(20)[0]))
            .collect(),
    }
}

fn tensor(fields: &Fields) -> Tensor {
    Tensor {
        name: fields.text(8),
        dims: fields.wholes(1),
        kind: fields.wholes(2)[0],
        data: fields.bytes(9)[0].to_vec(),
    }
}

fn port(fields: &Fields) -> Port {
    let kind = &fields.messages(2)[0].messages(1)[0];
    let axes = kind.messages(2)[0].messages(1);
    let axis = |axis: &Fields| match axis.wholes(1)[..] {
        [length] => length.to_string(),
        _ => axis.text(2),
    };
    Port {
        name: fields.text(1),
        kind: kind.wholes(1)[0],
        axes: axes.iter().map(axis).collect(),
    }
}
