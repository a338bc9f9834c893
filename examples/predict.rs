//! Reads images with a trained model: the five likeliest classes of each.
//!
//! ```text
//! cargo run --release --example predict -- runs/emnist_balanced-1/best/model.safetensors letter.png t10k-images-idx3-ubyte.gz
//! ```
//!
//! PNG and JPEG images are made grey or coloured as the model needs, and resized to its size; transparent
//! parts become paper under dark ink, and black around bright writing. As in the MNIST family,
//! writing is expected bright on dark; `--invert` turns ink on paper over. A model that was trained on
//! pictures of any size gets others as it got those, which its file says: stretched, or cut out of the
//! centre where it was trained with `--resize`.
//!
//! Of an IDX file the first `--count` images are read. EMNIST's files keep images column by column:
//! files named `emnist-*` are read so, files named as MNIST's row by row, and all others as those
//! of the set that the model was trained on; `--transposed` and `--upright` override that.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, Command, value_parser};
use wavemix::Result;
use wavemix::console::{Stdout, exit_status};
use wavemix::data::{Picture, read_pictures, transposed_by_name};
use wavemix::models::Saved;

fn main() -> ExitCode {
    exit_status(predict())
}

fn predict() -> Result<()> {
    let command = Command::new("predict")
        .about("Prints the five likeliest classes of images.")
        .arg(
            Arg::new("WEIGHTS").required(true).value_parser(value_parser!(PathBuf)).help("A model.safetensors of a training run"),
        )
        .arg(Arg::new("FILE").required(true).num_args(1..).value_parser(value_parser!(PathBuf)).help("PNG, JPEG or IDX files"))
        .arg(
            Arg::new("count")
                .long("count")
                .default_value("10")
                .value_parser(value_parser!(u64))
                .help("Images to read of an IDX file"),
        )
        .arg(Arg::new("invert").long("invert").action(ArgAction::SetTrue).help("The writing is dark on bright"))
        .arg(
            Arg::new("transposed")
                .long("transposed")
                .action(ArgAction::SetTrue)
                .conflicts_with("upright")
                .help("IDX files keep images column by column, as EMNIST's do [default: as the file's name tells,\nelse as in the set that the model was trained on]"),
        )
        .arg(Arg::new("upright").long("upright").action(ArgAction::SetTrue).help("IDX files keep images row by row"));
    let m = command.get_matches();
    let weights = m.get_one::<PathBuf>("WEIGHTS").cloned().unwrap_or_default();
    let count = m.get_one::<u64>("count").map_or(10, |&n| n as usize);

    let saved = Saved::load(&weights, None)?;
    for file in m.get_many::<PathBuf>("FILE").into_iter().flatten() {
        let asked =
            (m.get_flag("transposed") || m.get_flag("upright")).then(|| m.get_flag("transposed"));
        let transposed =
            asked.or_else(|| transposed_by_name(file)).unwrap_or(saved.card.transposed);
        for picture in read_pictures(file, count, transposed)? {
            let picture = if m.get_flag("invert") { picture.inverted() } else { picture };
            writeln!(Stdout, "{}: {}", picture.name.clone(), top_five(&saved, picture)?)?;
        }
    }
    Ok(())
}

/// `A 97.1 %, R 1.2 %, ...`
fn top_five(saved: &Saved, picture: Picture) -> Result<String> {
    let probabilities = saved.probabilities(&saved.image(picture)?)?;
    let (probabilities, classes) = probabilities.topk(5.min(probabilities.shape()[1]))?;
    let name = |class: i64| {
        saved.card.classes.get(class as usize).cloned().unwrap_or_else(|| class.to_string())
    };
    let pairs = probabilities.to_vec::<f32>()?.into_iter().zip(classes.to_vec::<i64>()?);
    Ok(pairs
        .map(|(p, class)| format!("{} {:.1} %", name(class), 100.0 * p))
        .collect::<Vec<_>>()
        .join(", "))
}
