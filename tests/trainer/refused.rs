//! Runs that do not begin, or do not go on, and what they are told.

use super::*;
use wavemix::optim::Schedule;

#[test]
fn a_run_goes_on_with_its_own_settings_data_and_model_alone() {
    let out = folder("refused");
    let stop = |out: &Path| Config {
        stop_after: Some(1),
        ..config(out)
    };
    train(stop(&out)).unwrap();
    let state = out.join("last/state.safetensors");
    let state = state.display();
    let resume = || Config {
        resume: true,
        ..config(&out)
    };
    let with = |data: Data, config: Config| {
        let (model, params) = Mlp::build(2, 4);
        message(Trainer::new(model, params, data, config))
    };

    let slower = Config {
        lr: 0.05,
        ..resume()
    };
    assert_eq!(
        message(train(slower)),
        format!("{state}: its run was begun with `lr` \"0.1\", here it is \"0.05\"")
    );
    let other = Config {
        rule: AdamW::default().into(),
        ..resume()
    };
    assert_eq!(
        message(train(other)),
        format!("{state}: its run was begun with `rule` \"momentum\", here it is \"adamw\"")
    );
    let reseeded = Config {
        seed: 1,
        ..resume()
    };
    assert_eq!(
        message(train(reseeded)),
        format!("{state}: was trained with seed 0, here it is 1")
    );
    let error = with(
        Data {
            test: None,
            validation: Some(quadrants(100, 9)),
            ..data()
        },
        resume(),
    );
    assert_eq!(
        error,
        format!(
            "{state}: the run was trained on other data: its validation set was `100 quadrants of seed 2`, here it is \
             `100 quadrants of seed 9`; its test set was `100 quadrants of seed 3`, here it is none; go on with the \
             same data, or begin another run"
        )
    );
    let named = Config {
        model: Some(Description::new("another")),
        ..resume()
    };
    let error = message(train(named));
    assert!(
        error.ends_with(
            "names the model \"Mlp\" of 116 parameters, its settings give \"another\" of 116"
        ),
        "{error}"
    );

    // Of a new run.
    assert_eq!(
        message(train(stop(&out))),
        format!(
            "{} holds a run already: go on with it by `resume`, take another `out`, or write over it by `force`",
            out.display()
        )
    );
    let nowhere = Config {
        out: None,
        ..resume()
    };
    assert_eq!(
        message(train(nowhere)),
        "training: `resume` goes on with the run in `out`, which is not given"
    );
    finished(train(resume()));
}

#[test]
fn what_does_not_fit_is_an_error_before_anything_is_written() {
    let out = folder("unfit");
    let refused = |model: (Mlp, Params), data: Data, config: Config| {
        let error = message(Trainer::new(model.0, model.1, data, config));
        assert!(!out.exists(), "{error}");
        error
    };
    let error = refused(Mlp::build(3, 4), data(), config(&out));
    assert!(error.starts_with("linear: "), "{error}");
    // Images of 8x8 in a model of pixels.
    let flat = |(mlp, params): (Mlp, Params)| {
        let model = move |pass: &Pass, x: &Var| mlp.forward(pass, &x.reshape([x.shape()[0], 64])?);
        message(Trainer::new(model, params, dots(), config(&out)))
    };
    let error = flat(Mlp::build(64, 3));
    assert_eq!(error, "dots has 2 classes, the model's answers are of 3");
    let many = config(&out).with_loss(|y, _| Ok(y.clone()));
    let error = refused(Mlp::build(2, 4), data(), many);
    assert_eq!(
        error,
        "the loss of a batch is a single number, such as a mean; this one has the shape [2, 4]"
    );
    let never = Config {
        epochs: 0,
        ..config(&out)
    };
    assert_eq!(
        refused(Mlp::build(2, 4), data(), never),
        "training: `epochs` must be at least 1"
    );
    let f16 = Config {
        precision: Precision::F16,
        ..config(&out)
    };
    let error = refused(Mlp::build(2, 4), data(), f16);
    assert!(error.starts_with("cpu does not compute in f16"), "{error}");
}

#[test]
fn a_loss_that_diverges_is_told_in_the_fields_words() {
    let out = folder("diverged");
    let config = Config {
        lr: 1e30,
        schedule: Schedule::Constant,
        ..config(&out)
    };
    let error = message(train(config));
    assert!(
        error.contains(": first non-finite is ") && error.contains("a lower `lr` than 1"),
        "{error}"
    );
}

#[test]
fn a_run_that_does_not_begin_leaves_the_one_that_it_would_write_over() {
    let out = folder("kept");
    finished(train(Config {
        epochs: 1,
        ..config(&out)
    }));
    let forced = || Config {
        force: true,
        ..config(&out)
    };
    let (model, params) = Mlp::build(3, 4);
    let error = message(Trainer::new(model, params, data(), forced()));
    assert!(error.starts_with("linear: "), "{error}");
    for name in ["config.json", "best/model.safetensors", "confusion.svg"] {
        assert!(out.join(name).exists(), "{name}");
    }
    let stopped = Config {
        stop_after: Some(1),
        ..forced()
    };
    train(stopped).unwrap();
    assert!(!out.join("confusion.svg").exists());
}

#[test]
fn schedules_that_make_no_sense_are_refused() {
    let half_way = f64::MIN_POSITIVE;
    for (schedule, error) in [
        (
            Schedule::Cosine { warmup: 5.0 },
            "schedule cosine: `warmup` must be within 0..=1, a fraction of the run, not 5",
        ),
        (
            Schedule::Cosine { warmup: f64::NAN },
            "schedule cosine: `warmup` must be within 0..=1, a fraction of the run, not NaN",
        ),
        (
            Schedule::Step {
                every: 0.0,
                gamma: 0.1,
            },
            "schedule step: `every` must be above 0, not 0",
        ),
        (
            Schedule::Step {
                every: half_way,
                gamma: -1.0,
            },
            "schedule step: `gamma` must be 0 or more, not -1",
        ),
    ] {
        let config = Config {
            schedule,
            ..config(&folder("schedules"))
        };
        assert_eq!(message(train(config)), error);
    }
    for fine in [
        Schedule::Constant,
        Schedule::STEP,
        Schedule::COSINE,
        Schedule::Cosine { warmup: 1.0 },
    ] {
        fine.check().unwrap();
    }
}

/// The best weights are read again once all epochs are done.
#[test]
fn best_weights_that_were_spoiled_meanwhile_are_an_error() {
    let out = folder("spoiled");
    let (model, params) = Mlp::build(2, 4);
    let mut trainer = Trainer::new(model, params, data(), config(&out)).unwrap();
    finished(trainer.run());
    let best = out.join("best/model.safetensors");
    let (_, mut params) = Mlp::build(2, 4);
    let metadata = weights::load(&best, &mut params).unwrap();
    let nan = Tensor::full([4], f64::NAN, DType::F32);
    params.set("output.bias", &nan).unwrap();
    weights::save(&best, &params, &metadata).unwrap();
    let expected = format!("{}: `output.bias` holds NaN", best.display());
    assert_eq!(message(trainer.run()), expected);
}

/// A mean of losses that are not finite chooses no weights.
#[test]
fn an_evaluation_whose_loss_is_not_finite_is_an_error() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let out = folder("evaluated-loss");
        let points = |target: f32| {
            let x = Tensor::uniform([8, 2], -1.0, 1.0, DType::F32, &Rng::new(0));
            let y = Tensor::full([8, 4], f64::from(target), DType::F32);
            Loader::new(TensorDataset::new(x, y).unwrap(), 4).unwrap()
        };
        let data = Data {
            validation: Some(points(value)),
            ..points(0.0).into()
        };
        let config = config(&out).with_loss(|y, targets| (y - &Var::from(targets))?.mean_all());
        let (model, params) = Mlp::build(2, 4);
        let error = message(Trainer::new(model, params, data, config).unwrap().run());
        let expected = format!("the loss of samples 0 to 3 is {}", -value);
        assert!(error.contains(&expected), "{error}");
        assert!(!out.join("best/model.safetensors").exists());
    }
}
