//! The table of flags, each with its help and default.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::cli::job::Job;
use crate::console::Stdout;
use crate::{Error, Result};

/// Parses arguments by the table. `None` where help was printed.
pub(super) fn matches(job: &Job, arguments: &[OsString]) -> Result<Option<ArgMatches>> {
    match command(job).try_get_matches_from(arguments) {
        Ok(matches) => Ok(Some(matches)),
        Err(e) if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            write!(Stdout, "{}", e.render())?;
            Ok(None)
        }
        Err(e) => {
            let message = e.render().to_string();
            Err(Error::Argument(
                message
                    .strip_prefix("error: ")
                    .unwrap_or(&message)
                    .trim_end()
                    .to_owned(),
            ))
        }
    }
}

/// Whether the table has such a flag.
pub(super) fn is_flag(job: &Job, name: &str) -> bool {
    command(job)
        .get_arguments()
        .any(|flag| flag.get_id() == name)
}

fn command(job: &Job) -> Command {
    let own = job.stem.map_or(String::new(), |stem| {
        format!(", {stem} for the default model")
    });
    let stem = format!(
        "WaveMix: strided:<a>,<b> or patchify:<side>; ResNet: small or imagenet [default: by image size{own}]"
    );
    let command = Command::new(job.name)
        .about(job.about)
        .version(env!("CARGO_PKG_VERSION"))
        .term_width(110)
        .args_override_self(true);
    let command = data(job, command.next_help_heading("Data"));
    command
        .arg(count("limit", "N", "Use only N of the training images, drawn at random [default: all]"))
        .arg(Arg::new("channels").long("channels").value_name("1|3").value_parser(value_parser!(u64).range(1..=3)).help("Channels of the model's input; grey is replicated [default: the data's]"))
        .arg(switch("augment", if job.mirrors { "Shift and mirror training images at random" } else { "Shift training images at random" }))
        .next_help_heading("Model")
        .arg(text("model", "NAME", crate::models::names(), job.model))
        .arg(Arg::new("stem").long("stem").value_name("KIND").help(stem))
        .arg(count("ff", "N", "Feed-forward dimension of WaveMix-Lite [default: dim]"))
        .arg(count("mult", "N", "MLP multiplication factor of WaveMix-Lite [default: 2]"))
        .arg(Arg::new("upsample").long("upsample").value_name("KIND").num_args(0..=1).default_missing_value("bilinear").help("Resize without weights instead of transposed convolution: bilinear, nearest, bicubic, idwt"))
        .arg(count("level", "L", "Use the sub-bands of wavelet level L alone, 1 to 4").conflicts_with("cascade"))
        .arg(count("cascade", "L", "Use a cascade of L wavelet levels, 1 to 4 [default: 1]"))
        .arg(real("dropout", "P", "Probability of dropping a hidden activation".into()).default_value(job.dropout))
        .arg(Arg::new("set").long("set").value_name("NAME=VALUE").help("Another setting of the model, as `summary` lists them; several are separated by spaces"))
        .next_help_heading("Training")
        .arg(count("epochs", "N", "Epochs to train, and that the schedule spans").default_value(job.epochs))
        .arg(count("stop-after", "N", "End after N epochs, as Ctrl-C would; the schedule stays that of --epochs"))
        .arg(count("batch-size", "N", "Images a step").default_value(job.batch_size))
        .arg(real("lr", "X", format!("Peak learning rate [default: {} with adam and adamw, 0.001 with sgd, 0.0001 with lion]", job.lr)))
        .arg(real("weight-decay", "X", "Weight decay".into()).default_value("0.01"))
        .arg(text("optimizer", "NAME", "sgd, nesterov, adam, adamw or lion".into(), "adamw"))
        .arg(text("schedule", "NAME", "constant, step or cosine (with linear warm-up)".into(), "cosine"))
        .arg(text("protocol", "NAME", "plain: one optimizer and schedule; papers: AdamW at a constant rate, then SGD from the best weights".into(), "plain").value_parser(["plain", "papers"]))
        .arg(Arg::new("loss").long("loss").value_name("NAME").value_parser(["cross-entropy", "focal", "papers-focal"]).help("cross-entropy; focal, with gamma 2; or papers-focal, what the papers' scripts compute: that of the batch's mean,\nwith void as a class [default: cross-entropy, of label maps focal]"))
        .arg(real("ema", "DECAY", "Evaluate and keep a running mean of the weights, such as 0.99, instead of the last ones".into()))
        .arg(switch("select-on-test", "Choose the best weights on the test set, as the papers do, and train on all training images"))
        .arg(Arg::new("seed").long("seed").value_name("N").value_parser(value_parser!(u64)).default_value("0").help("Seed of all randomness"))
        .next_help_heading("Machine")
        .arg(text("device", "NAME", "auto, cpu, cuda or cuda:<n>".into(), "auto"))
        .arg(text("precision", "NAME", "What activations are stored in: f32 or, in half the memory, bf16; on a GPU tf32 and f16 too".into(), "f32"))
        .arg(switch("max-batch", "Find the largest batches that the GPU has the memory to train with and to read, instead of training"))
        .arg(count("threads", "N", "Threads, at most 16 a core and 256; results do not depend on it [default: all cores]"))
        .next_help_heading("Results")
        .arg(path("out", "DIR", &format!("Folder for results [default: the next free runs/{}-<n>]", job.name)))
        .arg(switch("force", "Use --out even where it holds files; those of a run in it are removed, others stay"))
        .arg(path("resume", "DIR", "Go on with the run in DIR, with its settings; only --data, --device, --threads,\n--stop-after, --profile and --tensorboard may stand beside it"))
        .arg(switch("tensorboard", "Also write events for TensorBoard (`tensorboard --logdir runs`): scalars, weights, mistakes, settings;\na run that has them goes on with them"))
        .arg(count("profile", "N", "Profile N training steps: a trace for ui.perfetto.dev, a picture of a step, and a table of what took longest"))
        .arg(path("evaluate", "WEIGHTS", "Evaluate these weights on the test set instead of training"))
        .after_help(AFTER)
}

/// The flags that say which images: of a published set, or a folder of the user's own pictures.
fn data(job: &Job, command: Command) -> Command {
    let splits: Vec<&str> = job.splits.iter().map(|(name, _)| *name).collect();
    let Some(&first) = splits.first() else {
        return command
            .arg(path("data", "DIR", "Folder of pictures: DIR/train/CLASS/* with DIR/val and DIR/test where there are such, or DIR/CLASS/*,\nof which a tenth of each class is held out for either; or Cityscapes: DIR/leftImg8bit and DIR/gtFine;\nor labelled images as an .npz or .csv file, or a folder of those: KMNIST, MedMNIST, QuickDraw, Kaggle's"))
            .arg(count("size", "N", "Height and width that the pictures are resized to; of Cityscapes the height, half of the width; arrays stay as\nthey are").default_value("64"))
            .arg(count("resize", "N", "Make the shorter side N pixels long and cut out the centre, --size pixels high and wide, in place of stretching"))
            .arg(switch("skip-broken", "Train without the pictures that cannot be read, in place of stopping"))
            .arg(Arg::new("cache-memory").long("cache-memory").value_name("MB").value_parser(value_parser!(u64)).help("Keep decoded pictures in memory if they take no more than this; else they are decoded anew each epoch, two\nbatches ahead [default: half of the machine's memory]"));
    };
    let one = || Arg::new("train-on").long("train-on").value_name("builtin");
    command
        .arg(path("data", "DIR", "Folder with the data set's files, torchvision's layout of them, or the official archive\n[default: $WAVEMIX_DATA, else ~/.cache/wavemix/datasets]"))
        .arg(switch("download", "Fetch the official archive with curl or wget if it is not there"))
        .arg(text("split", "NAME", format!("Which data set: {}", splits.join(", ")), first))
        .arg(one().value_parser(["builtin"]).help("Train on built-in glyphs and test on the files of --data"))
}

/// What no flag says.
const AFTER: &str = "\
Stopping: Ctrl-C, SIGTERM and SIGHUP (a closed terminal) end the run after the step it is at, saved; Ctrl-C once more ends
it at once. Under nohup SIGHUP is ignored.
Printing: results go to stdout, progress to stderr. Progress that cannot be shown (a closed terminal, a full disk) is
dropped, and training goes on. The exit status is 0, 1 after an error, and 141 where the reader of a piped stdout is gone.
Locking: a run holds DIR/.lock while it trains; a second run in the same folder is an error. A killed run holds no lock.";

fn path(name: &'static str, value: &'static str, help: &str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name(value)
        .value_parser(value_parser!(PathBuf))
        .help(help.to_owned())
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .action(ArgAction::SetTrue)
        .help(help)
}

fn text(name: &'static str, value: &'static str, help: String, default: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name(value)
        .default_value(default)
        .help(help)
}

fn count(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    let counts = value_parser!(u64).range(1..=1 << 32);
    Arg::new(name)
        .long(name)
        .value_name(value)
        .value_parser(counts)
        .help(help)
}

fn real(name: &'static str, value: &'static str, help: String) -> Arg {
    let finite = |s: &str| match s.parse::<f64>() {
        Ok(x) if x.is_finite() && x >= 0.0 => Ok(x),
        _ => Err("a number of at least 0 is needed".to_owned()),
    };
    Arg::new(name)
        .long(name)
        .value_name(value)
        .value_parser(finite)
        .help(help)
}

#[cfg(test)]
mod tests;
