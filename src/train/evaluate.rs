//! How well a model reads images it has not seen.

use std::fmt;
use std::time::{Duration, Instant};

use crate::data::{Dataset, Loader};
use crate::metrics::{Confusion, top_k};
use crate::models::Model;
use crate::{Device, Error, Module, Params, Pass, Precision, Result, Tensor, Var};

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
    let mut tally = Tally::new(images.data().classes().len());
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
        let batch = batch?;
        let pixels = match &there {
            Some(constants) => {
                constants.normalised(&batch.inputs.to_device(device)?, precision.compute())?
            }
            None => batch.inputs,
        };
        let pass = Pass::eval(params).in_precision(precision)?;
        let logits = model.forward(&pass, &pixels.into())?.into_value();
        tally.add(&logits, &batch.targets.to_vec()?, images.data())?;
    }
    Ok(tally.evaluation(began.elapsed()))
}

/// What is counted from batch to batch.
struct Tally {
    /// Images so far.
    read: usize,
    /// Those whose class was among the five highest.
    top5: usize,
    confusion: Confusion,
    mistakes: Vec<Mistake>,
}

impl Tally {
    fn new(classes: usize) -> Tally {
        Tally {
            read: 0,
            top5: 0,
            confusion: Confusion::new(classes),
            mistakes: Vec::new(),
        }
    }

    /// Compares the logits `[n, classes]` of the next n images with their labels.
    ///
    /// # Errors
    /// Logits that are not finite.
    fn add(&mut self, logits: &Tensor, labels: &[i64], set: &dyn Dataset) -> Result<()> {
        let end = self.read + labels.len();
        if let Some(value) = logits.first_non_finite()? {
            return Err(Error::NonFinite(format!(
                "{}: the model's answers to images {} to {} hold {value}: they have no likeliest class",
                set.name(),
                self.read,
                end - 1
            )));
        }
        self.top5 += top_k(logits, labels, 5)?;
        let rows = rows(logits)?;
        for (probabilities, &label) in rows.chunks(set.classes().len()).zip(labels) {
            let (label, (predicted, &probability)) = (label as usize, largest(probabilities));
            self.confusion.add(label, predicted)?;
            if predicted != label {
                self.mistakes.push(Mistake {
                    image: self.read,
                    label,
                    predicted,
                    probability,
                });
            }
            self.read += 1;
        }
        Ok(())
    }

    /// The results, after so much time.
    fn evaluation(mut self, elapsed: Duration) -> Evaluation {
        self.mistakes.sort_by(|a, b| {
            b.probability
                .total_cmp(&a.probability)
                .then(a.image.cmp(&b.image))
        });
        self.mistakes.truncate(MISTAKES);
        Evaluation {
            top1: self.confusion.top1(),
            top5: self.top5 as f64 / self.read.max(1) as f64,
            confusion: self.confusion,
            mistakes: self.mistakes,
            images_per_s: self.read as f64 / elapsed.as_secs_f64(),
        }
    }
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
