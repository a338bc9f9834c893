//! Trains a small WaveMix-Lite on the crate's own handwriting, in view of the page: what one draws
//! is read by the weights of the moment.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use wavemix::console::Stderr;
use wavemix::data::glyphs::{self, Framing, Settings};
use wavemix::data::{Source, Split};
use wavemix::models::{self, ImageMeta, Saved, Task};
use wavemix::prelude::*;
use wavemix::train::evaluate;

use super::board::{Board, Training};
use super::explain::Reader;

/// MNIST's framing is that whose steps the page is about. `weights` files say it, beside the rest.
const FRAMING: (Framing, &str) = (Framing::Mnist, "mnist");
const BATCH: usize = 32;
/// Steps after which the page gets the weights of the moment.
const STEPS_A_COPY: usize = 25;

/// How much is trained, and where the weights are kept.
pub struct Plan {
    pub epochs: usize,
    /// Glyphs of each class in an epoch.
    pub glyphs: usize,
    pub folder: PathBuf,
}

/// A training run before its first step: a model that has learned nothing, and what it will learn.
pub struct Run {
    plan: Plan,
    config: models::Config,
    card: ImageMeta,
    train: Loader,
    test: Loader,
    params: Params,
}

impl Run {
    /// # Errors
    /// No glyphs, or too many; a folder that cannot be made, which is told before the training.
    pub fn new(plan: Plan) -> Result<Run> {
        fs::create_dir_all(&plan.folder).map_err(Error::io("create", &plan.folder))?;
        let settings = Settings { framing: FRAMING.0, ..Settings::default() };
        let data = glyphs::pair(&settings, plan.glyphs, 40)?;
        let card = ImageMeta {
            classes: data.train.classes.clone(),
            mean: data.mean.clone(),
            std: data.std.clone(),
            trained_on: "built-in glyphs, framed as MNIST".into(),
            data_set: Source::Emnist(Split::Balanced).to_string(),
            ..ImageMeta::default()
        };
        let config = models::Config {
            channels: 1,
            size: 28,
            task: Task::Classify { classes: card.classes.len() },
            ..models::Config::parse("WaveMixLite-32/4")?.with("stem", "strided:2,1")?
        };
        let (_, params) = config.build(DType::F32, &Rng::new(0))?;
        let (train, test) = data.loaders(BATCH)?;
        Ok(Run { plan, config, card, train, test, params })
    }

    fn steps(&self) -> usize {
        self.plan.epochs.saturating_mul(self.train.batches())
    }

    /// The model with a copy of the weights of the moment.
    fn reader(&self, step: usize) -> Result<Reader> {
        let (model, _) = self.config.build(DType::F32, &Rng::new(0))?;
        let saved = Saved { model, params: self.params.clone(), card: self.card.clone() };
        Ok(Reader { saved, framing: FRAMING.0, step })
    }

    /// The board as it is before the first step.
    ///
    /// # Errors
    /// None that is expected.
    pub fn board(&self) -> Result<Board> {
        let training = Training { steps: self.steps(), ..Training::default() };
        Ok(Board::new(self.reader(0)?, Some(training)))
    }

    /// Trains all epochs, shows them on the board, and keeps the weights; gives their file.
    ///
    /// # Errors
    /// Weights that cannot be written.
    pub fn train(mut self, board: &Board) -> Result<PathBuf> {
        let (model, _) = self.config.build(DType::F32, &Rng::new(0))?;
        let mut optimizer = Optimizer::new(AdamW::default(), &self.params)?;
        board.note(|training| training.began = Some(Instant::now()));
        let mut step = 0;
        for epoch in 0..self.plan.epochs {
            for batch in self.train.epoch(&Rng::new(1), epoch as u64, 0)? {
                let (x, labels) = batch?.into_parts();
                let lr = 6e-3 * Schedule::COSINE.factor(step as u64, self.steps() as u64);
                let loss = optimizer.train_step(&mut self.params, lr, |pass| {
                    model.forward(pass, &x)?.cross_entropy(&labels)
                })?;
                let loss = loss.item()?;
                step += 1;
                board.note(|training| training.losses.push(loss));
                if step % STEPS_A_COPY == 0 {
                    board.show(self.reader(step)?);
                }
            }
            let score = evaluate(&model, &self.params, Precision::F32, &self.test)?;
            let accuracy = score.top1;
            board.note(|training| training.accuracies.push((step as f64, accuracy)));
            let (epoch, epochs) = (epoch + 1, self.plan.epochs);
            writeln!(
                Stderr,
                "epoch {epoch}/{epochs}: {:.1} % of the test glyphs",
                100.0 * accuracy
            );
        }
        board.show(self.reader(step)?);
        let file = self.save()?;
        board.note(|training| training.done = true);
        Ok(file)
    }

    fn save(&self) -> Result<PathBuf> {
        let file = self.plan.folder.join("model.safetensors");
        let mut metadata = self.card.to_metadata(&self.config);
        metadata.insert("framing".into(), FRAMING.1.into());
        weights::save(&file, &self.params, &metadata)?;
        Ok(file)
    }
}

/// The model of a weight file, or of the folder of a run.
///
/// # Errors
/// No such file; a model of other things than characters.
pub fn load(path: PathBuf) -> Result<Reader> {
    let places = ["", "model.safetensors", "best/model.safetensors"];
    let file = places.iter().map(|place| path.join(place)).find(|file| file.is_file());
    let path = file.unwrap_or(path);
    let saved = Saved::load(&path, None)?;
    if !matches!(saved.model.config().task, Task::Classify { .. }) || saved.card.mean.is_empty() {
        return Err(Error::data(&path, "is no model that classifies images normalised as it says"));
    }
    let kept = weights::read_metadata(&path)?.remove("framing");
    let name = kept.unwrap_or_else(|| saved.card.data_set.clone());
    let framing = match name.as_str() {
        "mnist" | "" => Framing::Mnist,
        name if name.starts_with("emnist") => Framing::Emnist,
        name => {
            let what = format!("was trained on {name}: what is read here are characters");
            return Err(Error::data(&path, what));
        }
    };
    Ok(Reader { saved, framing, step: 0 })
}
