//! How well a model does on samples it has not seen.

use std::fmt;
use std::time::{Duration, Instant};

use crate::data::{Dataset, Loader};
use crate::metrics::{Confusion, top_k};
use crate::train::forward::each_batch;
use crate::train::pixels::Segmentation;
use crate::{DType, Error, Module, Params, Precision, Result, Tensor, Var};

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

/// How a model does on one set of samples, as its objective judges.
#[derive(Clone, Debug)]
pub enum Score {
    /// Of a classifier.
    Classes(Evaluation),
    /// Of a model that tells the classes of pixels.
    Pixels(Segmentation),
    /// Of any other model.
    Loss {
        /// The mean loss of a sample: of the batches' losses, each counted as often as its batch
        /// has samples.
        loss: f64,
        /// Samples evaluated in a second.
        samples_per_s: f64,
    },
}

impl Score {
    /// Of a classifier, the share of samples whose class was given the highest probability.
    pub fn top1(&self) -> Option<f64> {
        match self {
            Score::Classes(evaluation) => Some(evaluation.top1),
            Score::Pixels(_) | Score::Loss { .. } => None,
        }
    }

    /// Of a model that tells the classes of pixels, the mean intersection over union.
    pub fn mean_iou(&self) -> Option<f64> {
        match self {
            Score::Pixels(segmentation) => Some(segmentation.mean_iou),
            Score::Classes(_) | Score::Loss { .. } => None,
        }
    }

    /// Of any other model, the mean loss of a sample.
    pub fn loss(&self) -> Option<f64> {
        match *self {
            Score::Classes(_) | Score::Pixels(_) => None,
            Score::Loss { loss, .. } => Some(loss),
        }
    }

    /// The one number that weights are chosen by: top-1 accuracy, mIoU, or mean loss.
    pub(super) fn value(&self) -> f64 {
        match self {
            Score::Classes(evaluation) => evaluation.top1,
            Score::Pixels(segmentation) => segmentation.mean_iou,
            Score::Loss { loss, .. } => *loss,
        }
    }

    /// Samples evaluated in a second.
    pub(super) fn rate(&self) -> f64 {
        match self {
            Score::Classes(evaluation) => evaluation.images_per_s,
            Score::Pixels(segmentation) => segmentation.images_per_s,
            Score::Loss { samples_per_s, .. } => *samples_per_s,
        }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Score::Classes(evaluation) => evaluation.fmt(f),
            Score::Pixels(segmentation) => segmentation.fmt(f),
            Score::Loss {
                loss,
                samples_per_s,
            } => write!(f, "test loss {loss:.4}, {samples_per_s:.0} samples/s"),
        }
    }
}

/// Classifies all samples of a set, in order, without a graph: logits `[n, classes]` against i64
/// `[n]`.
///
/// # Errors
/// Inputs or classes that do not fit the model; weights or logits that are not finite, which say
/// nothing of any sample.
pub fn evaluate(
    model: &dyn Module,
    params: &Params,
    precision: Precision,
    samples: &Loader,
) -> Result<Evaluation> {
    let began = Instant::now();
    let mut tally = Tally::default();
    each_batch(model, params, precision, samples, &mut |logits, batch| {
        tally.add(logits.value(), &batch.targets.to_vec()?, samples.data())
    })?;
    Ok(tally.evaluation(began.elapsed()))
}

/// Checks that these logits and classes can be counted.
pub(super) fn check(logits: &Tensor, classes: &Tensor, set: &dyn Dataset) -> Result<()> {
    Tally::default().add(logits, &classes.to_vec()?, set)
}

/// The mean loss of a sample.
pub(super) fn mean_loss(
    model: &dyn Module,
    params: &Params,
    precision: Precision,
    samples: &Loader,
    loss: &dyn Fn(&Var, &Tensor) -> Result<Var>,
) -> Result<Score> {
    let began = Instant::now();
    let (mut sum, mut counted) = (0.0, 0);
    each_batch(model, params, precision, samples, &mut |outputs, batch| {
        let targets = batch.targets.to_device(outputs.value().device())?;
        let loss = loss(&outputs, &targets)?.value().item()?;
        let end = counted + batch.size();
        if !loss.is_finite() {
            return Err(Error::NonFinite(format!(
                "{}: the loss of samples {counted} to {} is {loss}",
                samples.data().name(),
                end - 1
            )));
        }
        (sum, counted) = (sum + loss * batch.size() as f64, end);
        Ok(())
    })?;
    Ok(Score::Loss {
        loss: sum / counted.max(1) as f64,
        samples_per_s: counted as f64 / began.elapsed().as_secs_f64(),
    })
}

/// What is counted from batch to batch.
#[derive(Default)]
struct Tally {
    /// Images so far.
    read: usize,
    /// Those whose class was among the five highest.
    top5: usize,
    /// None before the first batch, whose logits tell how many classes there are.
    confusion: Option<Confusion>,
    mistakes: Vec<Mistake>,
}

impl Tally {
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
        let (classes, names) = (logits.shape()[1], set.classes().len());
        if names != classes && names != 0 {
            return Err(Error::Argument(format!(
                "{} has {names} classes, the model's answers are of {classes}",
                set.name()
            )));
        }
        let confusion = (self.confusion).get_or_insert_with(|| Confusion::new(classes));
        let rows = rows(logits)?;
        for (probabilities, &label) in rows.chunks(classes).zip(labels) {
            let (label, (predicted, &probability)) = (label as usize, largest(probabilities));
            confusion.add(label, predicted)?;
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
        self.mistakes.sort_unstable_by(|a, b| {
            b.probability
                .total_cmp(&a.probability)
                .then(a.image.cmp(&b.image))
        });
        self.mistakes.truncate(MISTAKES);
        let confusion = self.confusion.unwrap_or_else(|| Confusion::new(0));
        Evaluation {
            top1: confusion.top1(),
            top5: self.top5 as f64 / self.read.max(1) as f64,
            confusion,
            mistakes: self.mistakes,
            images_per_s: self.read as f64 / elapsed.as_secs_f64(),
        }
    }
}

/// The probabilities of each image's classes, one image after the other.
fn rows(logits: &Tensor) -> Result<Vec<f32>> {
    let probabilities = Var::from(logits).softmax(logits.shape().len() - 1)?;
    probabilities.value().cast(DType::F32)?.to_vec()
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
