//! Parameters and the passes that lend them: whose identities they are, what is frozen, and that no
//! step forgets what BatchNorm measured.

mod helpers;

use helpers::assert_starts;
use wavemix::autograd::trace::{Event, Watcher, watch};
use wavemix::models::{Config, Model};
use wavemix::nn::{BatchNorm, Conv2d, ConvTranspose2d, Linear};
use wavemix::ops::{CrossEntropyOptions, cross_entropy};
use wavemix::optim::{Method, Optimizer, StepOptions, clip_norm};
use wavemix::params::{FileLayout, Group, Init, Names, ParamId, Updates};
use wavemix::{
    DType, Gradients, Module, Params, Pass, Precision, Result, Rng, Tensor, Var, Window,
};

#[path = "params/begin.rs"]
mod begin;
#[path = "params/frozen.rs"]
mod frozen;
#[path = "params/statistics.rs"]
mod statistics;

fn config(name: &str) -> Config {
    Config {
        channels: 1,
        size: 12,
        dropout: 0.0,
        ..Config::parse(name).unwrap()
    }
}

fn built(name: &str, seed: u64) -> (Model, Params) {
    config(name).build(DType::F32, &Rng::new(seed)).unwrap()
}

fn images(dtype: DType) -> Var {
    Tensor::normal([16, 12, 12, 1], 0.0, 1.0, dtype, &Rng::new(2)).into()
}

fn labels() -> Tensor {
    Tensor::from_vec((0..16i64).map(|i| (7 * i + i / 3) % 10).collect(), [16]).unwrap()
}

fn loss(model: &Model, pass: &Pass, images: &Var) -> Result<Var> {
    cross_entropy(
        &model.forward(pass, images)?,
        &labels(),
        CrossEntropyOptions::default(),
    )
}

fn floats(x: &Tensor) -> Vec<f64> {
    x.cast(DType::F64).unwrap().to_vec().unwrap()
}

fn message<T>(result: Result<T>) -> String {
    result.err().expect("an error").to_string()
}

fn adamw(params: &Params) -> Optimizer {
    Optimizer::new("adamw".parse::<Method>().unwrap(), params).unwrap()
}

#[test]
fn one_models_layers_serve_all_parameters_of_their_layout() {
    let ((model, params), (other_model, other)) =
        (built("WaveMixLite-8/2", 1), built("WaveMixLite-8/2", 7));
    let gradients = |model: &Model, params: &Params| -> (f64, Vec<f64>) {
        let pass = Pass::train(params, Rng::new(3));
        let loss = loss(model, &pass, &images(DType::F32)).unwrap();
        (
            loss.value().item().unwrap(),
            floats(&loss.backward().unwrap().flatten(params).unwrap()),
        )
    };
    assert_eq!(gradients(&model, &other), gradients(&other_model, &other));
    assert_ne!(gradients(&model, &other), gradients(&model, &params));
    assert!(gradients(&model, &other).1.iter().any(|dw| *dw != 0.0));
    // A step, and evaluation, as with the layers that were declared with them.
    let step = |model: &Model| {
        let mut params = other.clone();
        let options = StepOptions::new(1e-2, Rng::new(3));
        adamw(&params)
            .train_step(&mut params, options, |pass| {
                loss(model, pass, &images(DType::F32))
            })
            .unwrap();
        floats(
            model
                .forward(&Pass::eval(&params), &images(DType::F32))
                .unwrap()
                .value(),
        )
    };
    assert_eq!(step(&model), step(&other_model));
    // Weights of another dtype have the same layout.
    let (_, wide) = config("WaveMixLite-8/2")
        .build(DType::F64, &Rng::new(1))
        .unwrap();
    assert!(
        model
            .forward(&Pass::eval(&wide), &images(DType::F64))
            .is_ok()
    );
}

#[test]
fn a_parameter_of_another_layout_is_an_error_that_names_line_and_layer() {
    let (model, _) = built("WaveMixLite-8/2", 1);
    let (_, shallow) = built("WaveMixLite-8/1", 1);
    for pass in [Pass::eval(&shallow), Pass::train(&shallow, Rng::new(0))] {
        let line = line!() + 1;
        let e = message(model.forward(&pass, &images(DType::F32)));
        let expected = "params: ParamId expects one of the 16 that this layout has, got number 15 of a model with another layout";
        assert_eq!(
            e,
            format!("{expected} (params.rs:{line}, in layers.1.reduction)")
        );
    }
    // More parameters than there are, other names, other shapes, another order.
    let declare = |declare: &dyn Fn(&mut Names) -> ParamId| {
        Params::declare(DType::F32, &Rng::new(0), |names| Ok(declare(names))).unwrap()
    };
    let param = |names: &mut Names, name: &str, n: usize| {
        names.param(name, [n], Init::Constant(1.0), FileLayout::Same)
    };
    let (id, params) = declare(&|names| param(names, "a", 3));
    assert_eq!(
        (
            params.entry(id).unwrap().name.as_str(),
            params.id("a").unwrap()
        ),
        ("a", id)
    );
    let foreign = [
        declare(&|names| param(names, "b", 3)).0,
        declare(&|names| param(names, "a", 4)).0,
        declare(&|names| {
            param(names, "a", 3);
            param(names, "b", 3)
        })
        .0,
        declare(&|names| {
            names.buffer("before", [3], 1.0);
            param(names, "a", 3)
        })
        .0,
    ];
    for id in foreign {
        assert!(
            message(params.entry(id)).starts_with(
                "params: ParamId expects one of the 1 that this layout has, got number "
            )
        );
        for pass in [Pass::train(&params, Rng::new(0)), Pass::eval(&params)] {
            assert!(message(pass.var(id)).contains("(params.rs:") && pass.uncast(id).is_err());
        }
    }
    let (buffer, _) = Params::declare(DType::F32, &Rng::new(0), |names| {
        Ok(names.buffer("mean", [3], 1.0))
    })
    .unwrap();
    assert_starts(
        &message(params.buffer(buffer).map(drop)),
        "params: BufferId expects one of the 0 that this layout has, got number 1 of a model",
    );
    assert!(Pass::eval(&params).buffer(buffer).is_err());
}

#[test]
fn gradients_of_two_models_of_one_layout_are_told_apart() {
    let declare = |value: f64| {
        Params::declare(DType::F64, &Rng::new(0), |names| {
            Ok(names.param("x", [2], Init::Constant(value), FileLayout::Same))
        })
        .unwrap()
    };
    let ((x, two), (_, three)) = (declare(2.0), declare(3.0));
    let five = {
        let mut five = two.clone();
        five.set("x", &Tensor::full([2], 5.0, DType::F64)).unwrap();
        five
    };
    let square = |params: &Params| {
        let x = Pass::train(params, Rng::new(0)).var(x).unwrap();
        x.square().unwrap().sum_all().unwrap()
    };
    // One loss of three models, of which one is a copy of another.
    let sum = (&(&square(&two) + &square(&three)).unwrap() + &square(&five)).unwrap();
    let gradients = sum.backward().unwrap();
    for (params, want) in [(&two, 4.0), (&three, 6.0), (&five, 10.0)] {
        assert_eq!(floats(&gradients.flatten(params).unwrap()), [want; 2]);
        assert_eq!(floats(gradients.of_param(params, x).unwrap()), [want; 2]);
    }
    // Gradients that a copy gave are taken by the original, where no other model's are there.
    let of_copy = square(&five).backward().unwrap();
    assert_eq!(floats(&of_copy.flatten(&two).unwrap()), [10.0; 2]);
    let e = message(gradients.flatten(&two.clone()));
    let expected = "flatten: gradients expects gradients of these parameters, or of a copy of them, got gradients of several";
    assert!(e.starts_with(expected), "{e}");
    let (_, other) = built("WaveMixLite-8/1", 1);
    assert!(
        message(of_copy.flatten(&other))
            .starts_with("params: ParamId expects one of the 16 that this layout has")
    );
    assert_eq!(
        floats(&Gradients::default().flatten(&two).unwrap()),
        [0.0; 2]
    );
}
