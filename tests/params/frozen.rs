//! Frozen parameters, and layers that report mistakes.

use super::*;

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
        groups.starts_with("conv2d: groups expects 1 or more, got 0 (frozen.rs:"),
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
            "conv_transpose2d: groups expects 1 or more, got 0 (frozen.rs:",
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
        "conv_transpose2d: stride expects 1 or more, got [0, 0] (frozen.rs:",
    );
    let e = other(|names| ConvTranspose2d::enlarging(names, "up", [4, 4], usize::MAX).map(drop));
    assert!(e.ends_with("does not fit in memory"), "{e}");
    let e = other(|names| BatchNorm::new(names, "norm", 0).map(drop));
    assert!(
        e.starts_with("batch_norm: channels expects 1 or more, got 0 (frozen.rs:")
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
    // The sum wraps to 0.
    let e = other(|names| {
        for i in 0..32 {
            let name = i.to_string();
            names.param(&name, [1 << 59], Init::Constant(0.0), FileLayout::Same);
        }
        Ok(())
    });
    assert_eq!(e, "the parameters up to `31` are more than memory can hold");
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
