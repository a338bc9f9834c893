//! What a run leaves behind: `config.json`, `metrics.jsonl`, weights; and what it says meanwhile.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use crate::console::Stderr;
use crate::io::atomic::write_atomic;
use crate::metrics::peak_bytes;
use crate::optim::Progress;
use crate::train::evaluate::Score;
use crate::train::parts::image_size;
use crate::train::trainer::{Best, Results, Trainer};
use crate::{Error, Precision, Result};

/// What is known of an epoch before it is evaluated.
pub(super) struct Record {
    pub epoch: usize,
    pub phase: String,
    pub lr: f64,
    pub train_loss: f64,
    pub train_images_per_s: f64,
    /// The share of the epoch's time in which a step waited for its images.
    pub waited: f64,
}

/// Drops what `metrics.jsonl` says of epochs that are to be done again.
pub(super) fn forget_after(folder: &Path, epochs: usize) -> Result<()> {
    let lines: Vec<String> = read_metrics(folder)?
        .into_iter()
        .filter(|line| {
            line["phase"] != "best"
                && line["epoch"]
                    .as_u64()
                    .is_some_and(|epoch| epoch as usize <= epochs)
        })
        .map(|line| format!("{line}\n"))
        .collect();
    write_atomic(folder.join("metrics.jsonl"), |out| {
        out.write_all(lines.concat().as_bytes())
    })
}

/// The lines of `metrics.jsonl`; one that a killed process left unfinished is passed over.
fn read_metrics(folder: &Path) -> Result<Vec<Value>> {
    let path = folder.join("metrics.jsonl");
    let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    Ok(text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect())
}

impl Trainer {
    /// Makes the folder. `config.json` comes last: where it stands there is a state to resume from,
    /// and where it does not nothing is in the way of starting over.
    pub(super) fn begin(&mut self) -> Result<()> {
        self.folder.clear()?;
        for part in ["best", "last"] {
            let folder = self.folder.join(part);
            fs::create_dir_all(&folder).map_err(Error::io("create", folder))?;
        }
        write_atomic(self.folder.join("metrics.jsonl"), |_| Ok(()))?;
        self.save()?;
        let (rule, batch_size) = (self.optimizer.rule_name(), self.data.train.batch_size());
        let mut config = json!({
            "version": env!("CARGO_PKG_VERSION"), "settings": self.config.kept(rule, batch_size),
            "model": self.description.settings, "parameters": self.params.count(),
        });
        let called = if self.config.by_flags {
            "example"
        } else {
            "name"
        };
        config[called] = (&*self.config.name).into();
        let text =
            serde_json::to_string_pretty(&config).map_err(|e| Error::Argument(e.to_string()))?;
        write_atomic(self.folder.join("config.json"), |out| {
            writeln!(out, "{text}")
        })?;
        self.folder.begun()
    }

    /// Says on stderr what is about to be trained.
    pub(super) fn announce(&self) {
        if self.config.quiet {
            return;
        }
        let train = &self.data.train;
        let mut model = format!(
            "{}: {} parameters",
            self.description.name,
            self.params.count()
        );
        let classes = train.data().classes().len();
        if let (&[_, _, channels], 1..) = (&train.input_shape()[..], classes) {
            model += &format!(", {channels} channel input, {classes} classes");
        }
        let validation = self.data.validation.as_ref();
        let mut sets = format!(
            "{}: {} to train, {} to validate",
            train.data().name(),
            train.data().len(),
            validation.map_or(0, |set| set.data().len())
        );
        if let Some(test) = &self.data.test {
            let (name, count) = (test.data().name(), test.data().len());
            sets += &if name == train.data().name() {
                format!(", {count} to test")
            } else {
                format!("; {name}: {count} to test")
            };
        }
        let precision = match self.config.precision {
            Precision::F32 => String::new(),
            other => format!(" in {other}"),
        };
        writeln!(
            Stderr,
            "{model}\n{sets}\n{} epochs{precision} on {} threads; results in {}",
            self.config.epochs,
            rayon::current_num_threads(),
            self.folder.display()
        );
    }

    /// Evaluates a finished epoch, writes its line, remembers the weights if they are the best, and
    /// saves.
    pub(super) fn close_epoch(&mut self, record: Record) -> Result<()> {
        let (validation, test) = self
            .with_mean(Trainer::evaluate)
            .map_err(|why| self.diverged(why))?;
        let judged = validation.as_ref().or(test.as_ref());
        let mut line = json!({
            "epoch": record.epoch, "phase": record.phase, "lr": record.lr, "train_loss": record.train_loss,
            "train_images_per_s": record.train_images_per_s,
            "waited_for_data": record.waited,
        });
        results(&mut line, validation.as_ref(), test.as_ref());
        self.append(&line)?;
        self.board_epoch(&line, [validation.as_ref(), test.as_ref()])?;
        let better = (self.best).is_beaten_by(judged, self.config.objective.judge);
        if better {
            self.best = Best {
                epoch: record.epoch,
                score: judged.map_or(0.0, Score::value),
            };
            self.with_mean(|trainer| trainer.write_weights("best"))?;
        }
        // Whatever happens to the terminal: what is told of is on the disk.
        self.save()?;
        self.say_epoch(
            &record,
            [("validation", validation), ("test", test)],
            better,
        )
    }

    /// The line of a finished epoch on stderr.
    fn say_epoch(
        &self,
        record: &Record,
        scores: [(&str, Option<Score>); 2],
        better: bool,
    ) -> Result<()> {
        let Record {
            epoch,
            train_loss,
            train_images_per_s: rate,
            ..
        } = record;
        let scores: String = scores
            .into_iter()
            .filter_map(|(on, score)| Some((on, score?)))
            .map(|(on, score)| match score {
                Score::Classes(of) => format!("  {on} {:5.2} %", 100.0 * of.top1),
                Score::Pixels(of) => format!("  {on} mIoU {:5.2} %", 100.0 * of.mean_iou),
                Score::Loss { loss, .. } => format!("  {on} {loss:.4}"),
            })
            .collect();
        let samples = if image_size(self.data.train.data())?.is_some() {
            "images"
        } else {
            "samples"
        };
        if self.config.quiet {
            return Ok(());
        }
        let (epochs, scaling) = (self.config.epochs, self.loss_scaling()?);
        let mark = if better { "  best so far" } else { "" };
        writeln!(
            Stderr,
            "epoch {epoch:>3}/{epochs}  loss {train_loss:.4}{scores}  {rate:.0} {samples}/s{scaling}{mark}"
        );
        Ok(())
    }

    /// The weights as they are, on what is held out and on the test set.
    fn evaluate(&self) -> Result<(Option<Score>, Option<Score>)> {
        let on = |set| {
            let (objective, precision) = (&self.config.objective, self.config.precision);
            objective.score(&*self.model, &self.params, precision, set)
        };
        Ok((
            self.data.validation.as_ref().map(on).transpose()?,
            self.data.test.as_ref().map(on).transpose()?,
        ))
    }

    /// In f16, the loss scale, and how many steps it took to find it.
    fn loss_scaling(&self) -> Result<String> {
        if !self.config.precision.scales_loss() {
            return Ok(String::new());
        }
        let Progress {
            loss_scale,
            skipped,
            ..
        } = self.optimizer.progress()?;
        Ok(format!(
            "  loss scale {loss_scale}, {skipped} steps skipped"
        ))
    }

    /// The best weights' last word: their line, their pictures, their results.
    pub(super) fn finish(&mut self) -> Result<Results> {
        self.load_best()?;
        let (validation, test) = self.evaluate()?;
        let mut lines = read_metrics(&self.folder)?;
        let mut line = lines
            .iter()
            .find(|line| line["epoch"] == self.best.epoch)
            .cloned()
            .unwrap_or(Value::Null);
        line["phase"] = "best".into();
        match &test {
            Some(Score::Classes(of)) => {
                line["class_accuracy"] = of.confusion.class_accuracy().into();
            }
            Some(Score::Pixels(of)) => line["class_iou"] = of.confusion.iou().into(),
            _ => {}
        }
        results(&mut line, validation.as_ref(), test.as_ref());
        lines.push(line);
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        write_atomic(self.folder.join("metrics.jsonl"), |out| {
            out.write_all(text.as_bytes())
        })?;
        let results = Results {
            epoch: self.best.epoch,
            validation,
            test,
        };
        self.draw(&lines, &results)?;
        self.close_board()?;
        Ok(results)
    }

    fn append(&self, line: &Value) -> Result<()> {
        let path = self.folder.join("metrics.jsonl");
        let written = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .and_then(|mut file| writeln!(file, "{line}"));
        written.map_err(Error::io("write", path))
    }
}

/// Adds what an evaluation gave to a line of `metrics.jsonl`.
fn results(line: &mut Value, validation: Option<&Score>, test: Option<&Score>) {
    for (on, score) in [("val", validation), ("test", test)] {
        match score {
            Some(Score::Classes(of)) => line[format!("{on}_top1")] = of.top1.into(),
            Some(Score::Pixels(of)) => {
                line[format!("{on}_miou")] = of.mean_iou.into();
                line[format!("{on}_papers_iou")] = of.papers_iou.into();
                line[format!("{on}_pixel_accuracy")] = of.pixel_accuracy.into();
            }
            Some(Score::Loss { loss, .. }) => line[format!("{on}_loss")] = (*loss).into(),
            None => {}
        }
    }
    if let Some(Score::Classes(test)) = test {
        // Nothing was held out.
        if validation.is_none() {
            line["val_top1"] = Value::Null;
        }
        line["test_top5"] = test.top5.into();
    }
    line["eval_images_per_s"] = test.or(validation).map(Score::rate).into();
    line["peak_bytes"] = peak_bytes().into();
}
