//! What a run tells TensorBoard, in files of events beside its other results.
//!
//! A step's events have as their step the number of steps done with it, those of an epoch the
//! number done at its end. What a checkpoint holds is in the file before the checkpoint is written,
//! and a run that goes on has TensorBoard forget what was written after it: so neither stopping nor
//! being killed leaves a gap or a step twice.

use std::time::Instant;

use serde_json::{Map, Value};

use crate::Result;
use crate::io::tensorboard::EventFile;
use crate::train::board::{Board, StepNumbers};
use crate::train::evaluate::Score;
use crate::train::folder::read_config;
use crate::train::objective::Judge;
use crate::train::trainer::Trainer;

impl Trainer {
    /// Opens the file, where one is asked for or a run goes on that has some, and describes the run
    /// in the first one.
    pub(super) fn open_board(&mut self) -> Result<()> {
        let first = EventFile::find(&*self.folder)?.is_empty();
        if first && !self.config.tensorboard {
            return Ok(());
        }
        let mut events = if first {
            EventFile::create(&*self.folder)?
        } else {
            EventFile::resume(&*self.folder, self.at.step + 1)?
        };
        if first {
            let config = read_config(&*self.folder)?;
            events.text(0, "config", &format!("```json\n{config:#}\n```"))?;
            events.settings(&settings(&config), self.metric())?;
            events.flush()?;
        }
        let since = Instant::now();
        self.board = Some(Board { events, since });
        Ok(())
    }

    /// The tag of what the best weights are chosen by, where it is measured.
    fn metric(&self) -> &'static str {
        let judge = self.config.objective.judge;
        match (judge, &self.data.validation, &self.data.test) {
            (_, None, None) => "epoch/train_loss",
            (Judge::Accuracy, Some(_), _) => "epoch/val_top1",
            (Judge::Accuracy, None, _) => "epoch/test_top1",
            (Judge::MeanIou(_), Some(_), _) => "epoch/val_miou",
            (Judge::MeanIou(_), None, _) => "epoch/test_miou",
            (Judge::Loss, Some(_), _) => "epoch/val_loss",
            (Judge::Loss, None, _) => "epoch/test_loss",
        }
    }

    /// From here on steps take time.
    pub(super) fn board_begins_epoch(&mut self) {
        if let Some(board) = &mut self.board {
            board.since = Instant::now();
        }
    }

    /// Writes the scalars of steps that are over, and at the last one how many of their `images` a
    /// second took, since those before.
    pub(super) fn board_steps(&mut self, steps: &[StepNumbers], images: usize) -> Result<()> {
        let lrs: Vec<f64> = steps.iter().map(|of| self.lr(of.step - 1)).collect();
        let Some(board) = &mut self.board else {
            return Ok(());
        };
        let rate = images as f64 / board.since.elapsed().as_secs_f64();
        board.since = Instant::now();
        for (i, (of, lr)) in steps.iter().zip(lrs).enumerate() {
            let values = [
                ("step/loss", Some(of.loss)),
                ("step/learning_rate", Some(lr)),
                ("step/gradient_norm", of.gradient_norm),
                ("step/loss_scale", of.loss_scale),
                ("step/images_per_s", (i + 1 == steps.len()).then_some(rate)),
            ];
            let known = values.into_iter().filter_map(|(tag, x)| Some((tag, x?)));
            let known: Vec<(&str, f64)> = known.collect();
            board.events.scalars(of.step, &known)?;
        }
        Ok(())
    }

    /// Writes what is known of an epoch: the numbers of its line of `metrics.jsonl`, how the weights
    /// are distributed, and of a classifier of images its worst mistakes.
    pub(super) fn board_epoch(&mut self, line: &Value, scores: [Option<&Score>; 2]) -> Result<()> {
        let Some(mut board) = self.board.take() else {
            return Ok(());
        };
        let step = self.at.step;
        let numbers = line.as_object().into_iter().flatten();
        let numbers: Vec<(String, f64)> = numbers
            .filter(|(key, _)| !["epoch", "lr"].contains(&key.as_str()))
            .filter_map(|(key, value)| Some((format!("epoch/{key}"), value.as_f64()?)))
            .collect();
        let numbers: Vec<(&str, f64)> = numbers.iter().map(|(tag, x)| (&**tag, *x)).collect();
        board.events.scalars(step, &numbers)?;
        for entry in self.params.entries() {
            let weights = self
                .params
                .get(&entry.name)?
                .to_device(crate::Device::Cpu)?;
            let weights = weights.cast(crate::DType::F32)?.to_vec::<f32>()?;
            let tag = format!("weights/{}", entry.name);
            board.events.histogram(step, &tag, &weights)?;
        }
        #[cfg(feature = "pictures")]
        self.board_mistakes(&mut board.events, scores)?;
        #[cfg(not(feature = "pictures"))]
        let _ = scores;
        board.events.flush()?;
        self.board = Some(board);
        Ok(())
    }

    /// The page of the worst mistakes, and what they are in the same places of a table.
    #[cfg(feature = "pictures")]
    fn board_mistakes(&self, events: &mut EventFile, scores: [Option<&Score>; 2]) -> Result<()> {
        let [validation, test] = scores;
        let (sets, step) = (&self.data, self.at.step);
        let judged = sets.test.as_ref().zip(test);
        let Some((loader, Score::Classes(evaluation))) =
            judged.or_else(|| sets.validation.as_ref().zip(validation))
        else {
            return Ok(());
        };
        self.with_mistakes(loader.data(), evaluation, |size, worst| {
            let (size, png) = crate::plots::mistakes_png(size, worst)?;
            events.png(step, "mistakes", size, &png)?;
            events.text(step, "mistakes/table", &crate::plots::mistakes_table(worst))
        })
    }

    /// Writes what has gathered.
    pub(super) fn flush_board(&mut self) -> Result<()> {
        let board = self.board.as_mut();
        board.map_or(Ok(()), |board| board.events.flush())
    }

    /// Writes that the run has ended.
    pub(super) fn close_board(&mut self) -> Result<()> {
        let board = self.board.as_mut();
        board.map_or(Ok(()), |board| board.events.finished())?;
        self.flush_board()
    }
}

/// The settings of a run and, behind `model.`, those of its model, from its `config.json`.
fn settings(config: &Value) -> Map<String, Value> {
    let mut all = config["settings"].as_object().cloned().unwrap_or_default();
    match &config["model"] {
        Value::Object(model) => {
            let model = model
                .iter()
                .map(|(key, value)| (format!("model.{key}"), value.clone()));
            all.extend(model);
        }
        name => _ = all.insert("model".into(), name.clone()),
    }
    all.retain(|_, value| !value.is_null());
    all
}
