//! Whole runs of the library's trainer, small ones: stopping and going on, threads, errors.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use wavemix::cli::{Job, Settings};
use wavemix::data::{Source, Split};
use wavemix::train::{Outcome, Trainer};
use wavemix::{Error, Result};

const JOB: Job = Job {
    name: "emnist_balanced",
    about: "A run small enough for a test.",
    splits: &[("balanced", Source::Emnist(Split::Balanced)), ("digits", Source::Emnist(Split::Digits))],
    model: "WaveMixLite-8/1",
    stem: None,
    batch_size: "64",
    epochs: "2",
    dropout: "0.2",
    lr: 0.01,
    glyphs: [10, 2],
    mirrors: false,
};

/// A fresh folder for one test, under the build's own.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("train-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

fn parse(arguments: &[&str]) -> Result<Settings> {
    let arguments = ["test"].iter().chain(arguments).map(OsString::from);
    Ok(Settings::parse(&JOB, arguments)?.expect("no help was asked for"))
}

fn run(arguments: &[&str]) -> Result<Outcome> {
    let mut settings = parse(arguments)?;
    // Whoever runs this test may have the real files; it is meant for the built-in ones.
    settings.default_data = folder("no-data");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(settings.threads).build().unwrap();
    pool.install(|| Trainer::new(settings)?.run())
}

fn weights(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("last/model.safetensors")).unwrap()
}

#[test]
fn a_resumed_run_ends_with_the_same_bytes_on_any_number_of_threads() {
    let (whole, parts) = (folder("whole"), folder("parts"));
    let (whole_s, parts_s) = (whole.to_str().unwrap(), parts.to_str().unwrap());
    assert!(matches!(run(&["--split", "digits", "--out", whole_s, "--threads", "1"]).unwrap(), Outcome::Finished(_)));
    let stopped = run(&["--split", "digits", "--out", parts_s, "--stop-after", "1", "--threads", "2"]).unwrap();
    assert!(matches!(stopped, Outcome::Stopped));
    assert_ne!(weights(&whole), weights(&parts));
    assert!(matches!(run(&["--resume", parts_s, "--threads", "2"]).unwrap(), Outcome::Finished(_)));
    assert_eq!(weights(&whole), weights(&parts), "the resumed run differs from the uninterrupted one");

    let metrics = std::fs::read_to_string(parts.join("metrics.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| line["phase"].as_str().unwrap()).collect::<Vec<_>>(), ["adamw", "adamw", "best"]);
    let keys = [
        "epoch",
        "phase",
        "lr",
        "train_loss",
        "val_top1",
        "test_top1",
        "test_top5",
        "train_images_per_s",
        "eval_images_per_s",
        "peak_bytes",
    ];
    for line in &lines {
        assert!(keys.iter().all(|key| !line[key].is_null()), "{line}");
    }
    for picture in ["curves.svg", "confusion.svg", "mistakes.svg"] {
        assert!(std::fs::read_to_string(parts.join(picture)).unwrap().contains("<svg"), "{picture}");
    }
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_and_names_the_place() {
    let folder = folder("infinite");
    let arguments =
        ["--split", "digits", "--lr", "1e30", "--schedule", "constant", "--batch-size", "16", "--out", folder.to_str().unwrap()];
    let error = run(&arguments).err().expect("a learning rate of 1e30 cannot go well").to_string();
    assert!(
        matches!(error.split_once(": first non-finite is "), Some((start, rest))
        if start.starts_with("the loss became") && (rest.contains("in layers.") || rest.contains("in conv") || rest.contains("in pool") || rest.contains("parameter") )),
        "{error}"
    );
    assert!(error.ends_with("a lower --lr than 1000000000000000000000000000000 may help"), "{error}");
}

#[test]
fn wrong_flags_list_what_is_right() {
    let cases: [(&[&str], &str); 7] = [
        (&["--split", "cats"], "unknown split `cats`; choose one of balanced, digits"),
        (
            &["--model", "VGG"],
            "unknown model `VGG`; names are WaveMixLite-<dim>/<blocks> or WaveMix-<dim>/<blocks>, as in WaveMixLite-128/7",
        ),
        (&["--optimizer", "magic"], "unknown optimizer `magic`; choose one of sgd, nesterov, adam, adamw, lion"),
        (&["--upsample", "cubic"], "unknown upsampling `cubic`; choose one of bilinear, nearest, bicubic, idwt, deconvolution"),
        (&["--precision", "bf16"], "cpu does not compute in bf16; it does in f32"),
        (&["--device", "tpu"], "unknown device `tpu`; choose one of cpu, cuda, cuda:<ordinal>"),
        (&["--train-on", "builtin"], "--train-on builtin tests on real files: say where with --data DIR"),
    ];
    for (arguments, message) in cases {
        assert_eq!(parse(arguments).err().map(|e| e.to_string()).as_deref(), Some(message), "{arguments:?}");
    }
    let error = parse(&["--epochs", "0"]).err().unwrap().to_string();
    assert!(error.starts_with("invalid value '0' for '--epochs <N>'"), "{error}");
}

#[test]
fn data_that_is_not_there_is_an_error_and_never_the_built_in_set() {
    let empty = folder("empty");
    std::fs::create_dir_all(&empty).unwrap();
    let error = run(&["--data", empty.to_str().unwrap()]).err().unwrap();
    assert!(matches!(error, Error::Data { .. } | Error::Argument(_)) && error.to_string().contains("EMNIST"), "{error}");
}

#[test]
fn a_folder_with_a_run_in_it_is_not_overwritten() {
    let folder = folder("twice");
    let arguments = ["--split", "digits", "--epochs", "1", "--out", folder.to_str().unwrap()];
    run(&arguments).unwrap();
    let before = weights(&folder);
    let error = run(&arguments).err().unwrap().to_string();
    assert!(error.ends_with("holds a run already: go on with it by --resume, or take another --out"), "{error}");
    assert_eq!(before, weights(&folder));
    let error = run(&["--resume", folder.to_str().unwrap(), "--lr", "1"]).err().unwrap().to_string();
    let allowed = "--data, --device, --threads and --stop-after";
    assert_eq!(error, format!("--resume takes its settings from config.json; beside it only {allowed} may be given, not --lr"));
}
