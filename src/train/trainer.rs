//! A run's state, and what all of its parts ask of it.

use crate::cli::{Protocol, Settings};
use crate::models::Model;
use crate::optim::{Ema, Method, Optimizer, Sgd};
use crate::train::evaluate::Evaluation;
use crate::train::folder::RunFolder;
use crate::train::replay::{Losses, Replay};
use crate::train::splits::Splits;
use crate::{Params, Result};

/// The papers' second phase has this learning rate throughout.
const PAPERS_SGD_LR: f64 = 1e-3;

/// A training run: the model with everything that changes from step to step, and its data.
pub struct Trainer {
    pub(super) settings: Settings,
    pub(super) folder: RunFolder,
    pub(super) model: Model,
    pub(super) params: Params,
    pub(super) optimizer: Optimizer,
    /// The running mean of the weights, where one is asked for.
    pub(super) ema: Option<Ema>,
    pub(super) data: Splits,
    /// The flags that the run was begun with, as `config.json` and every checkpoint list them.
    pub(super) begun_with: String,
    pub(super) at: Position,
    pub(super) best: Best,
    pub(super) losses: Losses,
    pub(super) replay: Replay,
    pub(super) replayed_steps: u64,
}

/// Where a run stands, between two steps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Position {
    /// Epochs done.
    pub epoch: usize,
    /// Batches done of the epoch after these.
    pub batch: usize,
    /// Steps done, over all epochs.
    pub step: u64,
    /// The epoch at which the papers' second phase began.
    pub sgd_since: Option<usize>,
    /// Sum of the losses of the current epoch's batches, each times its images, and those images.
    pub loss_sum: f64,
    pub images: usize,
}

/// The weights that did best so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Best {
    /// Epochs done when they were taken; 0 is none yet.
    pub epoch: usize,
    /// Their top-1 accuracy where it is measured for choosing, as a fraction.
    pub top1: f64,
}

/// How a run ended.
pub enum Outcome {
    /// All epochs are done; the test results of the best weights.
    Finished(Evaluation),
    /// It was stopped, and can go on.
    Stopped,
}

impl Trainer {
    /// Steps of this process that a GPU did from a recording, in one call each.
    pub fn replayed_steps(&self) -> u64 {
        self.replayed_steps
    }

    /// Where the results are.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// Runs `body` with the running mean in the weights' place, where there is one.
    pub(super) fn with_mean<R>(&mut self, body: impl FnOnce(&Trainer) -> Result<R>) -> Result<R> {
        let Trainer { ema, params, .. } = self;
        ema.as_mut().map_or(Ok(()), |ema| ema.swap(params))?;
        let result = body(self);
        let Trainer { ema, params, .. } = self;
        ema.as_mut().map_or(Ok(()), |ema| ema.swap(params))?;
        result
    }

    /// The learning rate of step `step`.
    pub(super) fn lr(&self, step: u64) -> f64 {
        let total = self.settings.epochs * self.data.train.batches();
        match (self.settings.protocol, self.at.sgd_since) {
            (Protocol::Papers, Some(_)) => PAPERS_SGD_LR,
            (Protocol::Papers, None) => self.settings.lr,
            (Protocol::Plain, _) => {
                self.settings.lr * self.settings.schedule.factor(step, total as u64)
            }
        }
    }

    /// Goes on with another method; the step that was captured with the old one is forgotten.
    pub(super) fn set_method(&mut self, method: Method) -> Result<()> {
        self.optimizer = optimizer(&self.settings, method, &self.params)?;
        self.replay = Replay::begin(self.settings.device);
        Ok(())
    }

    pub(super) fn second_method(&self) -> Method {
        Method::Sgd(Sgd {
            momentum: 0.9,
            nesterov: false,
            weight_decay: 0.0,
        })
    }

    pub(super) fn phase(&self) -> String {
        if self.at.sgd_since.is_some() {
            "sgd".into()
        } else {
            self.settings.optimizer.to_string()
        }
    }
}

/// The optimizer that a phase begins with.
pub(super) fn optimizer(settings: &Settings, method: Method, params: &Params) -> Result<Optimizer> {
    let optimizer = Optimizer::new(method, params)?;
    if settings.precision.scales_loss() {
        optimizer.with_loss_scaling()
    } else {
        Ok(optimizer)
    }
}
