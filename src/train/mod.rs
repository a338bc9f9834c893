//! The trainer: epochs of steps, evaluated, remembered, and able to stop and go on at any moment.

mod diagnose;
mod evaluate;
mod folder;
mod max_batch;
mod progress;
mod report;
mod resume;
mod step;
mod stop;
mod verify;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use evaluate::{Evaluation, evaluate};

use serde_json::Value;

use folder::RunFolder;
use progress::Progress;
use report::Record;
use step::{Losses, Replay};

use crate::cli::{Protocol, Settings};
use crate::console::Stdout;
use crate::data::{Augment, Constants, Dataset, Loader, TrainTest};
use crate::models::{ImageMeta, Model, Saved};
use crate::optim::{Ema, Method, Optimizer, Sgd};
use crate::{DType, Device, Error, Params, Result, Rng, Tensor, Var};

/// The share of the training images that is held out to choose the best weights on.
const VALIDATION: f64 = 0.1;

/// The papers' second phase takes at most this many of the last epochs, and at most a quarter of
/// all.
const SGD_EPOCHS: usize = 20;

/// The papers' second phase has this learning rate throughout.
const PAPERS_SGD_LR: f64 = 1e-3;

/// The papers' first phase ends early when this many epochs bring no gain.
const PATIENCE: usize = 20;

/// A model in training: everything that changes from step to step, and what it is fed with.
pub struct Trainer {
    settings: Settings,
    folder: RunFolder,
    model: Model,
    params: Params,
    optimizer: Optimizer,
    /// The running mean of the weights, where one is asked for.
    ema: Option<Ema>,
    data: Splits,
    /// The flags that the run was begun with, as `config.json` and every checkpoint list them.
    begun_with: String,
    at: Position,
    best: Best,
    losses: Losses,
    replay: Replay,
    replayed_steps: u64,
}

/// The images, in the parts that training needs.
struct Splits {
    train: Loader,
    /// None where the best weights are chosen on the test set.
    validation: Option<Loader>,
    test: Loader,
    /// What makes numbers of the bytes that training images are on a GPU; none on the processor,
    /// where they come as numbers.
    constants: Option<Constants>,
    /// What weight files say of the images.
    card: ImageMeta,
    /// What checkpoints say of the images: names of parts, and what they are.
    fingerprints: Vec<(String, String)>,
}

/// Where a run stands, between two steps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Position {
    /// Epochs done.
    epoch: usize,
    /// Batches done of the epoch after these.
    batch: usize,
    /// Steps done, over all epochs.
    step: u64,
    /// The epoch at which the papers' second phase began.
    sgd_since: Option<usize>,
    /// Sum of the losses of the current epoch's batches, each times its images, and those images.
    loss_sum: f64,
    images: usize,
}

/// The weights that did best so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Best {
    /// Epochs done when they were taken; 0 is none yet.
    epoch: usize,
    /// Their top-1 accuracy where it is measured for choosing, as a fraction.
    top1: f64,
}

/// How a run ended.
pub enum Outcome {
    /// All epochs are done; the test results of the best weights.
    Finished(Evaluation),
    /// It was stopped, and can go on.
    Stopped,
}

impl Trainer {
    /// Data, model, weights and results folder, as the settings say; a resumed run stands where it
    /// stopped.
    ///
    /// # Errors
    /// Data or settings that do not fit together, a model that the batches do not suit, a folder
    /// that cannot be written or read; a checkpoint that is damaged, of other data or of other
    /// settings.
    pub fn new(settings: Settings) -> Result<Trainer> {
        let existing = RunFolder::existing(&settings)?;
        let pair = settings.load_data()?;
        let config = settings.model_for(pair.train.size, pair.train.classes.len())?;
        let (model, mut params) = config.build(DType::F32, &Rng::new(settings.seed))?;
        let mut data = Splits::new(pair, &settings, config.channels)?;
        data.fit_batches(&model, &params)?;
        params.to_device(settings.device)?;
        let folder = existing.map_or_else(|| RunFolder::create(&settings), Ok)?;
        let mut trainer = Trainer {
            optimizer: optimizer(
                &settings,
                settings.optimizer.with_weight_decay(settings.weight_decay),
                &params,
            )?,
            ema: settings
                .ema
                .map(|decay| Ema::new(&params, decay))
                .transpose()?,
            data,
            losses: Losses::default(),
            replay: Replay::begin(settings.device),
            replayed_steps: 0,
            begun_with: Value::from(settings.flags.clone()).to_string(),
            at: Position::default(),
            best: Best::default(),
            settings,
            folder,
            model,
            params,
        };
        if trainer.settings.resume {
            trainer.restore()?
        } else {
            trainer.begin()?
        }
        Ok(trainer)
    }

    /// Steps of this process that a GPU did from a recording, in one call each.
    pub fn replayed_steps(&self) -> u64 {
        self.replayed_steps
    }

    /// Where the results are.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// Trains until all epochs are done, or until it is told to stop: by `--stop-after`, Ctrl-C,
    /// SIGTERM or SIGHUP. What is printed on stderr meanwhile is dropped where that cannot be
    /// written.
    ///
    /// # Errors
    /// A loss or weights that are not finite, or a results folder that cannot be written. The last
    /// checkpoint stays whole.
    pub fn run(&mut self) -> Result<Outcome> {
        stop::listen()?;
        self.announce();
        let last = self.settings.stop_after.unwrap_or(usize::MAX);
        while self.at.epoch < self.settings.epochs {
            if self.at.epoch >= last || !self.epoch()? {
                self.save()?;
                self.say_how_to_resume();
                return Ok(Outcome::Stopped);
            }
        }
        self.finish().map(Outcome::Finished)
    }

    /// The rest of the current epoch, then its evaluation. False where it was stopped in between.
    fn epoch(&mut self) -> Result<bool> {
        self.enter_phase()?;
        let (began, seen) = (Instant::now(), self.at.images);
        let total = self.data.train.data().len();
        let order = Rng::new(self.settings.seed).stream(2);
        let mut progress = Progress::new(self.at.epoch + 1, self.settings.epochs, total, seen);
        let mut batches = self
            .data
            .train
            .epoch(&order, self.at.epoch as u64, self.at.batch)?;
        let mut waited = Duration::ZERO;
        loop {
            let asked = Instant::now();
            let Some(batch) = batches.next() else { break };
            waited += asked.elapsed();
            let before = self.at.images;
            self.step(&batch)?;
            self.at.batch += 1;
            let (done, known) = (
                self.at.images.saturating_sub(before),
                self.at.images - self.losses.images(),
            );
            progress.advance(done, self.at.loss_sum / known.max(1) as f64);
            let stopped = stop::requested() && self.at.batch < self.data.train.batches();
            if stopped || self.at.batch == self.data.train.batches() {
                self.settle(&batch)?;
                self.check_finite().map_err(|why| self.diverged(why))?;
            }
            if stopped {
                return Ok(false);
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        let record = Record {
            epoch: self.at.epoch + 1,
            phase: self.phase(),
            lr: self.lr(self.at.step.saturating_sub(1)),
            train_loss: self.at.loss_sum / self.at.images as f64,
            train_images_per_s: (self.at.images - seen) as f64 / seconds,
            waited: waited.as_secs_f64() / seconds,
        };
        drop(progress);
        self.at = Position {
            epoch: self.at.epoch + 1,
            batch: 0,
            loss_sum: 0.0,
            images: 0,
            ..self.at
        };
        self.close_epoch(record)?;
        Ok(!stop::requested() || self.at.epoch == self.settings.epochs)
    }

    /// Runs `body` with the running mean in the weights' place, where there is one.
    fn with_mean<R>(&mut self, body: impl FnOnce(&Trainer) -> Result<R>) -> Result<R> {
        let Trainer { ema, params, .. } = self;
        ema.as_mut().map_or(Ok(()), |ema| ema.swap(params))?;
        let result = body(self);
        let Trainer { ema, params, .. } = self;
        ema.as_mut().map_or(Ok(()), |ema| ema.swap(params))?;
        result
    }

    /// The learning rate of step `step`.
    fn lr(&self, step: u64) -> f64 {
        let total = self.settings.epochs * self.data.train.batches();
        match (self.settings.protocol, self.at.sgd_since) {
            (Protocol::Papers, Some(_)) => PAPERS_SGD_LR,
            (Protocol::Papers, None) => self.settings.lr,
            (Protocol::Plain, _) => {
                self.settings.lr * self.settings.schedule.factor(step, total as u64)
            }
        }
    }

    /// Begins the papers' second phase where it is due: the best weights again, under SGD.
    fn enter_phase(&mut self) -> Result<()> {
        let Settings {
            protocol, epochs, ..
        } = self.settings;
        let late = self.at.epoch >= epochs - (epochs / 4).min(SGD_EPOCHS);
        let stuck = self.best.epoch > 0 && self.at.epoch - self.best.epoch >= PATIENCE;
        if protocol == Protocol::Plain
            || self.at.sgd_since.is_some()
            || self.at.batch > 0
            || !(late || stuck)
        {
            return Ok(());
        }
        if self.best.epoch > 0 {
            self.load_best()?;
        }
        self.at.sgd_since = Some(self.at.epoch);
        self.set_method(self.second_method())?;
        self.ema = self
            .settings
            .ema
            .map(|decay| Ema::new(&self.params, decay))
            .transpose()?;
        // A run killed in this epoch must not load better weights of its own here when it goes on.
        self.save()
    }

    /// Goes on with another method; what was recorded of the old one is forgotten.
    fn set_method(&mut self, method: Method) -> Result<()> {
        self.optimizer = optimizer(&self.settings, method, &self.params)?;
        self.replay = Replay::begin(self.settings.device);
        Ok(())
    }

    fn second_method(&self) -> Method {
        Method::Sgd(Sgd {
            momentum: 0.9,
            nesterov: false,
            weight_decay: 0.0,
        })
    }

    fn phase(&self) -> String {
        if self.at.sgd_since.is_some() {
            "sgd".into()
        } else {
            self.settings.optimizer.to_string()
        }
    }
}

/// What the training examples do: trains as the settings say, or evaluates, and prints the results.
///
/// # Errors
/// Whatever goes wrong; nothing that was saved before is lost.
pub fn run(settings: Settings) -> Result<()> {
    if settings.max_batch {
        return max_batch::print(&settings);
    }
    if let Some(weights) = settings.evaluate.clone() {
        let test = evaluate_weights(&settings, &weights)?;
        return writeln!(Stdout, "{test}");
    }
    let mut trainer = Trainer::new(settings)?;
    if let Outcome::Finished(test) = trainer.run()? {
        let folder = trainer.folder().display();
        writeln!(
            Stdout,
            "best weights, of epoch {}: {test}\n\
             weights: {folder}/best/model.safetensors; pictures: {folder}/{{curves,confusion,mistakes}}.svg",
            trainer.best.epoch
        )?;
    }
    Ok(())
}

/// The test results of a weight file. Where that says which model it is of, `--model` is not asked.
fn evaluate_weights(settings: &Settings, weights: &Path) -> Result<Evaluation> {
    let pair = settings.load_data()?;
    let config = settings.model_for(pair.test.size, pair.test.classes.len())?;
    let Saved {
        model,
        mut params,
        card,
    } = Saved::load(weights, Some(config))?;
    params.to_device(settings.device)?;
    if card.classes.len() != pair.test.classes.len() && !card.classes.is_empty() {
        let (own, others) = (card.classes.len(), pair.test.classes.len());
        return Err(Error::data(
            weights,
            format!(
                "was trained on {own} classes, {} has {others}",
                pair.test.name
            ),
        ));
    }
    let (mean, std) = if card.mean.is_empty() {
        (pair.mean, pair.std)
    } else {
        (card.mean, card.std)
    };
    let images = Loader::new(Arc::new(pair.test), settings.batch_size, &mean, &std)?
        .with_channels(model.config().channels)?;
    evaluate(&model, &params, settings.precision, &images)
}

fn optimizer(settings: &Settings, method: Method, params: &Params) -> Result<Optimizer> {
    let optimizer = Optimizer::new(method, params)?;
    if settings.precision.scales_loss() {
        optimizer.with_loss_scaling()
    } else {
        Ok(optimizer)
    }
}

impl Splits {
    /// A batch's images as a model takes them, in this type.
    fn pixels(&self, images: &Tensor, dtype: DType) -> Result<Var> {
        match &self.constants {
            Some(constants) => Ok(constants.normalised(images, dtype)?.into()),
            None => Ok(images.into()),
        }
    }

    fn new(pair: TrainTest, settings: &Settings, channels: usize) -> Result<Splits> {
        let mut train = pair.train;
        if let Some(limit) = settings.limit.filter(|&limit| limit < train.len()) {
            train = train
                .subset(&Rng::new(settings.seed).stream(4).permutation(train.len())[..limit])?;
        }
        let share = if settings.select_on_test {
            0.0
        } else {
            VALIDATION
        };
        let (train, validation) =
            train.split_stratified(share, &mut Rng::new(settings.seed).stream(3));
        if validation.is_empty() && !settings.select_on_test {
            let (name, n) = (&train.name, train.len());
            return Err(Error::Argument(format!(
                "{name}: {n} images are too few to hold some of each class out for validation"
            )));
        }
        let loader = |data: Dataset| {
            Loader::new(Arc::new(data), settings.batch_size, &pair.mean, &pair.std)?
                .with_channels(channels)
        };
        let crop = if settings.mirrors { 4 } else { 2 };
        let augment = if settings.augment {
            Augment {
                flip: settings.mirrors,
                crop,
                fill: Vec::new(),
            }
        } else {
            Augment::default()
        };
        let validation = if validation.is_empty() {
            None
        } else {
            Some(loader(validation)?)
        };
        let card = ImageMeta {
            classes: pair.test.classes.clone(),
            mean: pair.mean.clone(),
            std: pair.std.clone(),
            trained_on: train.name.clone(),
            data_set: settings.source.to_string(),
            transposed: settings.source.is_transposed(),
        };
        let mut train = loader(train)?.with_augment(augment);
        let mut constants = None;
        if settings.device != Device::Cpu {
            constants = Some(train.constants(settings.device)?);
            train = train.as_bytes();
        }
        let mut splits = Splits {
            train,
            validation,
            test: loader(pair.test)?,
            constants,
            card,
            fingerprints: Vec::new(),
        };
        splits.take_fingerprints();
        Ok(splits)
    }
}
