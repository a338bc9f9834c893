//! The graph of a model as it grows: nodes, initializers, and the names of values.

use std::collections::{HashMap, HashSet};

use super::encode::{Attribute, Data, Initializer, Node};
use super::sizes::Traced;
use crate::{DType, Error, Params, Result, Tensor};

/// The order of the axes of images. Ours have their channels last, ONNX's behind the batch: a value
/// is transposed where an op takes the other layout, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Channels last, as here. Values of other than four axes are always in this one, unchanged.
    Nhwc,
    /// Channels behind the batch, as in ONNX: values of four axes only.
    Nchw,
}

impl Layout {
    /// Where an axis of NHWC is in this layout.
    pub fn axis(self, axis: usize) -> usize {
        match self {
            Layout::Nhwc => axis,
            Layout::Nchw => [0, 2, 3, 1][axis],
        }
    }
}

/// A length that images of another size may change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Length {
    Fixed(usize),
    /// `times` that of an axis of a value.
    Of {
        value: usize,
        axis: usize,
        times: usize,
    },
    /// How much padding brings an axis of a value to the next multiple of `of`.
    Padding {
        value: usize,
        axis: usize,
        of: usize,
    },
}

/// A graph.
pub(super) struct Graph<'a> {
    pub traced: &'a Traced,
    pub opset: i64,
    /// The layer whose nodes are added.
    pub scope: String,
    pub nodes: Vec<Node>,
    pub initializers: Vec<Initializer>,
    /// The name of each value in each layout.
    layouts: Vec<[Option<String>; 2]>,
    /// Values that nodes have produced, in this order; the input first.
    produced: Vec<usize>,
    /// The names of weights by their places.
    weights: HashMap<(usize, usize), String>,
    names: HashSet<String>,
    /// Initializers of whole numbers and small constants by what they hold, nodes of lengths.
    known: HashMap<String, String>,
}

impl<'a> Graph<'a> {
    pub fn new(traced: &'a Traced, params: &Params, opset: i64) -> Graph<'a> {
        let arena = params.arena();
        let entries = params.entries().iter();
        let weights = entries.map(|entry| {
            let place = arena.view(entry.offset, entry.shape).place();
            (place, entry.name.clone())
        });
        let buffers = params.buffers().iter();
        let buffers = buffers.map(|(name, value)| (value.place(), name.clone()));
        Graph {
            traced,
            opset,
            scope: String::new(),
            nodes: Vec::new(),
            initializers: Vec::new(),
            layouts: vec![[None, None]; traced.recording.values.len()],
            produced: Vec::new(),
            weights: weights.chain(buffers).collect(),
            names: HashSet::new(),
            known: HashMap::new(),
        }
    }

    /// A name that nothing else has.
    pub fn unique(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        let mut i = 2;
        while !self.names.insert(name.clone()) {
            name = format!("{wanted}.{i}");
            i += 1;
        }
        name
    }

    /// Adds a node; the name of its output.
    pub fn node(
        &mut self,
        op: &'static str,
        inputs: &[&str],
        attributes: Vec<(&'static str, Attribute)>,
    ) -> String {
        let name = match &*self.scope {
            "" => op.to_owned(),
            scope => format!("{scope}/{op}"),
        };
        let output = self.unique(&name);
        self.nodes.push(Node {
            op,
            inputs: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: output.clone(),
            attributes,
        });
        output
    }

    /// Names the result of an event, and the layout that it is produced in.
    pub fn produce(&mut self, value: usize, layout: Layout, name: String) {
        self.layouts[value][layout as usize] = Some(name);
        self.produced.push(value);
    }

    /// Renames a node's output, everywhere.
    pub fn rename(&mut self, old: &str, new: &str) {
        for node in &mut self.nodes {
            let names = node.inputs.iter_mut().chain([&mut node.output]);
            for name in names.filter(|name| *name == old) {
                *name = new.to_owned();
            }
        }
    }

    /// Whether a value exists in this layout, so that none is added by a transposition.
    pub fn has(&self, value: usize, layout: Layout) -> bool {
        self.layouts[value][layout as usize].is_some()
    }

    /// A value in a layout that it exists in.
    pub fn in_any_layout(&mut self, value: usize) -> Result<(String, Layout)> {
        let layout = match self.has(value, Layout::Nchw) {
            true => Layout::Nchw,
            false => Layout::Nhwc,
        };
        Ok((self.take(value, layout)?, layout))
    }

    /// A value in this layout.
    ///
    /// # Errors
    /// A constant whose shape depends on the size of the input; a value that no node has produced,
    /// which would be a mistake in the export of an op.
    pub fn take(&mut self, value: usize, layout: Layout) -> Result<String> {
        if let Some(name) = &self.layouts[value][layout as usize] {
            return Ok(name.clone());
        }
        let name = if self.traced.is_constant(value) {
            self.constant(value, layout)?
        } else {
            let (other, order) = match layout {
                Layout::Nhwc => (Layout::Nchw, vec![0, 2, 3, 1]),
                Layout::Nchw => (Layout::Nhwc, vec![0, 3, 1, 2]),
            };
            let Some(from) = self.layouts[value][other as usize].clone() else {
                let scope = &self.scope;
                let why = match self.traced.recording.values[value].computed {
                    false => "has a constant whose shape depends on that of the input",
                    true => "takes a value that no node produces",
                };
                return Err(Error::Argument(format!("an op in `{scope}` {why}")));
            };
            self.node(
                "Transpose",
                &[&from],
                vec![("perm", Attribute::Ints(order))],
            )
        };
        self.layouts[value][layout as usize] = Some(name.clone());
        Ok(name)
    }

    /// A constant as an initializer, under the name of the weight that it is.
    fn constant(&mut self, value: usize, layout: Layout) -> Result<String> {
        let tensor = &self.traced.recording.values[value].tensor;
        let weight = self.weights.get(&tensor.place()).cloned();
        let wanted = weight.unwrap_or_else(|| format!("{}/constant", self.scope));
        match layout {
            Layout::Nhwc => self.initializer(&wanted, tensor),
            Layout::Nchw => self.initializer(&wanted, &tensor.permuted(&[0, 3, 1, 2])?),
        }
    }

    /// An initializer of f32.
    pub fn initializer(&mut self, wanted: &str, tensor: &Tensor) -> Result<String> {
        if tensor.dtype() != DType::F32 {
            let dtype = tensor.dtype();
            return Err(Error::Argument(format!(
                "`{wanted}` is of {dtype}, and only f32 is exported"
            )));
        }
        let name = self.unique(wanted);
        self.initializers.push(Initializer {
            name: name.clone(),
            dims: tensor.shape().iter().map(|&length| length as i64).collect(),
            data: Data::Tensor(tensor.clone()),
        });
        Ok(name)
    }

    /// Few numbers that are no weights, as an initializer of these dimensions; the same ones are
    /// there once.
    pub fn floats(&mut self, values: &[f32], dims: &[i64]) -> String {
        let wanted = format!("constant_{values:?}{dims:?}");
        self.small(wanted, dims, Data::Floats(values.to_vec()))
    }

    /// A single number.
    pub fn number(&mut self, value: f32) -> String {
        self.floats(&[value], &[])
    }

    /// Whole numbers in a row.
    pub fn ints(&mut self, values: &[i64]) -> String {
        let dims = [values.len() as i64];
        self.small(
            format!("constant_{values:?}"),
            &dims,
            Data::Ints(values.to_vec()),
        )
    }

    /// A single whole number, which is no row of one.
    pub fn whole_number(&mut self, value: i64) -> String {
        self.small(format!("constant_{value}"), &[], Data::Ints(vec![value]))
    }

    fn small(&mut self, wanted: String, dims: &[i64], data: Data) -> String {
        if let Some(name) = self.known.get(&wanted) {
            return name.clone();
        }
        // Names of many numbers would be long.
        let name = self.unique(if wanted.len() < 60 {
            &wanted
        } else {
            "constant"
        });
        self.initializers.push(Initializer {
            name: name.clone(),
            dims: dims.to_vec(),
            data,
        });
        self.known.insert(wanted, name.clone());
        name
    }
}

/// Lengths.
impl Graph<'_> {
    /// What these lengths, one for each size of the input, are: a number, or a multiple of an
    /// axis of a value that is there: the smallest multiple, preferably of the values `near`.
    ///
    /// # Errors
    /// Lengths that are neither.
    pub fn length(&self, lengths: &[usize], near: &[usize]) -> Result<Length> {
        if lengths.iter().all(|length| *length == lengths[0]) {
            return Ok(Length::Fixed(lengths[0]));
        }
        let values = || {
            near.iter()
                .chain(&self.produced)
                .filter(|value| !self.traced.is_constant(**value))
        };
        let axes = || {
            values().flat_map(|&value| (0..self.traced.rank(value)).map(move |axis| (value, axis)))
        };
        let mut found: Option<(usize, usize, usize)> = None;
        for (value, axis) in axes() {
            let own = self.traced.lengths(value, axis);
            let times = lengths[0].checked_div(own[0]).unwrap_or(0);
            let mut pairs = own.iter().zip(lengths);
            let smaller = found.is_none_or(|(_, _, other)| times < other);
            if smaller && pairs.all(|(own, length)| own * times == *length) {
                found = Some((value, axis, times));
            }
            if matches!(found, Some((_, _, 1))) {
                break;
            }
        }
        if let Some((value, axis, times)) = found {
            return Ok(Length::Of { value, axis, times });
        }
        let largest = lengths.iter().max().copied().unwrap_or(0);
        for (value, axis) in axes() {
            let own = self.traced.lengths(value, axis);
            // Padding to a multiple of `of` is always less than `of`.
            for of in largest + 1..=2 * largest + 64 {
                if own
                    .iter()
                    .zip(lengths)
                    .all(|(own, padding)| own.next_multiple_of(of) - own == *padding)
                {
                    return Ok(Length::Padding { value, axis, of });
                }
            }
        }
        Err(Error::Argument(format!(
            "a length in `{}` ({lengths:?} at several sizes of the input) is neither fixed nor that of a value before",
            self.scope
        )))
    }

    /// These lengths as a row of whole numbers, computed where they are not fixed.
    pub fn lengths(&mut self, lengths: &[Length]) -> String {
        let fixed: Option<Vec<i64>> = lengths
            .iter()
            .map(|length| match length {
                Length::Fixed(length) => Some(*length as i64),
                _ => None,
            })
            .collect();
        if let Some(fixed) = fixed {
            return self.ints(&fixed);
        }
        let parts: Vec<String> = lengths
            .iter()
            .map(|&length| self.one_length(length))
            .collect();
        let parts: Vec<&str> = parts.iter().map(|name| &**name).collect();
        match parts[..] {
            [one] => one.to_owned(),
            _ => self.node("Concat", &parts, vec![("axis", Attribute::Int(0))]),
        }
    }

    fn one_length(&mut self, length: Length) -> String {
        match length {
            Length::Fixed(length) => self.ints(&[length as i64]),
            Length::Of { value, axis, times } => {
                let own = self.axis_length(value, axis);
                if times == 1 {
                    return own;
                }
                let times = self.ints(&[times as i64]);
                self.node("Mul", &[&own, &times], vec![])
            }
            Length::Padding { value, axis, of } => {
                // -n mod `of`, which has the sign of `of`.
                let own = self.axis_length(value, axis);
                let negative = self.node("Neg", &[&own], vec![]);
                let of = self.ints(&[of as i64]);
                self.node("Mod", &[&negative, &of], vec![])
            }
        }
    }

    /// The length of an axis of a value that is there.
    fn axis_length(&mut self, value: usize, axis: usize) -> String {
        let key = format!("length {value} {axis}");
        if let Some(name) = self.known.get(&key) {
            return name.clone();
        }
        let layout = match self.has(value, Layout::Nhwc) {
            true => Layout::Nhwc,
            false => Layout::Nchw,
        };
        let name = self.layouts[value][layout as usize]
            .clone()
            .unwrap_or_default();
        let axis = layout.axis(axis) as i64;
        let range = vec![
            ("start", Attribute::Int(axis)),
            ("end", Attribute::Int(axis + 1)),
        ];
        let length = self.node("Shape", &[&name], range);
        self.known.insert(key, length.clone());
        length
    }
}
