//! The FNet for images of `vision_xformer`.

use wavemix::models::{Config, FNet2d, Task};

use super::{Case, Count};

pub const CASES: &[Case] = &[
    Case::of("fnet", || FNet2d::new(8, 2).into()),
    Case::of("fnet_wide", || {
        FNet2d {
            mlp: 5,
            ..FNet2d::new(6, 1)
        }
        .into()
    }),
];

const fn tiny(name: &'static str, parameters: usize) -> Count {
    Count {
        size: 64,
        ..Count::of(name, 200, parameters)
    }
}

/// Table 1 of WaveMix: CIFAR-10, CIFAR-100, Tiny ImageNet.
pub const COUNTS: &[Count] = &[
    Count::of("2D-FNet-64/5", 10, 103_562),
    Count::of("2D-FNet-64/5", 100, 109_412),
    tiny("2D-FNet-64/5", 115_912),
    Count::of("2D-FNet-128/5", 10, 407_818),
    Count::of("2D-FNet-128/5", 100, 419_428),
    tiny("2D-FNet-128/5", 432_328),
];

#[test]
fn settings_are_checked() {
    for (name, what) in [
        (
            "2D-FNet-1/2",
            "half the dimension must be between 1 and 65536, got 0",
        ),
        ("2D-FNet-8/0", "between 1 and 1024 blocks, got 0"),
    ] {
        let error = Config::parse(name).unwrap_err();
        assert_eq!(error.to_string(), format!("{name}: {what}"));
    }
    let config = Config {
        task: Task::Segment { classes: 3 },
        ..Config::parse("2D-FNet-8/2").unwrap()
    };
    assert_eq!(
        config.check().unwrap_err().to_string(),
        "2D-FNet-8/2: it classifies images, and has no head for other tasks"
    );
}
