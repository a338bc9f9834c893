//! What training minimises, and how weights are judged by it.

use std::fmt;
use std::sync::Arc;

use crate::data::{Dataset, Loader};
use crate::ops::{CrossEntropyOptions, cross_entropy};
use crate::train::evaluate::{self, Score};
use crate::train::loss::Loss;
use crate::train::pixels;
use crate::{Module, Params, Precision, Result, Tensor, Var};

/// A loss of outputs and targets.
type LossFn = Arc<dyn Fn(&Var, &Tensor) -> Result<Var> + Send + Sync>;

/// What training minimises, and what the best weights are chosen by.
#[derive(Clone)]
pub struct Objective {
    loss: LossFn,
    pub(super) judge: Judge,
}

/// What weights are chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judge {
    /// The highest top-1 accuracy.
    Accuracy,
    /// The highest mIoU of pixels without this label.
    MeanIou(Option<i64>),
    /// The lowest mean loss.
    Loss,
}

impl Objective {
    /// Classification: the cross-entropy of logits `[n, classes]` against classes, i64 `[n]`. The
    /// best weights have the highest top-1 accuracy.
    pub fn classify() -> Objective {
        Objective::classify_by(|logits, classes| {
            cross_entropy(logits, classes, CrossEntropyOptions::default())
        })
    }

    /// Classification with another loss of logits `[n, classes]` against classes, i64 `[n]`, such as
    /// cross-entropy with label smoothing.
    pub fn classify_by<F>(loss: F) -> Objective
    where
        F: Fn(&Var, &Tensor) -> Result<Var> + Send + Sync + 'static,
    {
        Objective {
            loss: Arc::new(loss),
            judge: Judge::Accuracy,
        }
    }

    /// Segmentation: the focal loss of logits `[n, h, w, classes]` against classes, i64 `[n, h, w]`,
    /// pixel by pixel with gamma 2, where pixels with the label `ignored` do not count (Cityscapes
    /// has 255, [`Dataset::ignore_index`]). The best weights have the highest mIoU.
    pub fn segment(ignored: Option<i64>) -> Objective {
        Objective::segment_by(ignored, move |logits, classes| {
            Loss::Focal.of(logits, classes, ignored)
        })
    }

    /// Segmentation with another loss of logits `[n, h, w, classes]` against classes, i64 `[n, h,
    /// w]`; pixels with the label `ignored` do not count for the mIoU.
    pub fn segment_by<F>(ignored: Option<i64>, loss: F) -> Objective
    where
        F: Fn(&Var, &Tensor) -> Result<Var> + Send + Sync + 'static,
    {
        Objective {
            loss: Arc::new(loss),
            judge: Judge::MeanIou(ignored),
        }
    }

    /// Any other task: this loss of the model's outputs against the batch's targets, a single
    /// number, such as the mean over the batch. The best weights have the lowest mean loss of a
    /// sample.
    pub fn loss<F>(loss: F) -> Objective
    where
        F: Fn(&Var, &Tensor) -> Result<Var> + Send + Sync + 'static,
    {
        Objective {
            loss: Arc::new(loss),
            judge: Judge::Loss,
        }
    }

    /// The loss of a batch's outputs.
    pub(super) fn of(&self, outputs: &Var, targets: &Tensor) -> Result<Var> {
        (self.loss)(outputs, targets)
    }

    /// Checks that weights can be judged by such outputs for samples of this set.
    pub(super) fn check(&self, outputs: &Var, targets: &Tensor, set: &dyn Dataset) -> Result<()> {
        match self.judge {
            Judge::Accuracy => evaluate::check(outputs.value(), targets, set),
            Judge::MeanIou(ignored) => pixels::check(outputs.value(), targets, set, ignored),
            Judge::Loss => Ok(()),
        }
    }

    /// How the model does on these samples.
    pub(super) fn score(
        &self,
        model: &dyn Module,
        params: &Params,
        precision: Precision,
        samples: &Loader,
    ) -> Result<Score> {
        match self.judge {
            Judge::Accuracy => {
                evaluate::evaluate(model, params, precision, samples).map(Score::Classes)
            }
            Judge::MeanIou(ignored) => {
                pixels::evaluate_pixels(model, params, precision, samples, ignored)
                    .map(Score::Pixels)
            }
            Judge::Loss => evaluate::mean_loss(model, params, precision, samples, &*self.loss),
        }
    }
}

impl Default for Objective {
    fn default() -> Objective {
        Objective::classify()
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.judge {
            Judge::Accuracy => "accuracy",
            Judge::MeanIou(_) => "mIoU",
            Judge::Loss => "loss",
        })
    }
}
