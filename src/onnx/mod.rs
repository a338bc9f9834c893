//! Models as ONNX files, which other programs run: ONNX Runtime, on servers, phones and in browsers.
//!
//! ```
//! use wavemix::onnx::{self, Options};
//! use wavemix::{DType, Rng, models::Config};
//! let config = Config { channels: 1, size: 28, ..Config::parse("WaveMixLite-8/1")? };
//! let (model, params) = config.build(DType::F32, &Rng::new(0))?;
//! let file = onnx::export(&model, &params, &[28, 28, 1], &Options::default())?;
//! assert!(file.fixed.is_none() && file.bytes.len() > 4 * params.count());
//! # Ok::<(), wavemix::Error>(())
//! ```
//!
//! # How it is made
//!
//! No layer knows of this. A pass is watched ([`crate::autograd::trace`]), and each op that ran
//! becomes a few nodes. So every [`Module`] can be exported, also your own, as long as it is made of
//! ops of the table in `onnx/ops/mod.rs`; an op of your own that is made of those is taken apart.
//!
//! The other way would be a method beside each layer's `forward` that writes the same down for ONNX.
//! It would know where a size comes from instead of finding it out. But there are about seventy of
//! these functions in the layers and the seventeen families of models; each would have to be written
//! again, in another order of the axes, and the next model with it. The ops are sixty, most of them a
//! line here, and none of them comes with a new model.
//!
//! What a pass does by other ways than ops of [`Var`](crate::Var), with methods of tensors or by
//! reading values, is not seen. Where that makes a constant of the file depend on the input, two
//! passes over different images tell, and it is an error. Where it depends on the size of the input,
//! as a factor 1 / height does, a pass of another size tells: such a file is for images of one size,
//! and if it depends on the batch, it is an error. Tokens given as whole numbers, which
//! [`embedding`](crate::ops::embedding) looks up, are not exported.
//!
//! # Sizes
//!
//! A recorded length is a number. Which of them follow the image is found by passes over inputs of
//! about thirty different sizes, all of which but two are made of shapes alone (`onnx/sizes.rs`).
//! Where all of them agree, batch, height and width are left open in the file; where they do not,
//! as in models that have a vector for each position, the file takes batches of any length of images
//! of one size, and [`Exported::fixed`] says why.
//!
//! # What is in the file
//!
//! Images are `[batch, channels, height, width]`, as runtimes expect; so are answers that are
//! images. Weights are f32 and have their names in state dicts. Version 17 of the operators is
//! understood by runtimes since 2022; in version 20 GELU is one node.

mod encode;
mod graph;
mod ops;
mod record;
mod sizes;

use std::collections::BTreeMap;

use serde_json::json;

use crate::models::{Saved, Task};
use crate::{DType, Device, Error, Module, Params, Result};
use encode::{Attribute, FLOAT, ModelFile, Port, UINT8};
use graph::{Graph, Layout};
use sizes::Traced;

/// How a model is exported.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The version of ONNX's operators: 17 or 20.
    pub opset: usize,
    /// Bytes `[batch, height, width, channels]` as input, brought to 0..1, then to these means and
    /// standard deviations of each channel, or of all; and probabilities instead of logits, where
    /// `softmax` is set. Without, the input is what the model takes.
    pub preprocessing: Option<Preprocessing>,
    /// What the file says of itself, by key.
    pub metadata: BTreeMap<String, String>,
}

/// What stands before and behind a model: see [`Options::preprocessing`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preprocessing {
    /// Mean of each channel in units of 0..1; of all channels, if it is one; none is 0.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, likewise; none is 1.
    pub std: Vec<f32>,
    /// Whether the answer becomes probabilities of classes.
    pub softmax: bool,
}

/// A model as a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Exported {
    /// The bytes of the file.
    pub bytes: Vec<u8>,
    /// The number of its nodes.
    pub nodes: usize,
    /// Its input and its output, with type and axes: `images: f32 [batch, 3, height, width]`.
    pub ports: [String; 2],
    /// Why images have to have one size, if they have to.
    pub fixed: Option<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            opset: 17,
            preprocessing: None,
            metadata: BTreeMap::new(),
        }
    }
}

/// A model as an ONNX file. `input` is the shape of one of its inputs, without the batch: images
/// `[height, width, channels]`, of which height and width stay open if the model allows it; inputs
/// of other dimensions keep theirs.
///
/// # Errors
/// An op that has no counterpart in ONNX, in a sentence with its layer; a model that refuses such
/// inputs; weights that are not f32 on the CPU; another version of the operators than 17 or 20;
/// a file of 2 GiB or more.
pub fn export(
    model: &dyn Module,
    params: &Params,
    input: &[usize],
    options: &Options,
) -> Result<Exported> {
    if ![17, 20].contains(&options.opset) {
        let opset = options.opset;
        return Err(Error::Argument(format!(
            "the version of ONNX's operators is 17 or 20, got {opset}"
        )));
    }
    if (params.dtype(), params.device()) != (DType::F32, Device::Cpu) {
        let (dtype, device) = (params.dtype(), params.device());
        return Err(Error::Argument(format!(
            "weights are exported as f32 on the CPU, these are {dtype} on {device}"
        )));
    }
    let of = |shapes: &[Vec<usize>]| {
        let traced = sizes::trace(model, params, shapes, ops::is_known)?;
        write(&traced, params, options)
    };
    let why = match input {
        [_, _, channels] => match of(&sizes::images(*channels)) {
            Ok(exported) => return Ok(exported),
            Err(error) => Some(error.to_string()),
        },
        _ => None,
    };
    let exported = of(&sizes::batches(input))?;
    Ok(Exported {
        fixed: why,
        ..exported
    })
}

impl Saved {
    /// The model as an ONNX file, with the names of its classes, the statistics of its images and its
    /// configuration as `names`, `mean`, `std` (JSON), `config` and more. With `preprocessing`, the
    /// file takes bytes as pictures have them, and answers with probabilities of classes.
    ///
    /// # Errors
    /// Those of [`export`].
    pub fn to_onnx(&self, opset: usize, preprocessing: bool) -> Result<Exported> {
        let (config, card) = (self.model.config(), &self.card);
        let mut metadata = card.to_metadata(config);
        metadata.extend([
            ("names".into(), json!(card.classes).to_string()),
            ("mean".into(), json!(card.mean).to_string()),
            ("std".into(), json!(card.std).to_string()),
        ]);
        let softmax = !matches!(config.task, Task::Upscale { .. });
        let preprocessing = preprocessing.then(|| Preprocessing {
            mean: card.mean.clone(),
            std: card.std.clone(),
            softmax,
        });
        let options = Options {
            opset,
            preprocessing,
            metadata,
        };
        let image = [config.size, config.size, config.channels];
        export(&self.model, &self.params, &image, &options)
    }
}

/// The graph of what was traced, and its file.
fn write(traced: &Traced, params: &Params, options: &Options) -> Result<Exported> {
    let recording = &traced.recording;
    let mut graph = Graph::new(traced, params, options.opset as i64);
    let input = begin(&mut graph, options)?;
    let needed = needed(traced);
    for event in &recording.events {
        if needed[event.output] && !traced.is_constant(event.output) {
            ops::export(&mut graph, event)?;
        }
    }
    let output = end(&mut graph, options)?;
    let metadata = options.metadata.clone().into_iter().collect();
    let file = ModelFile {
        opset: graph.opset,
        nodes: &graph.nodes,
        initializers: &graph.initializers,
        ports: [&input, &output],
        metadata,
    };
    Ok(Exported {
        bytes: file.encode()?,
        nodes: graph.nodes.len(),
        ports: [input.to_string(), output.to_string()],
        fixed: None,
    })
}

/// Whether each value has a part in the answer.
fn needed(traced: &Traced) -> Vec<bool> {
    let recording = &traced.recording;
    let mut needed = vec![false; recording.values.len()];
    needed[recording.output] = true;
    for event in recording.events.iter().rev() {
        if needed[event.output] && !traced.is_constant(event.output) {
            event.inputs.iter().for_each(|&input| needed[input] = true);
        }
    }
    needed
}

/// The input, and what makes the model's of it.
fn begin(graph: &mut Graph, options: &Options) -> Result<Port> {
    let input = graph.traced.recording.input;
    let images = graph.traced.rank(input) == 4;
    let name = graph.unique(if images { "images" } else { "input" });
    let Some(preprocessing) = &options.preprocessing else {
        let layout = match images {
            true => Layout::Nchw,
            false => Layout::Nhwc,
        };
        graph.produce(input, layout, name.clone());
        return Ok(port(graph, input, layout, (name, FLOAT)));
    };
    let channels = graph.traced.lengths(input, graph.traced.rank(input) - 1)[0];
    let of_all = |values: &[f32], otherwise: f32| match *values {
        [] => Ok(vec![otherwise; channels]),
        [one] => Ok(vec![one; channels]),
        _ if values.len() == channels => Ok(values.to_vec()),
        _ => {
            let got = values.len();
            Err(Error::Argument(format!(
                "{got} statistics for {channels} channels"
            )))
        }
    };
    let mean = of_all(&preprocessing.mean, 0.0)?;
    let std = of_all(&preprocessing.std, 1.0)?;
    // (x / 255 - mean) / std
    let scale: Vec<f32> = std.iter().map(|std| 1.0 / (255.0 * std)).collect();
    let shift: Vec<f32> = mean
        .iter()
        .zip(&std)
        .map(|(mean, std)| -mean / std)
        .collect();
    let dims = [channels as i64];
    let (scale, shift) = (graph.floats(&scale, &dims), graph.floats(&shift, &dims));
    let x = graph.node("Cast", &[&name], vec![("to", Attribute::Int(FLOAT))]);
    let x = graph.node("Mul", &[&x, &scale], vec![]);
    let x = graph.node("Add", &[&x, &shift], vec![]);
    graph.produce(input, Layout::Nhwc, x);
    Ok(port(graph, input, Layout::Nhwc, (name, UINT8)))
}

/// The output, and what is made of the model's.
fn end(graph: &mut Graph, options: &Options) -> Result<Port> {
    let output = graph.traced.recording.output;
    graph.scope.clear();
    let layout = match graph.traced.rank(output) {
        4 => Layout::Nchw,
        _ => Layout::Nhwc,
    };
    let mut last = graph.take(output, layout)?;
    let softmax = options
        .preprocessing
        .as_ref()
        .is_some_and(|own| own.softmax);
    if softmax {
        let axis = graph.traced.rank(output) - 1;
        let axis = Attribute::Int(layout.axis(axis) as i64);
        last = graph.node("Softmax", &[&last], vec![("axis", axis)]);
    }
    if !graph.nodes.iter().any(|node| node.output == last) {
        last = graph.node("Identity", &[&last], vec![]);
    }
    let name = graph.unique(if softmax { "probabilities" } else { "output" });
    graph.rename(&last, &name);
    Ok(port(graph, output, layout, (name, FLOAT)))
}

/// An input or output. Axes that follow the input's have their names.
fn port(graph: &Graph, value: usize, layout: Layout, (name, element): (String, i64)) -> Port {
    let (traced, input) = (graph.traced, graph.traced.recording.input);
    let rank = traced.rank(value);
    let mut axes = vec![Ok(0); rank];
    for axis in 0..rank {
        let lengths = traced.lengths(value, axis);
        let known = ["batch", "height", "width"]
            .iter()
            .enumerate()
            .find(|(own, _)| *own < traced.rank(input) && traced.lengths(input, *own) == lengths);
        axes[layout.axis(axis)] = match known {
            _ if lengths.iter().all(|length| *length == lengths[0]) => Ok(lengths[0] as i64),
            Some((_, own)) => Err((*own).to_owned()),
            None => Err(format!("{name}_{axis}")),
        };
    }
    Port {
        name,
        element,
        axes,
    }
}
