//! Summaries, which compute with shapes alone.

use super::*;

#[test]
fn a_summary_tells_what_is_kept() {
    let _alone = ALONE.lock().unwrap();
    let config = Config {
        channels: 4,
        ..Config::parse("WaveMixLite-16/2").unwrap()
    };
    // Of each block 2 C floats a pixel, and the last one's output; the stem's 4 and 8 channels in;
    // the head's mean of each.
    let numbers = |blocks: usize| 32 * 32 * (blocks * 16 + 4 + 8) + 16;
    // Mean and variance of both blocks' 16 channels, f64.
    let statistics = 2 * 2 * 16 * 8;
    assert_eq!(
        config
            .summary([32, 32], Precision::F32)
            .unwrap()
            .saved_bytes(),
        4 * numbers(2 * 2 + 1) + statistics
    );
    // In 16 bits what BatchNorm was given is kept too, 3 C, and no block's output for it.
    assert_eq!(
        config
            .summary([32, 32], Precision::Bf16)
            .unwrap()
            .saved_bytes(),
        2 * numbers(2 * 3) + statistics
    );
}

/// What a pass over a real image tells of itself.
#[derive(Default)]
struct Told {
    rows: Vec<(String, Vec<&'static str>, Shape, u64)>,
}

impl Watcher for Told {
    fn forward(&mut self, event: Event<'_>) {
        if !event.recorded {
            return;
        }
        match self.rows.last_mut() {
            Some((layer, ops, output, flops)) if *layer == event.scope => {
                ops.push(event.op);
                *output = *event.output.shape();
                *flops += event.flops;
            }
            _ => self.rows.push((
                event.scope,
                vec![event.op],
                *event.output.shape(),
                event.flops,
            )),
        }
    }
}

/// A summary computes with shapes alone; what it says is what a pass over an image does, layer by
/// layer.
#[test]
fn a_summary_is_that_of_a_real_pass() {
    let _alone = ALONE.lock().unwrap();
    let configs = variants(&[Stem::Patchify(3), Stem::Strided([2, 1])]);
    for (config, [h, w]) in configs
        .iter()
        .flat_map(|config| [(config, [32, 32]), (config, [29, 38])])
    {
        let summary = config.summary([h, w], Precision::F32).unwrap();
        let (model, params) = config.build(DType::F32, &Rng::new(0)).unwrap();
        assert_eq!(summary.parameters, params.count(), "{config:?}");
        let images = || {
            Var::from(Tensor::normal(
                [1, h, w, 4],
                0.0,
                1.0,
                DType::F32,
                &Rng::new(1),
            ))
        };
        let pass = || Pass::train(&params, Rng::new(2));
        let (told, _) = watch(Told::default(), || {
            model.forward(&pass(), &images()).unwrap()
        });
        let rows = summary
            .rows
            .iter()
            .map(|row| (row.layer.clone(), row.ops.clone(), row.output, row.flops));
        assert_eq!(rows.collect::<Vec<_>>(), told.rows, "{config:?} on {h}x{w}");
        let (kept, _y) = watch(Kept::without(&params), || {
            model.forward(&pass(), &images()).unwrap()
        });
        assert_eq!(
            summary.saved_bytes(),
            kept.bytes(),
            "{config:?} on {h}x{w} keeps {:?}",
            kept.list
        );
    }
}

/// Weights are not drawn: a model that no machine can hold is counted at once.
#[test]
fn a_summary_draws_no_weights() {
    let _alone = ALONE.lock().unwrap();
    let before = pool_stats();
    let config = Config::parse("WaveMixLite-65536/100").unwrap();
    let summary = config.summary([64, 64], Precision::Bf16).unwrap();
    assert!(summary.parameters > 6_000_000_000_000);
    assert_eq!(config.parameters().unwrap(), summary.parameters);
    assert_eq!(pool_stats(), before);
}

/// Operations and kept bytes are linear in the number of pixels, where sides are multiples of what
/// the model reduces by.
#[test]
fn a_summary_of_a_huge_image_takes_no_memory_for_it() {
    let _alone = ALONE.lock().unwrap();
    for (name, mixing) in [
        ("WaveMixLite-16/2", Mixing::Cascade(1)),
        ("WaveMixLite-16/2", Mixing::Cascade(4)),
        ("WaveMix-16/2", Mixing::Cascade(1)),
    ] {
        let config = Config {
            size: 64,
            ..Config::parse(name).unwrap().with("mixing", mixing).unwrap()
        };
        let of = |side: usize| config.summary([side, side], Precision::F32).unwrap();
        let (small, middle) = (of(64), of(128));
        let before = pool_stats();
        let large = of(65536);
        assert_eq!(pool_stats(), before, "{name}");
        let area = |side: u128| side * side;
        let grown = |[small, middle]: [u128; 2]| {
            small + (middle - small) * (area(65536) - area(64)) / (area(128) - area(64))
        };
        assert_eq!(
            u128::from(large.flops()),
            grown([&small, &middle].map(|of| u128::from(of.flops()))),
            "{name} {mixing}"
        );
        assert_eq!(
            large.saved_bytes() as u128,
            grown([&small, &middle].map(|of| of.saved_bytes() as u128)),
            "{name} {mixing}"
        );
    }
    let error = Config::parse("WaveMixLite-16/2")
        .unwrap()
        .summary([1 << 40, 1 << 40], Precision::F32)
        .unwrap_err()
        .to_string();
    assert!(error.ends_with("does not fit in memory"), "{error}");
}

/// The most bytes that the pool has lent when an op is done.
struct Peak {
    before: usize,
    most: usize,
}

impl Watcher for Peak {
    fn forward(&mut self, _: Event<'_>) {
        self.most = self.most.max(live() - self.before);
    }
}

/// Sizes are powers of two, which the pool's size classes do not round up.
#[test]
fn inference_takes_what_is_said() {
    let _alone = ALONE.lock().unwrap();
    for name in ["WaveMixLite-16/2", "WaveMix-16/1", "ConvMixer-16/2"] {
        let config = Config {
            channels: 4,
            ..Config::parse(name).unwrap()
        };
        let (model, params) = config.build(DType::F32, &Rng::new(0)).unwrap();
        let before = live();
        let image = Tensor::normal([1, 32, 32, 4], 0.0, 1.0, DType::F32, &Rng::new(1));
        let (peak, logits) = watch(Peak { before, most: 0 }, || {
            model.forward(&Pass::eval(&params), &image.into())
        });
        logits.unwrap();
        let said = config.inference_bytes([32, 32], Precision::F32).unwrap();
        // Within an op that is not seen: four numbers a channel, f64.
        let within = said.checked_sub(peak.most);
        let most = peak.most;
        assert!(
            within.is_some_and(|bytes| bytes <= 4 * 16 * 8),
            "{name}: {said}, {most}"
        );
    }
}
