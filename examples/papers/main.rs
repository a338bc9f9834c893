//! Prints a table of the two papers: their figures, and ours beside them.
//!
//! ```text
//! cargo run --release --example papers -- list
//! cargo run --release --example papers -- W1 --quick
//! ```
//!
//! Counts and memory are exact and the same everywhere; speeds are this machine's, on random
//! images; accuracies are those of runs under `runs/papers/`, as `--out runs/papers/NAME` of the
//! training examples leaves them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use wavemix::console::{Stdout, exit_status};
use wavemix::io::atomic::write_atomic;
use wavemix::{Device, Error, Result};

mod lite_tables;
pub(crate) mod measure;
pub(crate) mod print;
pub(crate) mod runs;
pub(crate) mod table;
mod wavemix_tables;

use lite_tables::{L1, L2, L3, L4, L4_7, L5, L7, L8, L9};
use measure::{Effort, measure};
use print::Line;
use runs::Run;
use table::{Part, Row, Table};
use wavemix_tables::{W1, W2, W3, W4, W5, W6};

/// All tables.
pub(crate) const TABLES: [&Table; 15] =
    [&W1, &W2, &W3, &W4, &W5, &W6, &L1, &L2, &L3, &L4, &L5, &L7, &L8, &L9, &L4_7];

/// Where runs are looked for, and JSON is written to.
const FOLDER: &str = "runs/papers";

/// Seconds that the rows of a table share with `--quick`, half of what it may take in all.
const QUICK: f64 = 60.0;

fn main() -> ExitCode {
    exit_status(papers(std::env::args_os()))
}

/// What the program does with these arguments.
///
/// # Errors
/// An unknown table or device; those of the measurements and of the system.
pub(crate) fn papers(args: impl IntoIterator<Item = OsString>) -> Result<()> {
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
    let table = find(name)?;
    let device: Device = text(&m, "device").unwrap_or("cpu").parse()?;
    let rows: usize = table.parts.iter().map(|part| part.rows.len()).sum();
    let effort = match (m.get_flag("counts-only"), m.get_flag("quick")) {
        (true, _) => Effort::Counts,
        (_, true) => Effort::Quick(QUICK / rows as f64),
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
    Command::new("papers")
        .about("Prints a table of the two papers: their figures, and ours beside them.")
        .arg(Arg::new("TABLE").required(true).help("A table's name, as `list` prints them"))
        .arg(switch("quick", "Measure one step a row, of few images: under two minutes"))
        .arg(switch("counts-only", "Measure no speed").conflicts_with("quick"))
        .arg(switch("json", "Write runs/papers/TABLE.json too"))
        .arg(
            Arg::new("out")
                .long("out")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Write the JSON here"),
        )
        .arg(Arg::new("device").long("device").default_value("cpu").help("cpu, cuda or cuda:N"))
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

/// The rows with our side of each.
pub(crate) fn lines(table: &'static Table, effort: Effort, device: Device) -> Result<Vec<Line>> {
    let runs = runs::finished(Path::new(FOLDER));
    let rows = table.parts.iter().flat_map(|part| part.rows.iter().map(move |row| (part, row)));
    rows.map(|(part, row)| line(part, row, &runs, (effort, device))).collect()
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
            "Speeds are those of one step in f32 on {device} ({threads} threads) after another, of as many random images as the time allows, and of smaller ones, at equal time a pixel, where one takes too long"
        ),
        Effort::Full => format!(
            "Speeds are medians of 5 steps in f32 on {device} ({threads} threads) after another, of 64 random images, or as many as keep 4 GiB of activations"
        ),
    };
    format!(
        "{speed}. Parameters are all there are, on each data set where they differ. Memory and speed are of the first data set. Saved bytes are what the CPU keeps for the backward pass; GB and the batch in 16 GB are those and 16 bytes a parameter, without what a step needs for a moment only."
    )
}

fn write_json(path: &Path, json: &serde_json::Value) -> Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    }
    write_atomic(path, |out| writeln!(out, "{json:#}"))
}
