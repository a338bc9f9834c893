//! Trains a table's models by the papers' protocol, each into a folder of its own under
//! `runs/papers/`, with the flags and the trainer of the training examples.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use wavemix::cli::{self, Job, Settings};
use wavemix::console::{Stderr, Stdout};
use wavemix::data::{Part, Source, Split, default_folder};
use wavemix::models::{Config, Task};
use wavemix::train::{Outcome, read_config};
use wavemix::{Error, Result};

use super::table::{Row, Set, Table};

/// What `--train` is told.
pub struct Training {
    /// Where runs are kept.
    pub folder: PathBuf,
    /// The models to train, as the table writes them; all where there are none.
    pub rows: Vec<String>,
    /// The data sets to train on, by the table's names; all where there are none.
    pub sets: Vec<String>,
    /// Epochs; those of the papers where it is not said.
    pub epochs: Option<String>,
    /// Flags of the training examples as they are: `--data`, `--device`, `--stop-after` and so on,
    /// with their values.
    pub flags: Vec<(&'static str, String)>,
}

/// The training examples' job of this name; `--split` takes the sets' names of the tables.
const JOB: Job = Job {
    name: "papers",
    about: "Trains a model of the papers' tables.",
    splits: &[
        ("C10", Source::Cifar10),
        ("C100", Source::Cifar100),
        ("Tiny", Source::TinyImageNet),
        ("IN64", Source::ImageNet64),
        ("Byclass", Source::Emnist(Split::ByClass)),
        ("Bymerge", Source::Emnist(Split::ByMerge)),
        ("Letters", Source::Emnist(Split::Letters)),
        ("Digits", Source::Emnist(Split::Digits)),
        ("Balanced", Source::Emnist(Split::Balanced)),
        ("MNIST", Source::Mnist),
        ("Fashion", Source::FashionMnist),
        ("STL-10", Source::Stl10),
        ("SVHN", Source::Svhn),
        ("Caltech", Source::Caltech256),
        ("Places", Source::Places365),
        ("iNat", Source::INaturalist2021Mini),
    ],
    model: "WaveMixLite-128/7",
    stem: None,
    batch_size: "64",
    epochs: "150",
    dropout: "0.5",
    lr: 0.001,
    glyphs: [0, 0],
    mirrors: false,
};

/// The same for street scenes, which are not of a split but of a folder.
const SCENES: Job = Job { splits: &[], ..JOB };

/// Trains all that is asked for and not trained yet; what lies half trained goes on. `false` where
/// it was stopped before the end.
///
/// # Errors
/// Rows or sets that the table has not; those of the trainer.
pub fn train(table: &'static Table, training: &Training) -> Result<bool> {
    let mut seen = Vec::new();
    check_names(table, training)?;
    for part in table.parts {
        for row in part.rows.iter().filter(|row| asked(&training.rows, row.model)) {
            let sets = part.sets(row).iter().filter(|set| asked(&training.sets, set.name));
            for set in sets {
                let Some(config) = row.config(set)? else {
                    writeln!(Stderr, "{}: left out, as there is no such model", row.name());
                    continue;
                };
                let folder = training.folder.join(folder_name(row, set));
                if !seen.contains(&folder) && !train_one((row, set), &config, &folder, training)? {
                    return Ok(false);
                }
                seen.push(folder);
            }
        }
    }
    Ok(true)
}

/// Goes on with one run, as its own message says when it is stopped: `--resume FOLDER`.
///
/// # Errors
/// Flags that do not go with it; those of the trainer.
pub fn resume(arguments: Vec<OsString>) -> Result<()> {
    let mut rest = arguments.iter().map(|arg| arg.to_string_lossy());
    let folder = rest.find_map(|arg| Some(PathBuf::from(arg.strip_prefix("--resume=")?)));
    let at = arguments.iter().position(|arg| arg == "--resume");
    let folder = folder.or(at.and_then(|at| Some(arguments.get(at + 1)?.into())));
    // Scenes have a size, and published sets a split.
    let is_split = folder.is_none_or(|folder| {
        read_config(folder).is_ok_and(|config| !config["settings"]["split"].is_null())
    });
    let job = if is_split { &JOB } else { &SCENES };
    Settings::parse(job, arguments)?.map_or(Ok(()), cli::run)
}

fn asked(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|own| own == name)
}

/// That every model and set that is asked for is the table's.
fn check_names(table: &Table, training: &Training) -> Result<()> {
    let rows: Vec<&str> =
        table.parts.iter().flat_map(|part| part.rows).map(|row| row.model).collect();
    let sets: Vec<&str> =
        table.parts.iter().flat_map(|part| part.sets).map(|set| set.name).collect();
    let known = [(&training.rows, rows, "row"), (&training.sets, sets, "data set")];
    for (names, known, what) in known {
        if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(Error::choice(what, name, &known));
        }
    }
    Ok(())
}

/// The folder of a row's run on a set: `C10-WaveMixLite-128-7`.
pub fn folder_name(row: &Row, set: &Set) -> String {
    let grey = if set.channels == 1 { "-grey" } else { "" };
    // Scenes stand in tables in two sizes.
    let size = match set.image {
        [h, w] if h != w => format!("-{h}x{w}"),
        _ => String::new(),
    };
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-.".contains(c) { c } else { '-' };
    format!("{}{size}{grey}-{}", set.name, row.model.chars().map(plain).collect::<String>())
}

/// Begins a run, or goes on with it. `false` where it was stopped before its end.
fn train_one(
    (row, set): (&Row, &Set),
    config: &Config,
    folder: &Path,
    training: &Training,
) -> Result<bool> {
    let (what, at) = (format!("{} on {set}", row.model), folder.display());
    let scenes = matches!(config.task, Task::Segment { .. });
    if is_finished(folder) {
        writeln!(Stderr, "{what}: trained already, in {at}");
        return Ok(true);
    }
    if !is_there(set, training)? {
        writeln!(Stderr, "{what}: left out, as the images are not there");
        return Ok(true);
    }
    let arguments = match folder.join("config.json").exists() {
        true => {
            check_epochs(folder, training)?;
            resumed(folder, training)
        }
        false => begun((row, set), config, folder, training),
    };
    let job = if scenes { &SCENES } else { &JOB };
    let Some(settings) = Settings::parse(job, arguments)? else {
        return Ok(true);
    };
    writeln!(Stderr, "{what}, into {at}");
    let outcome = settings.trainer()?.run()?;
    match outcome {
        Outcome::Finished(_) => writeln!(Stdout, "{what}: trained, in {at}").map(|()| true),
        Outcome::Stopped => {
            writeln!(Stdout, "{what}: stopped; the same command goes on").map(|()| false)
        }
    }
}

/// A flag with its value.
fn flag(name: &str, value: impl std::fmt::Display) -> OsString {
    format!("--{name}={value}").into()
}

/// The arguments of a run that goes on.
fn resumed(folder: &Path, training: &Training) -> Vec<OsString> {
    let kept = ["data", "device", "threads", "stop-after"];
    let flags = training.flags.iter().filter(|(name, _)| kept.contains(name));
    let flags = flags.map(|(name, value)| flag(name, value));
    let first = [OsString::from(JOB.name), flag("resume", folder.display())];
    first.into_iter().chain(flags).collect()
}

/// The arguments of a new run.
fn begun(
    (row, set): (&Row, &Set),
    config: &Config,
    folder: &Path,
    training: &Training,
) -> Vec<OsString> {
    let mut arguments = vec![
        OsString::from(JOB.name),
        flag("model", row.name()),
        flag("channels", set.channels),
        flag("dropout", config.dropout),
        flag("protocol", "papers"),
        flag("out", folder.display()),
        flag("epochs", training.epochs.as_deref().unwrap_or(JOB.epochs)),
        "--select-on-test".into(),
    ];
    match config.task {
        // The authors' loss has void as a class, as the tables' models do.
        Task::Segment { .. } => {
            arguments.extend([flag("size", set.image[0]), flag("loss", "papers-focal")]);
        }
        _ => arguments.push(flag("split", set.name)),
    }
    let settings: Vec<&str> = row.model.split(' ').skip(1).collect();
    if !settings.is_empty() {
        arguments.push(flag("set", settings.join(" ")));
    }
    arguments.extend(training.flags.iter().map(|(name, value)| flag(name, value)));
    arguments
}

/// Whether a run has come to its end.
fn is_finished(folder: &Path) -> bool {
    let metrics = fs::read_to_string(folder.join("metrics.jsonl")).unwrap_or_default();
    metrics
        .lines()
        .any(|line| serde_json::from_str::<Value>(line).is_ok_and(|line| line["phase"] == "best"))
}

/// That a run which goes on was begun with as many epochs as are asked for.
fn check_epochs(folder: &Path, training: &Training) -> Result<()> {
    let begun_with = read_config(folder)?["settings"]["epochs"].clone();
    match &training.epochs {
        Some(asked) if begun_with != asked.as_str() => {
            let what = format!("holds a run of {begun_with} epochs, not of {asked}");
            Err(Error::data(folder, what))
        }
        _ => Ok(()),
    }
}

/// Whether a set's files are where they are looked for.
fn is_there(set: &Set, training: &Training) -> Result<bool> {
    let data = training.flags.iter().find(|(name, _)| *name == "data");
    let folder = match data {
        Some((_, folder)) => PathBuf::from(folder),
        // Scenes are of a folder that is named.
        None if set.source == Source::Cityscapes => return Ok(false),
        None => default_folder()?,
    };
    Ok(set.source.locate(folder, Part::Both)?.is_some())
}
