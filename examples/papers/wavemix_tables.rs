//! The tables of "WaveMix: Resource-efficient Token Mixing for Images" (arXiv 2203.03689).

use wavemix::data::{Source, Split};

use super::table::{Part, Row, Set, Table, row, set};

pub const C10: Set = set("C10", Source::Cifar10, 32, 10);
pub const C100: Set = set("C100", Source::Cifar100, 32, 100);
pub const TINY: Set = set("Tiny", Source::TinyImageNet, 64, 200);
pub const IN64: Set = set("IN64", Source::ImageNet64, 64, 1000);
pub const BYCLASS: Set = set("Byclass", Source::Emnist(Split::ByClass), 28, 62);
pub const BYMERGE: Set = set("Bymerge", Source::Emnist(Split::ByMerge), 28, 47);
pub const LETTERS: Set = set("Letters", Source::Emnist(Split::Letters), 28, 26);
pub const DIGITS: Set = set("Digits", Source::Emnist(Split::Digits), 28, 10);
pub const BALANCED: Set = set("Balanced", Source::Emnist(Split::Balanced), 28, 47);
pub const MNIST: Set = set("MNIST", Source::Mnist, 28, 10);
pub const FASHION: Set = set("Fashion", Source::FashionMnist, 28, 10);

pub const STEM: &str = "The papers do not say which stem: up to 64 pixels ours is a 3x3 convolution of stride 1, as their memory suggests; ImageNet's has 7,680 parameters more.";
pub const RESNET_50: &str =
    "The printed 25.2 M fits no number of classes; the stem is a 3x3 convolution of stride 1.";
pub const TOKENS: &str = "torchsummary counts modules alone: class tokens, positional embeddings and hand-written norms are left out of the printed figure.";
const NO_CODE: &str = "No code of it was published; it follows the paper's text.";
const LITE: &str = "The WaveMix-128/7 and -256/7 of this paper have the blocks of WaveMix-Lite.";

pub const W1: Table = Table {
    name: "W1",
    title: "WaveMix, table 1: image classification, CIFAR-10, CIFAR-100, Tiny ImageNet",
    printed: &["M", "GB at 64", "C10 %", "C100 %", "Tiny %"],
    parts: &[Part {
        sets: &[C10, C100, TINY],
        rows: &[
            row("ResNet-18", "11.2 1.2 86.29 59.15 48.11").note(STEM),
            row("ResNet-34", "21.3 1.4 87.97 57.79 45.60").note(STEM),
            row("ResNet-50", "25.2 3.3 86.21 58.48 48.77").note(RESNET_50),
            row("2D-FNet-64/5", "0.10 1.0 64.60 29.32 15.53"),
            row("2D-FNet-128/5", "0.41 1.6 70.52 32.13 26.56"),
            row("2D-MLP-Mixer-64/5", "0.15 1.8 47.81 20.76 7.78").note(NO_CODE),
            row("2D-MLP-Mixer-128/5", "0.45 3.7 55.02 22.81 11.12").note(NO_CODE),
            row("ConvMixer-256/8", "0.67 3.7 85.41 57.29 43.15"),
            row("ConvMixer-256/16", "1.3 7.0 88.46 61.80 45.39"),
            row("ViT-128/4x4", "0.53 13.8 56.81 30.25 26.43").modules(530_442).note(TOKENS),
            row("HybridViN-128/4x4", "0.62 4.8 75.26 51.44 34.05").modules(623_706).note(TOKENS),
            row("CCT-128/4x4", "0.90 15.8 82.23 57.09 39.05").modules(905_547).note(TOKENS),
            row("CvT-128/4x4", "1.10 15.4 79.93 48.29 40.69").modules(1_099_786).note(TOKENS),
            row("WaveMix-16/5", "0.18 0.2 78.04 34.32 26.96"),
            row("WaveMix-32/5", "0.72 0.2 81.47 45.70 29.97"),
            row("WaveMix-64/5", "2.88 0.3 86.16 56.20 38.19"),
            row("WaveMixLite-128/7", "2.42 1.3 91.08 68.40 52.03"),
            row("WaveMixLite-256/7", "9.62 2.3 90.72 70.20 51.37"),
        ],
    }],
    notes: &[LITE],
};

pub const W2: Table = Table {
    name: "W2",
    title: "WaveMix, table 2: EMNIST, MNIST, Fashion-MNIST",
    printed: &[
        "M",
        "Byclass %",
        "Bymerge %",
        "Letters %",
        "Digits %",
        "Balanced %",
        "MNIST %",
        "Fashion %",
    ],
    parts: &[Part {
        sets: &[BYCLASS, BYMERGE, LETTERS, DIGITS, BALANCED, MNIST, FASHION],
        rows: &[
            row("ResNet-18", "11.2 87.98 91.09 94.76 99.67 89.00 99.69 93.35").note(STEM),
            row("ResNet-34", "21.3 88.10 91.13 95.04 99.68 89.17 99.67 93.34").note(STEM),
            row("ResNet-50", "23.6 88.18 91.29 94.64 99.62 89.76 99.56 93.30").note(STEM),
            row("WaveMixLite-128/7", "2.4 88.43 91.52 95.78 99.77 91.06 99.71 93.91"),
            row("WaveMixLite-256/7", "9.6 88.42 91.59 95.56 99.70 90.36 99.65 93.78"),
        ],
    }],
    notes: &["The grey images are repeated to 3 channels.", LITE],
};

const LARGE_STEM: &str = "ImageNet's stem is a guess: the papers do not say which one was used at 96 pixels and more; on SVHN's 32 pixels it is a 3x3 convolution of stride 1.";

pub const W3: Table = Table {
    name: "W3",
    title: "WaveMix, table 3: STL-10, SVHN, Caltech-256, Places-365, iNaturalist 2021 mini",
    printed: &["STL-10 %", "SVHN %", "Caltech %", "Places %", "iNat %"],
    parts: &[Part {
        sets: &[
            set("STL-10", Source::Stl10, 96, 10),
            set("SVHN", Source::Svhn, 32, 10),
            set("Caltech", Source::Caltech256, 256, 257),
            set("Places", Source::Places365, 256, 365),
            set("iNat", Source::INaturalist2021Mini, 256, 10_000),
        ],
        rows: &[
            row("ResNet-18", "70.41 97.40 52.97 48.74 26.35").note(LARGE_STEM),
            row("ResNet-34", "68.07 97.47 50.92 49.02 31.02").note(LARGE_STEM),
            row("ResNet-50", "66.04 97.32 49.97 49.80 33.14").note(LARGE_STEM),
            row("WaveMixLite-256/7", "70.88 97.61 54.62 49.83 33.23")
                .note("Strides of 2 and 1 in the stem at 96 pixels are a guess; table 6 of WaveMix-Lite prints 98.14 for SVHN."),
        ],
    }],
    notes: &[LITE],
};

pub const W4: Table = Table {
    name: "W4",
    title: "WaveMix, table 4: ImageNet-1k at 64x64",
    printed: &["GB at 64", "top-1 %", "top-5 %", "largest batch"],
    parts: &[Part {
        sets: &[IN64],
        rows: &[
            row("ResNet-18", "2.6 50.67 75.07 384").note(STEM),
            row("ResNet-34", "3.5 55.04 76.95 288").note(STEM),
            row("ResNet-50", "11.3 55.66 78.40 96").note(STEM),
            row("ResNet-101", "15.1 56.05 79.43 64").note(STEM),
            row("WaveMixLite-256/7", "9.0 56.66 80.04 112"),
        ],
    }],
    notes: &[LITE],
};

/// The rows of table 5 at one size.
const fn speeds(sets: &'static [Set], rows: &'static [Row]) -> Part {
    Part { sets, rows }
}

pub const W5: Table = Table {
    name: "W5",
    title: "WaveMix, table 5: images a second at 32x32 and 64x64",
    printed: &["train images/s", "infer images/s"],
    parts: &[
        speeds(
            &[C10],
            &[
                row("ResNet-18", "1571 3436").note(STEM),
                row("ConvMixer-256/16", "166 451"),
                row("HybridViN-128/4x4", "243 801"),
                row("CCT-128/4x4", "149 521"),
                row("WaveMix-16/5", "3230 4310"),
                row("WaveMix-32/5", "1834 3802"),
                row("WaveMixLite-128/7", "1279 3401"),
                row("WaveMixLite-256/7", "495 1028"),
            ],
        ),
        speeds(
            &[TINY],
            &[
                row("ResNet-18", "467 1389").note(STEM),
                row("ConvMixer-256/16", "120 445"),
                row("HybridViN-128/4x4", "240 773"),
                row("CCT-128/4x4", "149 514"),
                row("WaveMix-16/5", "797 2208"),
                row("WaveMix-32/5", "460 1623"),
                row("WaveMixLite-128/7", "276 488"),
                row("WaveMixLite-256/7", "159 408"),
            ],
        ),
    ],
    notes: &[
        "The paper does not say how many classes there are: 10 at 32x32 and 200 at 64x64 are a guess.",
        LITE,
    ],
};

pub const W6: Table = Table {
    name: "W6",
    title: "WaveMix, table 6: the largest batch in 16 GB",
    printed: &["training", "inference"],
    parts: &[Part {
        sets: &[C100],
        rows: &[
            row("ResNet-50", "320 960").note(STEM),
            row("WaveMixLite-128/7", "768 2176"),
            row("WaveMixLite-256/7", "448 768"),
        ],
    }],
    notes: &[LITE],
};
