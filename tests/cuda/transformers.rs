//! The transformers for images on a GPU: a training pass of each, dropout included, against f64 on
//! the CPU.

use wavemix::models::{Architecture, Cct, Config, Cpv, CvT, HybridViN, Task, ViT, ViTLite};
use wavemix::{DType, Device, Module, Pass, Rng, Tensor, Var};

use crate::harness::gpu;

/// One of each family, small: images of 8x8, two layers or four.
fn models() -> [Architecture; 6] {
    [
        ViT::new(8, 2, 2).into(),
        ViTLite::new(8, 2, 2).into(),
        Cct::new(8, 2, 2).into(),
        CvT::new(8, 4, 1).into(),
        HybridViN {
            landmarks: 8,
            ..HybridViN::new(8, 2, 2)
        }
        .into(),
        Cpv::new(8, 2, 2).into(),
    ]
}

/// Logits, and the gradient of all weights by their probe.
fn pass(config: &Config, dtype: DType, device: Device) -> [Vec<f64>; 2] {
    let (model, mut params) = config.build(dtype, &Rng::new(1)).unwrap();
    params.to_device(device).unwrap();
    let draw = |shape: [usize; 4], seed| {
        let x = Tensor::normal(shape, 0.0, 1.0, dtype, &Rng::new(seed));
        x.to_device(device).unwrap()
    };
    let pass = Pass::train(&params, Rng::new(3));
    let y = model.forward(&pass, &draw([5, 8, 8, 3], 2).into()).unwrap();
    let probe = draw([5, 1, 1, 4], 4).reshape([5, 4]).unwrap();
    let gradients = y.backward_from(probe, &[]).unwrap();
    let flat = gradients.flatten(&params).unwrap();
    [y.into_value(), flat].map(|x| {
        let x = x.to_device(Device::Cpu).unwrap();
        Var::from(x).cast(DType::F64).unwrap().to_vec().unwrap()
    })
}

#[test]
fn a_training_pass_of_each() {
    let Some(gpu) = gpu() else { return };
    for architecture in models() {
        let config = Config {
            dropout: 0.25,
            size: 8,
            task: Task::Classify { classes: 4 },
            ..Config::of(architecture)
        };
        let want = pass(&config, DType::F64, Device::Cpu);
        let got = pass(&config, DType::F32, gpu);
        for ((what, got), want) in ["logits", "gradient"].iter().zip(&got).zip(&want) {
            let largest = want.iter().fold(0.0f64, |most, x| most.max(x.abs()));
            // Some hundred rounded ops one after the other, each of which sums some dozens of
            // products: 2^10 of f32's half units.
            let allowed = 2f64.powi(-24 + 10) * largest;
            for (i, (got, want)) in got.iter().zip(want).enumerate() {
                let off = (got - want).abs();
                assert!(off <= allowed, "{config}: {what} {i} is {got}, not {want}");
            }
            assert_eq!(got.len(), want.len());
        }
    }
}
