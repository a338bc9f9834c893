//! Rows that are trained, and the figures of what was trained, on small files in the published formats.

use std::path::{Path, PathBuf};

use super::files::{Folder, idx_images, idx_labels};
use super::*;
use papers::figures::{Figures, figures};
use papers::train::{Training, train};
use wavemix::io::weights;
use wavemix::models::{ImageMeta, Task};
use wavemix::{DType, Rng};

/// A set like MNIST, of 20 training images and 2 test images a class: a bright row at a height that
/// tells the class.
fn write_digits(folder: &Folder) {
    for (part, each) in [("train", 20), ("t10k", 2)] {
        let labels: Vec<u8> = (0..10 * each).map(|i| i % 10).collect();
        let pixel = |label: u8, i: usize| match i / 56 == usize::from(label) {
            true => 255,
            false => (i % 7) as u8,
        };
        let image = |&label: &u8| (0..784).map(move |i| pixel(label, i));
        let pixels: Vec<u8> = labels.iter().flat_map(image).collect();
        let images = idx_images(labels.len() as u32, 28, 28, &pixels);
        folder.write(&format!("{part}-images-idx3-ubyte"), &images);
        folder.write(&format!("{part}-labels-idx1-ubyte"), &idx_labels(&labels));
    }
}

const ROW: &str = "WaveMixLite-8/10 resize=bilinear";

fn table(name: &str) -> &'static Table {
    TABLES.into_iter().find(|table| table.name == name).unwrap()
}

/// Two epochs of one row of table L5.
fn training(runs: &Folder, data: &Folder) -> Training {
    Training {
        folder: runs.path().to_owned(),
        rows: vec![ROW.into()],
        sets: vec!["MNIST".into()],
        epochs: Some("2".into()),
        flags: vec![("data", data.path().display().to_string())],
    }
}

/// A run that is stopped after one epoch and goes on is that of one go; what it reached stands in
/// the table, and its figures are drawn.
#[test]
fn rows_are_trained_in_pieces_and_shown() {
    let (data, runs, whole) = (
        Folder::new("papers-data"),
        Folder::new("papers-pieces"),
        Folder::new("papers-whole"),
    );
    write_digits(&data);
    let l5 = table("L5");
    let mut piece = training(&runs, &data);
    piece.flags.push(("stop-after", "1".into()));
    assert!(!train(l5, &piece).unwrap());
    assert!(papers::runs::finished(runs.path()).is_empty());
    let rest = training(&runs, &data);
    let other = Training {
        epochs: Some("3".into()),
        ..training(&runs, &data)
    };
    let said = train(l5, &other).unwrap_err().to_string();
    assert!(
        said.contains("holds a run of \"2\" epochs, not of 3"),
        "{said}"
    );
    let name = "MNIST-grey-WaveMixLite-8-10-resize-bilinear";
    assert!(train(l5, &training(&whole, &data)).unwrap());
    // As a stopped run says, and by the same command.
    let folder = runs.path().join(name).display().to_string();
    run(&["--resume", &folder, "--stop-after", "1"]).unwrap();
    assert!(train(l5, &rest).unwrap());
    let read = |folder: &Folder, file: &str| fs::read(folder.path().join(name).join(file)).unwrap();
    let weights = "best/model.safetensors";
    assert_eq!(read(&runs, weights), read(&whole, weights));
    let config: Value = serde_json::from_slice(&read(&runs, "config.json")).unwrap();
    let settings = &config["settings"];
    assert_eq!(settings["protocol"], "papers");
    assert_eq!(
        (&settings["dropout"], &settings["lr"]),
        (&"0.5".into(), &"0.001".into())
    );
    assert_eq!(settings["select-on-test"], true);

    let (model, set) = find("L5", ROW, "MNIST 28x28");
    let finished = papers::runs::finished(runs.path());
    let accuracy = papers::runs::accuracy(&finished, &model, set).unwrap();
    let metrics = String::from_utf8(read(&runs, "metrics.jsonl")).unwrap();
    let best: Value = metrics
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|line| line["phase"] == "best")
        .unwrap();
    assert_eq!(accuracy, 100.0 * best["test_top1"].as_f64().unwrap());
    // Nothing is left to do, and nothing is done.
    let before = read(&runs, "metrics.jsonl");
    assert!(train(l5, &rest).unwrap());
    assert_eq!(read(&runs, "metrics.jsonl"), before);

    let out = runs.path().join("figures");
    let told = Figures {
        runs: Vec::new(),
        data: Some(data.path().to_owned()),
        image: None,
        indices: Vec::new(),
        out: out.clone(),
    };
    figures(&told, runs.path()).unwrap();
    let mut drawn = names(&out);
    drawn.retain(|name| name.starts_with("F3") || name.starts_with("F4"));
    let of = |figure: &str, ending: &str| format!("{figure}-mnist-WaveMixLite-8-10.{ending}");
    let want = [
        of("F3", "png"),
        of("F3", "svg"),
        of("F4", "png"),
        of("F4", "svg"),
    ];
    assert_eq!(drawn, want);
    let maps = fs::read_to_string(out.join(of("F3", "svg"))).unwrap();
    assert!(maps.contains(">layers.9</text>"));
    // A point for each model that the table prints figures of.
    let sizes = fs::read_to_string(out.join("F1-W1-C10.svg")).unwrap();
    let rows = table("W1").parts[0].rows.len();
    // Both panels, and two entries of each legend.
    assert_eq!(sizes.matches("<circle ").count(), 2 * rows + 4);
}

/// The names of a folder's files, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<String> = entries
        .map(|entry| name(entry).into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_cannot_be_trained_is_left_out_or_told() {
    let (data, runs) = (Folder::new("papers-no-data"), Folder::new("papers-none"));
    // No images there; models of pixels.
    assert!(train(table("L5"), &training(&runs, &data)).unwrap());
    let streets = Training {
        rows: vec!["WaveMixLite-128/8".into()],
        sets: Vec::new(),
        ..training(&runs, &data)
    };
    assert!(train(table("L9"), &streets).unwrap());
    assert!(names(runs.path()).is_empty());
    let said = train(table("W1"), &training(&runs, &data)).unwrap_err();
    assert!(
        said.to_string()
            .starts_with(&format!("unknown row `{ROW}`; choose one of ResNet-18,"))
    );
    let sets = Training {
        rows: Vec::new(),
        ..training(&runs, &data)
    };
    let said = train(table("W1"), &sets).unwrap_err().to_string();
    assert_eq!(
        said,
        "unknown data set `MNIST`; choose one of C10, C100, Tiny"
    );
}

/// A grey or coloured PNG of 8 rows and 16 columns.
fn png(color: png::ColorType, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, 16, 8);
    encoder.set_color(color);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(bytes).unwrap();
    drop(writer);
    out
}

/// A scene to train on and one to test with.
fn write_scenes(data: &Folder) {
    for (part, city) in [("train", "ulm"), ("val", "lindau")] {
        let stem = format!("{part}/{city}/{city}_000000_000001");
        let image = png(png::ColorType::Rgb, &[90; 3 * 128]);
        // Half of it road, half sky.
        let ids: Vec<u8> = (0..128).map(|i| if i < 64 { 23 } else { 7 }).collect();
        data.write(&format!("leftImg8bit/{stem}_leftImg8bit.png"), &image);
        let map = png(png::ColorType::Grayscale, &ids);
        data.write(&format!("gtFine/{stem}_gtFine_labelIds.png"), &map);
    }
}

/// A row of scenes is trained with void as a class, as the tables have it, and its mIoU stands there.
#[test]
fn rows_of_scenes_are_trained() {
    let (data, runs) = (
        Folder::new("papers-scenes"),
        Folder::new("papers-scenes-run"),
    );
    write_scenes(&data);
    let mut one = training(&runs, &data);
    one.rows = vec!["WaveMixLite-128/8".into()];
    one.sets = vec!["Cityscapes".into()];
    one.epochs = Some("1".into());
    one.flags.push(("batch-size", "1".into()));
    // At 512 x 1024 it would take four times as long.
    let large = runs.path().join("Cityscapes-512x1024-WaveMixLite-128-8");
    fs::create_dir_all(&large).unwrap();
    fs::write(large.join("metrics.jsonl"), "{\"phase\":\"best\"}\n").unwrap();
    assert!(train(table("L9"), &one).unwrap());
    let (model, set) = find("L9", "WaveMixLite-128/8", "Cityscapes 256x512");
    let finished = papers::runs::finished(runs.path());
    let share = papers::runs::accuracy(&finished, &model, set);
    assert!(
        share.is_some_and(|miou| (0.0..=100.0).contains(&miou)),
        "{share:?}"
    );
}

/// Image, truth and prediction of a model with a class for each pixel.
#[test]
fn classes_of_pixels_are_drawn() {
    let (data, runs) = (
        Folder::new("papers-streets"),
        Folder::new("papers-streets-run"),
    );
    write_scenes(&data);
    let config = Config {
        size: 256,
        task: Task::Segment { classes: 19 },
        ..Config::parse("WaveMixLite-8/1").unwrap()
    };
    let (_, params) = config.build(DType::F32, &Rng::new(0)).unwrap();
    let card = ImageMeta {
        data_set: "cityscapes".into(),
        trained_on: "Cityscapes, training".into(),
        ..Default::default()
    };
    let file: PathBuf = runs.path().join("model.safetensors");
    weights::save(&file, &params, &card.to_metadata(&config)).unwrap();
    let told = Figures {
        runs: vec![file],
        data: Some(data.path().to_owned()),
        image: None,
        indices: Vec::new(),
        out: runs.path().join("figures"),
    };
    figures(&told, runs.path()).unwrap();
    let svg = told.out.join("F5-cityscapes-WaveMixLite-8-1.svg");
    let svg = fs::read_to_string(svg).unwrap();
    assert_eq!(svg.matches("<image ").count(), 3);
    assert!(svg.contains("% of the judged pixels right") && svg.contains(">bicycle</text>"));
    assert!(names(&told.out).iter().all(|name| !name.starts_with("F3")));
}

/// A set that is read on demand trains like one in memory: a tenth is held out, unless the best
/// weights are chosen on the test set.
#[test]
fn sets_that_are_read_on_demand_are_trained_on() {
    let (data, runs) = (
        Folder::new("papers-species"),
        Folder::new("papers-species-runs"),
    );
    for class in 0..3u8 {
        for (part, each) in [("train_mini", 4), ("val", 1)] {
            for i in 0..each {
                let bytes = vec![80 * class + i; 3 * 128];
                let name = format!("{part}/0000{class}_Kingdom/{i}.png");
                data.write(&name, &png(png::ColorType::Rgb, &bytes));
            }
        }
    }
    let job = wavemix::cli::Job {
        name: "species",
        about: "Trains on species.",
        splits: &[("mini", wavemix::data::Source::INaturalist2021Mini)],
        model: "WaveMixLite-8/1",
        stem: None,
        batch_size: "4",
        epochs: "1",
        dropout: "0",
        lr: 0.001,
        glyphs: [0, 0],
        mirrors: true,
    };
    for (out, chosen, trained_on) in [
        ("held-out", None, 10),
        ("papers", Some("--select-on-test"), 12),
    ] {
        let folder = runs.path().join(out);
        let path = |flag: &str, path: &Path| format!("--{flag}={}", path.display());
        let flags = [
            path("data", data.path()),
            path("out", &folder),
            "--device=cpu".into(),
        ];
        let flags = flags.into_iter().chain(chosen.map(str::to_owned));
        let args = std::iter::once("species".to_owned())
            .chain(flags)
            .map(OsString::from);
        let settings = wavemix::cli::Settings::parse(&job, args).unwrap().unwrap();
        let mut trainer = settings.trainer().unwrap();
        let outcome = trainer.run().unwrap();
        let wavemix::train::Outcome::Finished(results) = outcome else {
            panic!("it was stopped");
        };
        assert_eq!(results.validation.is_some(), chosen.is_none());
        let metrics = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
        assert!(metrics.contains("test_top1"), "{metrics}");
        let file =
            wavemix::models::Saved::load(folder.join("best/model.safetensors"), None).unwrap();
        assert_eq!(
            (file.card.data_set.as_str(), file.card.classes.len()),
            ("inaturalist-2021-mini", 3)
        );
        assert_eq!(file.card.trained_on, "iNaturalist 2021 mini, training");
        assert_eq!(file.model.config().size, 256);
        let state = fs::read(folder.join("last/state.safetensors")).unwrap();
        let print = format!("{trained_on} of iNaturalist 2021 mini, training: 12 pictures");
        assert!(String::from_utf8_lossy(&state).contains(&print), "{print}");
    }
}
