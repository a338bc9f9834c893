//! torchvision's MobileNetV2.

use wavemix::models::{Config, InvertedResiduals, MobileNetV2};

use super::{Case, Count};

fn stage([expansion, channels, blocks, stride]: [usize; 4]) -> InvertedResiduals {
    InvertedResiduals {
        expansion,
        channels,
        blocks,
        stride,
    }
}

pub const CASES: &[Case] = &[Case::of("mobilenet", || {
    MobileNetV2 {
        width: 0.1,
        stages: vec![stage([1, 8, 1, 1]), stage([6, 8, 2, 2])],
        divisor: 4,
    }
    .into()
})];

/// Table 2 of WaveMix-Lite has width 2; torchvision prints 3,504,872 for its own.
pub const COUNTS: &[Count] = &[
    Count::of("MobileNetV2-2.0", 10, 8_722_698),
    Count::of("MobileNetV2-2.0", 100, 8_953_188),
    Count {
        size: 224,
        ..Count::of("MobileNetV2", 1000, 3_504_872)
    },
];

#[test]
fn widths_are_read_back_and_checked() {
    for (name, printed) in [
        ("MobileNetV2", "MobileNetV2"),
        ("MobileNetV2-1", "MobileNetV2"),
        ("MobileNetV2-0.35", "MobileNetV2-0.35"),
        ("MobileNetV2-2", "MobileNetV2-2.0"),
    ] {
        assert_eq!(Config::parse(name).unwrap().to_string(), printed);
    }
    for (name, what) in [
        ("MobileNetV2-0", "the width must be above 0, got 0.0"),
        ("MobileNetV2-NaN", "the width must be above 0, got NaN"),
        (
            "MobileNetV2-100",
            "the channels, times the width, must be between 1 and 65536, got 128000",
        ),
    ] {
        let error = Config::parse(name).unwrap_err().to_string();
        assert!(error.ends_with(what), "{name}: {error}");
    }
}
