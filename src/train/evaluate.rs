//! How well a model reads images it has not seen.

use std::fmt;
use std::time::Instant;

use crate::data::Loader;
use crate::metrics::{Confusion, top_k};
use crate::models::Model;
use crate::{Device, Error, Params, Pass, Precision, Result, Tensor, Var};

/// How many of the worst mistakes are remembered.
const MISTAKES: usize = 60;

/// The results on one set of images. Accuracies are fractions.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The share of images whose class was given the highest probability.
    pub top1: f64,
    /// The share whose class was among the five highest.
    pub top5: f64,
    /// Which class was taken for which.
    pub confusion: Confusion,
    /// The images that were misread with the highest probability, worst first.
    pub mistakes: Vec<Mistake>,
    /// Images read in a second.
    pub images_per_s: f64,
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "test top-1 {:.2} %, top-5 {:.2} %, {:.0} images/s",
            100.0 * self.top1,
            100.0 * self.top5,
            self.images_per_s
        )
    }
}

/// One misread image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mistake {
    /// Its number in the set.
    pub image: usize,
    /// Its class.
    pub label: usize,
    /// The class it was taken for.
    pub predicted: usize,
    /// The probability that was given to that.
    pub probability: f32,
}

/// Reads all of a set's images, in order, without a graph.
///
/// # Errors
/// Images that do not fit the model; weights or logits that are not finite, which say nothing of
/// any image.
pub fn evaluate(
    model: &Model,
    params: &Params,
    precision: Precision,
    images: &Loader,
) -> Result<Evaluation> {
    params.check_finite()?;
    let began = Instant::now();
    let classes = images.data().classes.len();
    let (mut confusion, mut top5, mut mistakes, mut read) =
        (Confusion::new(classes), 0, Vec::new(), 0);
    // To a GPU images go as bytes, and become the numbers there that training made of them.
    let device = params.device();
    let there = (device != Device::Cpu)
        .then(|| images.constants(device))
        .transpose()?;
    let batches = if there.is_some() {
        images.clone().as_bytes().in_order()?
    } else {
        images.in_order()?
    };
    for batch in batches {
        let pixels = match &there {
            Some(constants) => {
                constants.normalised(&batch.images.to_device(device)?, precision.compute())?
            }
            None => batch.images,
        };
        let logits = model
            .forward(&Pass::eval(params).in_precision(precision)?, &pixels.into())?
            .into_value();
        if let Some(value) = logits.first_non_finite()? {
            let (set, last) = (&images.data().name, read + logits.shape()[0] - 1);
            return Err(Error::NonFinite(format!(
                "{set}: the model's answers to images {read} to {last} hold {value}: they have no likeliest class"
            )));
        }
        let labels = &images.data().labels[read..read + logits.shape()[0]];
        top5 += top_k(&logits, labels, 5)?;
        for (probabilities, &label) in rows(&logits)?.chunks(classes).zip(labels) {
            let (label, (predicted, &probability)) = (usize::from(label), largest(probabilities));
            confusion.add(label, predicted)?;
            if predicted != label {
                mistakes.push(Mistake {
                    image: read,
                    label,
                    predicted,
                    probability,
                });
            }
            read += 1;
        }
    }
    mistakes.sort_by(|a, b| {
        b.probability
            .total_cmp(&a.probability)
            .then(a.image.cmp(&b.image))
    });
    mistakes.truncate(MISTAKES);
    let images_per_s = read as f64 / began.elapsed().as_secs_f64();
    Ok(Evaluation {
        top1: confusion.top1(),
        top5: top5 as f64 / read.max(1) as f64,
        confusion,
        mistakes,
        images_per_s,
    })
}

/// The probabilities of each image's classes, one image after the other.
fn rows(logits: &Tensor) -> Result<Vec<f32>> {
    let logits = Var::from(logits);
    let last = logits.shape().len() - 1;
    logits.softmax(last)?.value().to_vec()
}

/// The first of the largest, and its place.
fn largest(values: &[f32]) -> (usize, &f32) {
    let first = (0, &values[0]);
    values
        .iter()
        .enumerate()
        .skip(1)
        .fold(first, |best, (i, x)| if x > best.1 { (i, x) } else { best })
}
