//! The example `train`: any model on a user's own pictures, in a folder for each class.

use super::*;
use wavemix::data::Preparation;
use wavemix::models::Saved;

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
    assert!(
        broken.starts_with("pictures: 2 of 2 pictures cannot be read:"),
        "{broken}"
    );
}

/// A part that cannot be read is no part that is not there. A link to itself is refused to root too.
#[test]
fn a_part_that_cannot_be_read_stops_the_run() {
    let folder = Folder::new("own-unreadable");
    write_stripes(&folder, "pictures", 4);
    for part in ["train", "val", "test"] {
        if part != "train" {
            write_stripes(&folder, "pictures/train", 4);
        }
        let path = folder.path().join("pictures").join(part);
        std::os::unix::fs::symlink(&path, &path).unwrap();
        let said = fails(&mut train_own(&folder, &[]));
        let want = format!("cannot read pictures/{part}: ");
        assert!(said.starts_with(&want), "{said}");
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn broken_pictures_are_listed_and_left_out_where_asked() {
    let folder = Folder::new("own-broken");
    write_stripes(&folder, "pictures", 20);
    for i in 0..12 {
        folder.write(
            &format!("pictures/lying/torn{i:02}.jpg"),
            b"\xFF\xD8\xFF\xE0",
        );
    }
    let flags = [
        "--model",
        "WaveMixLite-8/1",
        "--epochs",
        "1",
        "--resize",
        "20",
    ];
    let said = fails(&mut train_own(&folder, &flags));
    assert!(
        said.starts_with("pictures: 12 of 52 pictures cannot be read:\n"),
        "{said}"
    );
    assert_eq!(said.matches("torn").count(), 10, "{said}");
    assert!(said.ends_with("train without by --skip-broken"), "{said}");
    // In memory, and decoded anew for each batch: the same run.
    let losses = ["1000", "0"].map(|memory| {
        let own = ["--skip-broken", "--cache-memory", memory, "--out", memory];
        succeeds(&mut train_own(&folder, &[&flags[..], &own].concat()));
        let weights = folder.path().join(memory).join("best/model.safetensors");
        // `predict` cuts out what training cut out.
        let card = Saved::load(&weights, None).unwrap().card;
        assert_eq!(card.preparation, Some(Preparation::CentreCrop(20)));
        fs::read(weights).unwrap()
    });
    assert!(losses[0] == losses[1]);
    let short = fails(&mut train_own(&folder, &["--resize", "15"]));
    let want = "16x16 pixels cannot be cut out of a picture whose shorter side has 15";
    assert_eq!(short, want);
}

#[test]
fn tables_and_arrays_are_trained_on_like_pictures() {
    let folder = Folder::new("own-arrays");
    let mut table = "label,pixels\n".to_owned();
    for i in 0..60 {
        let bright = |at: usize| {
            if i % 2 == 0 {
                at / 8 % 4 < 2
            } else {
                at % 4 < 2
            }
        };
        let pixel = |at: usize| if bright(at) { 200 + i % 50 } else { 10 + i % 7 };
        let pixels: Vec<String> = (0..64).map(|at| pixel(at).to_string()).collect();
        table += &format!("{},\"{}\"\n", i % 2, pixels.join(" "));
    }
    folder.write("stripes.csv", table.as_bytes());
    let run = |flags: &[&str]| {
        let always = ["--data", "stripes.csv", "--threads", "2", "--device", "cpu"];
        succeeds(&mut run_in(
            folder.path(),
            "train",
            &[&always, flags].concat(),
        ))
    };
    let flags = [
        "--model",
        "WaveMixLite-16/2",
        "--epochs",
        "10",
        "--batch-size",
        "8",
    ];
    let said = run(&[&flags[..], &["--out", "run"]].concat());
    assert!(said.contains("test top-1 100.00 %"), "{said}");
    let again = run(&["--evaluate", "run/best/model.safetensors"]);
    assert!(again.contains("top-1 100.00 %"), "{again}");
}
