//! The models: their sizes to the last parameter, their names, and that they learn, the same on any
//! number of threads.

use std::fmt::Display;
use std::path::PathBuf;

use wavemix::io::weights;
use wavemix::models::{
    Architecture, BlockKind, Config, ImageMeta, Mixing, Resize, Saved, Stem, Task, WaveMix,
};
use wavemix::ops::{CrossEntropyOptions, Interpolation, cross_entropy};
use wavemix::optim::{Method, Optimizer};
use wavemix::{DType, Module, Params, Pass, Precision, Rng, Tensor, Var};

use files::Folder;
use helpers::on_threads;

#[path = "files/mod.rs"]
mod files;
mod helpers;

#[path = "models/families.rs"]
mod families;
#[path = "models/metadata.rs"]
mod metadata;

fn count(config: &Config) -> usize {
    config.parameters().unwrap()
}

fn named(name: &str, channels: usize, classes: usize) -> Config {
    Config {
        channels,
        task: Task::Classify { classes },
        ..Config::parse(name).unwrap()
    }
}

/// The same model with another value of one of its architecture's settings.
fn with(config: Config, setting: &str, value: impl Display) -> Config {
    config.with(setting, value).unwrap()
}

/// Every row of the two papers' tables that prints a size, and those of the authors' package.
#[test]
fn parameter_counts_are_exact() {
    let bilinear = Resize::Upsample(Interpolation::Bilinear);
    let upsampled = |config: Config| with(config, "resize", bilinear);
    assert_eq!(count(&upsampled(named("WaveMixLite-8/10", 1, 10))), 3_566);
    assert_eq!(count(&named("WaveMixLite-8/5", 1, 10)), 7_156);
    assert_eq!(count(&upsampled(named("WaveMixLite-32/7", 3, 10))), 37_058);
    assert_eq!(count(&named("WaveMixLite-64/6", 3, 10)), 520_106);
    let table_2 = [
        (16, 38_550),
        (32, 151_970),
        (64, 603_450),
        (128, 2_404_970),
        (144, 3_042_550),
        (256, 9_602_250),
    ];
    for (dim, parameters) in table_2 {
        assert_eq!(
            count(&named(&format!("WaveMixLite-{dim}/7"), 3, 10)),
            parameters,
            "dim {dim}"
        );
    }
    assert_eq!(count(&named("WaveMixLite-128/7", 3, 47)), 2_409_743);
    assert_eq!(count(&named("WaveMixLite-128/7", 3, 62)), 2_411_678);
    assert_eq!(count(&named("WaveMixLite-112/16", 3, 26)), 4_136_522);
    assert_eq!(count(&named("WaveMixLite-112/16", 3, 10)), 4_134_714);
    assert_eq!(
        count(&with(named("WaveMixLite-128/16", 3, 47), "ff", 256)),
        10_123_567
    );
    for (level, parameters) in [
        (1, 3_042_550),
        (2, 5_945_590),
        (3, 15_235_318),
        (4, 47_749_366),
    ] {
        assert_eq!(
            count(&with(
                named("WaveMixLite-144/7", 3, 10),
                "mixing",
                Mixing::Level(level)
            )),
            parameters
        );
    }
    for (levels, parameters) in [
        (1, 3_042_550),
        (2, 4_934_062),
        (3, 6_825_574),
        (4, 8_717_086),
    ] {
        assert_eq!(
            count(&with(
                named("WaveMixLite-144/7", 3, 10),
                "mixing",
                Mixing::Cascade(levels)
            )),
            parameters
        );
    }
    for (dim, parameters) in [(16, 182_202), (32, 722_538), (64, 2_877_642)] {
        assert_eq!(
            count(&named(&format!("WaveMix-{dim}/5"), 3, 10)),
            parameters,
            "WaveMix dim {dim}"
        );
    }
    for (name, parameters) in [
        ("128/8", 2_900_852),
        ("256/12", 16_900_052),
        ("256/16", 22_214_868),
    ] {
        let config = Config {
            task: Task::Segment { classes: 20 },
            ..named(&format!("WaveMixLite-{name}"), 3, 10)
        };
        assert_eq!(count(&config), parameters, "segmentation {name}");
    }
    let config = Config {
        task: Task::Upscale { channels: 3 },
        ..named("WaveMixLite-144/4", 3, 10)
    };
    assert_eq!(count(&config), 1_944_867);
}

#[test]
fn names_parse_and_print() {
    for name in ["WaveMixLite-128/7", "WaveMix-16/5", "WaveMixLite-8/10"] {
        assert_eq!(Config::parse(name).unwrap().to_string(), name);
    }
    for name in [
        "ResNet-7",
        "WaveMixLite",
        "WaveMixLite-128",
        "WaveMixLite-a/7",
        "WaveMixLite-128/-1",
        "",
    ] {
        let error = Config::parse(name).unwrap_err().to_string();
        let names = wavemix::models::names();
        assert_eq!(error, format!("unknown model `{name}`; names are {names}"));
    }
    let error = Config::parse("WaveMixLite-10/2").unwrap_err().to_string();
    assert_eq!(
        error,
        "WaveMixLite-10/2: the dimension must be a multiple of 4 up to 65536, got 10"
    );
}

#[test]
fn answers_have_the_size_of_the_image_whatever_the_stem() {
    let size = |task, stem, [h, w]: [usize; 2]| {
        let config = Config {
            task,
            ..with(named("WaveMixLite-8/1", 1, 3), "stem", stem)
        };
        let (model, params) = config.build(DType::F32, &Rng::new(0)).unwrap();
        let images = Tensor::zeros([2, h, w, 1], DType::F32);
        model
            .forward(&Pass::eval(&params), &images.into())
            .unwrap()
            .shape()
            .to_vec()
    };
    for stem in [1, 2, 3, 4, 8]
        .map(Stem::Patchify)
        .into_iter()
        .chain([Stem::Strided([2, 2])])
    {
        for [h, w] in [[16, 24], [17, 22]] {
            assert_eq!(
                size(Task::Segment { classes: 5 }, stem, [h, w]),
                [2, h, w, 5],
                "segmentation, {stem:?}"
            );
            assert_eq!(
                size(Task::Upscale { channels: 3 }, stem, [h, w]),
                [2, 2 * h, 2 * w, 3],
                "upscaling, {stem:?}"
            );
        }
    }
}

#[test]
fn configurations_survive_json() {
    let config = Config {
        channels: 1,
        task: Task::Classify { classes: 47 },
        ..Config::of(WaveMix {
            mixing: Mixing::Level(2),
            resize: Resize::Upsample(Interpolation::Nearest),
            stem: Some(Stem::Patchify(4)),
            ..WaveMix::new(BlockKind::Lite, 16, 2)
        })
    };
    assert_eq!(Config::from_json(&config.to_json()).unwrap(), config);
    let error = Config::from_json(&serde_json::json!({ "outputs": 3 }))
        .unwrap_err()
        .to_string();
    assert_eq!(error, "model configuration: `task` is missing or malformed");
}

#[test]
fn contradictions_are_named() {
    let base = named("WaveMixLite-16/2", 3, 10);
    let set = |settings: [(&str, &str); 2]| {
        let set = |config: Config, (setting, value)| with(config, setting, value);
        settings.into_iter().fold(base.clone(), set)
    };
    let cases = [
        (
            set([("ff", "8"), ("resize", "bilinear")]),
            "resizing without weights needs ff = dim = 16, got 8",
        ),
        (
            with(base.clone(), "mixing", Mixing::Level(5)),
            "wavelet levels go from 1 to 4, got 5",
        ),
        (
            Config {
                dropout: 1.0,
                ..base.clone()
            },
            "the dropout must be at least 0 and below 1, got 1",
        ),
        (
            set([("mixing", "dft"), ("resize", "bilinear")]),
            "mixing `dft` works at full size: there is nothing to resize",
        ),
        (
            set([("mixing", "cascade:2"), ("resize", "idwt")]),
            "the inverse transform undoes one wavelet level only",
        ),
    ];
    for (config, message) in cases {
        assert_eq!(
            config.check().unwrap_err().to_string(),
            format!("WaveMixLite-16/2: {message}")
        );
    }
}

/// Each of these divided by zero, overflowed, looped or trained on a single pixel, in one of the
/// two families.
#[test]
fn settings_out_of_range_are_named_before_anything_is_computed_from_them() {
    let huge = usize::MAX;
    for name in ["WaveMixLite-16/2", "WaveMix-16/2"] {
        let base = Config {
            size: 28,
            ..named(name, 3, 10)
        };
        let set = |setting: &str, value: usize| with(base.clone(), setting, value);
        let stem = |stem: Stem| with(base.clone(), "stem", stem);
        let mut deep = base.clone();
        let Architecture::WaveMix(wavemix) = &mut deep.architecture else {
            unreachable!("{name}")
        };
        wavemix.depth = huge;
        let far = |by: usize| {
            format!(
                "the stem `strided:{0},{0}` reduces a side {by} times, and the smaller one of the images is 28",
                1u64 << 32
            )
        };
        let cases = [
            (stem(Stem::Patchify(0)), "patches need a side of at least 1".to_owned()),
            (stem(Stem::Strided([0, 1])), "strides start at 1".into()),
            (stem(Stem::Strided([1, 0])), "strides start at 1".into()),
            (stem(Stem::Strided([1 << 32; 2])), far(huge)),
            (
                stem(Stem::Patchify(29)),
                "the stem `patchify:29` reduces a side 29 times, and the smaller one of the images is 28".into(),
            ),
            (Config { size: 0, ..base.clone() }, "the size must be between 1 and 65536, got 0".into()),
            (Config { size: 100_000, ..base.clone() }, "the size must be between 1 and 65536, got 100000".into()),
            (Config { size: huge, ..base.clone() }, format!("the size must be between 1 and 65536, got {huge}")),
            (
                Config { channels: huge, ..base.clone() },
                format!("the number of channels must be between 1 and 65536, got {huge}"),
            ),
            (set("ff", huge), format!("ff must be between 1 and 65536, got {huge}")),
            (set("mult", 0), "mult must be between 1 and 65536, got 0".into()),
            (Config { dropout: f64::NAN, ..base.clone() }, "the dropout must be at least 0 and below 1, got NaN".into()),
            (set("levels", 0), "the number of levels must be between 1 and 16, got 0".into()),
            (set("levels", huge), format!("the number of levels must be between 1 and 16, got {huge}")),
            (deep, format!("at most 1024 blocks, got {huge}")),
            (
                Config { task: Task::Classify { classes: huge }, ..base.clone() },
                format!("the number of outputs must be between 1 and 65536, got {huge}"),
            ),
            (
                Config { task: Task::Segment { classes: 0 }, ..base.clone() },
                "the number of outputs must be between 1 and 65536, got 0".into(),
            ),
            (
                Config { task: Task::Upscale { channels: 1 << 17 }, ..base.clone() },
                "the number of outputs must be between 1 and 65536, got 131072".into(),
            ),
        ];
        for (config, message) in cases {
            let expected = format!("{}: {message}", config.name());
            assert_eq!(config.check().unwrap_err().to_string(), expected);
            assert_eq!(
                config
                    .build(DType::F32, &Rng::new(0))
                    .err()
                    .unwrap()
                    .to_string(),
                expected
            );
            assert_eq!(
                config
                    .summary([28, 28], Precision::F32)
                    .unwrap_err()
                    .to_string(),
                expected
            );
            if config.dropout.is_finite() {
                assert_eq!(
                    Config::from_json(&config.to_json())
                        .unwrap_err()
                        .to_string(),
                    expected,
                    "from a file"
                );
            }
            // Asked of a configuration that nobody checked, they are no panics either.
            let Architecture::WaveMix(wavemix) = &config.architecture else {
                unreachable!("{}", config.name())
            };
            let levels = wavemix.parallel_levels(config.size, config.task);
            assert!(wavemix.levels.is_some() || levels <= 64, "{config:?}");
        }
    }
}

/// The losses of `steps` steps on one batch of noise with arbitrary labels, which can only be
/// learned by heart; and the weights and running statistics after them.
fn train(config: &Config, images: usize, steps: u64) -> (Vec<f64>, Params) {
    let (model, mut params) = config.build(DType::F32, &Rng::new(1)).unwrap();
    let batch = Tensor::normal(
        [images, config.size, config.size, 1],
        0.0,
        1.0,
        DType::F32,
        &Rng::new(2),
    );
    let labels = Tensor::from_vec(
        (0..images as i64).map(|i| (7 * i + i / 3) % 10).collect(),
        [images],
    )
    .unwrap();
    let mut optimizer = Optimizer::new("adamw".parse::<Method>().unwrap(), &params).unwrap();
    let mut losses = Vec::new();
    for i in 0..steps {
        let pass = Pass::train(&params, Rng::new(3).child(i));
        let logits = model.forward(&pass, &Var::from(&batch)).unwrap();
        let loss = cross_entropy(&logits, &labels, CrossEntropyOptions::default()).unwrap();
        let (gradients, statistics) = (loss.backward().unwrap(), pass.into_updates());
        optimizer
            .step(&mut params, &gradients, statistics, 0.01)
            .unwrap();
        losses.push(loss.value().item().unwrap());
    }
    (losses, params)
}

#[test]
fn one_batch_is_learned_by_heart() {
    for name in ["WaveMixLite-8/2", "WaveMix-8/2"] {
        let config = Config {
            channels: 1,
            size: 12,
            dropout: 0.0,
            ..Config::parse(name).unwrap()
        };
        let (losses, _) = train(&config, 16, 80);
        let (first, last) = (losses[0], losses[79]);
        assert!(
            first > 2.0 && last < 0.01,
            "{name}: the loss went from {first} to {last}"
        );
    }
}

#[test]
fn steps_with_dropout_give_the_same_bits_on_any_number_of_threads() {
    let lite = Config {
        channels: 1,
        size: 28,
        dropout: 0.5,
        ..Config::parse("WaveMixLite-16/2").unwrap()
    };
    let parallel = Config {
        architecture: WaveMix::new(BlockKind::Parallel, 16, 2).into(),
        size: 14,
        ..lite.clone()
    };
    let cascade = Config {
        size: 27,
        ..with(lite.clone(), "mixing", Mixing::Cascade(3))
    };
    for config in [lite, parallel, cascade] {
        // Enough images for work to be cut into several tasks.
        let on = |threads: usize| {
            let (losses, params) = on_threads(threads, || train(&config, 32, 3));
            let mut bits: Vec<u64> = losses.iter().map(|loss| loss.to_bits()).collect();
            let numbers = |x: &Tensor| x.cast(DType::F64).unwrap().to_vec::<f64>().unwrap();
            bits.extend(numbers(params.arena()).iter().map(|x| x.to_bits()));
            bits.extend(
                params
                    .buffers()
                    .iter()
                    .flat_map(|(_, x)| numbers(x))
                    .map(|x| x.to_bits()),
            );
            bits
        };
        let (one, two, five) = (on(1), on(2), on(5));
        assert!(
            one == two && one == five,
            "{config:?}: the bits depend on the number of threads"
        );
    }
}
