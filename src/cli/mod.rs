//! The flags that all training examples share, and what they decide.
//!
//! A run's effective settings are kept as the very flags that would give them, in `config.json`;
//! resuming parses those again. So there is one table of flags, one parser, and nothing that can be
//! set but not kept.

mod arrays;
mod flags;
mod folder;
mod job;
mod kept;
mod max_batch;
mod run;
mod scenes;
mod splits;

pub use job::Job;
pub use run::run;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgMatches;
use clap::parser::ValueSource;
use serde_json::{Map, Value};

use crate::console::{Stderr, exit_status};
use crate::data::{Downloader, Part, Source, TrainTest, default_folder, glyphs};
use crate::models::{Config, Task};
use crate::optim::{Method, Schedule};
use crate::train::{Loss, Protocol, read_config};
use crate::{Device, Error, Precision, Result};

/// Everything a run is told by its flags.
#[derive(Debug)]
pub struct Settings {
    /// The example's name.
    pub job: &'static str,
    /// Where results go; `None` takes the next free `runs/<example>-<n>`.
    pub out: Option<PathBuf>,
    /// Whether a new run may take an `out` that holds files.
    pub force: bool,
    /// Whether `out` holds a run to go on with.
    pub resume: bool,
    /// Whether to find the largest batch instead of training.
    pub max_batch: bool,
    /// Weights to evaluate instead of training.
    pub evaluate: Option<PathBuf>,
    /// The published set; `None` where the data are the user's own pictures.
    pub source: Option<Source>,
    /// Height and width that the user's own pictures are given in; scenes of Cityscapes are twice as
    /// wide.
    pub size: usize,
    /// What the shorter side of the user's own pictures is made before the centre is cut out; `None`
    /// stretches both sides.
    pub resize: Option<usize>,
    /// Whether pictures that cannot be read are left out.
    pub skip_broken: bool,
    /// How many bytes of decoded pictures are kept in memory; `None` for half of the machine's.
    pub cache_memory: Option<u64>,
    /// Where that is looked for, if not in the default folder.
    pub data: Option<PathBuf>,
    /// Where it is looked for otherwise; `None` takes [`default_folder`], which needs an
    /// environment, when it comes to that.
    pub default_data: Option<PathBuf>,
    /// Whether it may be fetched.
    pub download: bool,
    /// Whether to train on built-in glyphs and test on the set.
    pub train_on_builtin: bool,
    /// Built-in glyphs a class, training and test.
    pub glyphs: [usize; 2],
    /// The model, before it is fitted to the data.
    pub model: Config,
    /// Channels the images are given to the model with.
    pub channels: Option<usize>,
    /// Number of epochs that schedules count with.
    pub epochs: usize,
    /// Epochs after which this process stops, as Ctrl-C would.
    pub stop_after: Option<usize>,
    /// Whether to write events for TensorBoard.
    pub tensorboard: bool,
    /// Training steps to profile.
    pub profile: Option<usize>,
    /// Images a step.
    pub batch_size: usize,
    /// Peak learning rate.
    pub lr: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// The update rule.
    pub optimizer: Method,
    /// The learning rate's course.
    pub schedule: Schedule,
    /// The phases.
    pub protocol: Protocol,
    /// What training minimises; `None` takes cross-entropy or, of label maps, the focal loss.
    pub loss: Option<Loss>,
    /// The decay of the weights' running mean, which is then what is evaluated and kept for use.
    pub ema: Option<f64>,
    /// Whether training images are shifted, and mirrored where that keeps the class.
    pub augment: bool,
    /// Whether `augment` mirrors.
    pub mirrors: bool,
    /// Whether the best weights are chosen on the test set, as the papers do.
    pub select_on_test: bool,
    /// Where to compute.
    pub device: Device,
    /// In which numbers.
    pub precision: Precision,
    /// Seed of all randomness.
    pub seed: u64,
    /// Threads to compute with.
    pub threads: usize,
    /// Training images to use, of those there are.
    pub limit: Option<usize>,
    /// The flags that give these settings, for `config.json`.
    pub flags: Map<String, Value>,
}

/// Parses the process's arguments, runs `body` on as many threads as they say, and ends as
/// [`exit_status`] says.
pub fn main(job: &Job, body: impl FnOnce(Settings) -> Result<()> + Send) -> ExitCode {
    let run = || {
        let settings = Settings::parse(job, std::env::args_os())?;
        let Some(settings) = settings else {
            return Ok(());
        };
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(settings.threads)
            .build();
        let pool = pool.map_err(|e| {
            Error::Argument(format!("cannot start {} threads: {e}", settings.threads))
        })?;
        pool.install(|| body(settings))
    };
    exit_status(run())
}

impl Settings {
    /// Settings from arguments, the program's name first. `None` where `--help` was asked for, and
    /// printed.
    ///
    /// # Errors
    /// An unknown flag, a value that is none of the choices, flags that exclude one another, a
    /// `--resume` folder that holds no run.
    pub fn parse(
        job: &Job,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Option<Settings>> {
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        let Some(given) = flags::matches(job, &arguments)? else {
            return Ok(None);
        };
        let Some(folder) = given.get_one::<PathBuf>("resume").cloned() else {
            return Settings::from_matches(job, &given, None).map(Some);
        };
        let beside = [
            "resume",
            "data",
            "device",
            "threads",
            "stop-after",
            "profile",
            "tensorboard",
        ];
        if let Some(flag) = given
            .ids()
            .map(clap::Id::as_str)
            .find(|flag| is_given(&given, flag) && !beside.contains(flag))
        {
            let allowed = "--data, --device, --threads, --stop-after, --profile and --tensorboard";
            return Err(Error::Argument(format!(
                "--resume takes its settings from config.json; beside it only {allowed} may be given, not --{flag}"
            )));
        }
        let mut old = vec![arguments[0].clone()];
        let config = read_config(&folder)?;
        if config["example"] != job.name {
            let what = format!("holds a run of {}, not of {}", config["example"], job.name);
            return Err(Error::data(folder.join("config.json"), what));
        }
        let kept = config["settings"]
            .as_object()
            .ok_or_else(|| Error::data(&folder, "config.json lists no settings"))?;
        let is_setting = |flag: &str| flags::is_flag(job, flag) && !kept::TRANSIENT.contains(&flag);
        if let Some(flag) = kept.keys().find(|flag| !is_setting(flag)) {
            return Err(Error::data(
                folder.join("config.json"),
                format!("`{flag}` is no setting of a run"),
            ));
        }
        for (flag, value) in kept.iter().filter(|(flag, _)| !is_given(&given, flag)) {
            old.push(kept::argument(&folder.join("config.json"), flag, value)?);
        }
        old.extend(arguments.into_iter().skip(1));
        let Some(all) = flags::matches(job, &old)? else {
            return Ok(None);
        };
        Settings::from_matches(job, &all, Some(folder)).map(Some)
    }

    fn from_matches(job: &Job, m: &ArgMatches, resumed: Option<PathBuf>) -> Result<Settings> {
        let number = |flag: &str| m.get_one::<u64>(flag).map(|&n| n as usize);
        let text = |flag: &str| m.get_one::<String>(flag).map(String::as_str);
        let path = |flag: &str| m.get_one::<PathBuf>(flag).cloned();

        let optimizer = text("optimizer").unwrap_or("adamw").parse()?;
        let lr = learning_rate(job, m, &optimizer);
        let model = model(job, m)?;
        let flags = flags_to_keep(job, m, lr)?;
        let settings = Settings {
            job: job.name,
            resume: resumed.is_some(),
            out: resumed.or_else(|| path("out")),
            force: m.get_flag("force"),
            max_batch: m.get_flag("max-batch"),
            evaluate: path("evaluate"),
            source: source(job, m)?,
            size: offered::<u64>(m, "size").map_or(64, |&n| n as usize),
            resize: offered::<u64>(m, "resize").map(|&n| n as usize),
            skip_broken: offered(m, "skip-broken").copied().unwrap_or(false),
            cache_memory: offered::<u64>(m, "cache-memory").map(|mb| mb.saturating_mul(1_000_000)),
            data: path("data"),
            default_data: None,
            download: offered(m, "download").copied().unwrap_or(false),
            train_on_builtin: m
                .try_get_one::<String>("train-on")
                .is_ok_and(|on| on.is_some()),
            glyphs: job.glyphs,
            model,
            channels: number("channels"),
            epochs: number("epochs").unwrap_or(1),
            stop_after: number("stop-after"),
            tensorboard: m.get_flag("tensorboard"),
            profile: number("profile"),
            batch_size: number("batch-size").unwrap_or(64),
            lr,
            weight_decay: m.get_one::<f64>("weight-decay").copied().unwrap_or(0.0),
            optimizer,
            schedule: text("schedule").unwrap_or("cosine").parse()?,
            protocol: if text("protocol") == Some("papers") {
                Protocol::Papers
            } else {
                Protocol::Plain
            },
            loss: text("loss").map(str::parse).transpose()?,
            ema: m.get_one::<f64>("ema").copied(),
            augment: m.get_flag("augment"),
            mirrors: job.mirrors,
            select_on_test: m.get_flag("select-on-test"),
            device: device(text("device").unwrap_or("auto"))?,
            precision: text("precision").unwrap_or("f32").parse()?,
            seed: m.get_one::<u64>("seed").copied().unwrap_or(0),
            threads: threads(number("threads"))?,
            limit: number("limit"),
            flags,
        };
        settings.check().map(|()| settings)
    }

    /// What no flag can tell by itself.
    fn check(&self) -> Result<()> {
        self.precision.check(self.device)?;
        if self.train_on_builtin && self.data.is_none() && !self.download {
            return Err(Error::Argument(
                "--train-on builtin tests on real files: say where with --data DIR".into(),
            ));
        }
        Ok(())
    }

    /// The training and test images, from wherever the flags say; says on stderr what it took if
    /// nothing was said.
    ///
    /// # Errors
    /// No such files, malformed files, a download that fails.
    pub fn load_data(&self) -> Result<TrainTest> {
        let source = self.source()?;
        let (drawn, asked) = (source.spec().glyphs, self.data.is_some() || self.download);
        let folder = match (self.data_folder(), drawn) {
            (Err(nowhere), Some(classes)) if !asked => {
                writeln!(Stderr, "{nowhere}: using the built-in glyphs");
                return self.draw(classes);
            }
            (folder, _) => &folder?,
        };
        if self.download && source.locate(folder, Part::Both)?.is_none() {
            source.download(folder, &Downloader::new(std::env::var_os("PATH")))?;
        }
        if self.train_on_builtin {
            let classes = drawn.ok_or_else(|| {
                Error::Argument(format!(
                    "no built-in glyphs are of {}'s classes",
                    source.title()
                ))
            })?;
            let mut pair = self.draw(classes)?;
            pair.test = source.load_test(folder)?;
            return TrainTest::new(pair.train, pair.test, pair.mean, pair.std);
        }
        match (source.locate(folder, Part::Both)?, drawn) {
            (None, Some(classes)) if !asked => {
                let (title, folder) = (source.title(), folder.display());
                writeln!(
                    Stderr,
                    "no {title} in {folder} (get it with --download, or point to it with --data DIR): using the built-in glyphs"
                );
                self.draw(classes)
            }
            _ => source.load(folder),
        }
    }

    /// The published set that is trained on.
    ///
    /// # Errors
    /// Where the data are the user's own pictures.
    pub(super) fn source(&self) -> Result<Source> {
        self.source.ok_or_else(|| {
            let what = "the data are pictures in folders, not a published set";
            Error::Argument(what.into())
        })
    }

    /// Where the published set is looked for.
    fn data_folder(&self) -> Result<PathBuf> {
        self.data
            .as_ref()
            .or(self.default_data.as_ref())
            .map_or_else(default_folder, |folder| Ok(folder.clone()))
    }

    fn draw(&self, (classes, framing): (glyphs::Classes, glyphs::Framing)) -> Result<TrainTest> {
        let [train, test] = self.glyphs;
        let seed = self.seed;
        let settings = glyphs::Settings {
            classes,
            framing,
            seed,
        };
        glyphs::pair(&settings, train, test)
    }

    /// The model, fitted to images of this `[h, w, c]` and so many classes.
    ///
    /// # Errors
    /// Settings that contradict one another or the data.
    pub fn model_for(&self, image: [usize; 3], classes: usize) -> Result<Config> {
        self.fitted(image, Task::Classify { classes })
    }

    /// The model, fitted to images of this `[h, w, c]` and what is asked of them.
    pub(super) fn fitted(&self, [h, w, c]: [usize; 3], task: Task) -> Result<Config> {
        let channels = self.channels.unwrap_or(c);
        if c == 3 && channels != 3 {
            return Err(Error::Argument(format!(
                "--channels {channels}: the images have 3"
            )));
        }
        let config = Config {
            channels,
            size: h.min(w),
            task,
            ..self.model.clone()
        };
        config.check().map(|()| config)
    }
}

/// The value of a flag that not every example offers.
fn offered<'a, T: Clone + Send + Sync + 'static>(m: &'a ArgMatches, flag: &str) -> Option<&'a T> {
    m.try_get_one(flag).ok().flatten()
}

/// Whether the flag stands on the command line itself.
fn is_given(m: &ArgMatches, flag: &str) -> bool {
    m.try_contains_id(flag).unwrap_or(false)
        && m.value_source(flag) == Some(ValueSource::CommandLine)
}

/// The set that `--split` names, if the example trains on published sets.
fn source(job: &Job, m: &ArgMatches) -> Result<Option<Source>> {
    let Some((first, _)) = job.splits.first() else {
        return Ok(None);
    };
    let split = m.get_one::<String>("split").map_or(*first, String::as_str);
    let names: Vec<&str> = job.splits.iter().map(|(name, _)| *name).collect();
    let found = job.splits.iter().find(|(name, _)| *name == split);
    match found {
        Some((_, source)) => Ok(Some(*source)),
        None => Err(Error::choice("split", split, &names)),
    }
}

/// `--lr`, or a default: the job's is meant for Adam, other methods have their own.
fn learning_rate(job: &Job, m: &ArgMatches, optimizer: &Method) -> f64 {
    let default = match optimizer {
        Method::Adam(_) | Method::AdamW(_) => job.lr,
        _ => optimizer.default_lr(),
    };
    m.get_one("lr").copied().unwrap_or(default)
}

/// The flags for `config.json`: those that were given or have a default, and what stands in for
/// those that were left out.
fn flags_to_keep(job: &Job, m: &ArgMatches, lr: f64) -> Result<Map<String, Value>> {
    let mut flags = kept::effective(m)?;
    if let Some(stem) = stem(job, m) {
        flags.insert("stem".into(), stem.into());
    }
    flags.insert("lr".into(), lr.to_string().into());
    Ok(flags)
}

/// `--stem`, or that of the example's own model.
fn stem<'a>(job: &Job, m: &'a ArgMatches) -> Option<&'a str> {
    let own = if is_given(m, "model") { None } else { job.stem };
    m.get_one::<String>("stem").map(String::as_str).or(own)
}

/// The model that `--model` names, with the settings that the other flags give it.
fn model(job: &Job, m: &ArgMatches) -> Result<Config> {
    let number = |flag: &str| m.get_one::<u64>(flag);
    let text = |flag: &str| m.get_one::<String>(flag).map(String::as_str);
    let mut config = Config::parse(text("model").unwrap_or(job.model))?;
    let named = |flag: &'static str| number(flag).map(|n| (flag, n.to_string()));
    let mixing = |flag: &str| number(flag).map(|n| ("mixing", format!("{flag}:{n}")));
    let resize = text("upsample").map(|kind| ("resize", kind.to_owned()));
    let stem = stem(job, m).map(|stem| ("stem", stem.to_owned()));
    let settings = [
        named("ff"),
        named("mult"),
        stem,
        resize,
        mixing("level"),
        mixing("cascade"),
    ];
    for (setting, value) in settings.into_iter().flatten() {
        config = config.with(setting, value)?;
    }
    let others = text("set").map(|settings| settings.split_whitespace());
    for setting in others.into_iter().flatten() {
        let (setting, value) = setting
            .split_once('=')
            .ok_or_else(|| Error::Argument(format!("--set takes NAME=VALUE, got `{setting}`")))?;
        config = config.with(setting, value)?;
    }
    if let Some(&dropout) = m.get_one::<f64>("dropout") {
        config.dropout = dropout;
    }
    config.check().map(|()| config)
}

/// `auto` is a GPU where one can be used, which a line on stderr says, else the CPU.
fn device(name: &str) -> Result<Device> {
    if name == "auto" {
        let Ok(name) = crate::cuda::name(0) else {
            return Ok(Device::Cpu);
        };
        writeln!(
            Stderr,
            "computing on cuda:0, {name}; --device cpu for the processor"
        );
        return Ok(Device::Cuda(0));
    }
    let device = name.parse()?;
    if let Device::Cuda(ordinal) = device {
        crate::cuda::usable(ordinal)?;
    }
    Ok(device)
}

/// The number of threads, by default one a core.
fn threads(asked: Option<usize>) -> Result<usize> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (threads, most) = (asked.unwrap_or(cores), most_threads(cores));
    if threads <= most {
        return Ok(threads);
    }
    let limit = format!(
        "at most {most} can be asked for here, 16 for each of {cores} cores and 256 in all"
    );
    Err(Error::Argument(format!(
        "--threads {threads}: {limit}; more threads than cores make nothing faster"
    )))
}

/// The most threads on so many cores: 16 for each, up to 256, or one for each where there are more
/// cores. Thousands would only wait for one another, for minutes.
fn most_threads(cores: usize) -> usize {
    cores.saturating_mul(16).min(256).max(cores)
}
