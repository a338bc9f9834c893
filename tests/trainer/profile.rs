//! Profiles: the trace of some steps of a run, and what a loop of one's own measures.

use std::collections::BTreeSet;

use super::*;
use wavemix::profile::{Kind, Profile, Profiler};

/// Begin and end of an event, in nanoseconds.
fn stretch(event: &Value) -> [u64; 2] {
    let [begin, duration] =
        ["ts", "dur"].map(|key| (event[key].as_f64().unwrap() * 1e3).round() as u64);
    [begin, begin + duration]
}

fn trace(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("profile.json")).unwrap();
    let trace: Value = serde_json::from_str(&text).unwrap();
    trace["traceEvents"].as_array().unwrap().clone()
}

/// Events of one track hold one another or lie apart, as viewers want them.
fn assert_nested(events: &[&Value]) {
    let mut open: Vec<[u64; 2]> = Vec::new();
    for event in events {
        let [begin, end] = stretch(event);
        while open.last().is_some_and(|last| last[1] <= begin) {
            open.pop();
        }
        assert!(
            open.last().is_none_or(|last| end <= last[1]),
            "{event} in {open:?}"
        );
        open.push([begin, end]);
    }
}

/// A WaveMix on black and white images, two batches an epoch.
fn wavemix(out: &Path, profile: Option<usize>) -> Trainer {
    let config = models::Config {
        channels: 1,
        size: 8,
        task: models::Task::Classify { classes: 2 },
        ..models::Config::parse("WaveMixLite-8/2").unwrap()
    };
    let (model, params) = config.build(DType::F32, &Rng::new(0)).unwrap();
    let told = Config {
        epochs: 4,
        profile,
        out: Some(out.to_owned()),
        ..Config::default()
    };
    Trainer::new(model, params, dots(), told).unwrap()
}

#[test]
fn a_trace_has_the_models_ops_and_layers() {
    let [plain, out] = ["not-profiled", "profiled"].map(folder);
    finished(wavemix(&plain, None).run());
    let began = std::time::Instant::now();
    let mut trainer = wavemix(&out, Some(3));
    finished(trainer.run());
    let wall = began.elapsed().as_nanos() as u64;
    // Watching changes nothing.
    let weights = |out: &Path| fs::read(out.join("last/model.safetensors")).unwrap();
    assert!(weights(&plain) == weights(&out) && !plain.join("profile.json").exists());
    let picture = fs::read_to_string(out.join("profile.svg")).unwrap();
    assert!(picture.contains("A step of WaveMixLite-8/2") && picture.contains(">layers</text>"));

    let events = trace(&out);
    let of = |category: &str| {
        events
            .iter()
            .filter(|e| e["cat"] == category)
            .collect::<Vec<_>>()
    };
    let names = |category: &str| {
        of(category)
            .iter()
            .map(|e| e["name"].as_str().unwrap())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(names("step"), ["step 1", "step 2", "step 3"].into());
    assert_eq!(
        names("phase"),
        ["backward", "forward", "gather gradients", "optimizer"].into()
    );
    assert_eq!(names("between"), ["wait for a batch"].into());
    let total: u64 = [of("step"), of("between")]
        .concat()
        .iter()
        .map(|e| stretch(e))
        .map(|[a, b]| b - a)
        .sum();
    assert!(total > 0 && total < wall, "{total} of {wall}");
    let tracks: BTreeSet<u64> = events.iter().map(|e| e["tid"].as_u64().unwrap()).collect();
    for track in tracks {
        let on_track = events
            .iter()
            .filter(|e| e["ph"] == "X" && e["tid"] == track);
        assert_nested(&on_track.collect::<Vec<_>>());
    }

    // Each parameter's layer is there, and each op that a watcher is told of.
    let layers = names("layer");
    for entry in trainer.params().entries() {
        let layer = entry.name.rsplit_once('.').unwrap().0;
        assert!(layers.contains(layer), "{layer} in {layers:?}");
    }
    struct Ops(BTreeSet<&'static str>, u64);
    impl wavemix::autograd::trace::Watcher for Ops {
        fn forward(&mut self, event: wavemix::autograd::trace::Event<'_>) {
            self.0.insert(event.op);
            self.1 += event.flops;
        }
    }
    let (Ops(ops, flops), ()) = wavemix::autograd::trace::watch(Ops(BTreeSet::new(), 0), || {
        let pass = Pass::train(trainer.params(), Rng::new(0));
        let x = Tensor::zeros([8, 8, 8, 1], DType::F32);
        trainer.model().forward(&pass, &x.into()).unwrap();
    });
    let traced = names("op");
    for op in &ops {
        assert!(traced.contains(op), "{op} in {traced:?}");
    }
    let known = |name: &&str| ops.contains(name.strip_suffix(" backward").unwrap_or(name));
    let others: Vec<_> = traced.iter().filter(|name| !known(name)).collect();
    let loss = [
        "cross_entropy",
        "cross_entropy backward",
        "sum of gradients backward",
    ];
    assert!(others.iter().all(|name| loss.contains(name)), "{others:?}");
    let forward = of("op")
        .into_iter()
        .filter(|e| !e["name"].as_str().unwrap().ends_with(" backward"));
    let traced: u64 = forward.filter_map(|e| e["args"]["flops"].as_u64()).sum();
    assert_eq!(traced, 3 * flops);
}

/// Eight steps, of which two warm up.
#[test]
fn a_run_that_ends_early_has_the_steps_that_there_were() {
    let out = folder("profile-short");
    finished(wavemix(&out, Some(100)).run());
    let steps = trace(&out)
        .iter()
        .filter(|event| event["cat"] == "step")
        .count();
    assert_eq!(steps, 6);
    let error = message(train(Config {
        profile: Some(0),
        ..config(&folder("profile-none"))
    }));
    assert_eq!(error, "training: `profile` must be at least 1");
}

fn of_two_layers() -> Profile {
    let (model, mut params) = Mlp::build(2, 4);
    let mut optimizer = Optimizer::new(AdamW::default(), &params).unwrap();
    let x = Var::from(Tensor::ones([32, 2], DType::F32));
    let mut profiler = Profiler::start(Device::Cpu).unwrap();
    for _ in 0..3 {
        let loss = |pass: &Pass| model.forward(pass, &x)?.square()?.mean(..);
        profiler
            .step(|| optimizer.train_step(&mut params, 1e-3, loss))
            .unwrap();
    }
    profiler.finish().unwrap()
}

#[test]
fn a_loop_of_ones_own_is_profiled_with_its_operations() {
    let profile = of_two_layers();
    assert_eq!(profile.steps, 3);
    let ops = |layer: &str, name: &str| {
        let spans = profile.spans.iter().filter(|span| span.kind == Kind::Op);
        let found = spans.filter(|span| span.layer == layer && span.name == name);
        found
            .map(|span| (span.bytes, span.flops, &*span.shape))
            .collect::<Vec<_>>()
    };
    // 2 n c_in c_out, and as many for the weight's gradient; nobody asks for that of x.
    let flops = 2 * 32 * 2 * 16;
    assert_eq!(
        ops("hidden", "linear"),
        [(4 * (64 + 32 + 16 + 512), flops, "[32, 16]"); 3]
    );
    let backward = ops("hidden", "linear backward");
    assert!(
        backward.len() == 3
            && backward
                .iter()
                .all(|(bytes, of, _)| *of == flops && *bytes == 4 * (32 + 16)),
        "{backward:?}"
    );
    // Here for both operands.
    let flops = 2 * 32 * 16 * 4;
    assert!(
        ops("output", "linear")
            .iter()
            .all(|(_, of, _)| *of == flops)
    );
    assert!(
        ops("output", "linear backward")
            .iter()
            .all(|(_, of, _)| *of == 2 * flops)
    );
    let outer: u64 = profile
        .spans
        .iter()
        .filter(|s| s.kind == Kind::Step)
        .map(|s| s.duration())
        .sum();
    assert!(outer > 0 && outer <= profile.wall);

    // The table's shares are those of one whole.
    let table = profile.to_string();
    assert!(table.starts_with("3 steps, each "), "{table}");
    let shares = table.lines().filter_map(|line| {
        line.split_once(" %")?
            .0
            .rsplit(' ')
            .next()?
            .parse::<f64>()
            .ok()
    });
    let shares: Vec<f64> = shares.collect();
    assert!(
        shares.len() > 8
            && (shares.iter().sum::<f64>() - 100.0).abs() < 0.05 * shares.len() as f64 + 0.001,
        "{table}"
    );
    assert!(
        shares.is_sorted_by(|a, b| a >= b) || table.contains("all others"),
        "{table}"
    );
}
