//! The trainer with a user's own model and data on the GPU, against the CPU.

use std::path::Path;

use wavemix::data::TensorDataset;
use wavemix::nn::Linear;
use wavemix::optim::Schedule;
use wavemix::train::{Config, Data, Outcome, Trainer};
use wavemix::{DType, Device, Params, Pass, Precision, Result, Rng, Tensor, Var, data::Loader};

use crate::events::scalars;
use crate::harness::gpu;

/// x to its square, in batches of 16.
fn parabola(count: usize, seed: u64) -> Loader {
    let x = Tensor::uniform([count, 1], -1.0, 1.0, DType::F32, &Rng::new(seed));
    let y = Var::from(&x).square().unwrap().into_value();
    Loader::new(TensorDataset::new(x, y).unwrap(), 16).unwrap()
}

/// A run of two layers that learn it.
fn run_of(folder: &Path, config: Config) -> Trainer {
    let ((hidden, output), params) = Params::declare(DType::F32, &Rng::new(0), |names| {
        Ok((
            Linear::new(names, "hidden", [1, 16])?,
            Linear::new(names, "output", [16, 1])?,
        ))
    })
    .unwrap();
    let model = move |pass: &Pass, x: &Var| -> Result<Var> {
        use wavemix::Module;
        let hidden = hidden.forward(pass, x)?.relu()?;
        output.forward(pass, &hidden)
    };
    let data = Data {
        validation: Some(parabola(40, 2)),
        ..parabola(72, 1).into()
    };
    let config = Config {
        epochs: 4,
        out: Some(folder.to_owned()),
        ..config.with_loss(|y, targets| y.mse(&targets.into()))
    };
    Trainer::new(model, params, data, config).unwrap()
}

/// Trains them, and gives the lowest validation loss and how many steps were replayed.
fn train(folder: &Path, config: Config) -> (Option<f64>, u64) {
    let mut trainer = run_of(folder, config);
    let loss = match trainer.run().unwrap() {
        Outcome::Finished(results) => results.validation.unwrap().loss(),
        Outcome::Stopped => None,
    };
    (loss, trainer.replayed_steps())
}

/// Losses stay on the device for some steps: one that is not finite ends the run all the same.
#[test]
fn a_loss_that_is_not_finite_ends_the_run() {
    let Some(device) = gpu() else { return };
    let out = std::env::temp_dir().join(format!("wavemix-cuda-loss-{}", std::process::id()));
    let config = Config {
        device,
        lr: 1e30,
        schedule: Schedule::Constant,
        ..Config::default()
    };
    let error = run_of(&out, config).run().err().unwrap().to_string();
    assert!(
        error.starts_with("the loss became ") && error.contains(": first non-finite is "),
        "{error}"
    );
    std::fs::remove_dir_all(out).unwrap();
}

#[test]
fn a_users_model_trains_alike() {
    let Some(device) = gpu() else { return };
    let all = std::env::temp_dir().join(format!("wavemix-cuda-own-{}", std::process::id()));
    let on = |device: Device, precision: Precision| Config {
        device,
        precision,
        lr: 0.02,
        tensorboard: true,
        ..Config::default()
    };
    let (want, _) = train(&all.join("cpu"), on(Device::Cpu, Precision::F32));
    let want = want.unwrap();
    // 72 samples an epoch: four full batches, of which the first two of the run are not replayed,
    // and a smaller one.
    for (precision, bound) in [(Precision::F32, 1e-3), (Precision::Bf16, 3e-2)] {
        let (got, replayed) = train(&all.join(precision.to_string()), on(device, precision));
        let got = got.unwrap();
        assert!(
            (want - got).abs() <= bound * want,
            "{precision}: {got}, should be {want}"
        );
        assert_eq!(replayed, 14, "{precision}");
    }
    let state = |name: &str| std::fs::read(all.join(name).join("last/state.safetensors")).unwrap();
    // Stopped and gone on with: the same bits.
    for (stop_after, resume) in [(Some(2), false), (None, true)] {
        let config = Config {
            stop_after,
            resume,
            ..on(device, Precision::F32)
        };
        train(&all.join("parts"), config);
    }
    assert!(state("parts") == state(&Precision::F32.to_string()));
    // Clipping needs the norm on the CPU, step by step.
    let clipped = Config {
        max_norm: Some(0.5),
        ..on(device, Precision::F32)
    };
    let (got, replayed) = train(&all.join("clipped"), clipped.clone());
    let (want, _) = train(
        &all.join("clipped-cpu"),
        Config {
            device: Device::Cpu,
            ..clipped
        },
    );
    let (got, want) = (got.unwrap(), want.unwrap());
    assert!(
        (want - got).abs() <= 1e-3 * want,
        "clipped: {got}, should be {want}"
    );
    assert_eq!(replayed, 0);
    // What TensorBoard is told of each step, of which a GPU has the losses and norms.
    for (on_gpu, on_cpu) in [("f32", "cpu"), ("parts", "cpu"), ("clipped", "clipped-cpu")] {
        for tag in ["step/loss", "step/gradient_norm"] {
            let [got, want] = [on_gpu, on_cpu].map(|run| scalars(&all.join(run), tag));
            let largest = want.iter().fold(0.0, |most: f32, (_, x)| most.max(*x));
            assert!(want.len() == 20 && got.len() == 20, "{on_gpu} {tag}");
            for ((step, got), (there, want)) in got.iter().zip(&want) {
                assert!(
                    step == there && (got - want).abs() <= 1e-3 * largest,
                    "{on_gpu} {tag} of step {step}: {got}, should be {want}"
                );
            }
        }
        assert!(scalars(&all.join(on_gpu), "step/loss_scale").is_empty());
    }
    // A profile sees the kernels of its steps, which are launched one by one, and changes nothing.
    let profiled = Config {
        profile: Some(2),
        ..on(device, Precision::F32)
    };
    let (_, replayed) = train(&all.join("profiled"), profiled);
    assert_eq!(replayed, 12);
    assert!(state("profiled") == state("f32"));
    let trace = std::fs::read_to_string(all.join("profiled/profile.json")).unwrap();
    let trace: serde_json::Value = serde_json::from_str(&trace).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let kernels = events.iter().filter(|event| event["cat"] == "kernel");
    let adamw = kernels.clone().filter(|event| event["name"] == "adamw f32");
    // Other tests may start kernels meanwhile: never fewer than these.
    assert!(adamw.count() >= 2 && kernels.count() > 20);
    train(&all.join("f16"), on(device, Precision::F16));
    let scales = scalars(&all.join("f16"), "step/loss_scale");
    assert!(scales.len() == 20 && scales.iter().all(|(_, scale)| scale.log2().fract() == 0.0));
    std::fs::remove_dir_all(all).unwrap();
}
