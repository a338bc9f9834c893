//! What a run trusts: weights that diverged are neither kept nor read, and a run goes on only from
//! a checkpoint that is whole, with the data that it was trained on.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use helpers::{message, on_threads};
use wavemix::cli::{self, Job, Settings};
use wavemix::data::{Loader, Source, Split};
use wavemix::io::safetensors::TensorFile;
use wavemix::models::Saved;
use wavemix::train::{Outcome, evaluate};
use wavemix::{DType, Module, Pass, Precision, Result, Rng, Tensor};

#[path = "files/mod.rs"]
mod files;
mod helpers;

#[path = "resume/refused.rs"]
mod refused;

const JOB: Job = Job {
    name: "emnist_balanced",
    about: "A run small enough for a test.",
    splits: &[
        ("digits", Source::Emnist(Split::Digits)),
        ("mnist", Source::Mnist),
    ],
    model: "WaveMixLite-8/1",
    stem: None,
    batch_size: "16",
    epochs: "3",
    dropout: "0.2",
    lr: 0.01,
    glyphs: [10, 2],
    mirrors: false,
};

/// A fresh folder for one test, under the build's own.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("resume-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    folder
}

fn parse_as(job: &Job, arguments: &[&str]) -> Result<Settings> {
    let arguments = ["test"].iter().chain(arguments).map(OsString::from);
    let mut settings = Settings::parse(job, arguments)?.expect("no help was asked for");
    // Whoever runs this test may have the real files; it is meant for the built-in ones.
    settings.default_data = Some(folder("no-data"));
    Ok(settings)
}

fn run_as(job: &Job, arguments: &[&str]) -> Result<Outcome> {
    let settings = parse_as(job, arguments)?;
    on_threads(2, || settings.trainer()?.run())
}

fn run(arguments: &[&str]) -> Result<Outcome> {
    run_as(&JOB, arguments)
}

/// All files of a folder and their bytes.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        if entry.is_dir() {
            all.extend(contents(&entry));
        } else {
            all.insert(entry.clone(), fs::read(&entry).unwrap());
        }
    }
    all
}

/// Of the run `from`, stopped after an epoch, a copy.
fn copy(from: &Path, name: &str) -> PathBuf {
    let to = folder(name);
    for (path, bytes) in contents(from) {
        let path = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    to
}

/// A run that was stopped after its first epoch of three.
fn stopped(name: &str) -> PathBuf {
    let out = folder(name);
    run(&["--out", out.to_str().unwrap(), "--stop-after", "1"]).unwrap();
    out
}

/// With one batch an epoch the loss is that of the weights before the only step: it is finite,
/// whatever the step does.
#[test]
fn a_run_that_diverged_in_its_last_step_is_an_error_and_keeps_the_last_state() {
    // 1e39 is infinite in f32, and so are the weights; with 1e30 they are not, but what is computed
    // with them is. A gradient of 1e25 w leaves the weights finite, and its square is not.
    let decay = ["--optimizer", "adam", "--weight-decay", "1e25"];
    for (lr, more, what) in [
        ("1e39", &[][..], "` holds "),
        ("1e30", &[], "the model's answers to images 0 to 9 hold "),
        ("0.01", &decay, "the optimizer's `second_moment."),
    ] {
        let out = folder(&format!("diverged-{lr}"));
        let flags = [
            "--out",
            out.to_str().unwrap(),
            "--batch-size",
            "128",
            "--schedule",
            "constant",
            "--epochs",
            "1",
        ];
        let error = message(run(&[&flags[..], more, &["--lr", lr]].concat()));
        assert!(
            error.starts_with("training diverged: after 1 steps ") && error.contains(what),
            "{error}"
        );
        let lr: f64 = lr.parse().unwrap();
        let end = format!("; the last checkpoint stays as it was; a lower --lr than {lr} may help");
        assert!(error.ends_with(&end), "{error}");
        assert!(
            !out.join("best/model.safetensors").exists(),
            "nothing is called best"
        );
        assert_eq!(
            fs::read_to_string(out.join("metrics.jsonl")).unwrap(),
            "",
            "and no accuracy is reported"
        );
        let Saved { params, .. } = Saved::load(out.join("last/model.safetensors"), None).unwrap();
        params.check_finite().unwrap();
    }
}

/// Overwrites one value of a tensor in a weight file.
fn spoil(path: &Path, name: &str, value: f32) {
    let mut file = TensorFile::read(path).unwrap();
    let tensor = &file.tensors[name];
    let mut values = tensor.to_vec::<f32>().unwrap();
    *values.last_mut().unwrap() = value;
    let spoiled = Tensor::from_vec(values, *tensor.shape()).unwrap();
    file.tensors.insert(name.into(), spoiled);
    file.write(path).unwrap();
}

#[test]
fn weights_that_are_not_finite_are_not_read() {
    let out = folder("spoiled");
    run(&["--out", out.to_str().unwrap(), "--stop-after", "1"]).unwrap();
    let best = out.join("best/model.safetensors");
    let good = fs::read(&best).unwrap();
    for (name, value, shown) in [
        ("conv.0.weight", f32::NAN, "NaN"),
        ("pool.2.bias", f32::INFINITY, "inf"),
        (
            "layers.0.feedforward.5.running_var",
            f32::NEG_INFINITY,
            "-inf",
        ),
    ] {
        fs::write(&best, &good).unwrap();
        spoil(&best, name, value);
        let expected = format!("{}: `{name}` holds {shown}", best.display());
        let error = message(Saved::load(&best, None));
        assert!(error.starts_with(&expected), "{error}");
        let error =
            message(parse_as(&JOB, &["--evaluate", best.to_str().unwrap()]).and_then(cli::run));
        assert!(error.starts_with(&expected), "{error}");
        // A run that would read them at its end does not begin.
        let before = contents(&out);
        let error = message(run(&["--resume", out.to_str().unwrap()]));
        assert!(error.starts_with(&expected), "{error}");
        assert!(contents(&out) == before, "something was written");
        let state = copy(&out, "spoiled-state");
        fs::write(state.join("best/model.safetensors"), &good).unwrap();
        let file = state.join("last/state.safetensors");
        spoil(&file, &format!("weights/{name}"), value);
        let error = message(run(&["--resume", state.to_str().unwrap()]));
        assert_eq!(error, format!("{}: `{name}` holds {shown}", file.display()));
    }
}

/// Besides the weights a checkpoint has their running mean and the optimizer's moments.
#[test]
fn moments_and_means_that_are_not_finite_are_not_gone_on_with() {
    let out = folder("spoiled-mean");
    let flags = ["--ema", "0.9", "--optimizer", "adamw", "--stop-after", "1"];
    run(&[&["--out", out.to_str().unwrap()], &flags[..]].concat()).unwrap();
    for (name, holder) in [
        ("mean/mean.conv.0.weight", "`conv.0.weight`"),
        (
            "optimizer/second_moment.conv.0.weight",
            "the optimizer's `second_moment.conv.0.weight`",
        ),
    ] {
        let bad = copy(&out, "spoiled-mean-bad");
        let file = bad.join("last/state.safetensors");
        spoil(&file, name, f32::NAN);
        let error = message(run(&["--resume", bad.to_str().unwrap()]));
        assert_eq!(error, format!("{}: {holder} holds NaN", file.display()));
    }
}

/// A variance that is infinite makes every answer 0, a finite number.
#[test]
fn weights_whose_answers_hide_that_they_are_not_finite_are_not_evaluated() {
    let settings = parse_as(&JOB, &[]).unwrap();
    let pair = JOB.splits[0].1.drawn(settings.glyphs, 0).unwrap();
    let config = settings.model_for(pair.test.size, 10).unwrap();
    let (model, mut params) = config.build(DType::F32, &Rng::new(0)).unwrap();
    let name = "layers.0.feedforward.5.running_var";
    let shape = *params.get(name).unwrap().shape();
    let infinite = Tensor::full(shape, f64::INFINITY, DType::F32);
    params.set(name, &infinite).unwrap();
    let test = Loader::new(pair.test, 20).unwrap();
    let test = test.normalised(&pair.mean, &pair.std).unwrap();
    let logits = |images: &Tensor| model.forward(&Pass::eval(&params), &images.into());
    let first = test.in_order().unwrap().next().unwrap().unwrap();
    let answers = logits(&first.inputs).unwrap().to_vec::<f32>().unwrap();
    assert!(answers.iter().all(|x| x.is_finite()));
    let error = message(evaluate(&model, &params, Precision::F32, &test));
    assert_eq!(error, format!("`{name}` holds inf"));
}

/// 90 training images in batches of 89 leave one, which a map of one pixel gives a single value a
/// channel.
#[test]
fn a_last_batch_of_one_image_joins_the_one_before_where_maps_have_one_pixel() {
    let pixel = ["--stem", "strided:7,4", "--epochs", "2"];
    let [whole, parts] = ["one-whole", "one-parts"].map(folder);
    let [whole_s, parts_s] = [&whole, &parts].map(|folder| folder.to_str().unwrap());
    run(&[&pixel[..], &["--batch-size", "89", "--out", whole_s]].concat()).unwrap();
    run(&[
        &pixel[..],
        &["--batch-size", "89", "--out", parts_s, "--stop-after", "1"],
    ]
    .concat())
    .unwrap();
    run(&["--resume", parts_s]).unwrap();
    let weights = |folder: &Path| fs::read(folder.join("last/model.safetensors")).unwrap();
    assert!(
        weights(&whole) == weights(&parts),
        "the resumed run differs from the uninterrupted one"
    );
    let state = TensorFile::read(whole.join("last/state.safetensors")).unwrap();
    assert_eq!(
        state.metadata["step"], "2",
        "one step an epoch, of all 90 images"
    );

    // Larger maps take a batch of one image, and nothing changes for them.
    let larger = folder("one-larger");
    run(&[
        "--stem",
        "strided:4,4",
        "--batch-size",
        "89",
        "--epochs",
        "1",
        "--out",
        larger.to_str().unwrap(),
    ])
    .unwrap();
    assert_eq!(
        TensorFile::read(larger.join("last/state.safetensors"))
            .unwrap()
            .metadata["step"],
        "2"
    );

    // Where there is no other batch to join, the run does not begin.
    let out = folder("one-never");
    let error = message(run(&[
        &pixel[..],
        &["--batch-size", "1", "--out", out.to_str().unwrap()],
    ]
    .concat()));
    let start = "WaveMixLite-8/1: on images of 28x28 this model trains with batches of at least 2 images, by --batch-size and the number of images: ";
    assert!(
        error.starts_with(start) && error.contains("more than one value per channel when training"),
        "{error}"
    );
    assert!(!out.exists(), "no folder is left of it");
}

#[test]
fn an_evaluation_of_infinite_answers_is_an_error() {
    let out = folder("infinite");
    run(&["--out", out.to_str().unwrap(), "--stop-after", "1"]).unwrap();
    let best = out.join("best/model.safetensors");
    // Finite weights, whose products are not.
    spoil(&best, "pool.2.weight", f32::MAX);
    let mut file = TensorFile::read(&best).unwrap();
    let scaled = file.tensors["layers.0.feedforward.5.weight"]
        .shape()
        .elements();
    file.tensors.insert(
        "layers.0.feedforward.5.weight".into(),
        Tensor::full([scaled], 1e30, DType::F32),
    );
    file.write(&best).unwrap();
    let saved = Saved::load(&best, None).unwrap();
    let error = message(saved.probabilities(&Tensor::ones([1, 28, 28, 1], DType::F32)));
    assert!(
        error.starts_with("the model's answer holds ")
            && error.ends_with(": it has no likeliest class"),
        "{error}"
    );
    let error = message(parse_as(&JOB, &["--evaluate", best.to_str().unwrap()]).and_then(cli::run));
    assert!(
        error.starts_with("built-in glyphs, test: the model's answers to images 0 to 15 hold "),
        "{error}"
    );
}
