//! Weights of other programs: whose images were framed as the drawing is to be.

use std::path::Path;

use wavemix::models::{Config, ImageMeta, Task};
use wavemix::{DType, Rng};

use crate::server::{Server, command, folder};

/// A model that has learned nothing, of images as this set has them.
fn write(path: &Path, data_set: &str, task: Task, channels: usize) {
    let config = Config {
        task,
        channels,
        size: 28,
        ..Config::parse("WaveMixLite-8/2").unwrap()
    };
    let (_, params) = config.build(DType::F32, &Rng::new(0)).unwrap();
    let card = ImageMeta {
        data_set: data_set.into(),
        mean: vec![0.2; channels],
        std: vec![0.3; channels],
        ..ImageMeta::default()
    };
    let metadata = card.to_metadata(&config);
    wavemix::io::weights::save(path, &params, &metadata).unwrap();
}

#[test]
fn drawings_are_framed_as_the_training_images_were() {
    let run = folder("runs");
    std::fs::create_dir(run.join("best")).unwrap();
    let file = run.join("best/model.safetensors");
    let cases = [
        ("mnist", "MNIST", 1),
        ("emnist-letters", "EMNIST", 3),
        ("", "MNIST", 1),
    ];
    for (data_set, framing, channels) in cases {
        write(&file, data_set, Task::Classify { classes: 10 }, channels);
        for path in [&run, &file] {
            let server = Server::start("framing", &["--weights", path.to_str().unwrap()]);
            assert_eq!(server.status()["framing"], framing, "{data_set}");
            let reply = server.post("/read", &crate::drawn(crate::CHARACTERS[0].1));
            // Classes without names are numbers.
            let class = reply["classes"][0][0].as_str().unwrap();
            assert!(
                class.parse::<usize>().is_ok_and(|class| class < 10),
                "{class}"
            );
            assert_eq!(reply["blocks"].as_array().unwrap().len(), 2);
        }
    }
}

#[test]
fn other_models_are_refused() {
    let run = folder("others");
    let file = run.join("model.safetensors");
    let fails = |what: &str| {
        let output = command(&["--port", "0", "--weights", run.to_str().unwrap()])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.code() == Some(1) && said.starts_with("error: "),
            "{said}"
        );
        assert!(said.contains(what), "{said}");
    };
    fails("others");
    write(&file, "cifar-10", Task::Classify { classes: 10 }, 3);
    fails("was trained on cifar-10: what is read here are characters");
    write(&file, "mnist", Task::Segment { classes: 2 }, 1);
    fails("is no model that classifies");
    std::fs::write(&file, b"no weights").unwrap();
    fails("model.safetensors");
}

#[test]
fn weights_that_cannot_be_kept_are_told_before_the_training() {
    let file = folder("kept").join("file");
    std::fs::write(&file, b"").unwrap();
    let arguments = ["--port", "0", "--out", file.to_str().unwrap()];
    let output = command(&arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("error: cannot create "), "{said}");
    assert_eq!((output.status.code(), output.stdout), (Some(1), vec![]));
}
