//! Turns weights of PyTorch's into a file that says which model they are of: `predict`, `train
//! --evaluate` and the rest take that.
//!
//! ```text
//! cargo run --release --example convert -- authors.pth model.safetensors --model WaveMixLite-128/7 --classes 47
//! ```
//!
//! The weights are read as safetensors or as `torch.save` wrote them, a state dict or a checkpoint
//! that holds one; nothing in the file is run. The model is the one that `summary` describes from
//! the same flags, and all weights must fit it. Without `--model`, tensors are only written anew.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use wavemix::console::{Stdout, exit_status};
use wavemix::io::safetensors::TensorFile;
use wavemix::io::weights;
use wavemix::models::{Config, ImageMeta, Task, names};
use wavemix::{DType, Error, Result, Rng};

fn main() -> ExitCode {
    exit_status(convert(&command().get_matches()))
}

fn command() -> Command {
    let file = |name: &'static str, help: &'static str| {
        Arg::new(name).required(true).value_parser(value_parser!(PathBuf)).help(help)
    };
    let number = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("N")
            .value_parser(value_parser!(u64).range(1..=1 << 16))
            .help(help)
    };
    let numbers = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("X,..")
            .value_delimiter(',')
            .value_parser(value_parser!(f32))
            .help(help)
    };
    Command::new("convert")
        .about("Writes the weights of a .pth, .pt or safetensors file as a model of this crate.")
        .arg(file("WEIGHTS", "A file of torch.save or of safetensors"))
        .arg(file("FILE", "The safetensors file to write"))
        .arg(Arg::new("model").long("model").value_name("NAME").help(names()))
        .arg(number("channels", "Channels of the images").default_value("3"))
        .arg(number("classes", "Classes, or output channels when upscaling [default: 10 or 3]"))
        .arg(number("size", "Height and width of the images").default_value("32"))
        .arg(
            Arg::new("set")
                .long("set")
                .value_name("NAME=VALUE")
                .action(ArgAction::Append)
                .help("A setting of the model, of those that summary lists"),
        )
        .arg(
            Arg::new("head")
                .long("head")
                .value_name("TASK")
                .value_parser(["classify", "segment", "upscale"])
                .help("The task [default: classify, or segment where the model does nothing else]"),
        )
        .arg(numbers("mean", "Mean of each channel that the model was trained with, of 0..1"))
        .arg(numbers("std", "Standard deviation of each channel").requires("mean"))
}

fn convert(m: &ArgMatches) -> Result<()> {
    let path = |name: &str| m.get_one::<PathBuf>(name).cloned().unwrap_or_default();
    let (from, to) = (path("WEIGHTS"), path("FILE"));
    let Some(name) = m.get_one::<String>("model") else {
        let file = TensorFile::read(&from)?;
        file.write(&to)?;
        return writeln!(Stdout, "{}: {} tensors", to.display(), file.tensors.len());
    };
    let config = config(name, m)?;
    let mut params = config.build(DType::F32, &Rng::new(0))?.1;
    weights::load(&from, &mut params)?;
    let numbers =
        |name| m.get_many::<f32>(name).map(|all| all.copied().collect()).unwrap_or_default();
    let card = ImageMeta { mean: numbers("mean"), std: numbers("std"), ..ImageMeta::default() };
    weights::save(&to, &params, &card.to_metadata(&config))?;
    wavemix::models::Saved::load(&to, None)?;
    writeln!(Stdout, "{}: {config}, {} parameters", to.display(), config.parameters()?)
}

/// The model that the arguments describe.
fn config(name: &str, m: &ArgMatches) -> Result<Config> {
    let number = |name: &str| m.get_one::<u64>(name).map(|&n| n as usize);
    let mut config = Config::parse(name)?;
    config.task = match m.get_one::<String>("head").map(String::as_str) {
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
    for setting in m.get_many::<String>("set").into_iter().flatten() {
        let (name, value) = setting
            .split_once('=')
            .ok_or_else(|| Error::Argument(format!("--set takes NAME=VALUE, got `{setting}`")))?;
        config = config.with(name, value)?;
    }
    Ok(config)
}
