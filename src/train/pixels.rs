//! How well a model tells the classes of pixels that it has not seen.

use std::fmt;
use std::time::{Duration, Instant};

use crate::data::{Dataset, Loader};
use crate::metrics::{Confusion, papers_iou};
use crate::train::forward::each_batch;
use crate::{Device, Error, Module, Params, Precision, Result, Tensor};

/// The results on one set of label maps. All but the last are fractions.
#[derive(Clone, Debug)]
pub struct Segmentation {
    /// mIoU: intersection over union, of all pixels of the set together, as a mean over the classes
    /// ([`Confusion::mean_iou`]).
    pub mean_iou: f64,
    /// The mean over the images of another ratio ([`papers_iou`]), which the scripts of
    /// WaveMix-Lite's authors select by and report.
    pub papers_iou: f64,
    /// The share of pixels whose class was given the highest probability.
    pub pixel_accuracy: f64,
    /// Which class was taken for which, pixel by pixel.
    pub confusion: Confusion,
    /// Images read in a second.
    pub images_per_s: f64,
}

impl fmt::Display for Segmentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "test mIoU {:.2} %, papers-iou {:.2} %, pixels {:.2} %, {:.1} images/s",
            100.0 * self.mean_iou,
            100.0 * self.papers_iou,
            100.0 * self.pixel_accuracy,
            self.images_per_s
        )
    }
}

/// Segments all images of a set, in order, without a graph: logits `[n, h, w, classes]` against i64
/// `[n, h, w]`. Pixels whose label is `ignored` count for neither share nor mean, whatever they are
/// taken for; a class of that number, if there is one, has no IoU.
///
/// # Errors
/// Images or maps that do not fit the model; weights or logits that are not finite.
pub fn evaluate_pixels(
    model: &dyn Module,
    params: &Params,
    precision: Precision,
    samples: &Loader,
    ignored: Option<i64>,
) -> Result<Segmentation> {
    let began = Instant::now();
    let mut tally = Tally::new(ignored);
    each_batch(model, params, precision, samples, &mut |logits, batch| {
        tally.add(logits.value(), &batch.targets, samples.data())
    })?;
    Ok(tally.segmentation(began.elapsed()))
}

/// Checks that these logits and maps can be counted.
pub(super) fn check(
    logits: &Tensor,
    maps: &Tensor,
    set: &dyn Dataset,
    ignored: Option<i64>,
) -> Result<()> {
    Tally::new(ignored).add(logits, maps, set)
}

/// What is counted from batch to batch.
struct Tally {
    ignored: Option<i64>,
    /// None before the first batch, whose logits tell how many classes there are.
    confusion: Option<Confusion>,
    /// Images so far, and the sum of their ratios.
    images: usize,
    ratios: f64,
}

impl Tally {
    fn new(ignored: Option<i64>) -> Tally {
        Tally {
            ignored,
            confusion: None,
            images: 0,
            ratios: 0.0,
        }
    }

    /// Compares the logits of the next images with their maps.
    fn add(&mut self, logits: &Tensor, maps: &Tensor, set: &dyn Dataset) -> Result<()> {
        let (name, &[n, h, w, classes]) = (set.name(), &logits.shape()[..]) else {
            let got = logits.shape();
            let expected = "[n, h, w, classes]";
            return Err(Error::operand("segmentation", "logits", expected, got));
        };
        if maps.shape()[..] != [n, h, w] {
            let expected = format!("a class for each pixel of logits, [{n}, {h}, {w}]");
            let got = maps.shape();
            return Err(Error::operand("segmentation", "labels", expected, got));
        }
        let names = set.classes().len();
        if names != classes && names != 0 {
            return Err(Error::Argument(format!(
                "{name} has {names} classes, the model's answers are of {classes}"
            )));
        }
        if let Some(value) = logits.first_non_finite()? {
            return Err(Error::NonFinite(format!(
                "{name}: the model's answers to images {} to {} hold {value}: they have no likeliest class",
                self.images,
                self.images + n.saturating_sub(1)
            )));
        }
        let labels = maps.to_vec::<i64>()?;
        let predicted = logits.argmax(3)?.to_device(Device::Cpu)?.to_vec::<i64>()?;
        let ignored = self.ignored;
        let confusion = self.confusion.get_or_insert_with(|| {
            let confusion = Confusion::new(classes);
            match ignored.and_then(|label| usize::try_from(label).ok()) {
                Some(label) => confusion.ignoring(label),
                None => confusion,
            }
        });
        for (&label, &predicted) in labels.iter().zip(&predicted) {
            if Some(label) == ignored {
                continue;
            }
            let Ok(label) = usize::try_from(label) else {
                let what = format!("{name}: a label of {label} is no class");
                return Err(Error::Argument(what));
            };
            confusion.add(label, predicted as usize)?;
        }
        let pixels = (h * w).max(1);
        for (labels, predicted) in labels.chunks(pixels).zip(predicted.chunks(pixels)) {
            self.ratios += papers_iou(labels, predicted, ignored, classes);
        }
        self.images += n;
        Ok(())
    }

    /// The results, after so much time.
    fn segmentation(self, elapsed: Duration) -> Segmentation {
        let confusion = self.confusion.unwrap_or_else(|| Confusion::new(0));
        Segmentation {
            mean_iou: confusion.mean_iou(),
            papers_iou: self.ratios / self.images.max(1) as f64,
            pixel_accuracy: confusion.top1(),
            confusion,
            images_per_s: self.images as f64 / elapsed.as_secs_f64(),
        }
    }
}
