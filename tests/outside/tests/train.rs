//! What is written outside of wavemix, checked and trained.

use std::io::Write;
use std::path::PathBuf;

use outside::{Mlp, Signum, Spirals, mish};
use wavemix::cuda;
use wavemix::gradcheck::gradcheck;
use wavemix::prelude::*;
use wavemix::profile::{Kind, Profiler};
use wavemix::train::{Config, Data, Outcome, Trainer};

/// A GPU, or the stand-in where the tests are run on it; without either this is said.
fn gpu() -> Option<Device> {
    match cuda::usable(0) {
        Ok(()) => Some(Device::Cuda(0)),
        Err(why) => {
            let wanted = std::env::var_os("WAVEMIX_TESTS_ON_STAND_IN").is_some();
            assert!(!wanted, "the stand-in is not usable: {why}");
            let _ = writeln!(std::io::stderr(), "skipped: {why}");
            None
        }
    }
}

/// The top-1 accuracy of the best weights on other spirals, and the losses of the epochs.
fn trained(device: Device, name: &str, epochs: usize) -> (f64, PathBuf) {
    let loader = |seed| {
        let points = Spirals { points: 300, seed };
        Loader::new(points, 30).unwrap()
    };
    let data = Data {
        train: loader(1),
        validation: Some(loader(2)),
        test: Some(loader(3)),
    };
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("outside-{name}-{}", std::process::id()));
    let config = Config {
        epochs,
        lr: 5e-3,
        rule: Signum { beta: 0.9 }.into(),
        device,
        out: Some(out.clone()),
        ..Config::default()
    };
    let (model, params) = Params::declare(DType::F32, &Rng::new(0), Mlp::new).unwrap();
    let mut trainer = Trainer::new(model, params, data, config).unwrap();
    let Outcome::Finished(results) = trainer.run().unwrap() else {
        panic!("nothing stopped it")
    };
    let test = results.test.expect("there is a test set");
    (test.top1().expect("it classifies"), out)
}

#[test]
fn the_op_has_its_derivative() {
    let x = Tensor::normal([3, 5], 0.0, 3.0, DType::F64, &Rng::new(1));
    gradcheck(|v| mish(&v[0]), &[x]).unwrap();
    let y = mish(&Tensor::from_vec(vec![-2.0f64, 0.0, 1.5], 3).unwrap().into()).unwrap();
    // torch.nn.functional.mish of the same in f64.
    for (got, want) in
        y.to_vec::<f64>()
            .unwrap()
            .iter()
            .zip([-0.2525014826957, 0.0, 1.4033782663958])
    {
        assert!((got - want).abs() < 1e-12, "{got} for {want}");
    }
}

#[test]
fn the_ops_kernels_agree_with_the_cpu_and_are_profiled() {
    let Some(gpu) = gpu() else { return };
    for dtype in [DType::F32, DType::BF16, DType::F16] {
        for n in [1usize, 7, 1000, 70_001] {
            let x = Tensor::normal(n, 0.0, 3.0, DType::F32, &Rng::new(n as u64))
                .cast(dtype)
                .unwrap();
            let [own, there] = [Device::Cpu, gpu].map(|device| {
                let x = if device == Device::Cpu {
                    x.cast(DType::F64)
                } else {
                    x.to_device(gpu)
                };
                let x = Var::leaf(x.unwrap());
                let y = mish(&x).unwrap();
                let gradients = y.sum(..).unwrap().backward().unwrap();
                [y.value(), gradients.of(&x).unwrap()].map(|value| {
                    value
                        .to_device(Device::Cpu)
                        .unwrap()
                        .cast(DType::F64)
                        .unwrap()
                        .to_vec::<f64>()
                        .unwrap()
                })
            });
            // Half a unit of the type for the result, and of f32 for each of some ten operations.
            let eps = match dtype {
                DType::F32 => f64::from(f32::EPSILON),
                DType::BF16 => 1.0 / 128.0,
                _ => 1.0 / 1024.0,
            };
            for (own, there) in own.iter().flatten().zip(there.iter().flatten()) {
                let within =
                    eps * own.abs() + 20.0 * f64::from(f32::EPSILON) * own.abs().max(1.0) + 6e-8;
                assert!(
                    (own - there).abs() <= within,
                    "{dtype} {n}: {there} for {own}"
                );
            }
        }
    }
    profiled(gpu);
}

/// A profile has the kernels of its steps, and none of what is done before, between or after: an
/// evaluation's, say. No other test launches this one in f16.
fn profiled(gpu: Device) {
    let x = Var::from(Tensor::full_on(gpu, [64], 1.0, DType::F16).unwrap());
    let launch = |times: usize| (0..times).for_each(|_| drop(mish(&x).unwrap()));
    let mut profiler = Profiler::start(gpu).unwrap();
    launch(1);
    profiler.step(|| launch(2));
    launch(4);
    profiler.step(|| launch(8));
    launch(16);
    let profile = profiler.finish().unwrap();
    let kernels = profile
        .spans
        .iter()
        .filter(|span| span.kind == Kind::Kernel);
    assert_eq!(kernels.filter(|span| span.name == "mish f16").count(), 10);
}

#[test]
fn model_data_optimizer_and_op_are_trained_by_the_trainer() {
    let (top1, out) = trained(Device::Cpu, "cpu", 30);
    assert!(top1 > 0.95, "{top1}");
    assert!(out.join("best/model.safetensors").exists());
    std::fs::remove_dir_all(out).unwrap();
}

#[test]
fn they_are_trained_on_a_gpu_too() {
    let Some(gpu) = gpu() else { return };
    let (top1, out) = trained(gpu, "gpu", 30);
    assert!(top1 > 0.95, "{top1}");
    std::fs::remove_dir_all(out).unwrap();
}
