//! The models: their sizes to the last parameter, their names, their gradients, and what a step keeps in memory.

use wavemix::models::{Config, Mixing, Resize, Task};
use wavemix::ops::Interpolation;
use wavemix::{DType, Rng};

fn count(config: &Config) -> usize {
    config.build(DType::F32, &Rng::new(0)).unwrap().1.count()
}

fn named(name: &str, channels: usize, classes: usize) -> Config {
    Config { channels, task: Task::Classify { classes }, ..Config::parse(name).unwrap() }
}

/// Every row of the two papers' tables that prints a size, and those of the authors' package.
#[test]
fn parameter_counts_are_exact() {
    let upsampled = |config: Config| Config { resize: Resize::Upsample(Interpolation::Bilinear), ..config };
    assert_eq!(count(&upsampled(named("WaveMixLite-8/10", 1, 10))), 3_566);
    assert_eq!(count(&named("WaveMixLite-8/5", 1, 10)), 7_156);
    assert_eq!(count(&upsampled(named("WaveMixLite-32/7", 3, 10))), 37_058);
    assert_eq!(count(&named("WaveMixLite-64/6", 3, 10)), 520_106);
    let table_2 = [(16, 38_550), (32, 151_970), (64, 603_450), (128, 2_404_970), (144, 3_042_550), (256, 9_602_250)];
    for (dim, parameters) in table_2 {
        assert_eq!(count(&named(&format!("WaveMixLite-{dim}/7"), 3, 10)), parameters, "dim {dim}");
    }
    assert_eq!(count(&named("WaveMixLite-128/7", 3, 47)), 2_409_743);
    assert_eq!(count(&named("WaveMixLite-128/7", 3, 62)), 2_411_678);
    assert_eq!(count(&named("WaveMixLite-112/16", 3, 26)), 4_136_522);
    assert_eq!(count(&named("WaveMixLite-112/16", 3, 10)), 4_134_714);
    assert_eq!(count(&Config { ff: 256, ..named("WaveMixLite-128/16", 3, 47) }), 10_123_567);
    for (level, parameters) in [(1, 3_042_550), (2, 5_945_590), (3, 15_235_318), (4, 47_749_366)] {
        assert_eq!(count(&Config { mixing: Mixing::Level(level), ..named("WaveMixLite-144/7", 3, 10) }), parameters);
    }
    for (levels, parameters) in [(1, 3_042_550), (2, 4_934_062), (3, 6_825_574), (4, 8_717_086)] {
        assert_eq!(count(&Config { mixing: Mixing::Cascade(levels), ..named("WaveMixLite-144/7", 3, 10) }), parameters);
    }
    for (dim, parameters) in [(16, 182_202), (32, 722_538), (64, 2_877_642)] {
        assert_eq!(count(&named(&format!("WaveMix-{dim}/5"), 3, 10)), parameters, "WaveMix dim {dim}");
    }
    for (name, parameters) in [("128/8", 2_900_852), ("256/12", 16_900_052), ("256/16", 22_214_868)] {
        let config = Config { task: Task::Segment { classes: 20 }, ..named(&format!("WaveMixLite-{name}"), 3, 10) };
        assert_eq!(count(&config), parameters, "segmentation {name}");
    }
    let config = Config { task: Task::Upscale { channels: 3 }, ..named("WaveMixLite-144/4", 3, 10) };
    assert_eq!(count(&config), 1_944_867);
}

#[test]
fn names_parse_and_print() {
    for name in ["WaveMixLite-128/7", "WaveMix-16/5", "WaveMixLite-8/10"] {
        assert_eq!(Config::parse(name).unwrap().to_string(), name);
    }
    for name in ["ResNet-50", "WaveMixLite", "WaveMixLite-128", "WaveMixLite-a/7", "WaveMixLite-128/-1", ""] {
        let error = Config::parse(name).unwrap_err().to_string();
        let forms = "WaveMixLite-<dim>/<blocks> or WaveMix-<dim>/<blocks>, as in WaveMixLite-128/7";
        assert_eq!(error, format!("unknown model `{name}`; names are {forms}"));
    }
    let error = Config::parse("WaveMixLite-10/2").unwrap_err().to_string();
    assert_eq!(error, "WaveMixLite-10/2: the dimension must be a multiple of 4 up to 65536, got 10");
}

#[test]
fn configurations_survive_json() {
    let config = Config {
        mixing: Mixing::Level(2),
        resize: Resize::Upsample(Interpolation::Nearest),
        stem: Some(wavemix::models::Stem::Patchify(4)),
        ..named("WaveMixLite-16/2", 1, 47)
    };
    assert_eq!(Config::from_json(&config.to_json()).unwrap(), config);
    let error = Config::from_json(&serde_json::json!({ "outputs": 3 })).unwrap_err().to_string();
    assert_eq!(error, "model configuration: `task` is missing or malformed");
}

#[test]
fn contradictions_are_named() {
    let base = named("WaveMixLite-16/2", 3, 10);
    let bilinear = Resize::Upsample(Interpolation::Bilinear);
    let cases = [
        (Config { ff: 8, resize: bilinear, ..base.clone() }, "resizing without weights needs ff = dim = 16, got 8"),
        (Config { mixing: Mixing::Level(5), ..base.clone() }, "wavelet levels go from 1 to 4, got 5"),
        (Config { dropout: 1.0, ..base.clone() }, "the dropout must be at least 0 and below 1, got 1"),
        (
            Config { mixing: Mixing::Dft, resize: bilinear, ..base.clone() },
            "mixing `dft` works at full size: there is nothing to resize",
        ),
        (
            Config { mixing: Mixing::Cascade(2), resize: Resize::InverseDwt, ..base.clone() },
            "the inverse transform undoes one wavelet level only",
        ),
    ];
    for (config, message) in cases {
        assert_eq!(config.check().unwrap_err().to_string(), format!("WaveMixLite-16/2: {message}"));
    }
}
