//! Writes a trained model as an ONNX file, which ONNX Runtime and other programs run.
//!
//! ```text
//! cargo run --release --example export -- runs/emnist_balanced-1 model.onnx --with-preprocessing
//! ```
//!
//! The file takes batches of any length, of images of any size where the model does: f32 `[batch,
//! channels, height, width]`, normalised as in training. With `--with-preprocessing` it takes bytes
//! `[batch, height, width, channels]`, and answers with probabilities of the classes. Their names,
//! the images' statistics and the model's configuration are in its metadata. Pictures of another size
//! are not resized by the file: what training did to them, its metadata has as `images.preparation`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, Command, value_parser};
use wavemix::Result;
use wavemix::console::{Stdout, exit_status, quoted};
use wavemix::data::Preparation;
use wavemix::io::atomic::write_atomic;
use wavemix::models::Saved;

fn main() -> ExitCode {
    exit_status(export())
}

fn export() -> Result<()> {
    let path = |name: &'static str, help: &'static str| {
        Arg::new(name).required(true).value_parser(value_parser!(PathBuf)).help(help)
    };
    let m = Command::new("export")
        .about("Writes a trained model as an ONNX file.")
        .arg(path("WEIGHTS", "The folder of a training run, or a model.safetensors of one"))
        .arg(path("FILE", "The file to write, model.onnx"))
        .arg(
            Arg::new("opset")
                .long("opset")
                .value_name("N")
                .default_value("17")
                .value_parser(value_parser!(u64))
                .help("Version of ONNX's operators: 17 for all runtimes since 2022, or 20"),
        )
        .arg(
            Arg::new("with-preprocessing")
                .long("with-preprocessing")
                .action(ArgAction::SetTrue)
                .help("Take pictures as bytes, and answer with probabilities"),
        )
        .get_matches();
    let file = |name: &str| m.get_one::<PathBuf>(name).cloned().unwrap_or_default();
    let (mut weights, file) = (file("WEIGHTS"), file("FILE"));
    if weights.is_dir() {
        weights = weights.join("best/model.safetensors");
    }
    let opset = m.get_one::<u64>("opset").map_or(17, |&n| n as usize);

    let saved = Saved::load(&weights, None)?;
    let exported = saved.to_onnx(opset, m.get_flag("with-preprocessing"))?;
    write_atomic(&file, |out| out.write_all(&exported.bytes))?;
    let megabytes = exported.bytes.len() as f64 / 1e6;
    let (model, nodes, [input, output]) = (saved.model.config(), exported.nodes, exported.ports);
    writeln!(
        Stdout,
        "{}: {model}, {megabytes:.2} MB, {nodes} nodes of version {opset}\n  in: {input}\n  out: {output}",
        quoted(&file)
    )?;
    if let Some(Preparation::CentreCrop(shorter)) = saved.card.preparation {
        let size = saved.model.config().size;
        writeln!(
            Stdout,
            "in training the shorter side of pictures was made {shorter} pixels long, and {size}x{size} cut out of the centre"
        )?;
    }
    match exported.fixed {
        Some(why) => writeln!(Stdout, "images have one size: {why}"),
        None => Ok(()),
    }
}
