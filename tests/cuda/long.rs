//! Long runs: on a GPU fifty and a thousand steps of a model that keeps it busy, on the stand-in as
//! many of a tiny one as take seconds.

use std::process::Command;
use std::time::{Duration, Instant};

use wavemix::autograd::trace::{Event, Watcher, watch};
use wavemix::cuda::{self, Capture, CapturedGraph};
use wavemix::data::{Batch, HostToDevice};
use wavemix::models::{Config, Model};
use wavemix::ops::{CrossEntropyOptions, cross_entropy};
use wavemix::optim::{Method, Optimizer};
use wavemix::{DType, Device, Module, Params, Pass, Precision, Result, Rng, Tensor};

use crate::harness::{ON_STAND_IN, gpu, part_of, unit};
use crate::on_stand_in;

fn tiny() -> bool {
    cuda::name(0).is_ok_and(|name| name.contains("stand-in"))
}

/// A model in training, on one device.
struct Load {
    model: Model,
    params: Params,
    optimizer: Optimizer,
    precision: Precision,
}

impl Load {
    fn new(device: Device, precision: Precision) -> Load {
        let (name, size) = if tiny() {
            ("WaveMixLite-8/1", 8)
        } else {
            ("WaveMixLite-32/3", 28)
        };
        let config = Config {
            channels: 1,
            size,
            dropout: 0.25,
            ..Config::parse(name).unwrap()
        };
        let (model, mut params) = config.build(DType::F32, &Rng::new(1)).unwrap();
        params.to_device(device).unwrap();
        let mut optimizer = Optimizer::new("adamw".parse::<Method>().unwrap(), &params).unwrap();
        if precision == Precision::F16 {
            optimizer = optimizer.with_loss_scaling().unwrap();
        }
        optimizer.set_lr(1e-2).unwrap();
        Load {
            model,
            params,
            optimizer,
            precision,
        }
    }

    /// Some images that look different by class, so that there is something to learn.
    fn batch(i: u64) -> Batch {
        let (n, size) = if tiny() { (8, 8) } else { (64, 28) };
        let labels: Vec<i64> = (0..n as i64).map(|k| (3 * k + i as i64) % 10).collect();
        let noise = Tensor::normal(
            [n, size, size, 1],
            0.0,
            1.0,
            DType::F32,
            &Rng::new(2).child(i),
        );
        let mut pixels = noise.to_vec::<f32>().unwrap();
        for (image, label) in pixels.chunks_mut(size * size).zip(&labels) {
            image.iter_mut().enumerate().for_each(|(at, x)| {
                *x += 3.0 * ((at % size) as f32 * (1 + label) as f32 * 0.3).sin()
            });
        }
        let images = Tensor::from_vec(pixels, [n, size, size, 1]).unwrap();
        Batch {
            inputs: images,
            targets: Tensor::from_vec(labels, [n]).unwrap(),
        }
    }

    fn step(&mut self, batch: &Batch, rng: &Rng) -> Result<Tensor> {
        let pass = Pass::train(&self.params, rng.clone()).in_precision(self.precision)?;
        let logits = self.model.forward(&pass, &(&batch.inputs).into())?;
        let loss = cross_entropy(&logits, &batch.targets, CrossEntropyOptions::default())?;
        let gradients = loss
            .backward_from(self.optimizer.loss_scale(&loss)?, &[])?
            .flatten(&self.params)?;
        let statistics = pass.into_updates();
        self.optimizer
            .advance(&mut self.params, &gradients, statistics)?;
        Ok(loss.into_value())
    }

    /// The losses of some steps.
    fn run(&mut self, steps: u64) -> Vec<f64> {
        self.run_on(steps, |images| images)
    }

    /// The losses of some steps on other images.
    fn run_on(&mut self, steps: u64, change: impl Fn(Tensor) -> Tensor) -> Vec<f64> {
        let device = self.params.device();
        let there = |batch: Batch| Batch {
            inputs: change(batch.inputs).to_device(device).unwrap(),
            targets: batch.targets.to_device(device).unwrap(),
        };
        (0..steps)
            .map(|i| {
                self.step(&there(Load::batch(i)), &Rng::new(3).child(i))
                    .unwrap()
                    .item()
                    .unwrap()
            })
            .collect()
    }

    /// The losses of some steps on the CPU, of weights and images of which every other number, the
    /// first or the second and so on, is one unit in the last place larger.
    fn run_rounded_otherwise(steps: u64, first: usize) -> Vec<f64> {
        let moved = |x: Tensor| {
            let mut numbers = x.to_vec::<f32>().unwrap();
            let every_other = numbers.iter_mut().skip(first).step_by(2);
            every_other.for_each(|x| *x = x.next_up());
            Tensor::from_vec(numbers, x.shape()).unwrap()
        };
        let mut load = Load::new(Device::Cpu, Precision::F32);
        for entry in load.params.entries().to_vec() {
            let value = moved(load.params.get(&entry.name).unwrap());
            load.params.set(&entry.name, &value).unwrap();
        }
        load.run_on(steps, moved)
    }
}

/// Counts the results that 16 bits would round on the way to the loss, and remembers each step's
/// logits, as their root mean square.
#[derive(Default)]
struct Rounded {
    results: usize,
    logits: Vec<f64>,
}

impl Watcher for Rounded {
    fn forward(&mut self, event: Event<'_>) {
        self.results += 1;
        if event.op == "cross_entropy" {
            let logits = event.inputs[0].to_vec::<f32>().unwrap();
            self.logits.push(
                (logits.iter().map(|x| f64::from(x * x)).sum::<f64>() / logits.len() as f64).sqrt(),
            );
        }
    }
}

fn steps() -> u64 {
    if tiny() { 12 } else { 50 }
}

/// How far losses in f32 may be apart, of themselves.
const IN_F32: f64 = 1e-4;

/// In 16 bits each of R results on the way to the loss is rounded, by at most u of itself, up or
/// down as chance has it. So logits z are off by u sqrt(R) rms(z), and the loss, whose gradient by
/// an image's logits, p - y, is at most sqrt(2) long, by u sqrt(2 R) rms(z). Gradients pass R
/// roundings more, and are off by u sqrt(2 R): so is the way that the weights have gone, and with
/// it, to first order, what the loss has changed by on that way. (It comes out some ten times
/// smaller, as pooling averages over pixels.)
///
/// In f32 the losses are within 1e-4 of themselves. How far roundings alone lead apart in so many
/// steps, whose first divide by roots of second moments next to 0, the CPU tells by runs whose
/// images and weights are rounded otherwise: 7e-6 at most in 50 steps of the larger model. They
/// must stay within a fifth of what a GPU may be off, which rounds otherwise in every op.
#[test]
fn fifty_steps_lose_what_they_lose_on_the_processor() {
    let Some(gpu) = gpu() else { return };
    let (watcher, want) = watch(Rounded::default(), || {
        Load::new(Device::Cpu, Precision::F32).run(steps())
    });
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    assert!(
        mean(&want[want.len() - 4..]) < 0.9 * mean(&want[..4]),
        "nothing is learned: {want:?}"
    );
    for first in [0, 1] {
        let other = Load::run_rounded_otherwise(steps(), first);
        for (step, (want, other)) in want.iter().zip(other).enumerate() {
            let allowed = 0.2 * IN_F32 * want;
            assert!(
                (want - other).abs() <= allowed,
                "rounded otherwise, step {step}: {other}, {want} by {allowed:.1e}"
            );
        }
    }
    let roundings = watcher.results as f64 / steps() as f64;
    for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
        let got = Load::new(gpu, precision).run(steps());
        let off = unit(precision.compute()) * (2.0 * roundings).sqrt();
        let mut way = 0.0f64;
        for (step, (want_now, got)) in want.iter().zip(&got).enumerate() {
            way = way.max((want[0] - want_now).abs());
            let allowed = match precision {
                Precision::F32 => IN_F32 * want_now,
                _ => off * (watcher.logits[step] + way),
            };
            let distance = (want_now - got).abs();
            assert!(
                distance <= allowed,
                "{precision}, step {step}: {got}, should be {want_now} within {allowed:.1e}"
            );
        }
        // Once more, the same bits.
        let again = Load::new(gpu, precision).run(steps());
        assert!(got == again, "{precision}: {got:?} once, {again:?} again");
    }
}

/// Set to the precision of a training step, in a process that has compiled nothing yet.
const AHEAD: &str = "WAVEMIX_TESTS_AHEAD";
/// Set where the step comes first.
const STEP_FIRST: &str = "WAVEMIX_TESTS_STEP_FIRST";

#[test]
fn kernels_compiled_ahead_are_those_that_a_step_launches() {
    let filter = ["long::what_a_step_launches", "--exact"];
    for precision in ["f32", "bf16", "f16"] {
        on_stand_in(&filter, &[(AHEAD, precision)]);
        on_stand_in(&filter, &[(AHEAD, precision), (STEP_FIRST, "1")]);
    }
}

#[test]
fn what_a_step_launches() {
    let Some(precision) = std::env::var_os(AHEAD) else {
        return part_of("kernels_compiled_ahead_are_those_that_a_step_launches");
    };
    let gpu = gpu().unwrap();
    let precision: Precision = precision.to_str().unwrap().parse().unwrap();
    let folder = std::env::var_os("WAVEMIX_KERNELS").unwrap();
    let cached = || std::fs::read_dir(&folder).map_or(0, Iterator::count);
    let ahead = || {
        let mut files = 0;
        cuda::compile_for_training(0, precision.compute(), |count| files = count).unwrap();
        files
    };
    if std::env::var_os(STEP_FIRST).is_some() {
        Load::new(gpu, precision).run(2);
        assert_eq!(ahead(), 0, "compiled ahead, but not launched");
        return;
    }
    let files = ahead();
    assert!(files > 10 && cached() == files);
    Load::new(gpu, precision).run(2);
    assert_eq!(cached(), files, "launched, but not compiled ahead");
    assert_eq!(ahead(), 0, "all is cached");
}

/// Runs what looks at the memory of a whole device, in a process where nothing else does.
#[test]
fn memory_stays_constant() {
    on_stand_in(&["long::alone"], &[(ALONE, "1")]);
    if std::env::var_os(ON_STAND_IN).is_none()
        && std::env::var_os(ALONE).is_none()
        && gpu().is_some()
    {
        let output = Command::new(std::env::current_exe().unwrap())
            .arg("long::alone")
            .env(ALONE, "1")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

const ALONE: &str = "WAVEMIX_TESTS_ALONE";

/// A thousand steps, launched one after the other, and a thousand replayed: from the first ones on
/// no memory is asked for, and none is kept.
#[test]
fn alone_a_thousand_steps_take_no_more_memory() {
    if std::env::var_os(ALONE).is_none() {
        return part_of("long::memory_stays_constant");
    }
    let Some(gpu) = gpu() else { return };
    let Device::Cuda(ordinal) = gpu else {
        unreachable!()
    };
    let mut load = Load::new(gpu, Precision::Bf16);
    let there = |batch: Batch| -> Result<Batch> {
        Ok(Batch {
            inputs: batch.inputs.to_device(gpu)?,
            targets: batch.targets.to_device(gpu)?,
        })
    };
    let constant = |what: &str, step: &mut dyn FnMut(u64)| {
        (0..3).for_each(&mut *step);
        let (before, began, mut done) = (cuda::pool_stats(ordinal).unwrap(), Instant::now(), 3);
        // On the stand-in for three seconds, however few steps those are, but for ten of them.
        let enough = |done| done >= 10 && began.elapsed() >= Duration::from_secs(3);
        while done < 1000 && !(tiny() && enough(done)) {
            step(done);
            done += 1;
        }
        let after = cuda::pool_stats(ordinal).unwrap();
        assert_eq!(before, after, "{what}: {done} steps");
    };
    constant("launched", &mut |i| {
        drop(
            load.step(&there(Load::batch(i % 7)).unwrap(), &Rng::new(3).child(i))
                .unwrap(),
        )
    });
    let (mut feed, mut place) = (
        HostToDevice::new(gpu).unwrap(),
        there(Load::batch(0)).unwrap(),
    );
    let mut capture = Capture::new(ordinal).unwrap();
    drop(
        capture
            .warm_up(|| load.step(&place, &Rng::new(3).child(0)))
            .unwrap(),
    );
    let (mut recording, loss): (CapturedGraph, Tensor) = capture
        .capture(|| load.step(&place, &Rng::new(3).child(1)))
        .unwrap();
    constant("replayed", &mut |i| {
        feed.send(&Load::batch(i % 7), &mut place).unwrap();
        recording.replay(&Rng::new(3).child(i)).unwrap();
        assert!(loss.item().unwrap().is_finite());
    });
}
