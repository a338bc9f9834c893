//! Runs: epochs of steps, each evaluated, in one phase or in the papers' two.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::{Protocol, Settings};
use crate::console::Stdout;
use crate::data::Loader;
use crate::models::Saved;
use crate::optim::Ema;
use crate::train::evaluate::{Evaluation, evaluate};
use crate::train::folder::RunFolder;
use crate::train::progress::Progress;
use crate::train::replay::{Losses, Replay};
use crate::train::report::Record;
use crate::train::splits::Splits;
use crate::train::trainer::{Best, Outcome, Position, Trainer, optimizer};
use crate::train::{max_batch, stop};
use crate::{DType, Error, Result, Rng};

/// The papers' second phase takes at most this many of the last epochs, and at most a quarter of
/// all.
const SGD_EPOCHS: usize = 20;

/// The papers' first phase ends early when this many epochs bring no gain.
const PATIENCE: usize = 20;

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
            let Some(batch) = batches.next().transpose()? else {
                break;
            };
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
        progress.end();
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
    let images = Loader::new(pair.test, settings.batch_size)?
        .normalised(&mean, &std)?
        .with_channels(model.config().channels)?;
    evaluate(&model, &params, settings.precision, &images)
}
