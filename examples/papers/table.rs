//! What a table of the papers says: its rows, their data, the printed figures.

use std::fmt;

use wavemix::data::Source;
use wavemix::models::{Config, Task};
use wavemix::{Error, Result};

/// A table of one of the papers.
pub struct Table {
    pub name: &'static str,
    /// What it compares, in a line.
    pub title: &'static str,
    /// The columns of printed figures.
    pub printed: &'static [&'static str],
    pub parts: &'static [Part],
    /// What is to be known of the table as a whole.
    pub notes: &'static [&'static str],
}

/// Rows of the same data sets.
pub struct Part {
    /// The first is the one whose images speed and memory are of.
    pub sets: &'static [Set],
    pub rows: &'static [Row],
}

/// A data set as a table uses it.
#[derive(Clone, Copy)]
pub struct Set {
    pub name: &'static str,
    pub source: Source,
    /// Height and width.
    pub image: [usize; 2],
    pub channels: usize,
    pub task: Task,
}

/// A model and what the paper prints of it.
#[derive(Clone, Copy)]
pub struct Row {
    /// The name as `Config::parse` takes it, and settings: `WaveMixLite-256/16 ff=512 mult=3`.
    pub model: &'static str,
    /// The figures, a dash where none is printed.
    pub printed: &'static str,
    /// What torchsummary counts on the first data set, where that is not every parameter.
    pub modules: Option<usize>,
    /// How many of the data sets the paper has it on.
    pub sets: usize,
    /// Why our count or the printed figures are not what one would expect.
    pub note: &'static str,
}

/// A data set of square images in colour, to be classified.
pub const fn set(name: &'static str, source: Source, size: usize, classes: usize) -> Set {
    Set { name, source, image: [size, size], channels: 3, task: Task::Classify { classes } }
}

/// A row whose count needs no remark.
pub const fn row(model: &'static str, printed: &'static str) -> Row {
    Row { model, printed, modules: None, sets: usize::MAX, note: "" }
}

impl Row {
    pub const fn modules(self, modules: usize) -> Row {
        Row { modules: Some(modules), ..self }
    }

    /// On the first few of the part's data sets alone.
    pub const fn on(self, sets: usize) -> Row {
        Row { sets, ..self }
    }

    pub const fn note(self, note: &'static str) -> Row {
        Row { note, ..self }
    }

    /// The name, without settings.
    pub fn name(&self) -> &'static str {
        self.model.split(' ').next().unwrap_or_default()
    }

    /// The model for a data set; `None` where no family has such a name.
    ///
    /// # Errors
    /// Settings that the model has not, or that do not go with the images.
    pub fn config(&self, set: &Set) -> Result<Option<Config>> {
        let Ok(config) = Config::parse(self.name()) else {
            return Ok(None);
        };
        let size = set.image[0].min(set.image[1]);
        let mut config = Config { size, channels: set.channels, task: set.task, ..config };
        for setting in self.model.split(' ').skip(1) {
            let (name, value) = setting.split_once('=').ok_or_else(|| {
                Error::Argument(format!("a setting is NAME=VALUE, got `{setting}`"))
            })?;
            config = config.with(name, value)?;
        }
        config.check().map(|()| Some(config))
    }
}

impl Part {
    /// The data sets that a row is on.
    pub fn sets(&self, row: &Row) -> &'static [Set] {
        &self.sets[..row.sets.min(self.sets.len())]
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, [h, w]) = (self.name, self.image);
        write!(f, "{name} {h}x{w}")
    }
}
