//! Prints a table of the two papers: their figures, and ours beside them.
//!
//! ```text
//! cargo run --release --example papers -- list
//! cargo run --release --example papers -- W1 --quick
//! cargo run --release --example papers -- L5 --train --data DIR
//! cargo run --release --example papers -- figures --data DIR
//! ```
//!
//! Counts and memory are exact and the same everywhere; speeds are this machine's, on random
//! images; accuracies are those of runs under `runs/papers/`, which `--train` leaves there, and
//! `--out runs/papers/NAME` of the training examples. `figures` draws the papers' figures of these
//! runs, or of those that `--run` names.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Arg, ArgAction, ArgMatches, Command};
use wavemix::console::{Stderr, Stdout, exit_status};
use wavemix::io::atomic::write_atomic;
use wavemix::{Device, Error, Result};

pub(crate) mod figures;
mod lite_tables;
pub(crate) mod measure;
pub(crate) mod print;
pub(crate) mod runs;
pub(crate) mod table;
pub(crate) mod train;
mod wavemix_tables;

use figures::{Figures, figures};
use lite_tables::{L1, L2, L3, L4, L4_7, L5, L7, L8, L9};
use measure::{Effort, measure};
use print::Line;
use runs::Run;
use table::{Part, Row, Table};
use train::{Training, train};
use wavemix_tables::{W1, W2, W3, W4, W5, W6};

/// All tables.
pub(crate) const TABLES: [&Table; 15] =
    [&W1, &W2, &W3, &W4, &W5, &W6, &L1, &L2, &L3, &L4, &L5, &L7, &L8, &L9, &L4_7];

/// Where runs are looked for, and JSON is written to.
const FOLDER: &str = "runs/papers";

/// Seconds that the rows of a table share with `--quick`, well below what it may take in all: a row
/// takes two steps at least, which for a hundred million parameters are seconds.
const QUICK: f64 = 50.0;

fn main() -> ExitCode {
    exit_status(papers(std::env::args_os()))
}

/// What the program does with these arguments.
///
/// # Errors
/// An unknown table or device; those of the measurements and of the system.
pub(crate) fn papers(args: impl IntoIterator<Item = OsString>) -> Result<()> {
    let args: Vec<OsString> = args.into_iter().collect();
    let resumes = |arg: &OsString| arg.to_string_lossy().starts_with("--resume");
    if args.iter().any(resumes) {
        return train::resume(args);
    }
    let m = match command().try_get_matches_from(args) {
        Ok(m) => m,
        Err(e) if !e.use_stderr() => return write!(Stdout, "{e}"),
        Err(e) => {
            let what = e.to_string();
            return Err(Error::Argument(what.trim_start_matches("error: ").trim_end().to_owned()));
        }
    };
    let name = text(&m, "TABLE").unwrap_or_default();
    if name == "list" {
        return TABLES
            .iter()
            .try_for_each(|table| writeln!(Stdout, "{:<5} {}", table.name, table.title));
    }
    if name == "figures" {
        return draw(&m);
    }
    let table = find(name)?;
    if m.get_flag("train") && !train(table, &training(&m))? {
        return Ok(());
    }
    let device: Device = text(&m, "device").unwrap_or("cpu").parse()?;
    let effort = match (m.get_flag("counts-only") || m.get_flag("train"), m.get_flag("quick")) {
        (_, true) => Effort::Quick(QUICK),
        (true, _) => Effort::Counts,
        _ => Effort::Full,
    };
    let (lines, how) = (lines(table, effort, device)?, how(effort, device));
    write!(Stdout, "{}", print::markdown(table, &lines, &how))?;
    let default = m.get_flag("json").then(|| Path::new(FOLDER).join(format!("{name}.json")));
    match m.get_one::<PathBuf>("out").cloned().or(default) {
        Some(path) => write_json(&path, &print::json(table, &lines, &how)),
        None => Ok(()),
    }
}

fn command() -> Command {
    let switch = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    let path = |name: &'static str, value: &'static str, help: &'static str| {
        let paths = clap::value_parser!(PathBuf);
        Arg::new(name).long(name).value_name(value).value_parser(paths).help(help)
    };
    let given = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    Command::new("papers")
        .about("Prints a table of the two papers: their figures, and ours beside them.")
        .arg(Arg::new("TABLE").required(true).help("A table's name, as `list` prints them; or `figures`"))
        .arg(switch("quick", "Measure one step a row, of few images: under two minutes"))
        .arg(switch("counts-only", "Measure no speed").conflicts_with("quick"))
        .arg(switch("json", "Write runs/papers/TABLE.json too"))
        .arg(path("out", "PATH", "Write the JSON to this file; of figures, the folder [default: runs/papers/figures]"))
        .arg(path("data", "DIR", "Folder with the data sets' files, for --train and figures"))
        .arg(given("device", "NAME", "cpu, cuda or cuda:N").default_value("cpu"))
        .next_help_heading("Training")
        .arg(switch("train", "First train what has no finished run yet, by the papers' protocol, and go on with what was stopped; then measure no speed, but with --quick"))
        .arg(given("row", "MODEL", "Train this row alone; may be given several times").action(ArgAction::Append))
        .arg(given("set", "NAME", "Train on this data set alone, as the table calls it; may be given several times").action(ArgAction::Append))
        .arg(given("epochs", "N", "Epochs of each run [default: 150, the most of the papers]"))
        .arg(given("batch-size", "N", "Images a step [default: 64]"))
        .arg(given("stop-after", "N", "End after N epochs of a run; the same command goes on"))
        .arg(given("seed", "N", "Seed of all randomness [default: 0]"))
        .arg(given("precision", "NAME", "f32 or bf16 [default: f32]"))
        .arg(given("threads", "N", "Threads [default: all cores]"))
        .next_help_heading("Figures")
        .arg(path("run", "PATH", "A run's folder, or a weight file; may be given several times [default: runs under runs/papers]").action(ArgAction::Append))
        .arg(path("image", "FILE", "A picture to take in place of test images"))
        .arg(given("index", "N", "The number of a test image; may be given several times").value_parser(clap::value_parser!(u64)).action(ArgAction::Append))
}

/// What `--train` is told.
fn training(m: &ArgMatches) -> Training {
    let several = |name: &str| m.get_many::<String>(name).into_iter().flatten().cloned().collect();
    let data = m.get_one::<PathBuf>("data").map(|dir| ("data", dir.to_string_lossy().into_owned()));
    let others = ["device", "batch-size", "stop-after", "seed", "precision", "threads"];
    let others = others.into_iter().filter_map(|name| Some((name, text(m, name)?.to_owned())));
    Training {
        folder: FOLDER.into(),
        rows: several("row"),
        sets: several("set"),
        epochs: text(m, "epochs").map(str::to_owned),
        flags: data.into_iter().chain(others).collect(),
    }
}

/// Draws the figures.
fn draw(m: &ArgMatches) -> Result<()> {
    let path = |name: &str| m.get_one::<PathBuf>(name).cloned();
    let indices = m.get_many::<u64>("index").into_iter().flatten();
    let told = Figures {
        runs: m.get_many::<PathBuf>("run").into_iter().flatten().cloned().collect(),
        data: path("data"),
        image: path("image"),
        indices: indices.map(|&index| index as usize).collect(),
        out: path("out").unwrap_or_else(|| Path::new(FOLDER).join("figures")),
    };
    figures(&told, Path::new(FOLDER))
}

fn text<'a>(m: &'a ArgMatches, name: &str) -> Option<&'a str> {
    m.get_one::<String>(name).map(String::as_str)
}

/// The table of this name.
fn find(name: &str) -> Result<&'static Table> {
    let found = TABLES.iter().find(|table| table.name == name).copied();
    found.ok_or_else(|| {
        let names: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
        let names = names.join(", ");
        Error::Argument(format!(
            "no table is called `{name}`; tables are {names}; `list` says what each compares"
        ))
    })
}

/// The rows with our side of each. With [`Effort::Quick`] all rows together take about so many
/// seconds: what a row leaves is for those behind it.
pub(crate) fn lines(table: &'static Table, effort: Effort, device: Device) -> Result<Vec<Line>> {
    let runs = runs::finished(Path::new(FOLDER));
    let rows = table.parts.iter().flat_map(|part| part.rows.iter().map(move |row| (part, row)));
    let (began, count) = (Instant::now(), rows.clone().count());
    let effort = |i: usize| match effort {
        Effort::Quick(all) => {
            Effort::Quick((all - began.elapsed().as_secs_f64()) / (count - i) as f64)
        }
        other => other,
    };
    let line = |(i, (part, row)): (usize, (&'static Part, &'static Row))| {
        if effort(i) != Effort::Counts {
            writeln!(Stderr, "{} of {count}: {}", i + 1, row.model);
        }
        line(part, row, &runs, (effort(i), device))
    };
    rows.enumerate().map(line).collect()
}

fn line(
    part: &'static Part,
    row: &'static Row,
    runs: &[Run],
    (effort, device): (Effort, Device),
) -> Result<Line> {
    let mut line = Line {
        part,
        row,
        ours: None,
        parameters: Vec::new(),
        accuracy: Vec::new(),
        papers_iou: Vec::new(),
    };
    for set in part.sets(row) {
        let Some(config) = row.config(set)? else {
            return Ok(line);
        };
        // Speed is that of the first data set.
        let effort = if line.ours.is_some() { Effort::Counts } else { effort };
        let ours = measure(&config, set, effort, device)?;
        line.parameters.push(ours.parameters);
        line.accuracy.push(runs::accuracy(runs, &config, set));
        line.papers_iou.push(runs::papers_iou(runs, &config, set));
        line.ours.get_or_insert(ours);
    }
    Ok(line)
}

/// How our figures came about.
fn how(effort: Effort, device: Device) -> String {
    let threads = rayon::current_num_threads();
    let speed = match effort {
        Effort::Counts => "Speeds were not measured".to_owned(),
        Effort::Quick(_) => format!(
            "Speeds are those of one step in f32 on {device} ({threads} threads) after another, of as many random images as the time allows; of the first step where that takes too long for a second one; and of smaller images, at equal time a pixel, where one takes too long"
        ),
        Effort::Full => format!(
            "Speeds are medians of 5 steps in f32 on {device} ({threads} threads) after another, of 64 random images, or as many as keep 4 GiB of activations"
        ),
    };
    format!(
        "{speed}. Parameters are all there are, on each data set where they differ. Memory and speed are of the first data set. Saved bytes are what the CPU keeps for the backward pass; GB and the training batch in 16 GB are those and 16 bytes a parameter; the inference batch is by the most bytes that an image's maps take at once, and 4 bytes a parameter; all without what a step needs for a moment only."
    )
}

fn write_json(path: &Path, json: &serde_json::Value) -> Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    }
    write_atomic(path, |out| writeln!(out, "{json:#}"))
}
