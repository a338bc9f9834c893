//! timm's ConvMixer, and with WaveMix's head for segmentation.

use wavemix::models::{Architecture, Config, ConvMixer, Task};

use super::{Case, Count};

fn small(kernel: usize, patch: Option<usize>) -> Architecture {
    ConvMixer {
        dim: 8,
        depth: 2,
        kernel,
        patch,
    }
    .into()
}

pub const CASES: &[Case] = &[
    Case::of("convmixer", || small(8, None)),
    Case::of("convmixer_patches", || small(9, Some(2))),
    Case {
        each_pixel: true,
        ..Case::of("convmixer_segmentation", || small(8, None))
    },
];

/// Tables 1 and 5 of WaveMix; table 4 of WaveMix-Lite, by our reading of its 7.8 M.
pub const COUNTS: &[Count] = &[
    Count::of("ConvMixer-256/8", 10, 671_754),
    Count::of("ConvMixer-256/8", 100, 694_884),
    Count {
        size: 64,
        ..Count::of("ConvMixer-256/8", 200, 722_888)
    },
    Count::of("ConvMixer-256/16", 10, 1_339_402),
    Count::of("ConvMixer-256/16", 100, 1_362_532),
    Count {
        size: 64,
        ..Count::of("ConvMixer-256/16", 200, 1_390_536)
    },
    Count {
        size: 256,
        task: Task::Segment { classes: 20 },
        ..Count::of("ConvMixer-512/16", 20, 7_418_260)
    },
    // The largest of the ConvMixer paper, whose weights timm publishes.
    Count {
        size: 224,
        set: &[("kernel", "7")],
        ..Count::of("ConvMixer-768/32", 1000, 21_110_248)
    },
];

#[test]
fn segmentations_have_the_size_of_the_images() {
    use wavemix::{DType, Module, Pass, Rng, Tensor};
    for (patch, size) in [(4, [16, 16]), (4, [18, 23]), (3, [16, 20]), (1, [5, 7])] {
        let config = Config {
            task: Task::Segment { classes: 3 },
            ..Config::of(small(8, Some(patch)))
        };
        let (model, params) = config.build(DType::F32, &Rng::new(0)).unwrap();
        let images = Tensor::zeros([2, size[0], size[1], 3], DType::F32);
        let y = model.forward(&Pass::eval(&params), &images.into()).unwrap();
        assert_eq!(
            y.shape()[..],
            [2, size[0], size[1], 3],
            "patches of {patch}"
        );
    }
}

#[test]
fn settings_are_checked() {
    for (set, task, what) in [
        (
            ("patch", 33),
            Task::Classify { classes: 10 },
            "patches of 33 pixels do not fit in images of 32",
        ),
        (
            ("kernel", 0),
            Task::Classify { classes: 10 },
            "the kernel must be between 1 and 65536, got 0",
        ),
        (
            ("kernel", 3),
            Task::Segment { classes: 3 },
            "the head for segmentation needs a multiple of 4 as the dimension, got 6",
        ),
        (
            ("kernel", 3),
            Task::Upscale { channels: 3 },
            "it has no head for super-resolution",
        ),
    ] {
        let config = Config {
            task,
            ..Config::parse("ConvMixer-6/1").unwrap()
        };
        let error = config.with(set.0, set.1).unwrap().check().unwrap_err();
        assert_eq!(error.to_string(), format!("ConvMixer-6/1: {what}"));
    }
}
