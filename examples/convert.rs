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

use clap::{Arg, ArgMatches, Command, value_parser};
use wavemix::console::{Stdout, exit_status};
use wavemix::io::safetensors::TensorFile;
use wavemix::io::weights;
use wavemix::models::{ImageMeta, Saved, names};
use wavemix::{DType, Error, Result, Rng};

#[path = "shared/model_flags.rs"]
mod model_flags;

fn main() -> ExitCode {
    exit_status(convert(&command().get_matches()))
}

fn command() -> Command {
    let file = |name: &'static str, help: &'static str| {
        Arg::new(name).required(true).value_parser(value_parser!(PathBuf)).help(help)
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
        .args(model_flags::flags())
        .arg(
            numbers("mean", "Mean of each channel that the model was trained with, of 0..1")
                .requires("std"),
        )
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
    let config = model_flags::config(name, Vec::new(), m)?;
    let mut params = config.build(DType::F32, &Rng::new(0))?.1;
    weights::load(&from, &mut params)?;
    let numbers =
        |name| m.get_many::<f32>(name).map(|all| all.copied().collect()).unwrap_or_default();
    let card = ImageMeta { mean: numbers("mean"), std: numbers("std"), ..ImageMeta::default() };
    // What is there already stays until the new file is known to be read.
    let mut unchecked = to.clone().into_os_string();
    unchecked.push(".unchecked");
    let unchecked = PathBuf::from(unchecked);
    weights::save(&unchecked, &params, &card.to_metadata(&config))?;
    if let Err(why) = Saved::load(&unchecked, None) {
        std::fs::remove_file(&unchecked).map_err(Error::io("remove", &unchecked))?;
        return Err(why);
    }
    std::fs::rename(&unchecked, &to).map_err(Error::io("write", &to))?;
    writeln!(Stdout, "{}: {config}, {} parameters", to.display(), config.parameters()?)
}
