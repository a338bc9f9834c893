//! What training minimises, and how weights are judged by it.

use std::fmt;
use std::sync::Arc;

use crate::data::{Dataset, Loader};
use crate::ops::{CrossEntropyOptions, cross_entropy};
use crate::train::evaluate::{self, Score};
use crate::{Module, Params, Precision, Result, Tensor, Var};

/// A loss of outputs and targets.
type Loss = Arc<dyn Fn(&Var, &Tensor) -> Result<Var> + Send + Sync>;

/// What training minimises, and what the best weights are chosen by.
#[derive(Clone)]
pub struct Objective {
    loss: Loss,
    pub(super) judge: Judge,
}

/// What weights are chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judge {
    /// The highest top-1 accuracy.
    Accuracy,
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

    /// That weights can be judged by such outputs for samples of this set.
    pub(super) fn check(&self, outputs: &Var, targets: &Tensor, set: &dyn Dataset) -> Result<()> {
        match self.judge {
            Judge::Accuracy => evaluate::check(outputs.value(), targets, set),
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
            Judge::Loss => "loss",
        })
    }
}
