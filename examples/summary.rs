//! Prints a model layer by layer: shapes, parameters, operations, and the memory a training step
//! keeps.
//!
//! ```text
//! cargo run --release --example summary -- WaveMixLite-128/7 --classes 47 --size 28
//! ```

use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};
use wavemix::console::{Stdout, exit_status};
use wavemix::models::{Config, names};
use wavemix::{Precision, Result};

#[path = "shared/model_flags.rs"]
mod model_flags;

use model_flags::number;

fn main() -> ExitCode {
    exit_status(summary())
}

fn summary() -> Result<()> {
    let config = config(&command().get_matches())?;
    let summary = config.summary([config.size, config.size], Precision::F32)?;
    writeln!(Stdout, "{summary}")
}

fn command() -> Command {
    Command::new("summary")
        .about("Prints a model layer by layer.")
        .arg(Arg::new("NAME").required(true).help(names()))
        .args(model_flags::flags())
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
}

/// The model that the arguments describe.
fn config(m: &ArgMatches) -> Result<Config> {
    let text = |name: &str| m.get_one::<String>(name).map(String::as_str);
    let number = |name: &str| m.get_one::<u64>(name);
    let counts = ["ff", "mult"].map(|name| Some((name, number(name)?.to_string())));
    let upsample = text("upsample").map(|kind| ("resize", kind.to_owned()));
    let mixing = ["level", "cascade"]
        .map(|mixing| Some(("mixing", format!("{mixing}:{}", number(mixing)?))));
    let own = counts.into_iter().chain([upsample]).chain(mixing).flatten();
    model_flags::config(text("NAME").unwrap_or_default(), own.collect(), m)
}
