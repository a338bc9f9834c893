//! Optimizers, averages and whole training steps on the GPU, against the CPU.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Barrier;
use std::thread;

use wavemix::cli::{Job, Settings};
use wavemix::data::{Source, Split};
use wavemix::models::Config;
use wavemix::ops::{CrossEntropyOptions, cross_entropy};
use wavemix::optim::{Ema, Method, Optimizer, clip_norm, clip_value, norm, scale};
use wavemix::params::{Group, Updates};
use wavemix::train::Outcome;
use wavemix::{DType, Device, Gradients, Module, Params, Pass, Precision, Rng, Tensor};

use crate::harness::{Bound, ELEMENTWISE, close, gpu};
use crate::helpers::laid_out;

fn config() -> Config {
    Config {
        channels: 1,
        size: 14,
        dropout: 0.25,
        ..Config::parse("WaveMixLite-8/1").unwrap()
    }
}

fn batch(i: u64) -> (Tensor, Tensor) {
    let images = Tensor::normal([4, 14, 14, 1], 0.0, 1.0, DType::F32, &Rng::new(2).child(i));
    (
        images,
        Tensor::from_vec((0..4).map(|k| (3 * k + i as i64) % 10).collect(), [4]).unwrap(),
    )
}

/// The losses of some steps, the gradients of the last, and the weights after it.
fn trace(
    device: Device,
    precision: Precision,
    method: &str,
    steps: u64,
) -> (Vec<f64>, Tensor, Params) {
    let (model, mut params) = config().build(DType::F32, &Rng::new(1)).unwrap();
    params.to_device(device).unwrap();
    let mut optimizer = Optimizer::new(method.parse::<Method>().unwrap(), &params).unwrap();
    if precision == Precision::F16 {
        optimizer = optimizer.with_loss_scaling().unwrap();
    }
    let (mut losses, mut last) = (Vec::new(), None);
    for i in 0..steps {
        let (images, labels) = batch(i);
        let pass = Pass::train(&params, Rng::new(3).child(i))
            .in_precision(precision)
            .unwrap();
        let logits = model
            .forward(&pass, &images.to_device(device).unwrap().into())
            .unwrap();
        let loss = cross_entropy(
            &logits,
            &labels.to_device(device).unwrap(),
            CrossEntropyOptions::default(),
        )
        .unwrap();
        let gradients: Gradients = loss
            .backward_from(optimizer.loss_scale(&loss).unwrap(), &[])
            .unwrap();
        let statistics = pass.into_updates();
        let flat = gradients.flatten(&params).unwrap();
        optimizer
            .step_flat(&mut params, &flat, statistics, 1e-3)
            .unwrap();
        losses.push(loss.value().item().unwrap());
        last = Some(flat.to_device(Device::Cpu).unwrap());
    }
    assert_eq!(optimizer.steps().unwrap(), steps);
    (losses, last.unwrap(), params)
}

#[test]
fn ten_steps_lose_what_they_lose_on_the_processor() {
    let Some(gpu) = gpu() else { return };
    for method in ["adamw", "sgd", "lion"] {
        let (want, _, params) = trace(Device::Cpu, Precision::F32, method, 10);
        let (got, _, there) = trace(gpu, Precision::F32, method, 10);
        for (step, (want, got)) in want.iter().zip(&got).enumerate() {
            // Each step multiplies what the last one rounded; Lion steps by signs, which roundings
            // turn where gradients vanish.
            let bound = if method == "lion" { 2e-3 } else { 1e-4 };
            assert!(
                (want - got).abs() <= bound * want.abs(),
                "{method}, step {step}: {got}, should be {want}"
            );
        }
        // A bias in front of BatchNorm has a gradient of 0: the others step by the sign of its
        // roundings, and the mean follows.
        for (name, want) in params.buffers().iter().filter(|_| method == "sgd") {
            close(
                name,
                DType::F32,
                Bound {
                    roundings: 64.0,
                    terms: 20_000,
                },
                want,
                &there.get(name).unwrap(),
            )
            .unwrap();
        }
    }
}

#[test]
fn sixteen_bits_train_alike() {
    let Some(gpu) = gpu() else { return };
    let (want, gradients, _) = trace(Device::Cpu, Precision::F32, "sgd", 4);
    for precision in [Precision::Bf16, Precision::F16] {
        let (got, there, _) = trace(gpu, precision, "sgd", 4);
        for (step, (want, got)) in want.iter().zip(&got).enumerate() {
            assert!(
                (want - got).abs() <= 0.03 * want.abs(),
                "{precision}, step {step}: {got}, should be {want}"
            );
        }
        // Gradients of all weights, unscaled: their direction is the same but for the roundings of
        // 20 layers.
        let (a, b) = (
            gradients.to_vec::<f32>().unwrap(),
            there.to_vec::<f32>().unwrap(),
        );
        let dot = |x: &[f32], y: &[f32]| {
            x.iter()
                .zip(y)
                .map(|(x, y)| f64::from(*x) * f64::from(*y))
                .sum::<f64>()
        };
        let cosine = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
        assert!(cosine > 0.98, "{precision}: {cosine}");
    }
}

/// Two threads train on one device at the same time, one in f32 and one in TF32: each gets the bits
/// that it gets alone.
#[test]
fn passes_on_two_threads_keep_their_own_precision() {
    let Some(gpu) = gpu() else { return };
    let gradients = |precision: Precision, barrier: &Barrier| -> Vec<f32> {
        let (model, mut params) = config().build(DType::F32, &Rng::new(1)).unwrap();
        params.to_device(gpu).unwrap();
        let (images, labels) = batch(0);
        let (images, labels) = (
            images.to_device(gpu).unwrap(),
            labels.to_device(gpu).unwrap(),
        );
        barrier.wait();
        let pass = Pass::train(&params, Rng::new(3))
            .in_precision(precision)
            .unwrap();
        // Both passes exist before either of them computes.
        barrier.wait();
        let logits = model.forward(&pass, &images.into()).unwrap();
        let loss = cross_entropy(&logits, &labels, CrossEntropyOptions::default()).unwrap();
        let gradients = loss.backward().unwrap().flatten(&params).unwrap();
        gradients.to_vec().unwrap()
    };
    let precisions = [Precision::F32, Precision::Tf32];
    let alone = precisions.map(|precision| gradients(precision, &Barrier::new(1)));
    assert!(alone[0] != alone[1], "TF32 rounds nothing");
    let barrier = Barrier::new(2);
    let together = thread::scope(|scope| {
        precisions
            .map(|precision| {
                let (gradients, barrier) = (&gradients, &barrier);
                scope.spawn(move || gradients(precision, barrier))
            })
            .map(|thread| thread.join().unwrap())
    });
    for (i, precision) in precisions.into_iter().enumerate() {
        assert!(
            alone[i] == together[i],
            "{precision}: other bits where another pass runs"
        );
    }
}

/// More parameters than one launch takes, in f32 and in 16 bits.
#[test]
fn gradients_are_gathered_from_all_over() {
    let Some(gpu) = gpu() else { return };
    let deep = Config {
        channels: 1,
        size: 4,
        ..Config::parse("WaveMixLite-4/16").unwrap()
    };
    let flat = |device: Device, precision: Precision| -> (Tensor, Params, Gradients) {
        let (model, mut params) = deep.build(DType::F32, &Rng::new(1)).unwrap();
        params.to_device(device).unwrap();
        let pass = Pass::train(&params, Rng::new(3))
            .in_precision(precision)
            .unwrap();
        let images = Tensor::normal([2, 4, 4, 1], 0.0, 1.0, DType::F32, &Rng::new(2))
            .to_device(device)
            .unwrap();
        let labels = Tensor::from_vec(vec![1i64, 3], [2])
            .unwrap()
            .to_device(device)
            .unwrap();
        let logits = model.forward(&pass, &images.into()).unwrap();
        let gradients = cross_entropy(&logits, &labels, CrossEntropyOptions::default())
            .unwrap()
            .backward()
            .unwrap();
        (
            gradients
                .flatten(&params)
                .unwrap()
                .to_device(Device::Cpu)
                .unwrap(),
            params,
            gradients,
        )
    };
    let (want, _, _) = flat(Device::Cpu, Precision::F32);
    let (got, mut params, gradients) = flat(gpu, Precision::F32);
    assert!(params.entries().len() > 100);
    close(
        "gradients",
        DType::F32,
        Bound {
            roundings: 64.0,
            terms: 20_000,
        },
        &want,
        &got,
    )
    .unwrap();
    // In 16 bits weights' gradients come in f32 or in 16 bits, as each op makes them; none is
    // misplaced.
    let (got, ..) = flat(gpu, Precision::Bf16);
    let (want, got) = (want.to_vec::<f32>().unwrap(), got.to_vec::<f32>().unwrap());
    for entry in params
        .entries()
        .iter()
        .filter(|entry| entry.name.starts_with("pool."))
    {
        for (want, got) in want
            .iter()
            .zip(&got)
            .skip(entry.offset)
            .take(entry.shape.elements())
        {
            assert!(
                (want - got).abs() < 0.1,
                "{}: {got}, should be {want}",
                entry.name
            );
        }
    }
    params.to_device(Device::Cpu).unwrap();
    params.to_device(gpu).unwrap();
    assert!(gradients.flatten(&params).is_ok());
    params.to_device(Device::Cpu).unwrap();
    assert!(gradients.flatten(&params).is_err());
}

#[test]
fn gradients_are_measured_and_cut_alike() {
    let Some(gpu) = gpu() else { return };
    let (_, mut here) = config().build(DType::F32, &Rng::new(1)).unwrap();
    here.set_groups(|name| Group {
        frozen: name.contains("conv"),
        lr_scale: if name.ends_with("bias") { 2.0 } else { 1.0 },
        decay_scale: 0.5,
    });
    let mut there = here.clone();
    there.to_device(gpu).unwrap();
    let draw = Tensor::normal([here.count()], 0.0, 1.0, DType::F64, &Rng::new(5));
    let draw = laid_out(&here, draw.as_slice().unwrap());
    let (mut a, mut b) = (draw.clone(), draw.to_device(gpu).unwrap());
    let near = |a: f64, b: f64| assert!((a - b).abs() <= 1e-6 * a.abs(), "{a} {b}");
    near(norm(&here, &a).unwrap(), norm(&there, &b).unwrap());
    near(
        clip_norm(&here, &mut a, 2.0).unwrap(),
        clip_norm(&there, &mut b, 2.0).unwrap(),
    );
    clip_value(&mut a, 0.01).unwrap();
    clip_value(&mut b, 0.01).unwrap();
    scale(&mut a, 3.0).unwrap();
    scale(&mut b, 3.0).unwrap();
    close("gradients", DType::F32, ELEMENTWISE, &a, &b).unwrap();
    let bound = Bound {
        roundings: 4.0,
        terms: 64,
    };
    let same = |what: &str, p: &Params, q: &Params| {
        close(what, DType::F32, bound, p.arena(), q.arena()).unwrap();
    };
    for method in Method::NAMES {
        let method: Method = method.parse().unwrap();
        let (mut p, mut q) = (here.clone(), there.clone());
        let (mut on_p, mut on_q) = (
            Optimizer::new(method, &p).unwrap(),
            Optimizer::new(method, &q).unwrap(),
        );
        let (mut mean_p, mut mean_q) = (Ema::new(&p, 0.9).unwrap(), Ema::new(&q, 0.9).unwrap());
        for _ in 0..3 {
            on_p.step_flat(&mut p, &a, Updates::none(), 0.01).unwrap();
            on_q.step_flat(&mut q, &b, Updates::none(), 0.01).unwrap();
            mean_p.update(&p).unwrap();
            mean_q.update(&q).unwrap();
        }
        same(&format!("{method}"), &p, &q);
        mean_p.copy_to(&mut p).unwrap();
        mean_q.copy_to(&mut q).unwrap();
        same("mean", &p, &q);
    }
}

const JOB: Job = Job {
    name: "emnist_balanced",
    about: "A run small enough for a test.",
    splits: &[("digits", Source::Emnist(Split::Digits))],
    model: "WaveMixLite-4/1",
    stem: Some("strided:2,2"),
    batch_size: "8",
    epochs: "2",
    dropout: "0.2",
    lr: 0.01,
    glyphs: [8, 2],
    mirrors: false,
};

fn run(device: &str, precision: &str, folder: &Path) -> f64 {
    let arguments = [
        "test",
        "--out",
        folder.to_str().unwrap(),
        "--device",
        device,
        "--precision",
        precision,
        "--threads",
        "1",
    ];
    let mut settings = Settings::parse(&JOB, arguments.map(OsString::from))
        .unwrap()
        .unwrap();
    settings.default_data = Some(folder.join("no-data"));
    let mut trainer = settings.trainer().unwrap();
    assert!(matches!(trainer.run().unwrap(), Outcome::Finished(_)));
    // 70 images an epoch: 8 full batches, of which the first two of the run are not replayed, and a
    // smaller one.
    assert_eq!(
        trainer.replayed_steps(),
        if device == "cuda" { 14 } else { 0 }
    );
    let metrics = std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    let (_, rest) = metrics
        .lines()
        .nth(1)
        .unwrap()
        .split_once("\"train_loss\":")
        .unwrap();
    rest.split(',').next().unwrap().parse().unwrap()
}

/// Adds up the bytes that ops keep for the backward pass.
struct Kept(usize);

impl wavemix::autograd::trace::Watcher for Kept {
    fn forward(&mut self, event: wavemix::autograd::trace::Event<'_>) {
        self.0 += event
            .saves
            .iter()
            .map(|tensor| tensor.bytes())
            .sum::<usize>();
    }
}

#[test]
fn sixteen_bits_keep_half_the_bytes() {
    let Some(gpu) = gpu() else { return };
    let (model, mut params) = config().build(DType::F32, &Rng::new(1)).unwrap();
    params.to_device(gpu).unwrap();
    let images = batch(0).0.to_device(gpu).unwrap();
    let kept = |precision| {
        let pass = Pass::train(&params, Rng::new(3))
            .in_precision(precision)
            .unwrap();
        let (Kept(bytes), y) = wavemix::autograd::trace::watch(Kept(0), || {
            model.forward(&pass, &(&images).into()).unwrap()
        });
        drop(y);
        bytes
    };
    // But for mean, variance and gamma of BatchNorm's 8 channels, which are f32 in both.
    let statistics = 3 * 8 * 4;
    assert_eq!(
        kept(Precision::F32) - statistics,
        2 * (kept(Precision::Bf16) - statistics)
    );
}

/// Where little memory was given to the stand-in, for the search to end soon.
#[test]
fn the_largest_batch_is_found() {
    if std::env::var_os("WAVEMIX_STAND_IN_MEMORY").is_none() || gpu().is_none() {
        return;
    }
    let folder = std::env::temp_dir();
    let arguments = ["test", "--max-batch", "--device", "cuda", "--threads", "1"];
    let mut settings = Settings::parse(&JOB, arguments.map(OsString::from))
        .unwrap()
        .unwrap();
    settings.default_data = Some(folder.join("no-data"));
    wavemix::cli::run(settings).unwrap();
    let arguments = ["test", "--max-batch", "--device", "cpu"];
    let error = wavemix::cli::run(
        Settings::parse(&JOB, arguments.map(OsString::from))
            .unwrap()
            .unwrap(),
    )
    .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("--max-batch fills a GPU's memory"),
        "{error}"
    );
}

/// Whole runs of the trainer: bytes for images, steps recorded and replayed, the last batch of an
/// epoch smaller.
#[test]
fn the_trainer_runs_alike() {
    if gpu().is_none() {
        return;
    }
    // Not beside the build: a packed binary runs where there is none.
    let all = std::env::temp_dir().join(format!("wavemix-cuda-{}", std::process::id()));
    let folder = |name: &str| all.join(name);
    let want = run("cpu", "f32", &folder("cpu"));
    for (precision, bound) in [("f32", 1e-3), ("bf16", 3e-2), ("f16", 3e-2)] {
        let got = run("cuda", precision, &folder(precision));
        assert!(
            (want - got).abs() <= bound * want,
            "{precision}: {got}, should be {want}"
        );
    }
    // The same bits once more: nothing depends on which block was faster.
    run("cuda", "bf16", &folder("again"));
    let read = |name: &str| std::fs::read(folder(name).join("last/model.safetensors")).unwrap();
    assert_eq!(read("bf16"), read("again"));
    std::fs::remove_dir_all(all).unwrap();
}
