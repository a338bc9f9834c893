//! What is looked at before it is trusted: weights before they are kept or evaluated, a checkpoint
//! before a run goes on from it, batches before the first step.

use std::path::Path;

use serde_json::{Map, Value};

use crate::io::checkpoint::State;
use crate::io::weights;
use crate::train::config::{Protocol, read_back};
use crate::train::folder::read_config;
use crate::train::objective::Judge;
use crate::train::trainer::{Best, Position, Trainer};
use crate::{Error, Result};

/// The parts of the data that a checkpoint keeps fingerprints of, the first of them always.
const DATA: [&str; 4] = [
    "training set",
    "validation set",
    "test set",
    "normalisation",
];

impl Trainer {
    /// Checks that what training has made of the weights, of their running mean and of the
    /// optimizer's moments is finite.
    ///
    /// The loss tells of the weights before a step only: what the last step of an epoch did to them
    /// shows here.
    pub(super) fn check_finite(&mut self) -> Result<()> {
        self.params.check_finite()?;
        self.with_mean(|trainer| trainer.params.check_finite())?;
        for (name, moment) in self.optimizer.state(&self.params)? {
            if let Some(value) = moment.first_non_finite()? {
                return Err(Error::NonFinite(format!(
                    "the optimizer's `{name}` holds {value}"
                )));
            }
        }
        Ok(())
    }

    /// What is not finite after so many steps, with what is left and what to do. Other errors stay
    /// as they are.
    pub(super) fn diverged(&self, why: Error) -> Error {
        let Error::NonFinite(why) = why else {
            return why;
        };
        let (steps, advice) = (self.at.step, self.lower_lr());
        Error::NonFinite(format!(
            "training diverged: after {steps} steps {why}; the last checkpoint stays as it was; {advice}"
        ))
    }

    /// What may help where training diverged.
    pub(super) fn lower_lr(&self) -> String {
        let (setting, lr) = (self.config.setting("lr"), self.config.lr);
        format!("a lower {setting} than {lr} may help")
    }

    /// Keeps what the run is trained on, for [`Trainer::check_data`].
    pub(super) fn put_data(&self, state: &mut State) {
        for (part, fingerprint) in &self.data.fingerprints {
            state.put(part, fingerprint);
        }
    }

    /// Checks that the data are those that the checkpoint was trained on.
    fn check_data(&self, path: &Path, state: &State) -> Result<()> {
        let mut differences = Vec::new();
        for part in DATA {
            let now = self.data.fingerprints.iter().find(|(name, _)| name == part);
            let now = now.map(|(_, fingerprint)| fingerprint.clone());
            if !state.has(part) && part == DATA[0] {
                return Err(Error::data(
                    path,
                    format!(
                        "does not say what its run was trained on (`{part}`), as an older version wrote it: begin anew"
                    ),
                ));
            }
            let then: Option<String> = state.has(part).then(|| state.get(part)).transpose()?;
            if then != now {
                let shown = |what: Option<String>| what.map_or("none".into(), |x| format!("`{x}`"));
                let (then, now) = (shown(then), shown(now));
                differences.push(format!("its {part} was {then}, here it is {now}"));
            }
        }
        if differences.is_empty() {
            return Ok(());
        }
        let place = if self.config.by_flags {
            " (--data DIR says where they are)"
        } else {
            ""
        };
        Err(Error::data(
            path,
            format!(
                "the run was trained on other data: {}; go on with the same data{place}, or begin another run",
                differences.join("; ")
            ),
        ))
    }

    /// Everything that a run goes on from, before anything is taken from it or written: the model
    /// of `config.json`, the data, the position, the best weights so far.
    pub(super) fn check_checkpoint(
        &self,
        path: &Path,
        state: &State,
        at: &Position,
        best: &Best,
    ) -> Result<()> {
        let seed: u64 = state.get("seed")?;
        if seed != self.config.seed {
            let (now, says) = (
                self.config.seed,
                match self.config.by_flags {
                    true => "config.json says",
                    false => "here it is",
                },
            );
            let what = format!("was trained with seed {seed}, {says} {now}");
            return Err(Error::data(path, what));
        }
        self.check_config(path, state)?;
        self.check_data(path, state)?;
        self.check_position(at, best)
            .map_err(|what| Error::data(path, what))?;
        if best.epoch > 0 {
            self.check_best()
        } else {
            Ok(())
        }
    }

    /// Checks that `config.json` lists the settings that the run was begun with, and the model that
    /// these stand for.
    fn check_config(&self, path: &Path, state: &State) -> Result<()> {
        let config = read_config(&*self.folder)?;
        let wrong = |what: String| Err(Error::data(self.folder.join("config.json"), what));
        let begun_with: String = state.get("settings")?;
        let begun_with: Value = serde_json::from_str(&begun_with)
            .map_err(|e| Error::data(path, format!("its settings: {e}")))?;
        let [then, now] = [&begun_with, &config["settings"]]
            .map(|settings| settings.as_object().cloned().unwrap_or_default());
        if let Some((setting, then, now)) = difference(&then, &now) {
            return wrong(format!(
                "says that `{setting}` is {now}, its run was begun with {then}"
            ));
        }
        let own: Value = serde_json::from_str(&self.begun_with).unwrap_or_default();
        let own = own.as_object().cloned().unwrap_or_default();
        if let Some((setting, then, now)) = difference(&then, &own) {
            return Err(Error::data(
                path,
                format!("its run was begun with `{setting}` {then}, here it is {now}"),
            ));
        }
        let own = read_back(&self.description.settings);
        let fits = config["model"] == own
            && config["parameters"].as_u64() == Some(self.params.count() as u64);
        if !fits {
            let (then, parameters, count) =
                (&config["model"], &config["parameters"], self.params.count());
            return wrong(format!(
                "names the model {then} of {parameters} parameters, its settings give {own} of {count}"
            ));
        }
        Ok(())
    }

    /// Checks that a run with these settings and data can stand there.
    fn check_position(&self, at: &Position, best: &Best) -> std::result::Result<(), String> {
        let (epochs, batches) = (self.config.epochs, self.data.train.batches());
        let is_over = at.epoch == epochs && at.batch == 0;
        if !is_over && (at.epoch >= epochs || at.batch >= batches) {
            let (epoch, batch) = (at.epoch, at.batch);
            return Err(format!(
                "stands after {epoch} epochs and {batch} batches, of {epochs} epochs of {batches} batches"
            ));
        }
        let steps = (at.epoch * batches + at.batch) as u64;
        if at.step != steps {
            return Err(format!(
                "counts {} steps, where {steps} lie before its position",
                at.step
            ));
        }
        // Before the last batch of an epoch all are full. Steps without a finite loss are left out
        // where the loss is scaled.
        let images = at.batch * self.data.train.batch_size();
        if at.images > images || (at.images < images && !self.config.precision.scales_loss()) {
            return Err(format!(
                "counts {} images of the current epoch, where {images} lie before its position",
                at.images
            ));
        }
        // Cross-entropy is at least 0; a loss of any other task may be anything.
        let is_sum = |sum: f64| {
            sum.is_finite() && (sum >= 0.0 || self.config.objective.judge == Judge::Loss)
        };
        if !is_sum(at.loss_sum) || (at.images == 0 && at.loss_sum != 0.0) {
            return Err(format!(
                "has a sum of {} for the losses of {} images",
                at.loss_sum, at.images
            ));
        }
        if let Some(since) = at
            .sgd_since
            .filter(|&since| self.config.protocol != Protocol::Papers || since > at.epoch)
        {
            return Err(format!(
                "began a second phase after {since} epochs, which its settings do not have"
            ));
        }
        let (what, is_score) = match self.config.objective.judge {
            Judge::Accuracy => ("an accuracy", (0.0..=1.0).contains(&best.score)),
            Judge::MeanIou(_) => ("an mIoU", (0.0..=1.0).contains(&best.score)),
            Judge::Loss => ("a loss", best.score.is_finite()),
        };
        if best.epoch > at.epoch || (best.epoch == 0) != (at.epoch == 0) || !is_score {
            return Err(format!(
                "has its best weights of epoch {} with {what} of {}",
                best.epoch, best.score
            ));
        }
        Ok(())
    }

    /// Checks that the best weights so far are there, whole, finite and of this model: they are
    /// wanted after the last epoch, or when the second phase begins.
    fn check_best(&self) -> Result<()> {
        let path = self.best_file();
        let mut params = self.params.clone();
        let metadata = weights::load(&path, &mut params)?;
        if !self.description.fits(&metadata) {
            return Err(Error::data(path, "is of another model than this run's"));
        }
        params.check_finite().map_err(|why| Error::data(path, why))
    }
}

/// The first setting that differs, and what it is in each.
fn difference<'a>(
    then: &'a Map<String, Value>,
    now: &'a Map<String, Value>,
) -> Option<(&'a str, String, String)> {
    let differs = |key: &&String| then.get(*key) != now.get(*key);
    let key = then.keys().chain(now.keys()).find(differs)?;
    let shown = |settings: &Map<String, Value>| {
        let value = settings.get(key);
        value.map_or("not set".into(), Value::to_string)
    };
    Some((key, shown(then), shown(now)))
}
