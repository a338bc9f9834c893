//! What the training examples do: train, evaluate, or find the largest batch.

use std::path::Path;

use super::{Settings, max_batch, splits};
use crate::console::Stdout;
use crate::data::Loader;
use crate::models::Saved;
use crate::train::{
    Config, Description, Evaluation, Outcome, RunFolder, Trainer, evaluate, read_config,
};
use crate::{DType, Error, Result, Rng};

/// Trains as the settings say, or evaluates, and prints the results.
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
    let mut trainer = settings.trainer()?;
    if let Outcome::Finished(results) = trainer.run()? {
        let (epoch, folder) = (results.epoch, trainer.folder().display());
        let test = results.test.map_or(String::new(), |test| test.to_string());
        writeln!(
            Stdout,
            "best weights, of epoch {epoch}: {test}\n\
             weights: {folder}/best/model.safetensors; pictures: {folder}/{{curves,confusion,mistakes}}.svg"
        )?;
    }
    Ok(())
}

impl Settings {
    /// The run that these settings stand for: data, model, weights and results folder. A resumed
    /// run stands where it stopped.
    ///
    /// # Errors
    /// Data or settings that do not fit together, a model that the batches do not suit, a folder
    /// that cannot be written or read; a checkpoint that is damaged, of other data or of other
    /// settings.
    pub fn trainer(&self) -> Result<Trainer> {
        let config = self.config()?;
        // Before anything that takes long, and before what it says.
        let existing = RunFolder::existing(&config)?;
        let pair = self.load_data()?;
        let of_model = self.model_for(pair.train.size, pair.train.classes.len())?;
        let (model, params) = of_model.build(DType::F32, &Rng::new(self.seed))?;
        let (data, images) = splits::load(pair, self, of_model.channels)?;
        let config = Config {
            model: Some(Description::of_images(&of_model, &images)),
            ..config
        };
        Trainer::in_folder(existing, Box::new(model), params, data, config)
    }

    /// What the trainer is told.
    fn config(&self) -> Result<Config> {
        // A run that goes on may stand on another device than it was begun on: what it lists stays.
        let begun_with = match &self.out {
            Some(folder) if self.resume => read_config(folder)?["settings"].as_object().cloned(),
            _ => None,
        };
        Ok(Config {
            epochs: self.epochs,
            lr: self.lr,
            rule: self.optimizer.with_weight_decay(self.weight_decay).into(),
            schedule: self.schedule,
            protocol: self.protocol,
            ema: self.ema,
            device: self.device,
            precision: self.precision,
            seed: self.seed,
            name: self.job.into(),
            out: self.out.clone(),
            force: self.force,
            resume: self.resume,
            stop_after: self.stop_after,
            settings: Some(begun_with.unwrap_or_else(|| self.flags.clone())),
            by_flags: true,
            ..Config::default()
        })
    }
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
