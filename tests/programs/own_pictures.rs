//! The example `train`: any model on a user's own pictures, in a folder for each class.

use super::*;

fn train_own(folder: &Folder, flags: &[&str]) -> Command {
    let always = [
        "--data",
        "pictures",
        "--size",
        "16",
        "--threads",
        "2",
        "--device",
        "cpu",
    ];
    run_in(folder.path(), "train", &[&always, flags].concat())
}

#[test]
fn one_command_trains_any_model_and_evaluates_it() {
    let folder = Folder::new("own-pictures");
    write_stripes(&folder, "pictures", 40);
    for (model, epochs) in [("ResNet-18", "3"), ("WaveMixLite-16/2", "12")] {
        let flags = [
            "--model",
            model,
            "--epochs",
            epochs,
            "--batch-size",
            "16",
            "--out",
            "run",
        ];
        let said = succeeds(&mut train_own(
            &folder,
            &[&flags[..], &["--force"]].concat(),
        ));
        assert!(said.contains("best weights, of epoch"), "{said}");
        // A tenth of each class is held out for the test: 4 of each.
        let test = &["--evaluate", "run/best/model.safetensors"];
        let test = succeeds(&mut train_own(&folder, test));
        let top1 = |said: &str| {
            said.split("top-1 ")
                .nth(1)
                .unwrap()
                .split(' ')
                .next()
                .unwrap()
                .to_owned()
        };
        assert_eq!(top1(&test), top1(&said), "{test}{said}");
        assert!(
            top1(&test).parse::<f64>().unwrap() >= 75.0,
            "{model}: {test}"
        );
    }
}

#[test]
fn parts_that_have_folders_are_taken_from_them() {
    let folder = Folder::new("own-parts");
    for (part, each) in [("train", 12), ("val", 3), ("test", 2)] {
        write_stripes(&folder, &format!("pictures/{part}"), each);
    }
    let flags = [
        "--model",
        "WaveMixLite-8/1",
        "--epochs",
        "1",
        "--batch-size",
        "8",
    ];
    let Output { stdout, stderr, .. } = train_own(&folder, &flags).output().unwrap();
    let said = text(&stdout) + &text(&stderr);
    let parts = [
        "pictures/train: 24 to train, 6 to validate; pictures/test: 4",
        "best weights, of epoch 1: test top-1",
    ];
    assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    folder.write("pictures/val/running/1.png", b"");
    let other = fails(&mut train_own(&folder, &flags));
    let want = "pictures/val: holds the class `running`, which the training pictures lack";
    assert_eq!(other, want);
}

#[test]
fn what_is_no_folder_of_pictures_is_said() {
    let folder = Folder::new("own-nothing");
    let without = fails(&mut run_in(folder.path(), "train", &[]));
    assert!(without.contains("with --data DIR"), "{without}");
    fs::create_dir_all(folder.path().join("pictures")).unwrap();
    let empty = fails(&mut train_own(&folder, &[]));
    assert_eq!(empty, "pictures: holds no folder, one for each class");
    folder.write("pictures/cat/1.png", b"no picture");
    folder.write("pictures/dog/1.png", b"no picture");
    let broken = fails(&mut train_own(&folder, &["--select-on-test"]));
    assert!(broken.starts_with("pictures/"), "{broken}");
}
