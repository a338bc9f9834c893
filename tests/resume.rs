//! What a run trusts: weights that diverged are neither kept nor read, and a run goes on only from
//! a checkpoint that is whole, with the data that it was trained on.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use helpers::{message, on_threads};
use wavemix::cli::{Job, Settings};
use wavemix::data::{Source, Split};
use wavemix::io::safetensors::TensorFile;
use wavemix::models::Saved;
use wavemix::train::{self, Outcome, Trainer};
use wavemix::{DType, Result, Tensor};

#[path = "files/mod.rs"]
mod files;
mod helpers;

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
    on_threads(2, || Trainer::new(settings)?.run())
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
    // with them is.
    for (lr, what) in [
        ("1e39", "` holds "),
        ("1e30", "the model's answers to images 0 to 9 hold "),
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
        let error = message(run(&[&flags[..], &["--lr", lr]].concat()));
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
        let Saved { params, .. } = Saved::load(&out.join("last/model.safetensors"), None).unwrap();
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
            message(parse_as(&JOB, &["--evaluate", best.to_str().unwrap()]).and_then(train::run));
        assert!(error.starts_with(&expected), "{error}");
        // A run that would read them at its end does not begin.
        let error = message(run(&["--resume", out.to_str().unwrap()]));
        assert!(error.starts_with(&expected), "{error}");
        let state = copy(&out, "spoiled-state");
        fs::write(state.join("best/model.safetensors"), &good).unwrap();
        let file = state.join("last/state.safetensors");
        spoil(&file, &format!("weights/{name}"), value);
        let error = message(run(&["--resume", state.to_str().unwrap()]));
        assert_eq!(error, format!("{}: `{name}` holds {shown}", file.display()));
    }
}

/// What the checks let through before: each would have trained on, with a wrong loss or to a late
/// error.
#[test]
fn a_checkpoint_is_checked_before_anything_is_done() {
    let good = stopped("good");
    // 90 images to train: six batches of 16, the last of 10.
    let values = [
        (
            "batch",
            "1000000",
            "stands after 1 epochs and 1000000 batches, of 3 epochs of 6 batches",
        ),
        (
            "batch",
            "6",
            "stands after 1 epochs and 6 batches, of 3 epochs of 6 batches",
        ),
        (
            "batch",
            "1",
            "counts 6 steps, where 7 lie before its position",
        ),
        (
            "epoch",
            "4",
            "stands after 4 epochs and 0 batches, of 3 epochs of 6 batches",
        ),
        (
            "epoch",
            "0",
            "counts 6 steps, where 0 lie before its position",
        ),
        (
            "epoch",
            "2",
            "counts 6 steps, where 12 lie before its position",
        ),
        (
            "step",
            "5",
            "counts 5 steps, where 6 lie before its position",
        ),
        (
            "images",
            "16",
            "counts 16 images of the current epoch, where 0 lie before its position",
        ),
        (
            "loss_sum",
            "NaN",
            "has a sum of NaN for the losses of 0 images",
        ),
        (
            "loss_sum",
            "1.5",
            "has a sum of 1.5 for the losses of 0 images",
        ),
        (
            "best_epoch",
            "2",
            "has its best weights of epoch 2 with an accuracy of ",
        ),
        (
            "best_epoch",
            "0",
            "has its best weights of epoch 0 with an accuracy of ",
        ),
        (
            "best_top1",
            "NaN",
            "has its best weights of epoch 1 with an accuracy of NaN",
        ),
        (
            "sgd_since",
            "1",
            "began a second phase after 1 epochs, which its settings do not have",
        ),
        ("seed", "7", "was trained with seed 7, config.json says 0"),
        (
            "epoch",
            "-1",
            "the training state's `epoch` is `-1`, not of type usize",
        ),
    ];
    let refused = |run_folder: &Path, start: &str| {
        let before = contents(run_folder);
        let error = message(run(&["--resume", run_folder.to_str().unwrap()]));
        assert!(
            error.starts_with(start),
            "{error}\nshould start with {start}"
        );
        assert!(
            contents(run_folder) == before,
            "{start}: something was written"
        );
    };
    for (name, value, what) in values {
        let bad = copy(&good, "bad");
        let path = bad.join("last/state.safetensors");
        let mut file = TensorFile::read(&path).unwrap();
        file.metadata.insert(name.into(), value.into());
        file.write(&path).unwrap();
        refused(&bad, &format!("{}: {what}", path.display()));
    }

    let bad = copy(&good, "bad");
    let best = bad.join("best/model.safetensors");
    fs::remove_file(&best).unwrap();
    refused(&bad, &format!("cannot read {}: ", best.display()));
    // The weights of another model.
    let take = |flag: &str, value: &str| {
        let other = folder("other");
        let out = other.to_str().unwrap();
        run(&["--out", out, flag, value, "--stop-after", "1"]).unwrap();
        fs::copy(other.join("best/model.safetensors"), &best).unwrap();
    };
    take("--model", "WaveMixLite-8/2");
    refused(
        &bad,
        &format!("{}: the weights do not fit the model: ", best.display()),
    );
    // Of one that has the same weights and reads them otherwise.
    take("--stem", "strided:2,2");
    refused(
        &bad,
        &format!("{}: is of another model than this run's", best.display()),
    );

    let config = |key: &str, value: serde_json::Value, what: &str| {
        let bad = copy(&good, "bad");
        let path = bad.join("config.json");
        let mut config: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        match key.split_once('/') {
            Some((part, key)) => config[part][key] = value,
            None => config[key] = value,
        }
        fs::write(&path, config.to_string()).unwrap();
        refused(&bad, &format!("{}: {what}", path.display()));
    };
    for flag in ["help", "version", "evaluate", "resume", "no-such-flag"] {
        config(
            &format!("settings/{flag}"),
            true.into(),
            &format!("`{flag}` is no setting of a run"),
        );
    }
    let says = |flag: &str, now: &str, then: &str| {
        format!("says that `{flag}` is {now}, its run was begun with {then}")
    };
    config(
        "settings/model",
        "WaveMixLite-8/2".into(),
        &says("model", "\"WaveMixLite-8/2\"", "\"WaveMixLite-8/1\""),
    );
    config(
        "settings/dropout",
        "0.25".into(),
        &says("dropout", "\"0.25\"", "\"0.2\""),
    );
    // As many batches an epoch, of other images.
    config(
        "settings/batch-size",
        "17".into(),
        &says("batch-size", "\"17\"", "\"16\""),
    );
    config(
        "settings/augment",
        true.into(),
        &says("augment", "true", "not set"),
    );
    config("parameters", 5.into(), "names the model {");
    config("model/ff", 16.into(), "names the model {");

    // And the good one goes on.
    assert!(matches!(
        run(&["--resume", good.to_str().unwrap()]).unwrap(),
        Outcome::Finished(_)
    ));
}

#[test]
fn a_run_does_not_go_on_with_other_data() {
    let good = stopped("data");
    let state = good.join("last/state.safetensors");
    let start = format!("{}: the run was trained on other data: ", state.display());
    let end = "; go on with the same data (--data DIR says where they are), or begin another run";
    let refused = |job: &Job, more: &[&str], parts: &[&str]| {
        let before = contents(&good);
        let error = message(run_as(
            job,
            &[&["--resume", good.to_str().unwrap()], more].concat(),
        ));
        assert!(error.starts_with(&start) && error.ends_with(end), "{error}");
        for part in [
            "training set",
            "validation set",
            "test set",
            "normalisation",
        ] {
            assert_eq!(
                error.contains(&format!("its {part} was ")),
                parts.contains(&part),
                "{part}: {error}"
            );
        }
        assert!(contents(&good) == before, "something was written");
        error
    };
    // The same generator, asked for another number of training images, then of test images.
    let all = ["training set", "validation set"];
    let error = refused(
        &Job {
            glyphs: [20, 2],
            ..JOB
        },
        &[],
        &all,
    );
    assert!(error.contains("its training set was `built-in glyphs, train: 90 images of 28x28x1, 10 classes, labels "), "{error}");
    assert!(
        error.contains(
            "here it is `built-in glyphs, train: 180 images of 28x28x1, 10 classes, labels "
        ),
        "{error}"
    );
    refused(
        &Job {
            glyphs: [10, 4],
            ..JOB
        },
        &[],
        &["test set"],
    );

    // A folder with files in place of the built-in set: as many images of the same size.
    let files = files::Folder::new("resume-data");
    let digits: Vec<u8> = (0..100).map(|i| i % 10).collect();
    for (part, count) in [("train", 100), ("test", 20)] {
        let stem = format!("emnist-digits-{part}");
        files.write(
            &format!("{stem}-images-idx3-ubyte"),
            &files::idx_images(count, 28, 28, &vec![7; count as usize * 784]),
        );
        files.write(
            &format!("{stem}-labels-idx1-ubyte"),
            &files::idx_labels(&digits[..count as usize]),
        );
    }
    let error = refused(
        &JOB,
        &["--data", files.path().to_str().unwrap()],
        &[&all[..], &["test set", "normalisation"]].concat(),
    );
    assert!(
        error.contains(
            "here it is `EMNIST digits, training: 90 images of 28x28x1, 10 classes, labels "
        ),
        "{error}"
    );

    // A run of files, whose folder is gone when it is to go on, and one pixel of which is another
    // when they are back.
    let out = folder("data-files");
    let data = ["--data", files.path().to_str().unwrap()];
    run(&[
        &["--out", out.to_str().unwrap(), "--stop-after", "1"],
        &data[..],
    ]
    .concat())
    .unwrap();
    let images = files.path().join("emnist-digits-test-images-idx3-ubyte");
    let bytes = fs::read(&images).unwrap();
    fs::remove_file(&images).unwrap();
    assert!(message(run(&["--resume", out.to_str().unwrap()])).contains("EMNIST digits"));
    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() += 1;
    fs::write(&images, changed).unwrap();
    let error = message(run(&["--resume", out.to_str().unwrap()]));
    assert!(
        error.contains(": its test set was `EMNIST digits, test: 20 images"),
        "{error}"
    );
    fs::write(&images, bytes).unwrap();
    run(&["--resume", out.to_str().unwrap(), "--stop-after", "2"]).unwrap();

    // Of a checkpoint that says nothing of its data.
    let mut file = TensorFile::read(&state).unwrap();
    file.metadata.remove("training set").unwrap();
    file.write(&state).unwrap();
    let error = message(run(&["--resume", good.to_str().unwrap()]));
    let what = "does not say what its run was trained on (`training set`), as an older version wrote it: begin anew";
    assert_eq!(error, format!("{}: {what}", state.display()));
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
    let error =
        message(parse_as(&JOB, &["--evaluate", best.to_str().unwrap()]).and_then(train::run));
    assert!(
        error.starts_with("built-in glyphs, test: the model's answers to images 0 to 15 hold "),
        "{error}"
    );
}
