//! Optimizers against plain scalar definitions and PyTorch's traces; groups, clipping, schedules,
//! moving averages, states.

mod helpers;

use std::collections::BTreeMap;

use helpers::{laid_out, on_threads};
use wavemix::io::safetensors::TensorFile;
use wavemix::optim::{self, Adam, AdamW, Ema, Lion, Method, Optimizer, Schedule, Sgd};
use wavemix::params::{FileLayout, Group, Init, Updates};
use wavemix::{DType, Params, Pass, Rng, Tensor};

#[path = "optim/arena.rs"]
mod arena;
#[path = "optim/own_rule.rs"]
mod own_rule;
#[path = "optim/schedules.rs"]
mod schedules;
#[path = "optim/states.rs"]
mod states;

/// Parameters `a` [5], `b` [3, 7] and a large `c`, so that segments, odd lengths and threads all
/// have something to do.
fn three(dtype: DType) -> Params {
    let declare = |names: &mut wavemix::params::Names| {
        for (name, shape) in [("a", vec![5]), ("b", vec![3, 7]), ("c", vec![70_001])] {
            names.param(
                name,
                wavemix::Shape::new(&shape)?,
                Init::Uniform(1.0),
                FileLayout::Same,
            );
        }
        names.buffer("mean", [3], 0.5);
        names.counter("count");
        Ok(())
    };
    Params::declare(dtype, &Rng::new(3), declare).unwrap().1
}

fn gradients(params: &Params, step: u64) -> Tensor {
    let rng = Rng::new(8).child(step);
    let drawn = Tensor::normal([params.count()], 0.0, 1.0, DType::F64, &rng);
    laid_out(params, drawn.as_slice().unwrap())
}

fn methods() -> Vec<Method> {
    vec![
        Method::Sgd(Sgd {
            momentum: 0.0,
            nesterov: false,
            weight_decay: 0.0,
        }),
        Method::Sgd(Sgd {
            momentum: 0.0,
            nesterov: false,
            weight_decay: 0.1,
        }),
        Method::Sgd(Sgd {
            momentum: 0.9,
            nesterov: false,
            weight_decay: 0.1,
        }),
        Method::Sgd(Sgd {
            momentum: 0.8,
            nesterov: true,
            weight_decay: 0.1,
        }),
        Method::Adam(Adam {
            betas: (0.9, 0.99),
            eps: 1e-3,
            weight_decay: 0.1,
        }),
        Method::AdamW(AdamW {
            betas: (0.8, 0.999),
            eps: 1e-8,
            weight_decay: 0.1,
        }),
        Method::Lion(Lion {
            betas: (0.9, 0.99),
            weight_decay: 0.1,
        }),
    ]
}

/// One weight, one step, as the papers write it. `memory` holds the moments.
fn scalar_step(
    method: Method,
    t: i32,
    w: f64,
    g: f64,
    lr: f64,
    decay_scale: f64,
    memory: &mut [f64; 2],
) -> f64 {
    match method {
        Method::Sgd(Sgd {
            momentum,
            nesterov,
            weight_decay,
        }) => {
            let g = g + decay_scale * weight_decay * w;
            memory[0] = momentum * memory[0] + g;
            w - lr
                * if nesterov {
                    g + momentum * memory[0]
                } else {
                    memory[0]
                }
        }
        Method::Adam(Adam {
            betas,
            eps,
            weight_decay,
        })
        | Method::AdamW(AdamW {
            betas,
            eps,
            weight_decay,
        }) => {
            let decay = decay_scale * weight_decay;
            let coupled = matches!(method, Method::Adam(_));
            let g = if coupled { g + decay * w } else { g };
            let w = if coupled { w } else { w - lr * decay * w };
            memory[0] = betas.0 * memory[0] + (1.0 - betas.0) * g;
            memory[1] = betas.1 * memory[1] + (1.0 - betas.1) * g * g;
            let m = memory[0] / (1.0 - betas.0.powi(t));
            let v = memory[1] / (1.0 - betas.1.powi(t));
            w - lr * m / (v.sqrt() + eps)
        }
        Method::Lion(Lion {
            betas,
            weight_decay,
        }) => {
            let direction = betas.0 * memory[0] + (1.0 - betas.0) * g;
            memory[0] = betas.1 * memory[0] + (1.0 - betas.1) * g;
            w - lr * decay_scale * weight_decay * w
                - lr * if direction == 0.0 {
                    0.0
                } else {
                    direction.signum()
                }
        }
    }
}

#[test]
fn every_method_follows_its_scalar_definition_with_groups() {
    let groups = |name: &str| match name {
        "a" => Group {
            lr_scale: 0.5,
            decay_scale: 0.0,
            frozen: false,
        },
        "b" => Group {
            frozen: true,
            ..Group::default()
        },
        _ => Group {
            lr_scale: 1.0,
            decay_scale: 2.0,
            frozen: false,
        },
    };
    for method in methods() {
        let mut params = three(DType::F64);
        params.set_groups(groups);
        let mut optimizer = Optimizer::new(method, &params).unwrap();
        let mut want = params.arena().to_vec::<f64>().unwrap();
        let mut memory = vec![[0.0; 2]; want.len()];
        for t in 1..=4 {
            let dw = gradients(&params, t);
            optimizer
                .step_flat(&mut params, &dw, Updates::none(), 0.01)
                .unwrap();
            let dw = dw.to_vec::<f64>().unwrap();
            for entry in params.entries() {
                for i in entry.offset..entry.offset + entry.shape.elements() {
                    let Group {
                        lr_scale,
                        decay_scale,
                        frozen,
                    } = entry.group;
                    if !frozen {
                        let lr = 0.01 * lr_scale;
                        want[i] = scalar_step(
                            method,
                            t as i32,
                            want[i],
                            dw[i],
                            lr,
                            decay_scale,
                            &mut memory[i],
                        );
                    }
                }
            }
        }
        let got = params.arena().to_vec::<f64>().unwrap();
        let worst = got
            .iter()
            .zip(&want)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f64::max);
        assert!(worst < 1e-14, "{method:?}: off by {worst}");
        assert_eq!(
            params.get("b").unwrap().to_vec::<f64>().unwrap(),
            three(DType::F64).get("b").unwrap().to_vec::<f64>().unwrap()
        );
        assert_eq!(optimizer.steps().unwrap(), 4);
    }
}

#[test]
fn f32_stays_near_f64() {
    for method in methods()
        .into_iter()
        .filter(|method| !matches!(method, Method::Lion(_)))
    {
        let [wide, narrow] = [DType::F64, DType::F32].map(|dtype| {
            let mut params = three(dtype);
            params
                .set(
                    "c",
                    &three(DType::F32).get("c").unwrap().cast(dtype).unwrap(),
                )
                .unwrap();
            let mut optimizer = Optimizer::new(method, &params).unwrap();
            for t in 0..4 {
                let dw = gradients(&three(DType::F32), t).cast(dtype).unwrap();
                optimizer
                    .step_flat(&mut params, &dw, Updates::none(), 0.01)
                    .unwrap();
            }
            params
                .get("c")
                .unwrap()
                .cast(DType::F64)
                .unwrap()
                .to_vec::<f64>()
                .unwrap()
        });
        // Four steps of a dozen roundings each, on weights below 2.
        let worst = wide
            .iter()
            .zip(&narrow)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f64::max);
        assert!(
            worst < 64.0 * f64::from(f32::EPSILON),
            "{method:?}: off by {worst}"
        );
    }
}

#[test]
fn follows_pytorch() {
    let file = TensorFile::read("tests/goldens/trace_optimizers.safetensors").unwrap();
    let sgd = |momentum, nesterov, weight_decay| {
        Method::Sgd(Sgd {
            momentum,
            nesterov,
            weight_decay,
        })
    };
    let adam = |betas, eps, weight_decay| {
        Method::Adam(Adam {
            betas,
            eps,
            weight_decay,
        })
    };
    let cases = [
        ("sgd", sgd(0.0, false, 0.0), 0.1),
        ("sgd_weight_decay", sgd(0.0, false, 0.05), 0.1),
        ("sgd_momentum", sgd(0.9, false, 0.0), 0.1),
        ("sgd_momentum_weight_decay", sgd(0.9, false, 0.05), 0.1),
        ("sgd_nesterov", sgd(0.9, true, 0.05), 0.1),
        ("adam", adam((0.9, 0.999), 1e-8, 0.0), 0.01),
        ("adam_weight_decay", adam((0.8, 0.99), 1e-3, 0.05), 0.01),
        ("adamw", "adamw".parse().unwrap(), 1e-3),
        (
            "adamw_large_decay",
            Method::AdamW(AdamW {
                betas: (0.8, 0.99),
                eps: 1e-3,
                weight_decay: 0.5,
            }),
            0.01,
        ),
        ("lion", "lion".parse().unwrap(), 1e-4),
    ];
    let traces = file
        .tensors
        .keys()
        .filter(|name| name.ends_with(".values"))
        .count();
    assert_eq!(traces, cases.len(), "every trace of the file is replayed");
    for (name, method, lr) in cases {
        let declare = |names: &mut wavemix::params::Names| {
            Ok(names.param("w", [2, 3], Init::Constant(0.0), FileLayout::Same))
        };
        let (_, mut params) = Params::declare(DType::F64, &Rng::new(0), declare).unwrap();
        params.set("w", &file.tensors["start"]).unwrap();
        let mut optimizer = Optimizer::new(method, &params).unwrap();
        for step in 0..10 {
            let row = |key: &str, shape: &[usize]| {
                file.tensors[key]
                    .rows(step..step + 1)
                    .unwrap()
                    .reshape(wavemix::Shape::new(shape).unwrap())
                    .unwrap()
            };
            optimizer
                .step_flat(&mut params, &row("grads", &[6]), Updates::none(), lr)
                .unwrap();
            let (got, want) = (
                params.arena().to_vec::<f64>().unwrap(),
                row(&format!("{name}.values"), &[6]),
            );
            for (got, want) in got.iter().zip(want.to_vec::<f64>().unwrap()) {
                assert!(
                    (got - want).abs() < 1e-14,
                    "{name}, step {step}: {got} where PyTorch has {want}"
                );
            }
        }
    }
}

#[test]
fn gradients_from_a_loss_are_taken_as_they_are() {
    let declare = |names: &mut wavemix::params::Names| {
        let x = names.param("x", [2], Init::Constant(1.5), FileLayout::Same);
        names.param("unused", [2], Init::Constant(1.0), FileLayout::Same);
        Ok(x)
    };
    let (x, mut params) = Params::declare(DType::F64, &Rng::new(0), declare).unwrap();
    let plain = Method::Sgd(Sgd {
        momentum: 0.0,
        nesterov: false,
        weight_decay: 0.5,
    });
    let mut optimizer = Optimizer::new(plain, &params).unwrap();
    let pass = Pass::train(&params, Rng::new(1));
    let var = pass.var(x).unwrap();
    let gradients = (&var * &var)
        .unwrap()
        .sum_all()
        .unwrap()
        .backward()
        .unwrap();
    let updates = pass.into_updates();
    optimizer
        .step(&mut params, &gradients, updates, 0.1)
        .unwrap();
    // 1.5 - 0.1 (2 * 1.5 + 0.5 * 1.5), and for the other 1 - 0.1 * 0.5 * 1.
    let want = laid_out(&params, &[1.125, 1.125, 0.95, 0.95]);
    let got = params.arena().to_vec::<f64>().unwrap();
    for (got, want) in got.iter().zip(want.as_slice::<f64>().unwrap()) {
        assert!((got - want).abs() < 1e-15, "{got} instead of {want}");
    }
    assert_eq!(
        var.value().to_vec::<f64>().unwrap(),
        [1.5, 1.5],
        "a graph keeps the weights it was made with"
    );
}

#[test]
fn lion_steps_by_the_sign_and_keeps_not_a_number_visible() {
    let declare = |names: &mut wavemix::params::Names| {
        Ok(names.param("x", [4], Init::Constant(1.0), FileLayout::Same))
    };
    let (_, mut params) = Params::declare(DType::F32, &Rng::new(0), declare).unwrap();
    let mut optimizer = Optimizer::new(
        Method::Lion(Lion {
            weight_decay: 0.0,
            ..Lion::default()
        }),
        &params,
    )
    .unwrap();
    let dw = Tensor::from_vec(vec![1e-20f32, -5.0, 0.0, f32::NAN], [4]).unwrap();
    optimizer
        .step_flat(&mut params, &dw, Updates::none(), 0.25)
        .unwrap();
    let got = params.arena().to_vec::<f32>().unwrap();
    assert!(got[..3] == [0.75, 1.25, 1.0] && got[3].is_nan(), "{got:?}");
}

#[test]
fn one_and_two_threads_give_the_same_bits() {
    for method in methods() {
        let [one, two] = [1, 2].map(|threads| {
            on_threads(threads, || {
                let mut params = three(DType::F32);
                let mut optimizer = Optimizer::new(method, &params).unwrap();
                let mut ema = Ema::new(&params, 0.9).unwrap();
                for t in 0..3 {
                    let mut dw = gradients(&params, t);
                    optim::clip_norm(&params, &mut dw, 1.0).unwrap();
                    optimizer
                        .step_flat(&mut params, &dw, Updates::none(), 0.01)
                        .unwrap();
                    ema.update(&params).unwrap();
                }
                let weights = params.arena().to_vec::<f32>().unwrap();
                ema.copy_to(&mut params).unwrap();
                (weights, params.arena().to_vec::<f32>().unwrap())
            })
        });
        assert!(one == two, "{method:?}");
    }
}
