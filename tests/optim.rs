//! Optimizers against plain scalar definitions and PyTorch's traces; groups, clipping, schedules,
//! moving averages, states.

mod helpers;

use std::collections::BTreeMap;

use helpers::on_threads;
use wavemix::io::safetensors::TensorFile;
use wavemix::optim::{self, Adam, AdamW, Ema, Lion, Method, Optimizer, Schedule, Sgd};
use wavemix::params::{FileLayout, Group, Init, Updates};
use wavemix::{DType, Params, Pass, Rng, Tensor};

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
    Tensor::normal(
        params.arena().shape(),
        0.0,
        1.0,
        params.dtype(),
        &Rng::new(8).child(step),
    )
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
    let got = params.arena().to_vec::<f64>().unwrap();
    for (got, want) in got.iter().zip([1.125, 1.125, 0.95, 0.95]) {
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

#[test]
fn a_restored_optimizer_goes_on_bit_for_bit() {
    for method in methods() {
        let mut params = three(DType::F32);
        let mut optimizer = Optimizer::new(method, &params).unwrap();
        for t in 0..3 {
            let dw = gradients(&params, t);
            optimizer
                .step_flat(&mut params, &dw, Updates::none(), 0.01)
                .unwrap();
        }
        let state: BTreeMap<String, Tensor> =
            optimizer.state(&params).unwrap().into_iter().collect();
        let mut copy = (params.clone(), Optimizer::new(method, &params).unwrap());
        copy.1.load_state(&copy.0, &state).unwrap();
        assert_eq!(copy.1.steps().unwrap(), 3);
        let dw = gradients(&params, 3);
        optimizer
            .step_flat(&mut params, &dw, Updates::none(), 0.01)
            .unwrap();
        copy.1
            .step_flat(&mut copy.0, &dw, Updates::none(), 0.01)
            .unwrap();
        assert!(
            params.arena().to_vec::<f32>().unwrap() == copy.0.arena().to_vec::<f32>().unwrap(),
            "{method:?}"
        );
    }
}

#[test]
fn states_that_do_not_fit_are_refused_and_change_nothing() {
    let params = three(DType::F32);
    let adamw = Optimizer::new("adamw".parse().unwrap(), &params).unwrap();
    let state: BTreeMap<String, Tensor> = adamw.state(&params).unwrap().into_iter().collect();
    let names: Vec<&str> = state.keys().map(String::as_str).collect();
    let all = [
        "first_moment.a",
        "first_moment.b",
        "first_moment.c",
        "second_moment.a",
        "second_moment.b",
        "second_moment.c",
        "step",
    ];
    assert_eq!(names, all);
    let refused = |change: &dyn Fn(&mut BTreeMap<String, Tensor>)| {
        let (mut state, mut optimizer) = (state.clone(), adamw.clone());
        change(&mut state);
        let error = optimizer
            .load_state(&params, &state)
            .unwrap_err()
            .to_string();
        assert_eq!(optimizer.steps().unwrap(), 0);
        error
    };
    assert_eq!(
        refused(&|s| drop(s.remove("second_moment.b"))),
        "the state of the optimizer lacks `second_moment.b`"
    );
    assert_eq!(
        refused(&|s| drop(s.remove("step"))),
        "the state of the optimizer lacks `step`"
    );
    let unknown = refused(&|s| drop(s.insert("third".into(), Tensor::scalar(0i64))));
    assert_eq!(
        unknown,
        "the state of the optimizer has an unknown name, `third`"
    );
    let shape =
        refused(&|s| drop(s.insert("first_moment.a".into(), Tensor::zeros([4], DType::F32))));
    assert_eq!(
        shape,
        "the state of the optimizer: `first_moment.a` must be [5] of f32, got [4] of f32"
    );
    let dtype =
        refused(&|s| drop(s.insert("first_moment.a".into(), Tensor::zeros([5], DType::F64))));
    assert_eq!(
        dtype,
        "the state of the optimizer: `first_moment.a` must be [5] of f32, got [5] of f64"
    );
    let negative = refused(&|s| drop(s.insert("step".into(), Tensor::scalar(-1i64))));
    assert_eq!(negative, "the state of the optimizer: `step` is negative");
    let mut ema = Ema::new(&params, 0.9).unwrap();
    assert_eq!(
        ema.load_state(&params, &state).unwrap_err().to_string(),
        "the state of the moving average lacks `mean.a`"
    );
}

#[test]
fn mistakes_are_named() {
    let mut params = three(DType::F32);
    let mut optimizer = Optimizer::new("sgd".parse().unwrap(), &params).unwrap();
    let error = |result: wavemix::Result<()>| result.unwrap_err().to_string();
    let short = error(optimizer.step_flat(
        &mut params,
        &Tensor::zeros([3], DType::F32),
        Updates::none(),
        0.1,
    ));
    let expected = "step: gradients expects [70027] of f32, as Gradients::flatten gives, got [3] of f32 (optim.rs:";
    assert!(short.starts_with(expected), "{short}");
    let dw = gradients(&params, 0);
    for (lr, printed) in [(f64::NAN, "NaN"), (-0.5, "-0.5"), (f64::INFINITY, "inf")] {
        let message = error(optimizer.step_flat(&mut params, &dw, Updates::none(), lr));
        assert_eq!(
            message,
            format!("the learning rate must be finite and not negative, got {printed}")
        );
    }
    let declare = |names: &mut wavemix::params::Names| {
        Ok(names.param("x", [4], Init::Constant(1.0), FileLayout::Same))
    };
    let (_, mut other) = Params::declare(DType::F32, &Rng::new(0), declare).unwrap();
    let message = error(optimizer.step_flat(
        &mut other,
        &Tensor::zeros([4], DType::F32),
        Updates::none(),
        0.1,
    ));
    let expected = "optimizer: params expects 70027 parameters of f32 on cpu, as it was made for, got 4 parameters of f32 on cpu (optim.rs:";
    assert!(message.starts_with(expected), "{message}");
    let message = error(Ema::new(&params, 0.9).unwrap().update(&other));
    assert_eq!(message, "the moving average was made for other parameters");
    let refused = |method| {
        Optimizer::new(method, &params)
            .map(drop)
            .unwrap_err()
            .to_string()
    };
    let sgd = |momentum, nesterov, weight_decay| {
        Method::Sgd(Sgd {
            momentum,
            nesterov,
            weight_decay,
        })
    };
    assert_eq!(
        refused(sgd(1.0, false, 0.0)),
        "sgd: momentum 1 is out of range"
    );
    assert_eq!(
        refused(sgd(0.0, true, 0.0)),
        "nesterov: momentum 0 is out of range"
    );
    assert_eq!(
        refused(sgd(0.9, false, -1.0)),
        "sgd: weight decay -1 is out of range"
    );
    assert_eq!(
        refused(Method::Adam(Adam {
            betas: (0.9, 1.0),
            ..Adam::default()
        })),
        "adam: beta 1 is out of range"
    );
    assert_eq!(
        refused(Method::AdamW(AdamW {
            eps: -1.0,
            ..AdamW::default()
        })),
        "adamw: eps -1 is out of range"
    );
    assert_eq!(
        refused(Method::Lion(Lion {
            betas: (-0.1, 0.9),
            ..Lion::default()
        })),
        "lion: beta -0.1 is out of range"
    );
    let message = Ema::new(&params, 1.0).map(drop).unwrap_err().to_string();
    assert_eq!(
        message,
        "the decay of a moving average must be in [0, 1), got 1"
    );
}

#[test]
fn names_are_read_and_printed() {
    for name in Method::NAMES {
        let method: Method = name.parse().unwrap();
        assert_eq!(method.to_string(), name);
        assert_eq!(
            method.default_lr(),
            if name == "lion" { 1e-4 } else { 1e-3 }
        );
        assert!(format!("{:?}", method.with_weight_decay(0.125)).contains("weight_decay: 0.125"));
    }
    for name in Schedule::NAMES {
        assert_eq!(name.parse::<Schedule>().unwrap().to_string(), name);
    }
}

/// A method has one default, whether by name or by type: PyTorch's, with which its AdamW alone
/// decays weights.
#[test]
fn defaults_are_pytorchs() {
    let (betas, eps) = ((0.9, 0.999), 1e-8);
    let adam = Method::Adam(Adam {
        betas,
        eps,
        weight_decay: 0.0,
    });
    let adamw = Method::AdamW(AdamW {
        betas,
        eps,
        weight_decay: 0.01,
    });
    let sgd = Sgd {
        momentum: 0.9,
        nesterov: false,
        weight_decay: 0.0,
    };
    let cases = [
        ("adam", Method::Adam(Adam::default()), adam),
        ("adamw", Method::AdamW(AdamW::default()), adamw),
        ("sgd", Method::Sgd(Sgd::default()), Method::Sgd(sgd)),
        (
            "nesterov",
            Method::Sgd(Sgd {
                nesterov: true,
                ..Sgd::default()
            }),
            Method::Sgd(Sgd {
                nesterov: true,
                ..sgd
            }),
        ),
        (
            "lion",
            Method::Lion(Lion::default()),
            Method::Lion(Lion {
                betas: (0.9, 0.99),
                weight_decay: 0.01,
            }),
        ),
    ];
    assert_eq!(cases.len(), Method::NAMES.len());
    for (name, by_type, want) in cases {
        assert_eq!((name.parse::<Method>().unwrap(), by_type), (want, want));
    }
    // A gradient of 0 leaves a weight alone under Adam, and draws it to 0 by lr 0.01 under AdamW.
    for (method, want) in [(adam, 1.0), (adamw, 1.0 - 0.5 * 0.01)] {
        let declare = |names: &mut wavemix::params::Names| {
            Ok(names.param("w", [1], Init::Constant(1.0), FileLayout::Same))
        };
        let (_, mut params) = Params::declare(DType::F64, &Rng::new(0), declare).unwrap();
        let mut optimizer = Optimizer::new(method, &params).unwrap();
        optimizer
            .step_flat(
                &mut params,
                &Tensor::zeros([1], DType::F64),
                Updates::none(),
                0.5,
            )
            .unwrap();
        assert_eq!(params.arena().to_vec::<f64>().unwrap(), [want], "{method}");
    }
}

#[test]
fn schedules_at_the_ends_and_between() {
    assert!((0..100).all(|step| Schedule::Constant.factor(step, 100) == 1.0));
    let thirds: Vec<f64> = [0, 99, 100, 199, 200, 299]
        .map(|step| Schedule::STEP.factor(step, 300))
        .to_vec();
    for (got, want) in thirds.iter().zip([1.0, 1.0, 0.1, 0.1, 0.01, 0.01]) {
        assert!((got - want).abs() < 1e-15, "{thirds:?}");
    }
    let halves = Schedule::Step {
        every: 0.5,
        gamma: 0.5,
    };
    assert_eq!(
        [0, 4, 5, 9].map(|step| halves.factor(step, 10)),
        [1.0, 1.0, 0.5, 0.5]
    );
    let cosine = Schedule::Cosine { warmup: 0.1 };
    assert_eq!(
        [0, 4, 9, 10, 100].map(|step| cosine.factor(step, 100)),
        [0.1, 0.5, 1.0, 1.0, 0.0]
    );
    assert!(
        (cosine.factor(55, 100) - 0.5).abs() < 1e-15,
        "half of the way down"
    );
    assert!((10..99).all(|step| cosine.factor(step + 1, 100) < cosine.factor(step, 100)));
    let last = cosine.factor(99, 100);
    assert!(
        last > 0.0 && last < 1e-3,
        "the last step still learns: {last}"
    );
    assert_eq!(cosine.factor(200, 100), 0.0, "past the end it stays at 0");
    assert_eq!(
        [0, 1].map(|step| Schedule::Cosine { warmup: 0.0 }.factor(step, 0)),
        [1.0, 0.0]
    );
}

#[test]
fn norms_leave_frozen_parameters_out_and_find_what_is_not_finite() {
    let mut params = three(DType::F32);
    let dw = gradients(&params, 0);
    let slow = |values: &[f32]| {
        values
            .iter()
            .map(|&x| f64::from(x).powi(2))
            .sum::<f64>()
            .sqrt()
    };
    let all = dw.to_vec::<f32>().unwrap();
    let norm = optim::finite_norm(&params, &dw).unwrap();
    assert!((norm / slow(&all) - 1.0).abs() < 1e-13);
    let huge = Tensor::full([70_027], 3e38, DType::F32);
    assert!(
        optim::finite_norm(&params, &huge).unwrap().is_finite(),
        "squares beyond f32 are no reason to stop"
    );

    let mut bad = all.clone();
    bad[5 + 4] = f32::NEG_INFINITY;
    bad[60_000] = f32::NAN;
    let bad = Tensor::from_vec(bad, [70_027]).unwrap();
    let message = optim::finite_norm(&params, &bad).unwrap_err().to_string();
    assert_eq!(message, "the gradient of `b` is -inf at element 4 of 21");
    assert!(optim::norm(&params, &bad).unwrap().is_nan());
    params.set_groups(|name| Group {
        frozen: name == "b",
        ..Group::default()
    });
    let message = optim::finite_norm(&params, &bad).unwrap_err().to_string();
    assert_eq!(
        message,
        "the gradient of `c` is NaN at element 59974 of 70001"
    );
    params.set_groups(|name| Group {
        frozen: name != "a",
        ..Group::default()
    });
    assert!((optim::finite_norm(&params, &bad).unwrap() / slow(&all[..5]) - 1.0).abs() < 1e-13);

    let wide = three(DType::F64);
    let message = optim::finite_norm(&wide, &Tensor::full([70_027], 1e200, DType::F64))
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        "all gradients are finite, but so large that their norm is inf"
    );
}

#[test]
fn clipping() {
    let declare = |names: &mut wavemix::params::Names| {
        Ok(names.param("x", [4], Init::Constant(1.0), FileLayout::Same))
    };
    let (_, params) = Params::declare(DType::F64, &Rng::new(0), declare).unwrap();
    let start = Tensor::from_vec(vec![3.0, -4.0, 0.0, 12.0], [4]).unwrap();
    let mut dw = start.clone();
    assert_eq!(optim::clip_norm(&params, &mut dw, 6.5).unwrap(), 13.0);
    let factor = 6.5 / (13.0 + 1e-6);
    assert_eq!(
        dw.to_vec::<f64>().unwrap(),
        [3.0, -4.0, 0.0, 12.0].map(|x| x * factor)
    );
    let mut dw = start.clone();
    assert_eq!(optim::clip_norm(&params, &mut dw, 13.5).unwrap(), 13.0);
    assert_eq!(
        dw.to_vec::<f64>().unwrap(),
        [3.0, -4.0, 0.0, 12.0],
        "small enough already"
    );
    optim::clip_value(&mut dw, 3.5).unwrap();
    assert_eq!(dw.to_vec::<f64>().unwrap(), [3.0, -3.5, 0.0, 3.5]);
    optim::scale(&mut dw, 0.5).unwrap();
    assert_eq!(dw.to_vec::<f64>().unwrap(), [1.5, -1.75, 0.0, 1.75]);
    assert_eq!(
        start.to_vec::<f64>().unwrap(),
        [3.0, -4.0, 0.0, 12.0],
        "others that share the memory are left alone"
    );
    let mut bad = Tensor::from_vec(vec![f64::NAN, f64::INFINITY, 2.0, -2.0], [4]).unwrap();
    assert!(optim::clip_norm(&params, &mut bad, 1.0).unwrap().is_nan());
    optim::clip_value(&mut bad, 1.0).unwrap();
    let bad = bad.to_vec::<f64>().unwrap();
    assert!(bad[0].is_nan() && bad[1..] == [1.0, 1.0, -1.0]);
    let message = optim::clip_norm(&params, &mut dw, 0.0)
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        "the largest norm of a gradient must be positive, got 0"
    );
    let message = optim::clip_value(&mut dw, f64::NAN)
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        "the largest value of a gradient must be positive, got NaN"
    );
}

#[test]
fn parts_of_a_batch_add_up_to_the_whole() {
    let declare = |names: &mut wavemix::params::Names| {
        Ok(names.param("x", [2], Init::Constant(1.0), FileLayout::Same))
    };
    let (x, params) = Params::declare(DType::F64, &Rng::new(0), declare).unwrap();
    let loss = |data: &[f64]| {
        let data = Tensor::from_slice(data, [data.len() / 2, 2]).unwrap();
        let x = Pass::train(&params, Rng::new(1)).var(x).unwrap();
        (&x * &wavemix::Var::from(data))
            .unwrap()
            .sum_all()
            .unwrap()
            .backward()
            .unwrap()
    };
    let mut parts = loss(&[1.0, 2.0]);
    parts.accumulate(loss(&[3.0, 4.0])).unwrap();
    let mut sum = parts.flatten(&params).unwrap();
    assert_eq!(
        sum.to_vec::<f64>().unwrap(),
        loss(&[1.0, 2.0, 3.0, 4.0])
            .flatten(&params)
            .unwrap()
            .to_vec::<f64>()
            .unwrap()
    );
    optim::scale(&mut sum, 0.5).unwrap();
    assert_eq!(sum.to_vec::<f64>().unwrap(), [2.0, 3.0]);
}

#[test]
fn the_moving_average_follows_its_definition_and_comes_back() {
    let mut params = three(DType::F64);
    let mut ema = Ema::new(&params, 0.5).unwrap();
    let mut want = params.arena().to_vec::<f64>().unwrap();
    let mut mean = 0.5;
    for t in 0..20u64 {
        let weights = Tensor::normal([5], 0.0, 1.0, DType::F64, &Rng::new(t));
        params.set("a", &weights).unwrap();
        params
            .set("mean", &Tensor::full([3], t as f64, DType::F64))
            .unwrap();
        params.set("count", &Tensor::scalar(t as i64)).unwrap();
        ema.update(&params).unwrap();
        let keep = f64::min(0.5, (1.0 + t as f64) / (10.0 + t as f64));
        mean = keep * mean + (1.0 - keep) * t as f64;
        let weights = params.arena().to_vec::<f64>().unwrap();
        want.iter_mut()
            .zip(weights)
            .for_each(|(mean, w)| *mean = keep * *mean + (1.0 - keep) * w);
    }
    let before = params.clone();
    ema.swap(&mut params).unwrap();
    let close =
        |got: &[f64], want: &[f64]| got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-14);
    assert!(close(params.arena().as_slice().unwrap(), &want));
    assert!(close(
        params.get("mean").unwrap().as_slice().unwrap(),
        &[mean; 3]
    ));
    assert_eq!(params.get("count").unwrap().item().unwrap(), 19.0);
    ema.swap(&mut params).unwrap();
    assert!(params.arena().to_vec::<f64>().unwrap() == before.arena().to_vec::<f64>().unwrap());

    let state: BTreeMap<String, Tensor> = ema.state(&params).unwrap().into_iter().collect();
    let mut copy = Ema::new(&params, 0.5).unwrap();
    copy.load_state(&params, &state).unwrap();
    assert_eq!(copy.updates(), 20);
    let [mut a, mut b] = [params.clone(), params.clone()];
    ema.update(&a).unwrap();
    ema.copy_to(&mut a).unwrap();
    copy.update(&b).unwrap();
    copy.copy_to(&mut b).unwrap();
    for name in ["a", "b", "c", "mean"] {
        assert!(
            a.get(name).unwrap().to_vec::<f64>().unwrap()
                == b.get(name).unwrap().to_vec::<f64>().unwrap(),
            "{name}"
        );
    }
}
