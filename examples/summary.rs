//! Prints a model layer by layer: shapes, parameters, operations, and the memory a training step
//! keeps.
//!
//! ```text
//! cargo run --release --example summary -- WaveMixLite-128/7 --classes 47 --size 28
//! ```

use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command, value_parser};
use wavemix::console::{Stdout, exit_status};
use wavemix::models::{Config, Mixing, Resize, Task};
use wavemix::{Precision, Result};

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
        .arg(
            Arg::new("NAME")
                .required(true)
                .help("WaveMixLite-<dim>/<blocks> or WaveMix-<dim>/<blocks>"),
        )
        .arg(number("channels", "Channels of the images").default_value("3"))
        .arg(number(
            "classes",
            "Classes, or output channels when upscaling [default: 10; 3 when upscaling]",
        ))
        .arg(number("size", "Height and width of the images").default_value("32"))
        .arg(number("ff", "HostToDevice-forward dimension [default: dim]"))
        .arg(number("mult", "MLP multiplication factor [default: 2]"))
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
            Arg::new("head")
                .long("head")
                .default_value("classify")
                .value_parser(["classify", "segment", "upscale"])
                .help("The task"),
        )
}

/// The model that the arguments describe.
fn config(m: &ArgMatches) -> Result<Config> {
    let number = |name: &str| m.get_one::<u64>(name).map(|&n| n as usize);
    let text = |name: &str| m.get_one::<String>(name).map(String::as_str);

    let mut config = Config::parse(text("NAME").unwrap_or_default())?;
    config.channels = number("channels").unwrap_or(3);
    config.size = number("size").unwrap_or(32);
    config.ff = number("ff").unwrap_or(config.ff);
    config.mult = number("mult").unwrap_or(config.mult);
    config.task = match (text("head"), number("classes")) {
        (Some("segment"), classes) => Task::Segment { classes: classes.unwrap_or(10) },
        (Some("upscale"), channels) => Task::Upscale { channels: channels.unwrap_or(3) },
        (_, classes) => Task::Classify { classes: classes.unwrap_or(10) },
    };
    if let Some(kind) = text("upsample") {
        config.resize = kind.parse::<Resize>()?;
    }
    match (number("level"), number("cascade")) {
        (Some(level), _) => config.mixing = Mixing::Level(level),
        (_, Some(levels)) => config.mixing = Mixing::Cascade(levels),
        _ => {}
    }
    Ok(config)
}
