//! Checkpoints and data that a run does not go on with.

use super::*;

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

    // A state without a weight, which would go on with that weight as it is drawn.
    let bad = copy(&good, "bad");
    let path = bad.join("last/state.safetensors");
    let mut file = TensorFile::read(&path).unwrap();
    file.tensors.remove("weights/conv.0.weight").unwrap();
    file.write(&path).unwrap();
    refused(
        &bad,
        &format!(
            "{}: the weights do not fit the model: 1 missing (conv.0.weight)",
            path.display()
        ),
    );
    // A run of another example.
    let other = Job {
        name: "mnist",
        ..JOB
    };
    assert_eq!(
        message(run_as(&other, &["--resume", good.to_str().unwrap()])),
        format!(
            "{}: holds a run of \"emnist_balanced\", not of mnist",
            good.join("config.json").display()
        )
    );

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
