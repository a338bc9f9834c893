//! The models that the papers compare WaveMix with, against their reference implementations:
//! `goldens/models/` wrote the numbers.

#[path = "baselines/cct.rs"]
mod cct;
#[path = "baselines/convmixer.rs"]
mod convmixer;
#[path = "baselines/cpv.rs"]
mod cpv;
#[path = "baselines/cvt.rs"]
mod cvt;
#[path = "baselines/deeplab.rs"]
mod deeplab;
#[path = "baselines/fnet.rs"]
mod fnet;
#[path = "baselines/golden.rs"]
mod golden;
mod helpers;
#[path = "baselines/hybrid_vin.rs"]
mod hybrid_vin;
#[path = "baselines/mlp_mixer.rs"]
mod mlp_mixer;
#[path = "baselines/mlp_mixer_2d.rs"]
mod mlp_mixer_2d;
#[path = "baselines/mobilenet.rs"]
mod mobilenet;
#[path = "baselines/resnet.rs"]
mod resnet;
#[path = "baselines/segformer.rs"]
mod segformer;
#[path = "baselines/unet.rs"]
mod unet;
#[path = "baselines/vit.rs"]
mod vit;

use wavemix::models::{Architecture, Config, Task};
use wavemix::ops::{CrossEntropyOptions, cross_entropy};
use wavemix::optim::{Method, Optimizer, StepOptions};
use wavemix::{DType, Module, Precision, Rng, Tensor, Var};

use golden::{Golden, Outcome, assert_near, run};

/// A model of few parameters, and the golden that it has.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// That of the golden's file.
    pub(crate) name: &'static str,
    pub(crate) architecture: fn() -> Architecture,
    /// The largest difference of a number, over the largest of its tensor, or 1.
    pub(crate) tolerance: f64,
    /// Steps in which it learns a batch by heart.
    pub(crate) steps: u64,
    /// Whether its maps have labels drawn for each pixel. Heads that enlarge theirs cannot tell single
    /// pixels apart, and get one label an image.
    pub(crate) each_pixel: bool,
}

impl Case {
    pub(crate) const fn of(name: &'static str, architecture: fn() -> Architecture) -> Case {
        Case {
            name,
            architecture,
            tolerance: 1e-10,
            steps: 150,
            each_pixel: false,
        }
    }

    /// The model, for the golden's images and outputs, without dropout.
    fn config(&self, golden: &Golden) -> Config {
        let (images, output) = (golden.get("input"), golden.get("output"));
        let classes = output.shape()[output.shape().len() - 1];
        let task = match output.shape().len() {
            2 => Task::Classify { classes },
            _ => Task::Segment { classes },
        };
        Config {
            dropout: 0.0,
            channels: images.shape()[3],
            size: images.shape()[1],
            task,
            ..Config::of((self.architecture)())
        }
    }
}

/// How many parameters a model of the papers has.
#[derive(Clone, Copy)]
pub(crate) struct Count {
    pub(crate) name: &'static str,
    pub(crate) size: usize,
    pub(crate) task: Task,
    pub(crate) set: &'static [(&'static str, &'static str)],
    pub(crate) parameters: usize,
}

impl Count {
    /// Of images of 32x32.
    pub(crate) const fn of(name: &'static str, classes: usize, parameters: usize) -> Count {
        Count {
            name,
            size: 32,
            task: Task::Classify { classes },
            set: &[],
            parameters,
        }
    }

    /// Of a model that segments images of this smaller side.
    pub(crate) const fn of_pixels(
        name: &'static str,
        size: usize,
        classes: usize,
        parameters: usize,
    ) -> Count {
        Count {
            size,
            task: Task::Segment { classes },
            ..Count::of(name, classes, parameters)
        }
    }

    fn config(&self) -> Config {
        let set = |config: Config, (setting, value): &(&str, &str)| config.with(setting, value);
        let config = Config {
            size: self.size,
            task: self.task,
            ..Config::parse(self.name).unwrap()
        };
        self.set.iter().try_fold(config, set).unwrap()
    }
}

/// All golden models and all counts, a family each.
const FAMILIES: &[(&[Case], &[Count])] = &[
    (resnet::CASES, resnet::COUNTS),
    (mobilenet::CASES, mobilenet::COUNTS),
    (convmixer::CASES, convmixer::COUNTS),
    (fnet::CASES, fnet::COUNTS),
    (mlp_mixer::CASES, mlp_mixer::COUNTS),
    (mlp_mixer_2d::CASES, mlp_mixer_2d::COUNTS),
    (vit::CASES, vit::COUNTS),
    (cct::CASES, cct::COUNTS),
    (cvt::CASES, cvt::COUNTS),
    (hybrid_vin::CASES, hybrid_vin::COUNTS),
    (cpv::CASES, cpv::COUNTS),
    (unet::CASES, unet::COUNTS),
    (deeplab::CASES, deeplab::COUNTS),
    (segformer::CASES, segformer::COUNTS),
];

fn cases() -> impl Iterator<Item = &'static Case> {
    FAMILIES.iter().flat_map(|(cases, _)| *cases)
}

fn counts() -> impl Iterator<Item = &'static Count> {
    FAMILIES.iter().flat_map(|(_, counts)| *counts)
}

/// Loading compares all names and shapes of the state dict with the golden's.
#[test]
fn outputs_gradients_and_statistics_are_the_references() {
    for case in cases() {
        let (golden, name) = (Golden::read(case.name), case.name);
        let got = run(&golden, &case.config(&golden), Precision::F32, DType::F64);
        let near = |what: &str, got: &Tensor, want: &str| {
            let what = format!("{name}: {what}");
            assert_near(&what, got, &golden.get(want), case.tolerance);
        };
        near("output", &got.y, "output");
        near("gradient of the images", &got.images, "grad_input");
        // A bias before BatchNorm has no gradient but rounding: all are judged by the largest.
        let largest = golden.largest("grad");
        for (key, want) in golden.under("grad") {
            let what = format!("{name}: gradient of {key}");
            golden::assert_within(&what, &got.weights[&key], &want, case.tolerance * largest);
        }
        for (key, want) in golden.under("after") {
            let what = format!("{name}: {key} after the step");
            assert_near(&what, &got.weights[&key], &want, case.tolerance);
        }
    }
}

#[test]
fn names_and_settings_survive_json() {
    for count in counts() {
        let config = count.config();
        assert_eq!(config.to_string(), count.name);
        let again = Config::from_json(&config.to_json()).unwrap();
        assert_eq!(again.to_json(), config.to_json(), "{}", count.name);
        assert!(wavemix::models::names().contains(count.name.split('-').next().unwrap()));
    }
}

/// By a summary, which runs on shapes alone: the images need no memory. Its rows list all.
#[test]
fn parameter_counts_are_exact() {
    for count in counts() {
        let config = count.config();
        let summary = config.summary([count.size; 2], Precision::F32).unwrap();
        let listed: usize = summary.rows.iter().map(|row| row.parameters).sum();
        assert_eq!(summary.parameters, count.parameters, "{summary}");
        assert_eq!(listed, count.parameters, "{summary}");
        assert!(summary.flops() > 0, "{summary}");
    }
}

/// The losses of these steps on one batch of noise, and the weights after them.
fn train(case: &Case, config: &Config, images: usize, steps: u64) -> (Vec<f64>, Vec<f32>) {
    let (model, mut params) = config.build(DType::F32, &Rng::new(1)).unwrap();
    let shape = [images, config.size, config.size, config.channels];
    let x = Var::from(Tensor::normal(shape, 0.0, 1.0, DType::F32, &Rng::new(2)));
    let mut optimizer = Optimizer::new("adamw".parse::<Method>().unwrap(), &params).unwrap();
    let mut losses = Vec::new();
    for i in 0..steps {
        let options = StepOptions::new(0.01, Rng::new(3).child(i));
        let loss = optimizer.train_step(&mut params, options, |pass| {
            let y = model.forward(pass, &x)?;
            let (places, classes) = y.shape().split_at(y.shape().len() - 1);
            let count = places.iter().product::<usize>();
            let each = if case.each_pixel {
                1
            } else {
                count / places[0]
            };
            let label = |i: usize| ((7 * i + i / 3) % classes[0]) as i64;
            let labels = (0..count).map(|i| label(i / each)).collect();
            let labels = Tensor::from_vec(labels, places)?;
            cross_entropy(&y, &labels, CrossEntropyOptions::default())
        });
        losses.push(loss.unwrap().item().unwrap());
    }
    (losses, params.arena().to_vec().unwrap())
}

#[test]
fn one_batch_is_learned_by_heart() {
    for case in cases() {
        let config = case.config(&Golden::read(case.name));
        let (losses, _) = train(case, &config, 4, case.steps);
        let (first, last) = (losses[0], losses[losses.len() - 1]);
        assert!(
            last < 0.05 * first,
            "{}: the loss went from {first} to {last}",
            case.name
        );
    }
}

#[test]
fn two_threads_give_the_bits_of_one() {
    for case in cases() {
        let config = Config {
            dropout: 0.3,
            ..case.config(&Golden::read(case.name))
        };
        let on = |threads: usize| helpers::on_threads(threads, || train(case, &config, 16, 2));
        assert!(on(1) == on(2), "{}: bits depend on the threads", case.name);
    }
}

/// A model's largest difference to f64 from the same numbers, when it computes in bf16, is that of its
/// activations' rounding: a unit in the last place is 1/256, and a network passes a few dozen.
#[test]
fn bf16_is_near_f64() {
    for case in cases() {
        let golden = Golden::read(case.name);
        let config = case.config(&golden);
        let Outcome { y, .. } = run(&golden, &config, Precision::Bf16, DType::F32);
        let want = golden.get("output");
        let scale = golden::rms(&want);
        let off = golden::rms(&golden::difference(&y, &want)) / scale;
        assert!(off < 0.1, "{}: {off} of the output's size", case.name);
    }
}

#[test]
fn other_tasks_are_refused() {
    let config = Config {
        task: Task::Segment { classes: 3 },
        ..Config::parse("ResNet-18").unwrap()
    };
    assert_eq!(
        config.check().unwrap_err().to_string(),
        "ResNet-18: it classifies images, and has no head for other tasks"
    );
    assert_eq!(
        Config::parse("ResNet-18")
            .unwrap()
            .with("kernel", 3)
            .unwrap_err()
            .to_string(),
        "ResNet-18: it has no setting `kernel`; its settings are: stem"
    );
    let other = Config::parse("MobileNetV2").unwrap().with("kernel", 3);
    assert_eq!(
        other.unwrap_err().to_string(),
        "MobileNetV2: it has no setting `kernel`, nor any other"
    );
}
