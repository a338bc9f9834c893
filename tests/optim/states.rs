//! Stopping and going on, what is refused, names and defaults.

use super::*;

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
    let adamw = Optimizer::new("adamw".parse::<Method>().unwrap(), &params).unwrap();
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
    let mut optimizer = Optimizer::new("sgd".parse::<Method>().unwrap(), &params).unwrap();
    let error = |result: wavemix::Result<()>| result.unwrap_err().to_string();
    let short = error(optimizer.step_flat(
        &mut params,
        &Tensor::zeros([3], DType::F32),
        Updates::none(),
        0.1,
    ));
    let expected = "step: gradients expects [70049] of f32, as Gradients::flatten gives, got [3] of f32 (states.rs:";
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
    let expected = "optimizer: params expects 70027 parameters of f32 on cpu, as it was made for, got 4 parameters of f32 on cpu (states.rs:";
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
