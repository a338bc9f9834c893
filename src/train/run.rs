//! Runs: epochs of steps, each evaluated, in one phase or in the papers' two.

use std::time::{Duration, Instant};

use crate::optim::Ema;
use crate::train::config::{Config, Data, Protocol};
use crate::train::description::Description;
use crate::train::folder::RunFolder;
use crate::train::parts::Parts;
use crate::train::profiling::Profiling;
use crate::train::progress::Progress;
use crate::train::replay::{Losses, Replay};
use crate::train::report::Record;
use crate::train::stop;
use crate::train::trainer::{Best, Outcome, Position, Trainer, optimizer};
use crate::{Module, Params, Result, Rng};

/// The papers' second phase takes at most this many of the last epochs, and at most a quarter of
/// all.
const SGD_EPOCHS: usize = 20;

/// The papers' first phase ends early when this many epochs bring no gain.
const PATIENCE: usize = 20;

impl Trainer {
    /// A run of this model on these data, in a folder of its own; a resumed run stands where it
    /// stopped. `data` are [`Data`], or a [`Loader`](crate::data::Loader) to train on alone.
    ///
    /// # Errors
    /// Data, model, loss or settings that do not fit together: two samples are tried. A folder that
    /// cannot be written or read, or that another process trains in; a checkpoint that is damaged,
    /// of other data or of other settings.
    pub fn new(
        model: impl Module + 'static,
        params: Params,
        data: impl Into<Data>,
        mut config: Config,
    ) -> Result<Trainer> {
        config.check()?;
        let existing = RunFolder::existing(&config)?;
        let data = data.into();
        if config.model.is_none() {
            config.model = Some(Description::of(&model, &data.train));
        }
        Trainer::in_folder(existing, Box::new(model), params, data, config)
    }

    /// The same in a folder that [`RunFolder::existing`] gave, for who makes data and model after
    /// that.
    pub(crate) fn in_folder(
        existing: Option<RunFolder>,
        model: Box<dyn Module>,
        mut params: Params,
        data: Data,
        mut config: Config,
    ) -> Result<Trainer> {
        let description = (config.model.take()).unwrap_or_else(|| Description::new("model"));
        let mut data = Parts::new(data, config.device)?;
        params.to_device(config.device)?;
        data.fit_batches(&*model, &params, &config, &description.name)?;
        let optimizer = optimizer(&config, config.rule.clone(), &params)?;
        let ema = ema(&config, &params)?;
        let folder = existing.map_or_else(|| RunFolder::create(&config), Ok)?;
        let mut trainer = Trainer {
            losses: Losses::default(),
            replay: Replay::begin(&config),
            replayed_steps: 0,
            board: None,
            profiling: Profiling::of(&config),
            watched: false,
            gradient_norm: None,
            begun_with: config
                .kept(optimizer.rule_name(), data.train.batch_size())
                .to_string(),
            at: Position::default(),
            best: Best::default(),
            optimizer,
            ema,
            data,
            config,
            description,
            folder,
            model,
            params,
        };
        if trainer.config.resume {
            trainer.restore()?
        } else {
            trainer.begin()?
        }
        trainer.open_board()?;
        Ok(trainer)
    }

    /// Trains until all epochs are done, or until it is told to stop: by [`Config::stop_after`],
    /// Ctrl-C, SIGTERM or SIGHUP (feature `signals`, for the whole process). What is printed on
    /// stderr meanwhile is dropped where that cannot be written.
    ///
    /// # Errors
    /// A loss or weights that are not finite, or a results folder that cannot be written. The last
    /// checkpoint stays whole.
    pub fn run(&mut self) -> Result<Outcome> {
        stop::listen()?;
        self.announce();
        self.compile_kernels()?;
        let last = self.config.stop_after.unwrap_or(usize::MAX);
        while self.at.epoch < self.config.epochs {
            if self.at.epoch >= last || !self.epoch()? {
                self.end_profile()?;
                self.flush_board()?;
                self.save()?;
                self.say_how_to_resume();
                return Ok(Outcome::Stopped);
            }
        }
        self.end_profile()?;
        self.finish().map(Outcome::Finished)
    }

    /// The rest of the current epoch, then its evaluation. False where it was stopped in between.
    fn epoch(&mut self) -> Result<bool> {
        self.enter_phase()?;
        self.board_begins_epoch();
        let (began, seen) = (Instant::now(), self.at.images);
        let total = self.data.train.data().len();
        let order = Rng::new(self.config.seed).stream(2);
        let mut progress = Progress::new(
            [self.at.epoch + 1, self.config.epochs],
            total,
            seen,
            self.config.quiet,
        );
        let mut batches = self
            .data
            .train
            .epoch(&order, self.at.epoch as u64, self.at.batch)?;
        let mut waited = Duration::ZERO;
        loop {
            let Some(batch) = self.next_batch(&mut batches, &mut waited)? else {
                break;
            };
            let before = self.at.images;
            self.step_in_profile(&batch, &progress)?;
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
            phase: self.optimizer.rule_name().to_owned(),
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
        Ok(!stop::requested() || self.at.epoch == self.config.epochs)
    }

    /// Begins the papers' second phase where it is due: the best weights again, under SGD.
    fn enter_phase(&mut self) -> Result<()> {
        let Config {
            protocol, epochs, ..
        } = self.config;
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
        self.use_second_rule()?;
        self.ema = ema(&self.config, &self.params)?;
        // A run killed in this epoch must not load better weights of its own here when it goes on.
        self.save()
    }
}

/// The running mean of these weights, where one is asked for.
fn ema(config: &Config, params: &Params) -> Result<Option<Ema>> {
    let begin = |decay| Ema::new(params, decay);
    config.ema.map(begin).transpose()
}
