//! A run's state, and what all of its parts ask of it.

use crate::optim::{AnyRule, Ema, Optimizer, Sgd};
use crate::train::board::Board;
use crate::train::config::{Config, Protocol};
use crate::train::description::Description;
use crate::train::evaluate::Score;
use crate::train::folder::RunFolder;
use crate::train::objective::Judge;
use crate::train::parts::Parts;
use crate::train::profiling::Profiling;
use crate::train::replay::{Losses, Replay};
use crate::{Module, Params, Result};

/// The papers' second phase has this learning rate throughout.
const PAPERS_SGD_LR: f64 = 1e-3;

/// A training run: any model with everything that changes from step to step, and its data.
///
/// It writes a folder: `config.json`; a line an epoch in `metrics.jsonl`; `best/model.safetensors`,
/// the weights that did best; `last/`, the last weights and the checkpoint that a run goes on from,
/// bit for bit; and at its end `curves.svg`, for classifiers `confusion.svg`, and where their
/// samples are images of bytes `mistakes.svg`. Where [`Config::tensorboard`] asks for it there is
/// a file `events.out.tfevents.*`, for [`Config::profile`] `profile.json` and `profile.svg`. Progress goes to stderr.
///
/// ```
/// use wavemix::data::TensorDataset;
/// use wavemix::train::{Config, Data, Outcome, Trainer};
/// use wavemix::{nn::Linear, prelude::*};
///
/// // A line through points: y = 2 x + 1.
/// let points = |seed| {
///     let x = Tensor::uniform([64, 1], -1.0, 1.0, DType::F32, &Rng::new(seed));
///     let y = x.to_vec::<f32>()?.into_iter().map(|x| 2.0 * x + 1.0).collect();
///     Loader::new(TensorDataset::new(x, Tensor::from_vec(y, [64, 1])?)?, 16)
/// };
/// let (line, params) =
///     Params::declare(DType::F32, &Rng::new(0), |names| Linear::new(names, "line", [1, 1]))?;
/// # let folder = std::env::temp_dir().join(format!("wavemix-doc-{}", std::process::id()));
/// let config = Config {
///     epochs: 20,
///     lr: 0.1,
///     out: Some(folder.clone()),
///     ..Config::default().with_loss(|y, targets| y.mse(&targets.into()))
/// };
/// let data = Data { validation: Some(points(2)?), ..points(1)?.into() };
/// let mut trainer = Trainer::new(line, params, data, config)?;
/// let Outcome::Finished(results) = trainer.run()? else { panic!("nobody stopped it") };
/// assert!(results.validation.and_then(|score| score.loss()).is_some_and(|loss| loss < 0.01));
/// # std::fs::remove_dir_all(folder).unwrap();
/// # Ok::<(), wavemix::Error>(())
/// ```
pub struct Trainer {
    pub(super) config: Config,
    pub(super) description: Description,
    pub(super) folder: RunFolder,
    pub(super) model: Box<dyn Module>,
    pub(super) params: Params,
    pub(super) optimizer: Optimizer,
    /// The running mean of the weights, where one is asked for.
    pub(super) ema: Option<Ema>,
    pub(super) data: Parts,
    /// The settings that the run was begun with, as `config.json` and every checkpoint list them.
    pub(super) begun_with: String,
    pub(super) at: Position,
    pub(super) best: Best,
    pub(super) losses: Losses,
    pub(super) replay: Replay,
    pub(super) replayed_steps: u64,
    /// The events for TensorBoard, where they are asked for.
    pub(super) board: Option<Board>,
    /// The profile that is asked for, until it is taken.
    pub(super) profiling: Option<Profiling>,
    /// Whether the step under way is watched for it.
    pub(super) watched: bool,
    /// The norm of the last step's gradients, where it is known on the CPU.
    pub(super) gradient_norm: Option<f64>,
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
    /// Their top-1 accuracy or mIoU as a fraction, or their mean loss, where it is measured for
    /// choosing; 0 where nothing is.
    pub score: f64,
}

impl Best {
    /// Whether weights with this score do better; where nothing is measured, the later ones do.
    pub fn is_beaten_by(&self, score: Option<&Score>, judge: Judge) -> bool {
        let Some(score) = score.map(Score::value) else {
            return true;
        };
        self.epoch == 0
            || match judge {
                Judge::Accuracy | Judge::MeanIou(_) => score > self.score,
                Judge::Loss => score < self.score,
            }
    }
}

/// How a run ended.
#[derive(Debug)]
pub enum Outcome {
    /// All epochs are done.
    Finished(Results),
    /// It was stopped, and can go on.
    Stopped,
}

/// What came of a run: how its best weights do.
#[derive(Clone, Debug)]
pub struct Results {
    /// The epoch, from 1, whose weights they are.
    pub epoch: usize,
    /// On the validation set, where there is one.
    pub validation: Option<Score>,
    /// On the test set, where there is one.
    pub test: Option<Score>,
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

    /// The model that is trained.
    pub fn model(&self) -> &dyn Module {
        &*self.model
    }

    /// The weights: after a run that finished the best ones, else the last.
    pub fn params(&self) -> &Params {
        &self.params
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
        // However many epochs are asked for: a run may be meant to go on until it is stopped.
        let total = self.config.epochs.saturating_mul(self.data.train.batches());
        match (self.config.protocol, self.at.sgd_since) {
            (Protocol::Papers, Some(_)) => PAPERS_SGD_LR,
            (Protocol::Papers, None) => self.config.lr,
            (Protocol::Plain, _) => {
                self.config.lr * self.config.schedule.factor(step, total as u64)
            }
        }
    }

    /// Goes on with the rule of the papers' second phase; the step that was captured with the first
    /// one is forgotten.
    pub(super) fn use_second_rule(&mut self) -> Result<()> {
        let rule = Sgd {
            momentum: 0.9,
            nesterov: false,
            weight_decay: 0.0,
        };
        self.optimizer = optimizer(&self.config, rule.into(), &self.params)?;
        self.replay = Replay::begin(&self.config);
        Ok(())
    }
}

/// The optimizer that a phase begins with.
pub(super) fn optimizer(config: &Config, rule: AnyRule, params: &Params) -> Result<Optimizer> {
    let optimizer = Optimizer::new(rule, params)?;
    if config.precision.scales_loss() {
        optimizer.with_loss_scaling()
    } else {
        Ok(optimizer)
    }
}
