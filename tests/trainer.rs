//! The trainer with a user's own model, data, rule and loss.

#[path = "trainer/board.rs"]
mod board;
#[path = "trainer/events.rs"]
mod events;
mod helpers;
#[path = "trainer/profile.rs"]
mod profile;
#[path = "trainer/refused.rs"]
mod refused;

use std::fs;
use std::path::{Path, PathBuf};

use helpers::message;
use serde_json::Value;
use wavemix::data::{ImageSet, Sample, TensorDataset};
use wavemix::io::weights;
use wavemix::models::{self, Saved};
use wavemix::ops::{CrossEntropyOptions, cross_entropy};
use wavemix::optim::{Rule, Step};
use wavemix::prelude::*;
use wavemix::train::{Config, Data, Description, Objective, Outcome, Protocol, Results, Trainer};
use wavemix::{Float, io::checkpoint::State};

/// A folder of its own for one test, under the build's own.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("trainer-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    folder
}

/// Two layers with a relu between them, and dropout.
struct Mlp {
    hidden: Linear,
    output: Linear,
}

impl Mlp {
    fn build(inputs: usize, outputs: usize) -> (Mlp, Params) {
        Params::declare(DType::F32, &Rng::new(0), |names| {
            Ok(Mlp {
                hidden: Linear::new(names, "hidden", [inputs, 16])?,
                output: Linear::new(names, "output", [16, outputs])?,
            })
        })
        .unwrap()
    }
}

impl Module for Mlp {
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let x = self.hidden.forward(pass, x)?.relu()?;
        let x = match pass.rng() {
            Some(rng) => x.dropout(0.1, &rng)?,
            None => x,
        };
        self.output.forward(pass, &x)
    }
}

/// Points of the plane, each of the class of its quadrant.
struct Quadrants {
    count: usize,
    seed: u64,
}

impl Dataset for Quadrants {
    fn len(&self) -> usize {
        self.count
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        let rng = Rng::new(self.seed).child(index as u64);
        let input = Tensor::uniform(2, -1.0, 1.0, DType::F32, &rng);
        let at = input.to_vec::<f32>()?;
        let class = i64::from(at[0] > 0.0) + 2 * i64::from(at[1] > 0.0);
        Ok(Sample {
            input,
            target: Tensor::scalar(class),
        })
    }

    fn name(&self) -> &str {
        "quadrants"
    }

    fn fingerprint(&self) -> String {
        format!("{} quadrants of seed {}", self.count, self.seed)
    }
}

/// Gradient descent with momentum, in a user's own words.
struct Momentum(f64);

impl Rule for Momentum {
    fn name(&self) -> &str {
        "momentum"
    }

    fn moments(&self) -> &[&'static str] {
        &["velocity"]
    }

    fn update<T: Float>(&self, step: &Step, w: &mut [T], dw: &[T], moments: &mut [&mut [T]]) {
        let (lr, keep) = (T::from_f64(step.lr), T::from_f64(self.0));
        for ((w, &dw), v) in w.iter_mut().zip(dw).zip(moments[0].iter_mut()) {
            *v = keep * *v + dw;
            *w = *w - lr * *v;
        }
    }
}

fn quadrants(count: usize, seed: u64) -> Loader {
    Loader::new(Quadrants { count, seed }, 32).unwrap()
}

/// 200 points to train on: seven batches an epoch, the last of 8.
fn data() -> Data {
    Data {
        validation: Some(quadrants(100, 2)),
        test: Some(quadrants(100, 3)),
        ..quadrants(200, 1).into()
    }
}

fn config(out: &Path) -> Config {
    Config {
        epochs: 12,
        lr: 0.1,
        rule: Momentum(0.9).into(),
        out: Some(out.to_owned()),
        ..Config::default()
    }
}

fn train(config: Config) -> Result<Outcome> {
    let (model, params) = Mlp::build(2, 4);
    Trainer::new(model, params, data(), config)?.run()
}

#[track_caller]
fn finished(outcome: Result<Outcome>) -> Results {
    match outcome.unwrap() {
        Outcome::Finished(results) => results,
        Outcome::Stopped => panic!("it was stopped"),
    }
}

fn lines(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn config_of(folder: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(folder.join("config.json")).unwrap()).unwrap()
}

/// 2^61 epochs of eight batches are 2^64 steps, more than can be counted: the rate of the first
/// third of a run, not of what lies behind its end.
#[test]
fn a_run_without_an_end_begins_with_the_first_rate() {
    let out = folder("endless");
    let endless = Config {
        epochs: 1 << 61,
        stop_after: Some(2),
        schedule: Schedule::STEP,
        ..config(&out)
    };
    let (model, params) = Mlp::build(2, 4);
    let data = Data {
        validation: Some(quadrants(64, 2)),
        ..quadrants(256, 1).into()
    };
    let outcome = Trainer::new(model, params, data, endless).unwrap().run();
    assert!(matches!(outcome.unwrap(), Outcome::Stopped));
    let rates: Vec<f64> = lines(&out)
        .iter()
        .map(|line| line["lr"].as_f64().unwrap())
        .collect();
    assert_eq!(rates, [0.1, 0.1]);
}

#[test]
fn a_users_model_data_and_rule_are_trained_and_written() {
    let out = folder("own");
    let results = finished(train(config(&out)));
    let (validation, test) = (results.validation.unwrap(), results.test.unwrap());
    assert!(
        validation.top1().unwrap() > 0.9 && test.top1().unwrap() > 0.9 && test.loss().is_none(),
        "{validation}, {test}"
    );

    let lines = lines(&out);
    assert_eq!(lines.len(), 13);
    assert!(
        lines[..12]
            .iter()
            .enumerate()
            .all(|(i, line)| line["epoch"] == i + 1 && line["phase"] == "momentum")
    );
    let best = &lines[12];
    assert_eq!(
        (&best["phase"], &best["epoch"]),
        (&"best".into(), &results.epoch.into())
    );
    assert_eq!(
        [&best["val_top1"], &best["test_top1"]],
        [&validation, &test].map(|score| score.top1().unwrap())
    );
    let highest = lines[..12].iter().map(|line| line["val_top1"].as_f64());
    let highest = highest.flatten().fold(0.0, f64::max);
    assert_eq!(best["val_top1"], highest);

    // Points are no pictures.
    for (name, is_there) in [
        ("curves.svg", true),
        ("confusion.svg", true),
        ("mistakes.svg", false),
        ("last/state.safetensors", true),
    ] {
        assert_eq!(out.join(name).exists(), is_there, "{name}");
    }
    let picture = fs::read_to_string(out.join("curves.svg")).unwrap();
    assert!(picture.contains("Mlp on quadrants"));

    let written = config_of(&out);
    assert_eq!(
        (&written["name"], &written["model"], &written["parameters"]),
        (&"run".into(), &"Mlp".into(), &116.into())
    );
    assert_eq!(
        (&written["settings"]["rule"], &written["settings"]["lr"]),
        (&"momentum".into(), &"0.1".into())
    );

    // The weights of the best epoch, for anybody to read.
    let (_, mut params) = Mlp::build(2, 4);
    let metadata = weights::load(out.join("best/model.safetensors"), &mut params).unwrap();
    assert_eq!(metadata["model"], "Mlp");
    let error = message(Saved::load(out.join("best/model.safetensors"), None));
    assert!(
        error.ends_with("its weights are of the model `Mlp`, which is none of this crate's"),
        "{error}"
    );
}

#[test]
fn a_users_run_is_resumed_bit_for_bit() {
    let protocols = [
        (Protocol::Plain, None, "plain"),
        (Protocol::Papers, Some(0.9), "papers"),
    ];
    for (protocol, ema, name) in protocols {
        let [whole, parts] = ["whole", "parts"].map(|part| folder(&format!("{name}-{part}")));
        let config = |out: &Path| Config {
            protocol,
            ema,
            seed: 3,
            ..config(out)
        };
        finished(train(config(&whole)));
        for (stop_after, resume) in [(Some(2), false), (Some(10), true), (None, true)] {
            let config = Config {
                stop_after,
                resume,
                ..config(&parts)
            };
            let stopped = matches!(train(config).unwrap(), Outcome::Stopped);
            assert_eq!(stopped, stop_after.is_some());
        }
        let bytes = |folder: &Path, file: &str| fs::read(folder.join(file)).unwrap();
        for file in [
            "last/state.safetensors",
            "last/model.safetensors",
            "best/model.safetensors",
            "config.json",
        ] {
            assert!(bytes(&whole, file) == bytes(&parts, file), "{name}: {file}");
        }
        assert_eq!(lines(&whole).len(), lines(&parts).len());
        let phases: Vec<Value> = lines(&parts).iter().map(|l| l["phase"].clone()).collect();
        assert_eq!(phases[9] == "sgd", protocol == Protocol::Papers);
    }
}

/// x to its square.
fn parabola(count: usize, seed: u64) -> Loader {
    let x = Tensor::uniform([count, 1], -1.0, 1.0, DType::F32, &Rng::new(seed));
    let y = Var::from(&x).square().unwrap().into_value();
    Loader::new(TensorDataset::new(x, y).unwrap(), 16).unwrap()
}

fn regress(config: Config) -> Result<Trainer> {
    let (model, params) = Mlp::build(1, 1);
    let data = Data {
        validation: Some(parabola(64, 2)),
        ..parabola(128, 1).into()
    };
    Trainer::new(model, params, data, config)
}

#[test]
fn a_regression_is_judged_by_its_loss() {
    let [whole, parts] = ["loss-whole", "loss-parts"].map(folder);
    let config = |out: &Path| Config {
        epochs: 20,
        lr: 0.02,
        max_norm: Some(1.0),
        out: Some(out.to_owned()),
        ..Config::default().with_loss(|y, targets| y.mse(&targets.into()))
    };
    let mut trainer = regress(config(&whole)).unwrap();
    let results = finished(trainer.run());
    let score = results.validation.unwrap();
    let loss = score.loss().unwrap();
    assert!(
        loss < 0.02 && score.top1().is_none() && results.test.is_none(),
        "{score}"
    );
    let lines = lines(&whole);
    let losses = lines[..20].iter().map(|line| line["val_loss"].as_f64());
    let lowest = losses.flatten().fold(f64::INFINITY, f64::min);
    assert_eq!(lowest, loss);
    assert_eq!(lines[20]["val_loss"], loss);
    assert!(lines[20].get("val_top1").is_none() && lines[20].get("test_loss").is_none());

    // The trainer's weights are the best ones, and give that loss.
    let samples = parabola(64, 2);
    let batches = samples.in_order().unwrap().map(Result::unwrap);
    let losses = batches.map(|batch| {
        let y = trainer
            .model()
            .forward(&Pass::eval(trainer.params()), &(&batch.inputs).into())
            .unwrap();
        y.mse(&(&batch.targets).into())
            .unwrap()
            .value()
            .item()
            .unwrap()
    });
    assert_eq!(losses.sum::<f64>() / 4.0, loss);

    for (name, is_there) in [("curves.svg", true), ("confusion.svg", false)] {
        assert_eq!(whole.join(name).exists(), is_there, "{name}");
    }
    for (stop_after, resume) in [(Some(7), false), (None, true)] {
        let config = Config {
            stop_after,
            resume,
            ..config(&parts)
        };
        regress(config).unwrap().run().unwrap();
    }
    let state = |out: &Path| State::read(out.join("last/state.safetensors")).unwrap();
    assert!(state(&whole).to_bytes().unwrap() == state(&parts).to_bytes().unwrap());
    assert_eq!(state(&parts).get::<f64>("best_loss").unwrap(), loss);
}

#[test]
fn without_sets_to_judge_by_the_last_weights_are_the_best() {
    let out = folder("alone");
    let smoothed = CrossEntropyOptions {
        label_smoothing: 0.1,
        ..CrossEntropyOptions::default()
    };
    let config = Config {
        epochs: 2,
        objective: Objective::classify_by(move |y, classes| cross_entropy(y, classes, smoothed)),
        ..config(&out)
    };
    let (model, params) = Mlp::build(2, 4);
    let results = finished(
        Trainer::new(model, params, quadrants(64, 1), config)
            .unwrap()
            .run(),
    );
    assert!(results.epoch == 2 && results.validation.is_none() && results.test.is_none());
    let read = |name: &str| fs::read(out.join(name)).unwrap();
    assert_eq!(
        read("best/model.safetensors"),
        read("last/model.safetensors")
    );
    assert!(out.join("curves.svg").exists());
}

#[test]
fn weight_files_say_what_a_model_is_described_as() {
    let out = folder("described");
    let mut description = Description::new("mlp of quadrants");
    description.metadata.insert("hidden".into(), "16".into());
    let config = Config {
        epochs: 1,
        model: Some(description),
        ..config(&out)
    };
    finished(train(config));
    let metadata = weights::read_metadata(out.join("best/model.safetensors")).unwrap();
    assert_eq!(
        (&*metadata["model"], &*metadata["hidden"]),
        ("mlp of quadrants", "16")
    );
    assert_eq!(config_of(&out)["model"], "mlp of quadrants");
}

/// Black and white images.
fn dots() -> Loader {
    let pixels = (0..16 * 64).map(|i| if i / 64 % 2 == 0 { 0 } else { 255 });
    let labels = (0..16).map(|i| i % 2).collect();
    let classes = vec!["black".into(), "white".into()];
    let set = ImageSet::new("dots", [8, 8, 1], pixels.collect(), labels, classes).unwrap();
    let loader = Loader::new(set, 8).unwrap();
    loader.normalised(&[0.5], &[0.25]).unwrap()
}

#[test]
fn a_model_of_this_crate_is_read_back_without_a_word_about_it() {
    let out = folder("wavemix");
    let config = models::Config {
        channels: 1,
        size: 8,
        task: models::Task::Classify { classes: 2 },
        ..models::Config::parse("WaveMixLite-8/1").unwrap()
    };
    let (model, params) = config.build(DType::F32, &Rng::new(0)).unwrap();
    let data = Data {
        test: Some(dots()),
        ..dots().into()
    };
    let told = Config {
        epochs: 2,
        out: Some(out.clone()),
        ..Config::default()
    };
    let results = finished(Trainer::new(model, params, data, told).unwrap().run());
    let saved = Saved::load(out.join("best/model.safetensors"), None).unwrap();
    let [read, built] = [saved.model.config(), &config].map(|config| config.to_json());
    assert_eq!(read, built);
    assert_eq!(
        (&saved.card.classes[..], &*saved.card.mean, &*saved.card.std),
        (
            &["black", "white"].map(String::from)[..],
            &[0.5][..],
            &[0.25][..]
        )
    );
    assert_eq!(saved.card.trained_on, "dots");
    let score = results.test.unwrap();
    assert_eq!(lines(&out)[2]["test_top1"], score.top1().unwrap());
    assert_eq!(
        out.join("mistakes.svg").exists(),
        cfg!(feature = "pictures")
    );
}

/// A quiet run in a process of its own, as its stderr is looked at, beside one that is not.
#[test]
fn a_quiet_run_writes_nothing_on_stderr() {
    const QUIET: &str = "WAVEMIX_TEST_QUIET";
    if let Ok(quiet) = std::env::var(QUIET) {
        let config = Config {
            epochs: 2,
            quiet: quiet == "yes",
            stop_after: Some(1),
            out: Some(folder("quiet")),
            ..Config::default().with_loss(|y, targets| y.mse(&targets.into()))
        };
        assert!(matches!(
            regress(config).unwrap().run().unwrap(),
            Outcome::Stopped
        ));
        return;
    }
    for quiet in ["yes", "no"] {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "a_quiet_run_writes_nothing_on_stderr",
                "--nocapture",
            ])
            .env(QUIET, quiet)
            .output()
            .unwrap();
        assert!(output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.is_empty(), quiet == "yes", "{said}");
    }
}
