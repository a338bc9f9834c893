//! What the training examples do: train, evaluate, or find the largest batch.

use std::path::Path;

use super::arrays::Arrays;
use super::folder::Pictures;
use super::scenes::Scenes;
use super::{Settings, max_batch, splits};
use crate::console::Stdout;
use crate::data::{Dataset, Loader};
use crate::models::{self, ImageMeta, Saved};
use crate::train::{
    Config, Data, Description, Loss, Objective, Outcome, RunFolder, Score, Trainer, evaluate,
    evaluate_pixels, read_config,
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
        let pictures = match &results.test {
            Some(Score::Pixels(_)) => "{curves,confusion}.svg",
            _ => "{curves,confusion,mistakes}.svg",
        };
        let test = results.test.map_or(String::new(), |test| test.to_string());
        writeln!(
            Stdout,
            "best weights, of epoch {epoch}: {test}\n\
             weights: {folder}/best/model.safetensors; pictures: {folder}/{pictures}"
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
        let scenes = Scenes::find(self)?;
        let objective = self.objective(scenes.as_ref());
        let (of_model, (data, images)) = match (self.source, scenes) {
            (_, Some(scenes)) => {
                let model = self.fitted(scenes.image(), scenes.task())?;
                let data = scenes.load(self, model.channels)?;
                (model, data)
            }
            (Some(source), None) if source.is_on_demand() => {
                let sets = source.open(self.data_folder()?, None)?;
                let shape = sets.train.sample(0)?.input;
                let [h, w, c] = shape.shape()[..] else {
                    let what = format!("{}: no images", sets.train.name());
                    return Err(Error::Argument(what));
                };
                let model = self.model_for([h, w, c], sets.train.classes().len())?;
                let data = splits::load_on_demand(sets, self, model.channels)?;
                (model, data)
            }
            (Some(_), None) => {
                let pair = self.load_data()?;
                let model = self.model_for(pair.train.size, pair.train.classes.len())?;
                let data = splits::load(pair, self, model.channels)?;
                (model, data)
            }
            (None, None) => self.own_images()?,
        };
        let (model, params) = of_model.build(DType::F32, &Rng::new(self.seed))?;
        let config = Config {
            model: Some(Description::of_images(&of_model, &images)),
            objective,
            ..config
        };
        Trainer::in_folder(existing, Box::new(model), params, data, config)
    }

    /// A model for the user's own images, in arrays or in folders; their batches, and what weight
    /// files say of them.
    fn own_images(&self) -> Result<(models::Config, (Data, ImageMeta))> {
        if let Some(arrays) = Arrays::find(self)? {
            let model = self.model_for(arrays.image(), arrays.classes())?;
            let data = arrays.load(self, model.channels)?;
            return Ok((model, data));
        }
        let pictures = Pictures::open(self)?;
        let model = self.model_for([self.size, self.size, 3], pictures.classes())?;
        let data = pictures.load(self, model.channels)?;
        Ok((model, data))
    }

    /// What training minimises, and what weights are chosen by.
    fn objective(&self, scenes: Option<&Scenes>) -> Objective {
        let Some(scenes) = scenes else {
            let loss = self.loss.unwrap_or(Loss::CrossEntropy);
            return Objective::classify_by(move |logits, classes| loss.of(logits, classes, None));
        };
        let (loss, ignored) = (self.loss.unwrap_or(Loss::Focal), scenes.ignored());
        let passed_over = loss.ignored(ignored);
        Objective::segment_by(ignored, move |logits, classes| {
            loss.of(logits, classes, passed_over)
        })
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
            tensorboard: self.tensorboard,
            profile: self.profile,
            settings: Some(begun_with.unwrap_or_else(|| self.flags.clone())),
            by_flags: true,
            ..Config::default()
        })
    }
}

/// The test results of a weight file. Where that says which model it is of, `--model` is not asked.
fn evaluate_weights(settings: &Settings, weights: &Path) -> Result<Score> {
    let scenes = Scenes::find(settings)?;
    let of_scenes = scenes
        .as_ref()
        .map(|scenes| (scenes.task(), scenes.ignored()));
    let (test, image, (mean, std)) = match scenes {
        Some(scenes) => {
            let image = scenes.image();
            let (test, statistics) = scenes.test(settings)?;
            (test, image, statistics)
        }
        None => test_images(settings)?,
    };
    let classes = test.data().classes().len();
    let config = match of_scenes {
        Some((task, _)) => settings.fitted(image, task)?,
        None => settings.model_for(image, classes)?,
    };
    let Saved {
        model,
        mut params,
        card,
    } = Saved::load(weights, Some(config))?;
    params.to_device(settings.device)?;
    if card.classes.len() != classes && !card.classes.is_empty() {
        let (own, name) = (card.classes.len(), test.data().name());
        let what = format!("was trained on {own} classes, {name} has {classes}");
        return Err(Error::data(weights, what));
    }
    let (mean, std) = if card.mean.is_empty() {
        (mean, std)
    } else {
        (card.mean, card.std)
    };
    let images = test
        .normalised(&mean, &std)?
        .with_channels(model.config().channels)?;
    let precision = settings.precision;
    match of_scenes {
        Some((_, ignored)) => {
            evaluate_pixels(&model, &params, precision, &images, ignored).map(Score::Pixels)
        }
        None => evaluate(&model, &params, precision, &images).map(Score::Classes),
    }
}

/// Batches of the test images as they are; height, width and channels; and what normalises them.
fn test_images(settings: &Settings) -> Result<(Loader, [usize; 3], (Vec<f32>, Vec<f32>))> {
    if settings.source.is_none() {
        return match Arrays::find(settings)? {
            Some(arrays) => arrays.test(settings),
            None => Pictures::open(settings)?.test(settings),
        };
    }
    let pair = settings.load_data()?;
    let size = pair.test.size;
    let test = Loader::new(pair.test, settings.batch_size)?;
    Ok((test, size, (pair.mean, pair.std)))
}
