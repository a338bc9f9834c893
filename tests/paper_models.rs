//! Every model of the papers takes a training step: one block of each, since all blocks of a model
//! are alike, on one image, on 16 and on 64. How work is cut into tasks depends on all of these.

use std::fmt::Display;

use wavemix::models::{Config, Mixing, Resize, Task};
use wavemix::ops::{CrossEntropyOptions, Interpolation, cross_entropy, focal_loss, mse};
use wavemix::optim::{Method, Optimizer, StepOptions};
use wavemix::{DType, Module, Precision, Rng, Tensor, Var};

/// A model by its name, for square images of this side.
fn named(name: &str, size: usize) -> Config {
    Config {
        size,
        ..Config::parse(name).unwrap()
    }
}

/// The same model with another value of one of WaveMix's settings.
fn with(config: Config, setting: &str, value: impl Display) -> Config {
    config.with(setting, value).unwrap()
}

fn mixing(config: Config, mixing: Mixing) -> Config {
    with(config, "mixing", mixing)
}

/// One step of AdamW on noise: the loss and all weights after it are finite, and the weights have
/// moved.
fn step(config: &Config, images: usize, precision: Precision) {
    let (model, mut params) = config.build(DType::F32, &Rng::new(1)).unwrap();
    let before = params.arena().to_vec::<f32>().unwrap();
    let mut optimizer = Optimizer::new("adamw".parse::<Method>().unwrap(), &params).unwrap();
    let shape = [images, config.size, config.size, config.channels];
    let x = Var::from(Tensor::normal(shape, 0.0, 1.0, DType::F32, &Rng::new(2)));
    let what = format!("{config:?} on {images} images in {precision:?}");
    let options = StepOptions {
        precision,
        ..StepOptions::new(1e-3, Rng::new(3))
    };
    let loss = optimizer.train_step(&mut params, options, |pass| {
        let y = pass.output(model.forward(pass, &pass.input(&x)?)?)?;
        let labels = |count: usize, classes: usize| {
            (0..count)
                .map(|i| (i * 7 % classes) as i64)
                .collect::<Vec<_>>()
        };
        match config.task {
            Task::Classify { classes } => cross_entropy(
                &y,
                &Tensor::from_vec(labels(images, classes), [images])?,
                CrossEntropyOptions::default(),
            ),
            Task::Segment { classes } => {
                let shape = [images, config.size, config.size];
                focal_loss(
                    &y,
                    &Tensor::from_vec(labels(shape.iter().product(), classes), shape)?,
                    2.0,
                    Some(255),
                )
            }
            Task::Upscale { .. } => mse(&y, &Tensor::zeros(y.shape(), DType::F32).into()),
        }
    });
    let loss = loss
        .unwrap_or_else(|e| panic!("{what}: {e}"))
        .item()
        .unwrap();
    let after = params.arena().to_vec::<f32>().unwrap();
    assert!(
        loss.is_finite() && after.iter().all(|w| w.is_finite()),
        "{what}: loss {loss}"
    );
    assert!(before != after, "{what}: no weight moved");
}

/// In bf16 on one of these batches: it is cut as f32 is.
fn steps(config: &Config, batches: &[usize]) {
    batches
        .iter()
        .for_each(|&images| step(config, images, Precision::F32));
    step(config, batches[batches.len() / 2], Precision::Bf16);
}

/// WaveMix-Lite of tables 2, 5 and 7, on CIFAR's and on EMNIST's images.
#[test]
fn wavemix_lite() {
    for dim in [8, 16, 32, 64, 112, 128, 144, 256] {
        steps(&named(&format!("WaveMixLite-{dim}/1"), 32), &[1, 16, 64]);
    }
    for (dim, ff) in [(112, 112), (128, 128), (128, 256)] {
        steps(
            &Config {
                channels: 1,
                ..with(named(&format!("WaveMixLite-{dim}/1"), 28), "ff", ff)
            },
            &[1, 16, 64],
        );
    }
    for dim in [8, 32] {
        let resize = Resize::Upsample(Interpolation::Bilinear);
        steps(
            &with(named(&format!("WaveMixLite-{dim}/1"), 28), "resize", resize),
            &[1, 16, 64],
        );
    }
}

/// Table 8 (one level of the transform), the package's cascades, and the ablations of section 4.7.
#[test]
fn levels_cascades_and_ablations() {
    for size in [28, 32] {
        for level in 1..=4 {
            steps(
                &mixing(named("WaveMixLite-144/1", size), Mixing::Level(level)),
                &[1, 16, 64],
            );
            steps(
                &mixing(named("WaveMixLite-144/1", size), Mixing::Cascade(level)),
                &[1, 16, 64],
            );
        }
    }
    for kind in [Mixing::Identity, Mixing::Dft, Mixing::MaxPool] {
        steps(&mixing(named("WaveMixLite-128/1", 32), kind), &[1, 16, 64]);
    }
}

/// WaveMix of the first paper, and wider ones.
#[test]
fn wavemix() {
    for dim in [16, 32, 64, 128] {
        steps(&named(&format!("WaveMix-{dim}/1"), 32), &[1, 16, 64]);
    }
    steps(&named("WaveMix-64/1", 64), &[1, 16, 64]);
}

/// Tiny ImageNet's, STL-10's and the larger sets' images, whose stems have strides.
#[test]
fn larger_images() {
    for (name, size) in [
        ("WaveMixLite-128/1", 64),
        ("WaveMixLite-256/1", 64),
        ("WaveMixLite-128/1", 96),
        ("WaveMixLite-144/1", 224),
        ("WaveMixLite-256/1", 256),
    ] {
        steps(&named(name, size), &[1, 16, 64]);
    }
}

/// Table 9's segmentation models and the package's super-resolution.
#[test]
fn maps_and_larger_pictures() {
    for (dim, ff, mult) in [
        (128, 128, 2),
        (256, 256, 2),
        (256, 512, 3),
        (160, 160, 2),
        (272, 272, 2),
    ] {
        let config = named(&format!("WaveMixLite-{dim}/1"), 128);
        steps(
            &Config {
                task: Task::Segment { classes: 20 },
                ..with(with(config, "ff", ff), "mult", mult)
            },
            &[1, 16, 64],
        );
    }
    steps(
        &Config {
            task: Task::Upscale { channels: 3 },
            ..named("WaveMixLite-144/1", 32)
        },
        &[1, 16, 64],
    );
}
