//! Each op by itself, or a step taken apart: time, GFLOP/s or GB/s, and how far from this machine's
//! limit.
//!
//! ```text
//! cargo bench --bench ops -- --model WaveMixLite-128/7             # each op of the model, forward and backward
//! cargo bench --bench ops -- --model WaveMixLite-128/7 --step      # what a training step spends on which op
//! cargo bench --bench ops -- --model WaveMixLite-128/7 --infer     # and an inference step
//! ```
//!
//! With `--serve` it takes turns with `ops_compare.py`: every public op, beside PyTorch (`every`).
//!
//! An op's limit is the larger of two times: its multiply-adds at the rate of a loop that stays in
//! registers, and its operands and results, each once, at the rate of a large copy. BatchNorm reads
//! its operands twice, for each of its results depends on all of them; but for x where the
//! convolution before it has taken the statistics. With `--precision bf16` the multiply-adds are
//! those of bf16 dot products where the CPU has them, else of f32. Both rates are measured
//! with as many threads, between the steps, or before and after each op, and medians are held
//! against medians. What lies in a cache may be faster than a copy: a share above 100 % says so.

mod case;
mod each;
mod every;
mod parts;
mod peak;
mod table;

use std::fmt;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use peak::Meter;
use wavemix::console::{Stdout, exit_status};
use wavemix::models::{Architecture, Config, Task, WaveMix};
use wavemix::{DType, Device, Error, Precision, Result};

/// What is run.
pub(crate) struct Load {
    pub config: Config,
    /// Its architecture.
    pub wavemix: WaveMix,
    pub classes: usize,
    pub batch: usize,
    pub precision: Precision,
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, batch {}, {}",
            self.config, self.batch, self.precision
        )
    }
}

fn main() -> ExitCode {
    exit_status(bench())
}

/// The architecture, of whose ops the tables are.
fn wavemix(config: &Config) -> Result<WaveMix> {
    match &config.architecture {
        Architecture::WaveMix(wavemix) => Ok(wavemix.clone()),
        _ => {
            let what = format!("{config}: the tables are of WaveMix's ops");
            Err(Error::Argument(what))
        }
    }
}

fn command() -> Command {
    let text = |name: &'static str, default: &'static str| {
        Arg::new(name).long(name).default_value(default)
    };
    let flag = |name: &'static str, help: &'static str| {
        let flag = Arg::new(name).long(name).help(help);
        flag.action(ArgAction::SetTrue)
    };
    Command::new("ops")
        .about("Times ops, or the parts of a step, against the limits of this machine.")
        .arg(text("model", "WaveMixLite-128/7"))
        .arg(text("channels", "3"))
        .arg(text("classes", "47"))
        .arg(text("size", "28"))
        .arg(text("batch", "64"))
        .arg(text("threads", "2"))
        .arg(text("precision", "f32"))
        .arg(text("only", "").help("Only ops whose name contains this"))
        .arg(flag("step", "Take a training step apart"))
        .arg(flag("infer", "Take an inference step apart"))
        .arg(flag(
            "serve",
            "Take turns with ops_compare.py: answer lines of the input",
        ))
        .arg(flag("json", "Print one line of JSON"))
        .arg(flag("bench", "").hide(true))
}

fn bench() -> Result<()> {
    let m = command().get_matches();
    let threads = number(&m, "threads")?;
    let pool = threads_of(threads)?;
    if m.get_flag("serve") {
        return pool.install(|| every::serve(&mut Meter::new(&pool, DType::F32)));
    }
    let classes = number(&m, "classes")?;
    let task = Task::Classify { classes };
    let config = Config {
        channels: number(&m, "channels")?,
        size: number(&m, "size")?,
        task,
        ..Config::parse(value(&m, "model"))?
    };
    let precision: Precision = value(&m, "precision").parse()?;
    precision.check(Device::Cpu)?;
    let wavemix = wavemix(&config)?;
    let load = Load {
        config,
        wavemix,
        classes,
        batch: number(&m, "batch")?,
        precision,
    };
    let one = threads_of(1)?;
    let dtype = precision.compute();
    let mut alone = Meter::new(&one, dtype);
    (0..8).for_each(|_| alone.read());
    let alone = alone.peak();
    let mut meter = Meter::new(&pool, dtype);
    let table = pool.install(|| match (m.get_flag("step"), m.get_flag("infer")) {
        (true, _) => parts::training(&load, &mut meter),
        (_, true) => parts::inference(&load, &mut meter),
        _ => each::table(&load, value(&m, "only"), &mut meter),
    })?;
    let peaks = [(1, alone), (threads, table.peak())];
    if m.get_flag("json") {
        writeln!(Stdout, "{}", table.json(peaks))
    } else {
        writeln!(Stdout, "{}", table.markdown(peaks))
    }
}

fn value<'a>(m: &'a ArgMatches, name: &str) -> &'a str {
    m.get_one::<String>(name).map_or("", String::as_str)
}

fn number(m: &ArgMatches, name: &str) -> Result<usize> {
    let text = value(m, name);
    text.parse()
        .map_err(|_| Error::Argument(format!("--{name} takes a number, not `{text}`")))
}

fn threads_of(threads: usize) -> Result<rayon::ThreadPool> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|e| Error::Argument(format!("cannot start {threads} threads: {e}")))
}
