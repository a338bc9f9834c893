//! A family of models: what its names and settings mean, and the layers that they stand for.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::params::Names;
use crate::{Error, Module, Result};

/// The most that a configuration may ask for of anything that is counted: channels, pixels of a
/// side, outputs.
pub(super) const MOST: usize = 1 << 16;

/// The most blocks of a model.
pub(super) const MOST_BLOCKS: usize = 1024;

/// What the model answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// One of so many classes an image.
    Classify {
        /// Number of classes.
        classes: usize,
    },
    /// One of so many classes a pixel.
    Segment {
        /// Number of classes.
        classes: usize,
    },
    /// The image at twice the size.
    Upscale {
        /// Channels of the output.
        channels: usize,
    },
}

/// The settings that models of all families have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Common {
    /// Probability of dropping an activation while training, wherever the architecture has a
    /// dropout.
    pub dropout: f64,
    /// Channels of the images.
    pub channels: usize,
    /// The smaller side of the images, in pixels.
    pub size: usize,
    /// What the model answers.
    pub task: Task,
}

/// A family of models, as [`Config`](super::Config) and the registry know it.
pub(super) trait Family: fmt::Debug {
    /// How its names are written: `WaveMixLite-<dim>/<blocks>`.
    fn form() -> &'static str
    where
        Self: Sized;

    /// The settings that a name stands for, `None` where it is no name of this family. Numbers may be
    /// out of range: [`Family::check`] says so.
    fn parse(name: &str) -> Option<Self>
    where
        Self: Sized;

    /// The name.
    fn name(&self) -> String;

    /// Whether it has no other head than that for segmentation.
    fn only_segments(&self) -> bool {
        false
    }

    /// The probability of dropout that the papers train it with.
    fn dropout(&self) -> f64 {
        0.5
    }

    /// What the name does not say, each setting with its value in use: where the image size decides,
    /// what it decided.
    fn settings(&self, common: &Common) -> Vec<(&'static str, Value)>;

    /// Changes a setting to a value as [`Family::settings`] writes it. `false` where there is no such
    /// setting.
    ///
    /// # Errors
    /// A value that is none of the setting's.
    fn set(&mut self, setting: &str, value: &str) -> Result<bool>;

    /// What is wrong with its settings, if anything is: the first that is out of range, or does not
    /// go with the images or the task.
    fn check(&self, common: &Common) -> Result<(), String>;

    /// Declares the layers, under the names of the reference implementation, of settings that have
    /// been checked. They map images, in the type that the pass computes in, to logits or to images,
    /// as the task is.
    ///
    /// # Errors
    /// Those of the layers.
    fn layers(&self, names: &mut Names, common: &Common) -> Result<Box<dyn Module>>;
}

/// Whether each of these is at least 1 and at most 2^16, or what is wrong.
pub(super) fn check_counts(counts: &[(&str, usize)]) -> Result<(), String> {
    match counts.iter().find(|(_, n)| !(1..=MOST).contains(n)) {
        Some((name, n)) => Err(format!("{name} must be between 1 and {MOST}, got {n}")),
        None => Ok(()),
    }
}

/// Whether the dimension has quarters, or what is wrong.
pub(super) fn check_quarters(dim: usize) -> Result<(), String> {
    match dim.is_multiple_of(4) {
        true => Ok(()),
        false => Err(format!("the dimension must be a multiple of 4, got {dim}")),
    }
}

/// Whether a model has at least one and at most 1024 blocks, or what is wrong.
pub(super) fn check_blocks(blocks: usize) -> Result<(), String> {
    match blocks {
        1..=MOST_BLOCKS => Ok(()),
        _ => Err(format!("between 1 and {MOST_BLOCKS} blocks, got {blocks}")),
    }
}

/// A number of a setting.
pub(super) fn number(setting: &str, value: &str) -> Result<usize> {
    parsed(setting, "a whole number", value)
}

/// A number of a setting that need not be whole.
pub(super) fn float(setting: &str, value: &str) -> Result<f64> {
    parsed(setting, "a number", value)
}

/// A setting that is on or off.
pub(super) fn truth(setting: &str, value: &str) -> Result<bool> {
    parsed(setting, "true or false", value)
}

/// The numbers of a setting, `2,1,1`.
pub(super) fn numbers(setting: &str, value: &str) -> Result<Vec<usize>> {
    let each = value.split(',').map(str::trim).map(str::parse);
    each.collect::<Result<_, _>>().map_err(|_| {
        let what = "whole numbers with commas between them";
        Error::Argument(format!("the setting `{setting}` is {what}, got `{value}`"))
    })
}

fn parsed<T: FromStr>(setting: &str, what: &str, value: &str) -> Result<T> {
    value.parse().map_err(|_| {
        let what = format!("the setting `{setting}` is {what}, got `{value}`");
        Error::Argument(what)
    })
}

/// The two numbers of a name such as `WaveMixLite-128/7`, after what stands before them.
pub(super) fn two_numbers(name: &str, prefix: &str) -> Option<[usize; 2]> {
    let (first, second) = name.strip_prefix(prefix)?.split_once('/')?;
    Some([first.parse().ok()?, second.parse().ok()?])
}

/// The three numbers of a name such as `ViT-128/4x4`, after what stands before them.
pub(super) fn three_numbers(name: &str, prefix: &str) -> Option<[usize; 3]> {
    let (first, rest) = name.strip_prefix(prefix)?.split_once('/')?;
    let (second, third) = rest.split_once('x')?;
    Some([
        first.parse().ok()?,
        second.parse().ok()?,
        third.parse().ok()?,
    ])
}

/// Numbers as a setting writes them, `2,1,1`.
pub(super) fn joined(numbers: &[usize]) -> Value {
    let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
    numbers.join(",").into()
}

/// The names of a family that are a prefix and two numbers: `form`, `parse` and `name` of its
/// [`Family`]. The numbers are its fields `dim` and `depth`, and what its `new` takes.
macro_rules! named_by_two_numbers {
    ($prefix:literal) => {
        fn form() -> &'static str {
            concat!($prefix, "<dim>/<blocks>")
        }

        fn parse(name: &str) -> Option<Self> {
            let [dim, depth] = $crate::models::family::two_numbers(name, $prefix)?;
            Some(Self::new(dim, depth))
        }

        fn name(&self) -> String {
            format!(concat!($prefix, "{}/{}"), self.dim, self.depth)
        }
    };
}

/// The same with a third number, the field `heads`.
macro_rules! named_by_three_numbers {
    ($prefix:literal) => {
        fn form() -> &'static str {
            concat!($prefix, "<dim>/<layers>x<heads>")
        }

        fn parse(name: &str) -> Option<Self> {
            let [dim, depth, heads] = $crate::models::family::three_numbers(name, $prefix)?;
            Some(Self::new(dim, depth, heads))
        }

        fn name(&self) -> String {
            let Self {
                dim, depth, heads, ..
            } = self;
            format!(concat!($prefix, "{}/{}x{}"), dim, depth, heads)
        }
    };
}

pub(super) use {named_by_three_numbers, named_by_two_numbers};

/// The classes of a model that only classifies images, or what is wrong with another task.
pub(super) fn classes(common: &Common) -> Result<usize, String> {
    match common.task {
        Task::Classify { classes } => Ok(classes),
        _ => Err("it classifies images, and has no head for other tasks".into()),
    }
}

/// The classes of a model that only segments images, or what is wrong with another task.
pub(super) fn classes_of_pixels(common: &Common) -> Result<usize, String> {
    match common.task {
        Task::Segment { classes } => Ok(classes),
        _ => Err("it segments images, and has no head for other tasks".into()),
    }
}

/// The settings that an encoder is checked with, which by itself is a classifier.
pub(super) fn of_encoder(common: &Common) -> Common {
    Common {
        task: Task::Classify { classes: 1 },
        ..*common
    }
}
