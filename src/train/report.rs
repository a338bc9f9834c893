//! What a run leaves behind: `config.json`, `metrics.jsonl`, weights and pictures.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use crate::Precision;
use crate::cli::Settings;
use crate::console::Stderr;
use crate::io::atomic::write_atomic;
use crate::metrics::peak_bytes;
use crate::optim::Progress;
use crate::plots::{self, Curve, Mistake, Panel};
use crate::train::evaluate::{Evaluation, evaluate};
use crate::train::trainer::{Best, Trainer};
use crate::{Error, Result, Tensor};

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
        for part in ["best", "last"] {
            let folder = self.folder.join(part);
            fs::create_dir_all(&folder).map_err(Error::io("create", folder))?;
        }
        write_atomic(self.folder.join("metrics.jsonl"), |_| Ok(()))?;
        self.save()?;
        let config = self
            .settings
            .to_json(self.model.config(), self.params.count());
        let text =
            serde_json::to_string_pretty(&config).map_err(|e| Error::Argument(e.to_string()))?;
        write_atomic(self.folder.join("config.json"), |out| {
            writeln!(out, "{text}")
        })?;
        self.folder.begun()
    }

    /// Says on stderr what is about to be trained.
    pub(super) fn announce(&self) {
        let (train, test) = (self.data.train.data(), self.data.test.data());
        let validation = self
            .data
            .validation
            .as_ref()
            .map_or(0, |set| set.data().len());
        let (model, parameters) = (self.model.config(), self.params.count());
        writeln!(
            Stderr,
            "{model}: {parameters} parameters, {} channel input, {} classes",
            model.channels,
            train.classes().len()
        );
        writeln!(
            Stderr,
            "{}: {} to train, {validation} to validate; {}: {}",
            train.name(),
            train.len(),
            test.name(),
            test.len()
        );
        let Settings {
            epochs,
            threads,
            precision,
            ..
        } = self.settings;
        let precision = if precision == Precision::F32 {
            String::new()
        } else {
            format!(" in {precision}")
        };
        writeln!(
            Stderr,
            "{epochs} epochs{precision} on {threads} threads; results in {}",
            self.folder.display()
        );
    }

    /// Evaluates a finished epoch, writes its line, remembers the weights if they are the best, and
    /// saves.
    pub(super) fn close_epoch(&mut self, record: Record) -> Result<()> {
        let (validation, test) = self
            .with_mean(Trainer::evaluate)
            .map_err(|why| self.diverged(why))?;
        let judged = validation.as_ref().unwrap_or(&test);
        let mut line = json!({
            "epoch": record.epoch, "phase": record.phase, "lr": record.lr, "train_loss": record.train_loss,
            "train_images_per_s": record.train_images_per_s,
            "waited_for_data": record.waited,
        });
        self.results(&mut line, validation.as_ref(), &test);
        self.append(&line)?;
        let better = self.best.epoch == 0 || judged.top1 > self.best.top1;
        if better {
            self.best = Best {
                epoch: record.epoch,
                top1: judged.top1,
            };
            self.with_mean(|trainer| trainer.write_weights("best"))?;
        }
        // Whatever happens to the terminal: what is told of is on the disk.
        self.save()?;
        let mark = if better { "  best so far" } else { "" };
        let chosen_on = validation.as_ref().map_or(String::new(), |v| {
            format!("  validation {:5.2} %", 100.0 * v.top1)
        });
        let Record {
            epoch,
            train_loss,
            train_images_per_s: rate,
            ..
        } = record;
        let (epochs, top1) = (self.settings.epochs, 100.0 * test.top1);
        let scaling = self.loss_scaling()?;
        writeln!(
            Stderr,
            "epoch {epoch:>3}/{epochs}  loss {train_loss:.4}{chosen_on}  test {top1:5.2} %  {rate:.0} images/s{scaling}{mark}"
        );
        Ok(())
    }

    /// The weights as they are, on what is held out and on the test set.
    fn evaluate(&self) -> Result<(Option<Evaluation>, Evaluation)> {
        let on = |set| evaluate(&self.model, &self.params, self.settings.precision, set);
        Ok((
            self.data.validation.as_ref().map(on).transpose()?,
            on(&self.data.test)?,
        ))
    }

    /// In f16, the loss scale, and how many steps it took to find it.
    fn loss_scaling(&self) -> Result<String> {
        if !self.settings.precision.scales_loss() {
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

    /// The best weights' last word: their line, their pictures, their accuracies on stdout.
    pub(super) fn finish(&mut self) -> Result<Evaluation> {
        self.load_best()?;
        let (validation, test) = self.evaluate()?;
        let mut lines = read_metrics(&self.folder)?;
        let mut line = lines
            .iter()
            .find(|line| line["epoch"] == self.best.epoch)
            .cloned()
            .unwrap_or(Value::Null);
        line["phase"] = "best".into();
        line["class_accuracy"] = test.confusion.class_accuracy().into();
        self.results(&mut line, validation.as_ref(), &test);
        lines.push(line);
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        write_atomic(self.folder.join("metrics.jsonl"), |out| {
            out.write_all(text.as_bytes())
        })?;
        self.draw(&lines, &test)?;
        Ok(test)
    }

    /// The pictures: how training went, what is taken for what, and the worst of it.
    fn draw(&self, lines: &[Value], test: &Evaluation) -> Result<()> {
        let (model, set) = (self.model.config(), self.data.test.data());
        let curve = |name: &str, key: &str| {
            let points = lines.iter().filter(|line| line["phase"] != "best");
            let points =
                points.filter_map(|line| Some((line["epoch"].as_f64()?, line[key].as_f64()?)));
            Curve {
                name: name.into(),
                points: points.collect(),
            }
        };
        let loss = Panel {
            title: "loss".into(),
            fractions: false,
            curves: vec![curve("training", "train_loss")],
        };
        let accuracies = [
            ("validation", "val_top1"),
            ("test", "test_top1"),
            ("test, top 5", "test_top5"),
        ];
        let accuracies = accuracies
            .map(|(name, key)| curve(name, key))
            .into_iter()
            .filter(|curve| !curve.points.is_empty());
        let accuracy = Panel {
            title: "accuracy".into(),
            fractions: true,
            curves: accuracies.collect(),
        };
        plots::curves(
            self.folder.join("curves.svg"),
            &format!("{model} on {}", self.data.train.data().name()),
            &[loss, accuracy],
        )?;
        let title = format!(
            "{}: {:.2} % read correctly by {model}",
            set.name(),
            100.0 * test.top1
        );
        plots::confusion(
            self.folder.join("confusion.svg"),
            &title,
            &test.confusion,
            set.classes(),
        )?;
        self.draw_mistakes(test)
    }

    /// The page of the worst mistakes.
    fn draw_mistakes(&self, test: &Evaluation) -> Result<()> {
        let set = self.data.test.data();
        let images = test
            .mistakes
            .iter()
            .map(|m| Ok(set.sample(m.image)?.input))
            .collect::<Result<Vec<Tensor>>>()?;
        let (classes, mut worst) = (set.classes(), Vec::new());
        for (m, image) in test.mistakes.iter().zip(&images) {
            worst.push(Mistake {
                image: image.as_slice::<u8>()?,
                label: &classes[m.label],
                predicted: &classes[m.predicted],
                probability: f64::from(m.probability),
            });
        }
        let title = format!("{}: misread with the most confidence", set.name());
        plots::mistakes(
            self.folder.join("mistakes.svg"),
            &title,
            self.data.image,
            &worst,
        )
    }

    fn results(&self, line: &mut Value, validation: Option<&Evaluation>, test: &Evaluation) {
        line["val_top1"] = validation.map(|v| v.top1).into();
        line["test_top1"] = test.top1.into();
        line["test_top5"] = test.top5.into();
        line["eval_images_per_s"] = test.images_per_s.into();
        line["peak_bytes"] = peak_bytes().into();
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
