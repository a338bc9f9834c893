//! The same pass at several sizes: what of it follows the size of the input, and how.
//!
//! A recording knows lengths, not where they come from: `65` may be a height, or a number of
//! channels. Passes at several sizes tell: what is 65, 68 and 34 where the images have 65, 68 and 34
//! rows is the height. Only three of these passes compute: one that is exported, one over other
//! images of its size and one of another size, whose constants have to be the same. All others are
//! made of shapes alone, which takes neither time nor memory.

use std::cmp::Reverse;

use super::record::{Event, Recording, record};
use crate::tensor::memory::shapes_only;
use crate::{DType, Error, Module, Params, Result, Rng, Shape, Tensor};

/// Ops that a model leaves out where they would change nothing.
const LEFT_OUT: [&str; 3] = ["slice", "pad", "upsample"];

/// The fewest sizes that tell lengths apart.
const FEWEST: usize = 4;

/// A pass, and what became of its lengths at other sizes.
pub(super) struct Traced {
    pub recording: Recording,
    /// Of each value, the shape at each size.
    shapes: Vec<Vec<Shape>>,
    /// Of each event, its sizes at each size.
    sizes: Vec<Vec<Vec<usize>>>,
    /// Of each value, whether the input does not change it.
    constant: Vec<bool>,
}

/// Shapes of inputs: batches of this one, 2 to 5 of them.
pub(super) fn batches(of: &[usize]) -> Vec<Vec<usize>> {
    (2..2 + FEWEST).map(|n| [&[n], of].concat()).collect()
}

/// Shapes of inputs: images of this many channels, of sides that differ in all respects.
///
/// Sides of 2^k + 1 stay odd as often as they are halved and rounded up; p times that is odd behind
/// patches of p pixels. There a model has to crop, and what it crops to is seen.
pub(super) fn images(channels: usize) -> Vec<Vec<usize>> {
    let patches = [1, 2, 3, 4, 5, 6, 7, 8, 12, 14, 16];
    let odd = patches
        .iter()
        .flat_map(|p| [[17, 33], [65, 33]].map(|side| side.map(|n| n * p)));
    let others = [[32, 64], [64, 96], [48, 40], [37, 50], [100, 71], [128, 32]];
    let sides = odd.chain(others).enumerate();
    sides
        .map(|(i, [h, w])| vec![2 + i % 4, h, w, channels])
        .collect()
}

/// The pass of `model`, compared at inputs of these shapes. Those that the model refuses are left out.
///
/// # Errors
/// The model's refusal, where it takes too few of them; passes that differ in more than their
/// lengths; a constant that the input or its size changes.
pub(super) fn trace(
    model: &dyn Module,
    params: &Params,
    inputs: &[Vec<usize>],
    known: fn(&str) -> bool,
) -> Result<Traced> {
    let (mut passes, mut refused) = (Vec::new(), None);
    for shape in inputs {
        let pass = || {
            let input = Tensor::zeros(Shape::new(shape)?, DType::F32);
            record(model, params, &input, known)
        };
        match shapes_only(pass) {
            Ok(pass) => passes.push(pass),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    if let Some(error) = refused.filter(|_| passes.len() < FEWEST) {
        return Err(error);
    }
    // The pass that leaves nothing out; of several, the smallest.
    let shape = |pass: &Recording| *pass.values[pass.input].tensor.shape();
    let fullest = |pass: &&Recording| (pass.events.len(), Reverse(shape(pass).elements()));
    let fullest = passes.iter().max_by_key(fullest);
    let fullest = shape(fullest.expect("there are sizes, or the model refused them"));
    let compute = |shape: Shape, seed| {
        let input = Tensor::normal(shape, 0.0, 1.0, DType::F32, &Rng::new(seed));
        record(model, params, &input, known)
    };
    let recording = compute(fullest, 1)?;
    let given = |value: usize| !recording.values[value].computed;
    let images = "the input by other ways than ops of `Var`, which export does not see";
    check_constants(&recording, &compute(fullest, 2)?, given, images)?;
    let traced = compare(recording, &passes)?;
    // Of the sizes with the most other lengths, the smallest.
    let furthest = |shape: &Shape| {
        let lengths = shape.iter().zip(fullest.iter());
        let others = lengths.filter(|(own, length)| own != length).count();
        (others, Reverse(shape.elements()))
    };
    let another = passes.iter().map(shape).max_by_key(furthest);
    if let Some(another) = another.filter(|another| *another != fullest) {
        let constant = |value| traced.is_constant(value);
        let size = "the size of the input, and would be that of one size in the file";
        check_constants(&traced.recording, &compute(another, 1)?, constant, size)?;
    }
    Ok(traced)
}

/// A pass beside those at other sizes.
fn compare(recording: Recording, passes: &[Recording]) -> Result<Traced> {
    let values = recording.values.iter();
    let mut shapes: Vec<_> = values.map(|value| vec![*value.tensor.shape()]).collect();
    let events = recording.events.iter();
    let mut sizes: Vec<_> = events.map(|event| vec![event.sizes.clone()]).collect();
    for pass in passes {
        let aligned = align(&recording, pass)?;
        for (all, value) in shapes.iter_mut().zip(aligned.values) {
            // One that nothing uses may be missing there; it is not asked for.
            let same = all[0];
            all.push(value.map_or(same, |value| *pass.values[value].tensor.shape()));
        }
        for (all, own) in sizes.iter_mut().zip(aligned.sizes) {
            all.push(own);
        }
    }
    let mut constant: Vec<bool> = recording.values.iter().map(|own| !own.computed).collect();
    constant[recording.input] = false;
    for event in &recording.events {
        constant[event.output] = event.inputs.iter().all(|&input| constant[input]);
    }
    Ok(Traced {
        recording,
        shapes,
        sizes,
        constant,
    })
}

impl Traced {
    /// The length of an axis at each size.
    pub fn lengths(&self, value: usize, axis: usize) -> Vec<usize> {
        self.shapes[value].iter().map(|shape| shape[axis]).collect()
    }

    /// One of an event's own sizes, at each size.
    pub fn sizes(&self, event: usize, i: usize) -> Vec<usize> {
        self.sizes[event].iter().map(|sizes| sizes[i]).collect()
    }

    /// Number of axes.
    pub fn rank(&self, value: usize) -> usize {
        self.shapes[value][0].len()
    }

    /// Whether neither the input nor its size changes this value.
    pub fn is_constant(&self, value: usize) -> bool {
        let shapes = &self.shapes[value];
        self.constant[value] && shapes.iter().all(|shape| *shape == shapes[0])
    }
}

/// Which values and sizes of another pass are a recording's.
struct Aligned {
    values: Vec<Option<usize>>,
    sizes: Vec<Vec<usize>>,
}

/// Finds each event of `recording` in `other`, which may leave some of them out.
fn align(recording: &Recording, other: &Recording) -> Result<Aligned> {
    let mut aligned = Aligned {
        values: vec![None; recording.values.len()],
        sizes: Vec::new(),
    };
    aligned.values[recording.input] = Some(other.input);
    let mut theirs = other.events.iter().peekable();
    for event in &recording.events {
        if let Some(own) = theirs.next_if(|own| aligned.is_same(event, own, [recording, other])) {
            for (&input, &own) in event.inputs.iter().zip(&own.inputs) {
                aligned.values[input] = Some(own);
            }
            aligned.values[event.output] = Some(own.output);
            aligned.sizes.push(own.sizes.clone());
        } else if LEFT_OUT.contains(&event.op) {
            aligned.values[event.output] = aligned.values[event.inputs[0]];
            aligned.sizes.push(vec![0; event.sizes.len()]);
        } else {
            return Err(differs(recording, other, &event.scope));
        }
    }
    if theirs.next().is_some() || aligned.values[recording.output] != Some(other.output) {
        return Err(differs(recording, other, "the last layer"));
    }
    Ok(aligned)
}

impl Aligned {
    /// Whether an event of the other pass is this one of the recording.
    fn is_same(&self, event: &Event, other: &Event, passes: [&Recording; 2]) -> bool {
        let [recording, theirs] = passes;
        let same = |(&input, &own): (&usize, &usize)| match self.values[input] {
            Some(known) => known == own,
            // Constants of a pass are attributes apart by where they are used.
            None => !recording.values[input].computed && !theirs.values[own].computed,
        };
        event.op == other.op
            && event.attributes == other.attributes
            && event.inputs.len() == other.inputs.len()
            && event.inputs.iter().zip(&other.inputs).all(same)
    }
}

/// The error that the model computes something else at another size.
fn differs(recording: &Recording, other: &Recording, place: &str) -> Error {
    let shape = |pass: &Recording| *pass.values[pass.input].tensor.shape();
    let (ours, theirs) = (shape(recording), shape(other));
    Error::Argument(format!(
        "the model computes differently for inputs {ours} and {theirs}, in `{place}`"
    ))
}

/// Checks that the constants of ops, and what these compute of them alone, are the same in another
/// pass. If they are not, they depend on `what`.
fn check_constants(
    recording: &Recording,
    other: &Recording,
    is_constant: impl Fn(usize) -> bool,
    what: &str,
) -> Result<()> {
    let aligned = align(recording, other)?;
    for event in &recording.events {
        let values = event.inputs.iter().chain([&event.output]);
        for &value in values.filter(|&&value| value != recording.input && is_constant(value)) {
            let own = &recording.values[value].tensor;
            let Some(other) = aligned.values[value].map(|i| &other.values[i].tensor) else {
                continue;
            };
            let same = || {
                own.place() == other.place()
                    || (own.shape() == other.shape() && own.as_bytes() == other.as_bytes())
            };
            if !same() {
                let (op, scope) = (event.op, &event.scope);
                return Err(Error::Argument(format!(
                    "an operand of `{op}` in `{scope}` depends on {what}"
                )));
            }
        }
    }
    Ok(())
}
