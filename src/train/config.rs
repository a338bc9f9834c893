//! What a run is told: a plain struct with defaults.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::data::Loader;
use crate::optim::{AdamW, AnyRule, Schedule};
use crate::train::description::Description;
use crate::train::objective::Objective;
use crate::{Device, Error, Precision, Result, Tensor, Var};

/// How training is divided into phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// One rule and one schedule over all epochs.
    Plain,
    /// The papers': the rule (theirs is AdamW) at a constant rate, then the best weights again under
    /// SGD with momentum 0.9 and a learning rate of 1e-3. That begins when 20 epochs brought no
    /// gain, and at the latest for the last 20 epochs or the last quarter, whichever is shorter.
    Papers,
}

/// What a run is told, with defaults for all of it:
///
/// ```
/// use wavemix::{optim::Lion, train::Config};
/// let config = Config { epochs: 5, lr: 1e-4, rule: Lion::default().into(), ..Config::default() };
/// assert_eq!((config.seed, config.out), (0, None));
/// ```
#[derive(Clone)]
pub struct Config {
    /// Epochs to train, and that the schedule spans. 10.
    pub epochs: usize,
    /// Peak learning rate. 1e-3.
    pub lr: f64,
    /// The update rule, with its settings: any [`Rule`](crate::optim::Rule) or
    /// [`Method`](crate::optim::Method), `.into()`. AdamW.
    pub rule: AnyRule,
    /// The learning rate's course. Cosine, after a linear warm-up.
    pub schedule: Schedule,
    /// The phases. Plain.
    pub protocol: Protocol,
    /// What training minimises, and what the best weights are chosen by. Classification, chosen by
    /// accuracy; see [`Config::with_loss`].
    pub objective: Objective,
    /// Gradients are shrunk to this norm where theirs is larger. On a GPU steps are then not
    /// replayed, as the norm is needed on the CPU. None.
    pub max_norm: Option<f64>,
    /// The decay of a running mean of the weights, which is then what is evaluated and written for
    /// use. None.
    pub ema: Option<f64>,
    /// Where to compute: weights and batches are moved there. The CPU.
    pub device: Device,
    /// What activations are stored and computed in. f32.
    pub precision: Precision,
    /// Seed of the order of samples, of augmentation and of dropout. 0.
    pub seed: u64,
    /// What the run is called in `config.json` and, where `out` is `None`, by its folder. `run`.
    pub name: String,
    /// Folder for results; `None` takes the next free `runs/<name>-<n>`.
    pub out: Option<PathBuf>,
    /// Whether a new run may take an `out` that holds files: those of a run in it are removed,
    /// others stay. No.
    pub force: bool,
    /// Whether `out` holds a run to go on with, from its last checkpoint. It must have the same
    /// data and settings. No.
    pub resume: bool,
    /// Epochs after which [`Trainer::run`](crate::train::Trainer::run) stops, saved; the schedule
    /// stays that of `epochs`. None.
    pub stop_after: Option<usize>,
    /// Whether `out` gets a file of events for TensorBoard ([`EventFile`]). Of each step: loss,
    /// learning rate, in f16 the loss scale after it, images a second, and the norm of its
    /// gradients. Of each epoch, at the step with which it ends: the numbers of its line of
    /// `metrics.jsonl`, a histogram of each weight, the worst mistakes as a picture and a table. And
    /// all settings, with what the best weights are chosen by. On the CPU the norm takes a pass over
    /// the gradients; steps on a GPU stay replayed. A run that goes on goes on with the files that
    /// it has. No.
    ///
    /// [`EventFile`]: crate::io::tensorboard::EventFile
    pub tensorboard: bool,
    /// Training steps to profile, after two that warm up: `out` then gets `profile.json`, a trace of
    /// ops, layers, threads and on a GPU kernels, which <https://ui.perfetto.dev> opens, and a
    /// picture of one step, `profile.svg`; a table of what took longest goes to stderr
    /// ([`Profile`](crate::profile::Profile)). Steps on a GPU are not replayed meanwhile. None.
    pub profile: Option<usize>,
    /// Whether progress is kept from stderr: no lines, no bar, warnings alone. No.
    pub quiet: bool,
    /// What files and messages say of the model. `None` takes the name of its type, and for a model
    /// of [`models`](crate::models) what [`Saved`](crate::models::Saved) reads.
    pub model: Option<Description>,
    /// The settings that `config.json` and checkpoints list, and that a run that goes on must have.
    /// `None` takes those of this struct; of `rule` they have the name only.
    pub settings: Option<Map<String, Value>>,
    /// Whether all this comes from the flags of the example that is called `name`: messages then
    /// name flags, where else they name these fields. No.
    pub by_flags: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            epochs: 10,
            lr: 1e-3,
            rule: AdamW::default().into(),
            schedule: Schedule::COSINE,
            protocol: Protocol::Plain,
            objective: Objective::default(),
            max_norm: None,
            ema: None,
            device: Device::Cpu,
            precision: Precision::F32,
            seed: 0,
            name: "run".into(),
            out: None,
            force: false,
            resume: false,
            stop_after: None,
            tensorboard: false,
            profile: None,
            quiet: false,
            model: None,
            settings: None,
            by_flags: false,
        }
    }
}

impl Config {
    /// The same for any other task than classification: training minimises this loss of the model's
    /// outputs against the batch's targets, a single number, and the best weights are those with
    /// the lowest mean of it. Short for [`Objective::loss`].
    ///
    /// ```
    /// use wavemix::train::Config;
    /// let config = Config::default().with_loss(|outputs, targets| outputs.mse(&targets.into()));
    /// ```
    pub fn with_loss<F>(self, loss: F) -> Config
    where
        F: Fn(&Var, &Tensor) -> Result<Var> + Send + Sync + 'static,
    {
        Config {
            objective: Objective::loss(loss),
            ..self
        }
    }

    /// What no field can tell by itself.
    pub(super) fn check(&self) -> Result<()> {
        let wrong = |what: &str| Err(Error::Argument(format!("training: {what}")));
        if self.epochs == 0 {
            return wrong("`epochs` must be at least 1");
        }
        if self.resume && self.out.is_none() {
            return wrong("`resume` goes on with the run in `out`, which is not given");
        }
        if self.profile == Some(0) {
            return wrong("`profile` must be at least 1");
        }
        self.schedule.check()?;
        self.precision.check(self.device)
    }

    /// What messages call a setting: its flag or its field.
    pub(super) fn setting(&self, flag: &str) -> String {
        if self.by_flags {
            format!("--{flag}")
        } else {
            format!("`{}`", flag.replace('-', "_"))
        }
    }

    /// The settings that a run that goes on must have. Numbers that are not whole are text, which
    /// a file keeps to the last digit.
    pub(super) fn kept(&self, rule: &str, batch_size: usize) -> Value {
        if let Some(settings) = &self.settings {
            return settings.clone().into();
        }
        let text = |x: f64| x.to_string();
        json!({
            "epochs": self.epochs, "lr": text(self.lr), "rule": rule,
            "schedule": format!("{:?}", self.schedule), "protocol": format!("{:?}", self.protocol),
            "objective": self.objective.to_string(),
            "max_norm": self.max_norm.map(text), "ema": self.ema.map(text),
            "precision": self.precision.to_string(), "seed": self.seed, "batch_size": batch_size,
        })
    }
}

/// A value as it reads after a round through a file: the last digit of a number may change.
pub(super) fn read_back(value: &Value) -> Value {
    serde_json::from_str(&value.to_string()).unwrap_or_default()
}

/// The batches of a run.
///
/// ```
/// use wavemix::data::TensorDataset;
/// use wavemix::{prelude::*, train::Data};
/// let set = || TensorDataset::new(Tensor::ones([8, 2], DType::F32), Tensor::zeros(8, DType::I64));
/// let train = Loader::new(set()?, 4)?;
/// let data = Data { validation: Some(Loader::new(set()?, 4)?), ..train.into() };
/// assert!(data.test.is_none());
/// # Ok::<(), wavemix::Error>(())
/// ```
#[derive(Clone)]
pub struct Data {
    /// What is trained on, in batches of the size that a step has.
    pub train: Loader,
    /// What the best weights are chosen on. `None` takes the test set for it, as the papers do.
    pub validation: Option<Loader>,
    /// What is evaluated besides. Where there is neither, the last weights are the best.
    pub test: Option<Loader>,
}

impl From<Loader> for Data {
    /// Data to train on alone.
    fn from(train: Loader) -> Data {
        Data {
            train,
            validation: None,
            test: None,
        }
    }
}
