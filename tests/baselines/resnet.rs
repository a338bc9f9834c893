//! torchvision's ResNets.

use wavemix::models::{ResNet, ResNetStem, ResidualBlock};

use super::{Case, Count};

fn small(
    block: ResidualBlock,
    widths: [usize; 4],
    blocks: [usize; 4],
    stem: ResNetStem,
) -> wavemix::models::Architecture {
    ResNet {
        block,
        blocks,
        widths,
        stem: Some(stem),
    }
    .into()
}

pub const CASES: &[Case] = &[
    Case::of("resnet_basic", || {
        let widths = [4, 6, 8, 10];
        small(
            ResidualBlock::Basic,
            widths,
            [2, 1, 1, 1],
            ResNetStem::ImageNet,
        )
    }),
    Case::of("resnet_small_stem", || {
        let widths = [4, 6, 8, 10];
        small(
            ResidualBlock::Basic,
            widths,
            [2, 1, 1, 1],
            ResNetStem::Small,
        )
    }),
    Case::of("resnet_bottleneck", || {
        let widths = [2, 3, 4, 5];
        small(
            ResidualBlock::Bottleneck,
            widths,
            [1, 2, 1, 1],
            ResNetStem::ImageNet,
        )
    }),
];

/// Tables 1 to 4 of WaveMix and 1 to 3 of WaveMix-Lite. The tables' counts are those of the stem of
/// large images; the small stem has 7,680 less.
pub const COUNTS: &[Count] = &[
    Count {
        size: 64,
        set: &[("stem", "imagenet")],
        ..Count::of("ResNet-18", 10, 11_181_642)
    },
    Count {
        size: 64,
        set: &[("stem", "imagenet")],
        ..Count::of("ResNet-18", 100, 11_227_812)
    },
    Count {
        size: 64,
        set: &[("stem", "imagenet")],
        ..Count::of("ResNet-18", 200, 11_279_112)
    },
    Count::of("ResNet-18", 10, 11_181_642 - 7_680),
    Count {
        size: 64,
        set: &[("stem", "imagenet")],
        ..Count::of("ResNet-34", 10, 21_289_802)
    },
    Count {
        size: 64,
        set: &[("stem", "imagenet")],
        ..Count::of("ResNet-34", 62, 21_316_478)
    },
    Count {
        size: 64,
        set: &[("stem", "imagenet")],
        ..Count::of("ResNet-50", 10, 23_528_522)
    },
    Count {
        size: 224,
        ..Count::of("ResNet-18", 1000, 11_689_512)
    },
    Count {
        size: 224,
        ..Count::of("ResNet-34", 1000, 21_797_672)
    },
    Count {
        size: 224,
        ..Count::of("ResNet-50", 1000, 25_557_032)
    },
    Count {
        size: 224,
        ..Count::of("ResNet-101", 1000, 44_549_160)
    },
    Count {
        size: 256,
        ..Count::of("ResNet-18", 257, 11_308_353)
    },
    Count {
        size: 256,
        ..Count::of("ResNet-34", 365, 21_471_917)
    },
    Count {
        size: 256,
        ..Count::of("ResNet-50", 10_000, 43_998_032)
    },
];
