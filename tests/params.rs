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
use wavemix::{DType, Gradients, Params, Pass, Precision, Result, Rng, Tensor, Var, Window};

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
            assert!(message(pass.var(id)).contains("(params.rs:") && pass.wide(id).is_err());
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

/// BatchNorm over one channel.
fn norm(dtype: DType) -> (BatchNorm, Params) {
    Params::declare(dtype, &Rng::new(0), |names| {
        BatchNorm::new(names, "norm", 1)
    })
    .unwrap()
}

fn column(values: &[f64], dtype: DType) -> Var {
    Tensor::from_slice(values, [values.len(), 1])
        .unwrap()
        .cast(dtype)
        .unwrap()
        .into()
}

fn statistics(params: &Params) -> [f64; 3] {
    ["running_mean", "running_var", "num_batches_tracked"].map(|name| {
        let value = params.get(&format!("norm.{name}")).unwrap();
        floats(&value)[0]
    })
}

fn near(got: [f64; 3], want: [f64; 3], eps: f64) {
    assert!(
        got.iter()
            .zip(want)
            .all(|(got, want)| (got - want).abs() <= 4.0 * eps * want.abs()),
        "{got:?}, should be {want:?}"
    );
}

/// 1 and 5: mean 3, unbiased variance 8; PyTorch's momentum of 0.1 takes 0 and 1 to 0.3 and 1.7.
#[test]
fn one_call_makes_the_step_and_keeps_the_statistics() {
    let cases = [
        (DType::F64, Precision::F32),
        (DType::F32, Precision::F32),
        (DType::F32, Precision::Bf16),
    ];
    for (dtype, precision) in cases {
        let ((norm, mut params), x) = (norm(dtype), column(&[1.0, 5.0], dtype));
        let eps = if dtype == DType::F64 {
            f64::EPSILON
        } else {
            f32::EPSILON.into()
        };
        let mut optimizer = Optimizer::new("sgd".parse::<Method>().unwrap(), &params).unwrap();
        let options = StepOptions {
            precision,
            ..StepOptions::new(0.5, Rng::new(1))
        };
        let forward = |pass: &Pass| {
            pass.output(norm.forward(pass, &pass.input(&x)?)?)?
                .sum_all()
        };
        let loss = optimizer
            .train_step(&mut params, options.clone(), forward)
            .unwrap();
        assert_eq!(loss.item().unwrap(), 0.0);
        near(statistics(&params), [0.3, 1.7, 1.0], eps);
        // dbias is the sum of two gradients of 1.
        assert_eq!(floats(&params.get("norm.bias").unwrap()), [-1.0]);
        optimizer.train_step(&mut params, options, forward).unwrap();
        near(statistics(&params), [0.57, 2.33, 2.0], eps);
    }
}

#[test]
fn one_call_does_what_the_long_way_does() {
    let (model, params) = built("WaveMixLite-8/2", 1);
    let (mut short, mut long) = (params.clone(), params);
    let mut optimizers = [adamw(&short), adamw(&long)];
    for step in 0..3 {
        let rng = Rng::new(3).child(step);
        let precision = [Precision::F32, Precision::Bf16][step as usize % 2];
        let options = StepOptions {
            precision,
            max_norm: Some(0.05),
            ..StepOptions::new(1e-2, rng.clone())
        };
        let first = optimizers[0]
            .train_step(&mut short, options, |pass| {
                loss(&model, pass, &images(DType::F32))
            })
            .unwrap();
        let pass = Pass::train(&long, rng).in_precision(precision).unwrap();
        let second = loss(&model, &pass, &images(DType::F32)).unwrap();
        let mut gradients = second.backward().unwrap().flatten(&long).unwrap();
        assert!(
            clip_norm(&long, &mut gradients, 0.05).unwrap() > 0.05,
            "the gradients are clipped"
        );
        let updates = pass.into_updates();
        assert_eq!((updates.len(), updates.is_empty()), (6, false));
        optimizers[1]
            .step_flat(&mut long, &gradients, updates, 1e-2)
            .unwrap();
        assert_eq!(first.item().unwrap(), second.value().item().unwrap());
        assert!(floats(short.arena()) == floats(long.arena()), "step {step}");
        for ((name, a), (_, b)) in short.buffers().iter().zip(long.buffers()) {
            assert_eq!(floats(a), floats(b), "{name}");
        }
    }
}

/// What the trap was: a loss that falls in training, and an evaluation that knows nothing of it.
#[test]
fn evaluation_agrees_with_training() {
    for name in ["WaveMixLite-8/2", "WaveMix-8/2"] {
        let (model, mut params) = built(name, 1);
        let (mut optimizer, images) = (adamw(&params), images(DType::F32));
        let mut last = f64::NAN;
        for step in 0..80 {
            let options = StepOptions::new(0.01, Rng::new(3).child(step));
            last = optimizer
                .train_step(&mut params, options, |pass| loss(&model, pass, &images))
                .unwrap()
                .item()
                .unwrap();
        }
        let evaluated = loss(&model, &Pass::eval(&params), &images)
            .unwrap()
            .value()
            .item()
            .unwrap();
        assert!(
            last < 0.01 && evaluated < 0.1,
            "{name}: {last} in training, {evaluated} in evaluation"
        );
    }
}

/// A layer that runs twice moves its statistics twice, as in PyTorch, and so do two passes before
/// one step.
#[test]
fn statistics_of_several_batches_follow_one_another() {
    let (norm, mut params) = norm(DType::F64);
    let (first, second) = (
        column(&[1.0, 5.0], DType::F64),
        column(&[-2.0, 2.0], DType::F64),
    );
    let want = [0.9 * 0.3, 0.9 * 1.7 + 0.1 * 8.0, 2.0];
    let pass = Pass::train(&params, Rng::new(1));
    norm.forward(&pass, &first).unwrap();
    norm.forward(&pass, &second).unwrap();
    let updates = pass.into_updates();
    assert_eq!(updates.len(), 3);
    params.apply(updates).unwrap();
    near(statistics(&params), want, f64::EPSILON);

    let (norm, mut params) = self::norm(DType::F64);
    let (mut updates, mut sum) = (Updates::none(), Gradients::default());
    for part in [&first, &second] {
        let pass = Pass::train(&params, Rng::new(1))
            .with_updates(updates)
            .unwrap();
        sum.accumulate(
            norm.forward(&pass, part)
                .unwrap()
                .sum_all()
                .unwrap()
                .backward()
                .unwrap(),
        )
        .unwrap();
        updates = pass.into_updates();
    }
    let mut optimizer = Optimizer::new("sgd".parse::<Method>().unwrap(), &params).unwrap();
    optimizer.step(&mut params, &sum, updates, 0.25).unwrap();
    near(statistics(&params), want, f64::EPSILON);
    assert_eq!(
        floats(&params.get("norm.bias").unwrap()),
        [-1.0],
        "the sum of both parts' gradients"
    );
}

#[test]
fn updates_of_other_parameters_change_nothing() {
    let ((_, mut params), (norm, other)) = (built("WaveMixLite-8/1", 1), norm(DType::F32));
    let pass = Pass::train(&other, Rng::new(1));
    norm.forward(&pass, &column(&[1.0, 5.0], DType::F32))
        .unwrap();
    let (updates, before) = (pass.into_updates(), params.clone());
    let mut optimizer = adamw(&params);
    let dw = Tensor::ones(params.arena().shape(), DType::F32);
    let expected = "params: BufferId expects one of the 3 that this layout has, got number 1 of a model with another layout";
    assert!(
        message(optimizer.step_flat(&mut params, &dw, updates.clone(), 0.1)).starts_with(expected)
    );
    assert!(
        message(Pass::train(&params, Rng::new(1)).with_updates(updates.clone()))
            .starts_with(expected)
    );
    assert!(message(params.apply(updates.clone())).starts_with(expected));
    // The same layout in another dtype.
    let (_, mut wide) = self::norm(DType::F64);
    let e = message(wide.apply(updates));
    assert!(e.starts_with("update: buffer expects [1] of f64 on cpu for `norm.running_mean`, got [1] of f32 on cpu (params.rs:"));
    assert_eq!(
        (floats(params.arena()), statistics(&wide)),
        (floats(before.arena()), [0.0, 1.0, 0.0])
    );
    assert_eq!(optimizer.steps().unwrap(), 0);
    // What a layer of one's own leaves is checked where it is left.
    let declare = |names: &mut Names| Ok(names.buffer("mean", [2], 0.0));
    let (mean, params) = Params::declare(DType::F32, &Rng::new(0), declare).unwrap();
    let pass = Pass::train(&params, Rng::new(1));
    for wrong in [
        Tensor::zeros([3], DType::F32),
        Tensor::zeros([2], DType::F64),
        Tensor::zeros([2], DType::I64),
    ] {
        let (shape, dtype) = (*wrong.shape(), wrong.dtype());
        let e = message(pass.update(mean, wrong));
        let expected = format!(
            "update: buffer expects [2] of f32 on cpu for `mean`, got {shape} of {dtype} on cpu (params.rs:"
        );
        assert!(e.starts_with(&expected), "{e}");
    }
    assert!(pass.into_updates().is_empty());
}

#[test]
fn an_optimizer_of_other_parameters_is_refused() {
    for method in Method::NAMES {
        let declare = |dtype| {
            let (id, params) = Params::declare(dtype, &Rng::new(0), |names| {
                Ok(names.param("x", [4], Init::Constant(1.0), FileLayout::Same))
            })
            .unwrap();
            (id, params)
        };
        let ((_, single), (x, mut double)) = (declare(DType::F32), declare(DType::F64));
        let mut optimizer = Optimizer::new(method.parse().unwrap(), &single).unwrap();
        let expected = "optimizer: params expects 4 parameters of f32 on cpu, as it was made for, got 4 parameters of f64 on cpu";
        let dw = Tensor::ones([4], DType::F64);
        assert!(
            message(optimizer.step_flat(&mut double, &dw, Updates::none(), 0.1))
                .starts_with(expected),
            "{method}"
        );
        assert!(
            message(optimizer.advance(&mut double, &dw, Updates::none())).starts_with(expected),
            "{method}"
        );
        let step = StepOptions::new(0.1, Rng::new(0));
        let e = message(optimizer.train_step(&mut double, step, |pass| pass.var(x)?.sum_all()));
        assert!(e.starts_with(expected), "{method}: {e}");
        assert!(
            message(optimizer.state(&double)).starts_with(expected),
            "{method}"
        );
        let state = Optimizer::new(method.parse().unwrap(), &double)
            .unwrap()
            .state(&double)
            .unwrap();
        assert!(
            message(optimizer.load_state(&double, &state.into_iter().collect()))
                .starts_with(expected),
            "{method}"
        );
        assert_eq!(
            (floats(double.arena()), optimizer.steps().unwrap()),
            (vec![1.0; 4], 0)
        );
    }
}

/// What each op kept and computed, and whose backward rules ran.
#[derive(Default)]
struct Ledger {
    flops: u64,
    keeping: Vec<String>,
    backward: Vec<(String, Vec<bool>)>,
}

impl Watcher for Ledger {
    fn forward(&mut self, event: Event<'_>) {
        self.flops += event.flops;
        if event.recorded {
            self.keeping.push(event.scope);
        }
    }

    fn backward(&mut self, _op: &'static str, scope: String, gradients: &[Option<Tensor>]) {
        self.backward
            .push((scope, gradients.iter().map(Option::is_some).collect()));
    }
}

#[test]
fn a_frozen_body_is_evaluated_and_not_differentiated() {
    let cases = [
        (DType::F64, Precision::F32),
        (DType::F32, Precision::F32),
        (DType::F32, Precision::Bf16),
    ];
    for (name, (dtype, precision)) in ["WaveMixLite-8/2", "WaveMix-8/2"]
        .into_iter()
        .flat_map(|name| cases.map(|case| (name, case)))
    {
        let (model, mut params) = config(name).build(dtype, &Rng::new(1)).unwrap();
        params.set_groups(|name| Group {
            frozen: !name.starts_with("pool."),
            ..Group::default()
        });
        let images = images(dtype);
        let pass = Pass::eval(&params).in_precision(precision).unwrap();
        let (evaluation, _) = watch(Ledger::default(), || loss(&model, &pass, &images).unwrap());
        let pass = Pass::train(&params, Rng::new(3))
            .in_precision(precision)
            .unwrap();
        let (training, gradients) = watch(Ledger::default(), || {
            loss(&model, &pass, &images).unwrap().backward().unwrap()
        });
        assert_eq!(training.flops, evaluation.flops);
        // The head's product, what follows it, and nothing below.
        assert!(
            training
                .keeping
                .iter()
                .all(|scope| scope.is_empty() || scope.starts_with("pool")),
            "{:?}",
            training.keeping
        );
        assert!(
            training
                .keeping
                .iter()
                .any(|scope| scope.starts_with("pool"))
        );
        let linear: Vec<_> = training
            .backward
            .iter()
            .filter(|(scope, _)| !scope.is_empty())
            .collect();
        assert_eq!(
            linear,
            [&("pool.2".to_owned(), vec![false, true, true])],
            "no gradient of the features"
        );
        for entry in params.entries() {
            let id = params.id(&entry.name).unwrap();
            assert_eq!(
                gradients.of_param(&params, id).is_some(),
                entry.name.starts_with("pool."),
                "{}",
                entry.name
            );
        }
        // A step leaves the frozen ones alone, weight decay and all; BatchNorm's statistics go on,
        // as in PyTorch.
        let updates = pass.into_updates();
        let before = params.clone();
        adamw(&params)
            .step(&mut params, &gradients, updates, 0.1)
            .unwrap();
        for entry in params.entries() {
            let same = floats(&params.get(&entry.name).unwrap())
                == floats(&before.get(&entry.name).unwrap());
            assert_eq!(same, entry.group.frozen, "{}", entry.name);
        }
        let counted = params
            .buffers()
            .iter()
            .filter(|(name, _)| name.ends_with("num_batches_tracked"));
        assert!(
            counted.map(|(_, count)| floats(count)[0]).eq([1.0; 2]),
            "each block's BatchNorm has seen a batch"
        );
    }
}

/// Between layers that are trained: gradients flow through a frozen one, and none is made for its
/// weights.
#[test]
fn gradients_pass_through_a_frozen_layer() {
    let (layers, mut params) = Params::declare(DType::F64, &Rng::new(1), |names| {
        let first = Conv2d::pointwise(names, "first", [2, 4])?;
        let window = Window {
            padding: [1; 2],
            ..Window::default()
        };
        let norm = BatchNorm::new(names, "frozen.norm", 4)?;
        let middle = Conv2d::new(names, "frozen.conv", [4, 4], 3, window)?;
        let up = ConvTranspose2d::enlarging(names, "frozen.up", [4, 4], 2)?;
        Ok((
            first,
            norm,
            middle,
            up,
            Linear::new(names, "frozen.linear", [4, 3])?,
        ))
    })
    .unwrap();
    let x = Var::from(Tensor::normal(
        [2, 5, 5, 2],
        0.0,
        1.0,
        DType::F64,
        &Rng::new(2),
    ));
    let run = |params: &Params| -> (Ledger, Gradients) {
        let (first, norm, middle, up, linear) = &layers;
        let pass = Pass::train(params, Rng::new(3));
        let y = |x: &Var| -> Result<Var> {
            let x = norm.forward(&pass, &first.forward(&pass, x)?)?;
            let x = middle.forward_gelu_dropout(&pass, &middle.forward(&pass, &x)?, 0.25)?;
            linear
                .forward(&pass, &up.forward(&pass, &x)?)?
                .square()?
                .sum_all()
        };
        watch(Ledger::default(), || y(&x).unwrap().backward().unwrap())
    };
    let (_, all) = run(&params);
    params.set_groups(|name| Group {
        frozen: name.starts_with("frozen."),
        ..Group::default()
    });
    let (ledger, some) = run(&params);
    for entry in params.entries() {
        let id = params.id(&entry.name).unwrap();
        match some.of_param(&params, id) {
            Some(dw) => assert_eq!(
                floats(dw),
                floats(all.of_param(&params, id).unwrap()),
                "{}",
                entry.name
            ),
            None => assert!(entry.group.frozen, "{}", entry.name),
        }
        assert_eq!(
            some.of_param(&params, id).is_none(),
            entry.group.frozen,
            "{}",
            entry.name
        );
    }
    let frozen = ledger
        .backward
        .iter()
        .filter(|(scope, _)| scope.starts_with("frozen."));
    let counts: Vec<_> = frozen
        .map(|(scope, made)| (scope.as_str(), made.clone()))
        .collect();
    let only = vec![true, false, false];
    let expected = [
        "frozen.linear",
        "frozen.up",
        "frozen.conv",
        "frozen.conv",
        "frozen.norm",
    ]
    .map(|scope| (scope, only.clone()));
    assert_eq!(counts, expected);
}

#[test]
fn layers_report_what_no_image_could_mend() {
    let one = Window::default();
    let with = |change: fn(&mut Window)| {
        let mut window = Window::default();
        change(&mut window);
        window
    };
    let conv = |channels: [usize; 2], kernel: usize, window: Window| {
        message(Params::declare(DType::F32, &Rng::new(0), |names| {
            Conv2d::new(
                &mut names.within("layers.3"),
                "reduction",
                channels,
                kernel,
                window,
            )
        }))
    };
    let up = |channels: [usize; 2], kernel: usize, window: Window| {
        message(Params::declare(DType::F32, &Rng::new(0), |names| {
            ConvTranspose2d::new(names, "up", channels, kernel, window)
        }))
    };
    let groups = conv([4, 4], 3, with(|w| w.groups = 0));
    assert!(
        groups.starts_with("conv2d: groups expects 1 or more, got 0 (params.rs:"),
        "{groups}"
    );
    assert!(groups.ends_with(", in layers.3.reduction)"), "{groups}");
    let cases = [
        (
            conv([4, 4], 0, one),
            "conv2d: kernel expects 1 or more, got [0, 0]",
        ),
        (
            conv([4, 4], 3, with(|w| w.stride = [1, 0])),
            "conv2d: stride expects 1 or more, got [1, 0]",
        ),
        (
            conv([4, 4], 3, with(|w| w.dilation = [0, 1])),
            "conv2d: dilation expects 1 or more, got [0, 1]",
        ),
        (
            conv([4, 4], 3, with(|w| w.output_padding = [1, 0])),
            "conv2d: output_padding expects [0, 0], got [1, 0]",
        ),
        (
            conv([3, 4], 3, with(|w| w.groups = 2)),
            "conv2d: c_in expects a multiple of 2 groups, got 3",
        ),
        (
            conv([4, 3], 3, with(|w| w.groups = 2)),
            "conv2d: c_out expects a multiple of 2 groups, got 3",
        ),
        (
            conv([4, 4], 1 << 40, one),
            "a tensor of shape [4, 1099511627776, 1099511627776, 4] does not fit in memory",
        ),
        (
            up([4, 4], 3, with(|w| w.groups = 0)),
            "conv_transpose2d: groups expects 1 or more, got 0 (params.rs:",
        ),
        (
            up([4, 4], 0, one),
            "conv_transpose2d: kernel expects 1 or more, got [0, 0]",
        ),
        (
            up([4, 3], 3, with(|w| w.groups = 2)),
            "conv_transpose2d: c_out expects a multiple of 2 groups, got 3",
        ),
        (
            up([4, 4], 3, with(|w| w.output_padding = [0, 1])),
            "conv_transpose2d: output_padding expects less than stride or dilation, 1, got 1",
        ),
    ];
    for (got, expected) in cases {
        assert!(got.starts_with(expected), "{got}");
    }
    let other = |build: fn(&mut Names) -> Result<()>| {
        message(Params::declare(DType::F32, &Rng::new(0), build))
    };
    assert_starts(
        &other(|names| ConvTranspose2d::enlarging(names, "up", [4, 4], 0).map(drop)),
        "conv_transpose2d: stride expects 1 or more, got [0, 0] (params.rs:",
    );
    let e = other(|names| ConvTranspose2d::enlarging(names, "up", [4, 4], usize::MAX).map(drop));
    assert!(e.ends_with("does not fit in memory"), "{e}");
    let e = other(|names| BatchNorm::new(names, "norm", 0).map(drop));
    assert!(
        e.starts_with("batch_norm: channels expects 1 or more, got 0 (params.rs:")
            && e.ends_with(", in norm)"),
        "{e}"
    );
    let e = other(|names| Linear::new(names, "head", [1 << 40, 1 << 40]).map(drop));
    assert_eq!(
        e,
        "a tensor of shape [1099511627776, 1099511627776] does not fit in memory"
    );
    // Each of which would fit alone.
    let e = other(|names| {
        (0..9).try_for_each(|i| Linear::new(names, &format!("{i}"), [1 << 30, 1 << 29]).map(drop))
    });
    assert!(
        e.ends_with("does not fit in memory") || e.ends_with("are more than memory can hold"),
        "{e}"
    );
    let e = other(|names| BatchNorm::new(names, "norm", 1 << 59).map(drop));
    assert!(e.ends_with("does not fit in memory"), "{e}");
    // The second of two buffers of one name would never be found.
    let e = other(|names| {
        names.counter("count");
        names.within("norm").buffer("mean", [1], 0.0);
        names.buffer("norm.mean", [1], 0.0);
        Ok(())
    });
    assert_eq!(e, "the buffer `norm.mean` is declared twice");
    // A layer without inputs has nothing but a bias of 0.
    let (linear, params) = Params::declare(DType::F32, &Rng::new(0), |names| {
        Linear::new(names, "head", [0, 3])
    })
    .unwrap();
    let y = linear
        .forward(
            &Pass::eval(&params),
            &Tensor::zeros([2, 0], DType::F32).into(),
        )
        .unwrap();
    assert_eq!(floats(y.value()), [0.0; 6]);
}
