//! Prints a model layer by layer: shapes, parameters, operations, and the memory a training step
//! keeps.
//!
//! ```text
//! cargo run --release --example summary -- WaveMixLite-128/7 --classes 47 --size 28
//! ```

use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use wavemix::console::{Stdout, exit_status};
use wavemix::models::{Config, Task, names};
use wavemix::{Error, Precision, Result};

fn main() -> ExitCode {
    exit_status(summary())
}

fn summary() -> Result<()> {
    let config = config(&command().get_matches())?;
    let summary = config.summary([config.size, config.size], Precision::F32)?;
    writeln!(Stdout, "{summary}")
}

fn command() -> Command {
    let number = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("N")
            .value_parser(value_parser!(u64).range(1..=1 << 16))
            .help(help)
    };
    Command::new("summary")
        .about("Prints a model layer by layer.")
        .arg(Arg::new("NAME").required(true).help(names()))
        .arg(number("channels", "Channels of the images").default_value("3"))
        .arg(number(
            "classes",
            "Classes, or output channels when upscaling [default: 10; 3 when upscaling]",
        ))
        .arg(number("size", "Height and width of the images").default_value("32"))
        .arg(number("ff", "Feed-forward dimension of WaveMix-Lite [default: dim]"))
        .arg(number("mult", "MLP multiplication factor of WaveMix-Lite [default: 2]"))
        .arg(
            Arg::new("upsample")
                .long("upsample")
                .value_name("KIND")
                .num_args(0..=1)
                .default_missing_value("bilinear")
                .help("Resize without weights: bilinear, nearest, bicubic, idwt"),
        )
        .arg(number("level", "Use wavelet level N alone").conflicts_with("cascade"))
        .arg(number("cascade", "Use a cascade of N wavelet levels"))
        .arg(
            Arg::new("set")
                .long("set")
                .value_name("NAME=VALUE")
                .action(ArgAction::Append)
                .help("A setting of the model, of those that the first line lists"),
        )
        .arg(
            Arg::new("head")
                .long("head")
                .value_name("TASK")
                .value_parser(["classify", "segment", "upscale"])
                .help("The task [default: classify, or segment where the model does nothing else]"),
        )
}

/// The model that the arguments describe.
fn config(m: &ArgMatches) -> Result<Config> {
    let number = |name: &str| m.get_one::<u64>(name).map(|&n| n as usize);
    let text = |name: &str| m.get_one::<String>(name).map(String::as_str);

    let mut config = Config::parse(text("NAME").unwrap_or_default())?;
    config.task = match text("head") {
        Some("segment") => Task::Segment { classes: 10 },
        Some("upscale") => Task::Upscale { channels: 3 },
        Some(_) => Task::Classify { classes: 10 },
        None => config.task,
    };
    config.channels = number("channels").unwrap_or(3);
    config.size = number("size").unwrap_or(32);
    if let Some(outputs) = number("classes") {
        config = config.with_outputs(outputs);
    }
    for setting in ["ff", "mult"] {
        if let Some(n) = number(setting) {
            config = config.with(setting, n)?;
        }
    }
    if let Some(kind) = text("upsample") {
        config = config.with("resize", kind)?;
    }
    for mixing in ["level", "cascade"] {
        if let Some(levels) = number(mixing) {
            config = config.with("mixing", format!("{mixing}:{levels}"))?;
        }
    }
    for setting in m.get_many::<String>("set").into_iter().flatten() {
        let (name, value) = setting
            .split_once('=')
            .ok_or_else(|| Error::Argument(format!("--set takes NAME=VALUE, got `{setting}`")))?;
        config = config.with(name, value)?;
    }
    Ok(config)
}
