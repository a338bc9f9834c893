//! WaveMix's 2-D MLP-Mixer, by a module that is written out beside the golden.

use wavemix::models::{Config, MlpMixer2d, Task};

use super::{Case, Count};

pub const CASES: &[Case] = &[Case::of("mlp_mixer_2d", || {
    MlpMixer2d { dim: 8, depth: 2 }.into()
})];

/// Table 1 of WaveMix.
pub const COUNTS: &[Count] = &[
    Count::of("2D-MLP-Mixer-64/5", 10, 146_122),
    Count::of("2D-MLP-Mixer-64/5", 100, 151_972),
    Count {
        size: 64,
        ..Count::of("2D-MLP-Mixer-64/5", 200, 282_952)
    },
    Count::of("2D-MLP-Mixer-128/5", 10, 450_378),
    Count::of("2D-MLP-Mixer-128/5", 100, 461_988),
    Count {
        size: 64,
        ..Count::of("2D-MLP-Mixer-128/5", 200, 599_368)
    },
];

#[test]
fn settings_are_checked() {
    for (name, task, what) in [
        (
            "2D-MLP-Mixer-7/5",
            Task::Classify { classes: 10 },
            "the dimension must be a multiple of 2 up to 65536, got 7",
        ),
        (
            "2D-MLP-Mixer-8/2000",
            Task::Classify { classes: 10 },
            "at most 1024 blocks, got 2000",
        ),
        (
            "2D-MLP-Mixer-8/5",
            Task::Segment { classes: 10 },
            "it classifies images, and has no head for other tasks",
        ),
    ] {
        let config = Config::parse(name).map(|config| Config { task, ..config });
        let error = config.and_then(|config| config.check()).unwrap_err();
        assert_eq!(error.to_string(), format!("{name}: {what}"));
    }
}
