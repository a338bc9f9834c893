//! Which model, for which images, and what it answers.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::family::{Common, Task, check_counts};
use super::registry::{Architecture, names};
use crate::{Error, Result};

/// All settings of a model: its architecture, the images that it gets, and what it answers.
///
/// [`Config::parse`] gives those that a name stands for; change what differs:
///
/// ```
/// use wavemix::models::{Config, Task};
/// let config = Config {
///     size: 64,
///     task: Task::Classify { classes: 200 },
///     ..Config::parse("WaveMixLite-128/7")?.with("ff", 256)?
/// };
/// assert_eq!(config.to_string(), "WaveMixLite-128/7");
/// # Ok::<(), wavemix::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Which network, with the settings that only its family has.
    pub architecture: Architecture,
    /// Probability of dropping an activation while training, wherever the architecture has a
    /// dropout.
    pub dropout: f64,
    /// Channels of the images.
    pub channels: usize,
    /// The smaller side of the images, in pixels. It decides strides and numbers of levels where
    /// the architecture leaves them open; some models take images of just this size.
    pub size: usize,
    /// What the model answers.
    pub task: Task,
}

impl Config {
    /// The model that a name such as `WaveMixLite-128/7` stands for, with the papers' defaults, for
    /// 3 channels of 32x32 and 10 classes: of the image, or of each pixel where the model has a
    /// head for that alone. The page of [`models`](crate::models) lists the names.
    ///
    /// # Errors
    /// Where it is no such name.
    pub fn parse(name: &str) -> Result<Config> {
        let architecture = Architecture::parse(name).ok_or_else(|| {
            Error::Argument(format!("unknown model `{name}`; names are {}", names()))
        })?;
        let config = Config::of(architecture);
        config.check().map(|()| config)
    }

    /// An architecture with the papers' dropout, for 3 channels of 32x32 and 10 classes.
    pub fn of(architecture: impl Into<Architecture>) -> Config {
        let architecture = architecture.into();
        let family = architecture.family();
        let task = match family.only_segments() {
            true => Task::Segment { classes: 10 },
            false => Task::Classify { classes: 10 },
        };
        Config {
            dropout: family.dropout(),
            architecture,
            channels: 3,
            size: 32,
            task,
        }
    }

    /// The same with this many outputs, whatever its task: classes of the image or of each pixel, or
    /// channels of the larger image.
    ///
    /// ```
    /// use wavemix::models::{Config, Task};
    /// let streets = Config::parse("UNet-ResNet-18")?.with_outputs(19);
    /// assert_eq!(streets.task, Task::Segment { classes: 19 });
    /// # Ok::<(), wavemix::Error>(())
    /// ```
    #[must_use]
    pub fn with_outputs(mut self, outputs: usize) -> Config {
        let (Task::Classify { classes: own }
        | Task::Segment { classes: own }
        | Task::Upscale { channels: own }) = &mut self.task;
        *own = outputs;
        self
    }

    /// The same with another value of a setting of its architecture, which is written as on the
    /// command line: `with("ff", 256)`, `with("mixing", "level:2")`.
    ///
    /// # Errors
    /// A setting that the architecture has not, a value that is none of its.
    pub fn with(mut self, setting: &str, value: impl fmt::Display) -> Result<Config> {
        let family = self.architecture.family_mut();
        if family.set(setting, &value.to_string())? {
            return Ok(self);
        }
        let settings = self.settings();
        let names: Vec<&str> = settings.iter().map(|(name, _)| *name).collect();
        self.wrong(match names[..] {
            [] => format!("it has no setting `{setting}`, nor any other"),
            _ => format!(
                "it has no setting `{setting}`; its settings are: {}",
                names.join(", ")
            ),
        })
    }

    /// Its name, `WaveMixLite-128/7`.
    pub fn name(&self) -> String {
        self.architecture.family().name()
    }

    /// Whether every setting is in its range, and all of them go together. Whoever builds, reads or
    /// summarises a model checks first, before anything is computed from the settings.
    ///
    /// # Errors
    /// The first setting out of range, or the first contradiction, naming the settings.
    pub fn check(&self) -> Result<()> {
        let (Task::Classify { classes: outputs }
        | Task::Segment { classes: outputs }
        | Task::Upscale { channels: outputs }) = self.task;
        check_counts(&[
            ("the number of channels", self.channels),
            ("the size", self.size),
            ("the number of outputs", outputs),
        ])
        .or_else(|what| self.wrong(what))?;
        if !(0.0..1.0).contains(&self.dropout) {
            return self.wrong(format!(
                "the dropout must be at least 0 and below 1, got {}",
                self.dropout
            ));
        }
        let checked = self.architecture.family().check(&self.common());
        checked.or_else(|what| self.wrong(what))
    }

    /// The settings beside the architecture.
    pub(super) fn common(&self) -> Common {
        let &Config {
            dropout,
            channels,
            size,
            task,
            ..
        } = self;
        Common {
            dropout,
            channels,
            size,
            task,
        }
    }

    /// The architecture's settings that its name does not say, with their values in use.
    pub fn settings(&self) -> Vec<(&'static str, Value)> {
        self.architecture.family().settings(&self.common())
    }

    /// Says what is wrong with a setting.
    fn wrong<T>(&self, what: impl fmt::Display) -> Result<T> {
        Err(Error::Argument(format!("{}: {what}", self.name())))
    }

    /// As JSON, for a weight file's metadata: the architecture's settings beside the others.
    pub fn to_json(&self) -> Value {
        let (task, outputs) = match self.task {
            Task::Classify { classes } => ("classify", classes),
            Task::Segment { classes } => ("segment", classes),
            Task::Upscale { channels } => ("upscale", channels),
        };
        let mut json = Map::from_iter([
            ("name".into(), self.name().into()),
            ("dropout".into(), self.dropout.into()),
            ("channels".into(), self.channels.into()),
            ("size".into(), self.size.into()),
            ("task".into(), task.into()),
            ("outputs".into(), outputs.into()),
        ]);
        let own = self.settings();
        json.extend(own.into_iter().map(|(name, value)| (name.into(), value)));
        Value::Object(json)
    }

    /// From what [`Config::to_json`] wrote.
    ///
    /// # Errors
    /// A field that is missing, of another kind or contradicts the others.
    pub fn from_json(json: &Value) -> Result<Config> {
        let wrong = |key: &str| {
            Error::Argument(format!(
                "model configuration: `{key}` is missing or malformed"
            ))
        };
        let text = |key: &str| json[key].as_str().ok_or_else(|| wrong(key));
        let number = |key: &str| {
            json[key]
                .as_u64()
                .and_then(|n| usize::try_from(n).ok())
                .ok_or_else(|| wrong(key))
        };
        let outputs = number("outputs")?;
        let task = match text("task")? {
            "classify" => Task::Classify { classes: outputs },
            "segment" => Task::Segment { classes: outputs },
            "upscale" => Task::Upscale { channels: outputs },
            other => {
                return Err(Error::choice(
                    "task",
                    other,
                    &["classify", "segment", "upscale"],
                ));
            }
        };
        let mut config = Config {
            dropout: json["dropout"].as_f64().ok_or_else(|| wrong("dropout"))?,
            channels: number("channels")?,
            size: number("size")?,
            task,
            ..Config::parse(text("name")?)?
        };
        let defaults = config.settings();
        for (key, default) in defaults {
            // Text is written as text, and all else as JSON writes it.
            let value = match &json[key] {
                Value::Null if default.is_null() => continue,
                Value::String(text) if default.is_string() => text.clone(),
                value @ (Value::Number(_) | Value::Bool(_)) if !default.is_string() => {
                    value.to_string()
                }
                _ => return Err(wrong(key)),
            };
            let set = config.architecture.family_mut().set(key, &value);
            set.map_err(|e| if default.is_string() { e } else { wrong(key) })?;
        }
        config.check().map(|()| config)
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl FromStr for Config {
    type Err = Error;
    fn from_str(s: &str) -> Result<Config> {
        Config::parse(s)
    }
}
