//! Stopping and going on, bit for bit.

use std::path::PathBuf;

use crate::console::{Stderr, quoted};
use crate::io::checkpoint::State;
use crate::io::weights;
use crate::train::objective::Judge;
use crate::train::report;
use crate::train::trainer::{Best, Position, Trainer};
use crate::{Error, Result};

impl Trainer {
    /// Where a resumed run reads all it needs.
    fn state_file(&self) -> PathBuf {
        self.folder.join("last/state.safetensors")
    }

    pub(super) fn best_file(&self) -> PathBuf {
        self.folder.join("best/model.safetensors")
    }

    /// What a checkpoint calls the score of the best weights.
    fn best_key(&self) -> &'static str {
        match self.config.objective.judge {
            Judge::Accuracy => "best_top1",
            Judge::MeanIou(_) => "best_miou",
            Judge::Loss => "best_loss",
        }
    }

    /// Writes `last/state.safetensors`, and beside it the weights for users: their running mean
    /// where there is one.
    pub(super) fn save(&mut self) -> Result<()> {
        let mut state = State::new();
        state.put("seed", self.config.seed);
        state.put("settings", &self.begun_with);
        self.put_data(&mut state);
        state.put("epoch", self.at.epoch);
        state.put("batch", self.at.batch);
        state.put("step", self.at.step);
        state.put("loss_sum", self.at.loss_sum);
        state.put("images", self.at.images);
        state.put("best_epoch", self.best.epoch);
        state.put(self.best_key(), self.best.score);
        if let Some(epoch) = self.at.sgd_since {
            state.put("sgd_since", epoch);
        }
        state.put_section("weights", weights::to_file(&self.params)?);
        state.put_section("optimizer", self.optimizer.state(&self.params)?);
        if let Some(ema) = &self.ema {
            state.put_section("mean", ema.state(&self.params)?);
        }
        state.write(self.state_file())?;
        self.with_mean(|trainer| trainer.write_weights("last"))
    }

    /// Writes the weights as `<folder>/model.safetensors`, with the model's description.
    pub(super) fn write_weights(&self, folder: &str) -> Result<()> {
        weights::save(
            self.folder.join(folder).join("model.safetensors"),
            &self.params,
            &self.description.metadata,
        )
    }

    /// Puts the run where `last/state.safetensors` says it stopped.
    pub(super) fn restore(&mut self) -> Result<()> {
        let (path, state) = (self.state_file(), State::read(self.state_file())?);
        let at = Position {
            epoch: state.get("epoch")?,
            batch: state.get("batch")?,
            step: state.get("step")?,
            sgd_since: if state.has("sgd_since") {
                Some(state.get("sgd_since")?)
            } else {
                None
            },
            loss_sum: state.get("loss_sum")?,
            images: state.get("images")?,
        };
        let best = Best {
            epoch: state.get("best_epoch")?,
            score: state.get(self.best_key())?,
        };
        self.check_checkpoint(&path, &state, &at, &best)?;
        (self.at, self.best, self.begun_with) = (at, best, state.get("settings")?);
        let fit = weights::from_file(&mut self.params, &state.section("weights")?)?;
        if !fit.is_exact() {
            return Err(Error::data(&path, fit));
        }
        if self.at.sgd_since.is_some() {
            self.use_second_rule()?;
        }
        self.optimizer
            .load_state(&self.params, &state.section("optimizer")?)?;
        if let Some(ema) = &mut self.ema {
            ema.load_state(&self.params, &state.section("mean")?)?;
        }
        self.check_finite().map_err(|why| Error::data(&path, why))?;
        report::forget_after(&self.folder, self.at.epoch)?;
        // A process killed between the two files of a checkpoint leaves new state beside old
        // weights. That both are written also shows before the first step that the disk has the
        // space.
        self.save()
    }

    /// Takes the best weights so far.
    pub(super) fn load_best(&mut self) -> Result<()> {
        weights::load(self.best_file(), &mut self.params)?;
        self.params
            .check_finite()
            .map_err(|why| Error::data(self.best_file(), why))
    }

    /// One line that says how to go on.
    pub(super) fn say_how_to_resume(&self) {
        if self.config.quiet {
            return;
        }
        let (epoch, epochs, batches) = (self.at.epoch, self.config.epochs, self.at.batch);
        writeln!(
            Stderr,
            "stopped after {epoch} of {epochs} epochs and {batches} batches; go on with:"
        );
        if self.config.by_flags {
            let (example, folder) = (&self.config.name, quoted(&*self.folder));
            writeln!(
                Stderr,
                "  cargo run --release --example {example} -- --resume {folder}"
            );
        } else {
            let folder = &*self.folder;
            writeln!(
                Stderr,
                "  Config {{ out: Some({folder:?}.into()), resume: true, .. }}"
            );
        }
    }
}
