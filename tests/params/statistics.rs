//! What BatchNorm measured, and that no step forgets it.

use super::*;

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
    assert!(e.starts_with("update: buffer expects [1] of f64 on cpu for `norm.running_mean`, got [1] of f32 on cpu (statistics.rs:"));
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
            "update: buffer expects [2] of f32 on cpu for `mean`, got {shape} of {dtype} on cpu (statistics.rs:"
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
        let mut optimizer = Optimizer::new(method.parse::<Method>().unwrap(), &single).unwrap();
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
        let state = Optimizer::new(method.parse::<Method>().unwrap(), &double)
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
