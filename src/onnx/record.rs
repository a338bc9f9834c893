//! One forward pass, written down: its ops, and which value went where.
//!
//! A value is known by its place in memory. The recording keeps every tensor that it has seen, so no
//! memory is used again while it lasts, and no tensor changes under another owner: two tensors of
//! one shape at one place are the same value.

use std::collections::HashMap;

use crate::autograd::trace::{self, Attributes, Watcher, watch};
use crate::{Error, Module, Params, Pass, Result, Shape, Tensor};

/// An op that has run.
pub(super) struct Event {
    /// Its number among the recording's events.
    pub number: usize,
    pub op: &'static str,
    pub scope: String,
    /// The numbers of its operands among the recording's values; behind them those of given
    /// statistics.
    pub inputs: Vec<usize>,
    pub output: usize,
    pub attributes: OpAttributes,
    /// The first element of a slice, or the zeros before and behind each axis: what may be another
    /// for images of another size.
    pub sizes: Vec<usize>,
}

impl Event {
    /// The error that it cannot be exported.
    pub fn refused(&self, what: &str) -> Error {
        let (op, scope) = (self.op, &self.scope);
        Error::Argument(format!(
            "the op `{op}` in `{scope}` cannot be exported, {what}"
        ))
    }
}

/// An op's attributes that do not depend on the size of the images: those of
/// [`trace::Attributes`], owned, so that two passes can be compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct OpAttributes {
    /// Parameters of a function, scale of attention, epsilon.
    pub numbers: [f32; 2],
    /// Axes; of a window: kernel, stride, padding, dilation, output padding, groups.
    pub counts: Vec<usize>,
    /// Whether operands are transposed, or later keys left out.
    pub flags: [bool; 2],
    /// One of several kinds.
    pub kind: &'static str,
}

/// A value of a pass.
pub(super) struct Value {
    pub tensor: Tensor,
    /// Whether an op gave it. All others are the input, weights and constants.
    pub computed: bool,
}

/// A pass.
pub(super) struct Recording {
    pub values: Vec<Value>,
    pub events: Vec<Event>,
    pub input: usize,
    pub output: usize,
}

/// Memory and start in it, and shape.
type Place = ((usize, usize), Shape);

/// What watches a pass.
struct Recorder {
    values: Vec<Value>,
    events: Vec<Event>,
    places: HashMap<Place, usize>,
    /// Whether an op can be exported. One that cannot is taken apart, where it is made of others.
    known: fn(&str) -> bool,
}

/// The pass of `model` for this input.
///
/// # Errors
/// Those of the model.
pub(super) fn record(
    model: &dyn Module,
    params: &Params,
    input: &Tensor,
    known: fn(&str) -> bool,
) -> Result<Recording> {
    let mut recorder = Recorder {
        values: Vec::new(),
        events: Vec::new(),
        places: HashMap::new(),
        known,
    };
    recorder.value(input, false);
    let forward = || model.forward(&Pass::eval(params), &input.into());
    let (mut recorder, output) = watch(recorder, forward);
    let output = recorder.value(output?.value(), false);
    let Recorder { values, events, .. } = recorder;
    if output != 0 && !values[output].computed {
        return Err(Error::Argument(
            "the answer is not computed from the input by ops of `Var`".into(),
        ));
    }
    Ok(Recording {
        events: needed(events, values.len(), output),
        values,
        input: 0,
        output,
    })
}

/// The events that have a part in the output. Ops that are made of others report these too.
fn needed(events: Vec<Event>, values: usize, output: usize) -> Vec<Event> {
    let mut needed = vec![false; values];
    needed[output] = true;
    let mut kept: Vec<Event> = Vec::new();
    for event in events.into_iter().rev() {
        if needed[event.output] {
            event.inputs.iter().for_each(|&input| needed[input] = true);
            kept.push(event);
        }
    }
    kept.reverse();
    for (number, event) in kept.iter_mut().enumerate() {
        event.number = number;
    }
    kept
}

impl Recorder {
    /// The number of a tensor: a new one, where it is unknown or newly computed.
    fn value(&mut self, tensor: &Tensor, computed: bool) -> usize {
        let place = (tensor.place(), *tensor.shape());
        if let Some(&known) = self.places.get(&place).filter(|_| !computed) {
            return known;
        }
        self.values.push(Value {
            tensor: tensor.clone(),
            computed,
        });
        let new = self.values.len() - 1;
        self.places.insert(place, new);
        new
    }
}

impl Watcher for Recorder {
    fn forward(&mut self, event: trace::Event<'_>) {
        let place = (event.output.place(), *event.output.shape());
        if !(self.known)(event.op) && self.places.contains_key(&place) {
            return;
        }
        let mut inputs = event.inputs.to_vec();
        let (mut attributes, mut sizes) = (OpAttributes::default(), Vec::new());
        match event.attributes {
            Attributes::Numbers(numbers) => attributes.numbers = numbers,
            Attributes::Window(kernel, window) => {
                let all = [
                    kernel,
                    window.stride,
                    window.padding,
                    window.dilation,
                    window.output_padding,
                ];
                attributes.counts = all.concat();
                attributes.counts.push(window.groups);
            }
            Attributes::Axes(axes) => attributes.counts = axes.to_vec(),
            Attributes::Start(axis, start) => {
                attributes.counts = vec![axis];
                sizes = vec![start];
            }
            Attributes::Around(around) => {
                sizes = around.iter().flat_map(|&(a, b)| [a, b]).collect();
            }
            Attributes::Transposed(flags) => attributes.flags = flags,
            Attributes::Scores(scale, causal) => {
                attributes.numbers[0] = scale as f32;
                attributes.flags[0] = causal;
            }
            Attributes::Normalisation(eps, statistics) => {
                attributes.numbers[0] = eps as f32;
                attributes.flags[0] = statistics.is_some();
                inputs.extend(statistics.into_iter().flatten());
            }
            Attributes::Kind(kind) => attributes.kind = kind,
            Attributes::None => {}
        }
        let inputs = inputs.into_iter().map(|x| self.value(x, false)).collect();
        let output = self.value(event.output, true);
        self.events.push(Event {
            number: 0,
            op: event.op,
            scope: event.scope,
            inputs,
            output,
            attributes,
            sizes,
        });
    }
}
