//! Whole runs of the library's trainer, small ones: stopping and going on, threads, errors.

mod helpers;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use helpers::{assert_error, message, on_threads};
use wavemix::cli::{Job, Settings};
use wavemix::data::{Loader, Source, Split};
use wavemix::io::checkpoint::State;
use wavemix::io::weights::from_file;
use wavemix::models::Saved;
use wavemix::train::{Outcome, evaluate};
use wavemix::{DType, Error, Params, Result, Tensor};

const JOB: Job = Job {
    name: "emnist_balanced",
    about: "A run small enough for a test.",
    splits: &[
        ("balanced", Source::Emnist(Split::Balanced)),
        ("digits", Source::Emnist(Split::Digits)),
    ],
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
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("train-{name}-{}", std::process::id()));
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
    settings.default_data = Some(folder("no-data"));
    on_threads(settings.threads, || settings.trainer()?.run())
}

fn weights(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("last/model.safetensors")).unwrap()
}

#[test]
fn a_resumed_run_ends_with_the_same_bytes_on_any_number_of_threads() {
    let (whole, parts) = (folder("whole"), folder("parts"));
    let (whole_s, parts_s) = (whole.to_str().unwrap(), parts.to_str().unwrap());
    assert!(matches!(
        run(&["--split", "digits", "--out", whole_s, "--threads", "1"]).unwrap(),
        Outcome::Finished(_)
    ));
    let stopped = run(&[
        "--split",
        "digits",
        "--out",
        parts_s,
        "--stop-after",
        "1",
        "--threads",
        "2",
    ])
    .unwrap();
    assert!(matches!(stopped, Outcome::Stopped));
    assert_ne!(weights(&whole), weights(&parts));
    assert!(matches!(
        run(&["--resume", parts_s, "--threads", "2"]).unwrap(),
        Outcome::Finished(_)
    ));
    assert_eq!(
        weights(&whole),
        weights(&parts),
        "the resumed run differs from the uninterrupted one"
    );

    let metrics = std::fs::read_to_string(parts.join("metrics.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = metrics
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        lines
            .iter()
            .map(|line| line["phase"].as_str().unwrap())
            .collect::<Vec<_>>(),
        ["adamw", "adamw", "best"]
    );
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
        assert!(
            line["waited_for_data"]
                .as_f64()
                .is_some_and(|share| (0.0..1.0).contains(&share)),
            "{line}"
        );
    }
    for picture in ["curves.svg", "confusion.svg", "mistakes.svg"] {
        assert!(
            std::fs::read_to_string(parts.join(picture))
                .unwrap()
                .contains("<svg"),
            "{picture}"
        );
    }
}

/// What a run of this folder would go on from.
fn state(folder: &Path) -> State {
    State::read(folder.join("last/state.safetensors")).unwrap()
}

#[test]
fn a_running_mean_is_evaluated_kept_and_resumed_bit_for_bit() {
    let (whole, parts, plain) = (folder("mean"), folder("mean-parts"), folder("mean-not"));
    let [whole_s, parts_s, plain_s] =
        [&whole, &parts, &plain].map(|folder| folder.to_str().unwrap());
    // Enough steps to read some digits; the mean of so many lags behind.
    let longer = |more: &[&str]| {
        run(&[
            &["--split", "digits", "--epochs", "6", "--batch-size", "8"],
            more,
        ]
        .concat())
        .unwrap()
    };
    assert!(matches!(
        longer(&["--ema", "0.95", "--out", whole_s, "--threads", "1"]),
        Outcome::Finished(_)
    ));
    longer(&[
        "--ema",
        "0.95",
        "--out",
        parts_s,
        "--stop-after",
        "1",
        "--threads",
        "2",
    ]);
    run(&["--resume", parts_s, "--threads", "2"]).unwrap();
    assert_eq!(
        weights(&whole),
        weights(&parts),
        "the resumed run differs from the uninterrupted one"
    );
    let bytes = |folder: &Path| state(folder).to_bytes().unwrap();
    assert_eq!(bytes(&whole), bytes(&parts));

    // Training itself does not see the mean: the weights that go on are those of a run without one.
    longer(&["--out", plain_s, "--threads", "1"]);
    let section = |folder: &Path, name: &str| state(folder).section(name).unwrap();
    let values = |tensor: &Tensor| tensor.cast(DType::F64).unwrap().to_vec::<f64>().unwrap();
    let own = section(&whole, "weights");
    assert!(
        section(&plain, "weights")
            .iter()
            .all(|(name, value)| values(value) == values(&own[name]))
    );

    // The files for users hold the mean, and an epoch's line is about it. They know what was
    // trained on, and that files of EMNIST keep images column by column.
    let Saved {
        model,
        mut params,
        card,
    } = Saved::load(whole.join("last/model.safetensors"), None).unwrap();
    assert_eq!(
        (&*card.trained_on, &*card.data_set, card.transposed),
        ("built-in glyphs, train", "emnist-digits", true)
    );
    let mean = section(&whole, "mean");
    for entry in params.entries() {
        assert_eq!(
            values(&params.get(&entry.name).unwrap()),
            values(&mean[&format!("mean.{}", entry.name)]),
            "{}",
            entry.name
        );
    }
    let mut settings = parse(&["--split", "digits"]).unwrap();
    settings.default_data = Some(folder("no-data"));
    let pair = settings.load_data().unwrap();
    let test = Loader::new(pair.test, 64)
        .unwrap()
        .normalised(&pair.mean, &pair.std)
        .unwrap();
    let accuracy = |params: &Params| {
        evaluate(&model, params, wavemix::Precision::F32, &test)
            .map(|e| [e.top1, e.top5].map(Some))
            .unwrap()
    };
    let of_mean = accuracy(&params);
    from_file(&mut params, &own).unwrap();
    assert_ne!(
        of_mean,
        accuracy(&params),
        "both read the test set alike: what follows could not tell them apart"
    );
    let line = std::fs::read_to_string(whole.join("metrics.jsonl"))
        .unwrap()
        .lines()
        .nth(5)
        .unwrap()
        .to_owned();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        [line["test_top1"].as_f64(), line["test_top5"].as_f64()],
        of_mean
    );
}

#[test]
fn the_decay_of_a_mean_is_below_one() {
    let folder = folder("mean-bad");
    let out = folder.to_str().unwrap();
    assert_eq!(
        message(run(&["--split", "digits", "--ema", "1", "--out", out])),
        "the decay of a moving average must be in [0, 1), got 1"
    );
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_and_names_the_place() {
    let folder = folder("infinite");
    let arguments = [
        "--split",
        "digits",
        "--lr",
        "1e30",
        "--schedule",
        "constant",
        "--batch-size",
        "16",
        "--out",
        folder.to_str().unwrap(),
    ];
    let error = run(&arguments)
        .expect_err("a learning rate of 1e30 cannot go well")
        .to_string();
    assert!(
        matches!(error.split_once(": first non-finite is "), Some((start, rest))
        if start.starts_with("the loss became") && (rest.contains("in layers.") || rest.contains("in conv") || rest.contains("in pool") || rest.contains("parameter") )),
        "{error}"
    );
    assert!(
        error.ends_with("a lower --lr than 1000000000000000000000000000000 may help"),
        "{error}"
    );
}

/// bf16 learns the test's digits as f32 does, and the same on any number of threads.
#[test]
fn bf16_learns_as_f32_does() {
    let trained = |precision: &str, threads: &str| {
        let out = folder(&format!("{precision}-{threads}"));
        let arguments = [
            "--split",
            "digits",
            "--epochs",
            "20",
            "--batch-size",
            "10",
            "--precision",
            precision,
            "--threads",
            threads,
        ];
        run(&[&arguments[..], &["--out", out.to_str().unwrap()]].concat()).unwrap();
        let metrics = std::fs::read_to_string(out.join("metrics.jsonl")).unwrap();
        let lines = metrics
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let losses: Vec<f64> = lines
            .filter(|line| line["phase"] != "best")
            .map(|line| line["train_loss"].as_f64().unwrap())
            .collect();
        (losses, weights(&out))
    };
    let (single, _) = trained("f32", "1");
    let (losses, one) = trained("bf16", "1");
    assert_eq!(one, trained("bf16", "2").1, "the number of threads shows");
    // 8 significant bits: roundings of 0.4 % in each activation, of either sign, over 160 steps.
    let (bf16, f32) = (losses[19], single[19]);
    assert!(
        f32 < 0.9 * single[0] && (bf16 - f32).abs() <= 0.05 * f32,
        "{bf16} in bf16, {f32} in f32"
    );
}

#[test]
fn wrong_flags_list_what_is_right() {
    let names = wavemix::models::names();
    let unknown = format!("unknown model `VGG`; names are {names}");
    let cases: [(&[&str], &str); 6] = [
        (
            &["--split", "cats"],
            "unknown split `cats`; choose one of balanced, digits",
        ),
        (&["--model", "VGG"], &unknown),
        (
            &["--optimizer", "magic"],
            "unknown optimizer `magic`; choose one of sgd, nesterov, adam, adamw, lion",
        ),
        (
            &["--upsample", "cubic"],
            "unknown upsampling `cubic`; choose one of bilinear, nearest, bicubic, idwt, deconvolution",
        ),
        (
            &["--device", "tpu"],
            "unknown device `tpu`; choose one of cpu, cuda, cuda:<ordinal>",
        ),
        (
            &["--train-on", "builtin"],
            "--train-on builtin tests on real files: say where with --data DIR",
        ),
    ];
    for (arguments, message) in cases {
        assert_eq!(
            parse(arguments).err().map(|e| e.to_string()).as_deref(),
            Some(message),
            "{arguments:?}"
        );
    }
    let error = parse(&["--precision", "f16"]).err().unwrap().to_string();
    assert_eq!(error, "cpu does not compute in f16; it does in f32, bf16");
    assert_error(
        parse(&["--epochs", "0"]),
        "invalid value '0' for '--epochs <N>'",
    );
}

#[test]
fn data_that_is_not_there_is_an_error_and_never_the_built_in_set() {
    let empty = folder("empty");
    std::fs::create_dir_all(&empty).unwrap();
    let error = run(&["--data", empty.to_str().unwrap()]).err().unwrap();
    assert!(
        matches!(error, Error::Data { .. } | Error::Argument(_))
            && error.to_string().contains("EMNIST"),
        "{error}"
    );
}

#[test]
fn a_folder_with_a_run_in_it_is_not_overwritten() {
    let folder = folder("twice");
    let arguments = [
        "--split",
        "digits",
        "--epochs",
        "1",
        "--out",
        folder.to_str().unwrap(),
    ];
    run(&arguments).unwrap();
    let before = weights(&folder);
    let error = run(&arguments).err().unwrap().to_string();
    assert!(
        error.ends_with("holds a run already: go on with it by --resume, take another --out, or write over it by --force"),
        "{error}"
    );
    assert_eq!(before, weights(&folder));
    let error = run(&["--resume", folder.to_str().unwrap(), "--lr", "1"])
        .err()
        .unwrap()
        .to_string();
    let allowed = "--data, --device, --threads, --stop-after, --profile and --tensorboard";
    assert_eq!(
        error,
        format!(
            "--resume takes its settings from config.json; beside it only {allowed} may be given, not --lr"
        )
    );
}
