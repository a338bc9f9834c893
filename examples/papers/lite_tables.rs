//! The tables of "WaveMix-Lite: A Resource-efficient Neural Network for Image Analysis" (arXiv
//! 2205.14375).

use wavemix::data::Source;
use wavemix::models::Task;

use super::table::{Part, Set, Table, row};
use super::wavemix_tables::{
    BALANCED, BYCLASS, BYMERGE, C10, C100, DIGITS, FASHION, IN64, LETTERS, MNIST, RESNET_50, STEM,
    TINY, TOKENS,
};

/// Street scenes of this height and width, with 20 classes: the authors count void as one.
const fn streets(image: [usize; 2]) -> Set {
    let (source, task) = (Source::Cityscapes, Task::Segment { classes: 20 });
    Set { name: "Cityscapes", source, image, channels: 3, task }
}

const SMALL: Set = streets([256, 512]);
const LARGE: Set = streets([512, 1024]);
const GREY_MNIST: Set = Set { channels: 1, ..MNIST };
const GREY_FASHION: Set = Set { channels: 1, ..FASHION };

const FEW_CLASSES: &str = "The printed count is that of a model of 10 to 62 classes; ours has 1000, and a stem of a 3x3 convolution of stride 1, which is a guess.";
const LARGE_STEM: &str =
    "The printed count is that of ImageNet's stem, which has 7,680 parameters more.";
const CPV: &str = "The authors' script with 1000 classes gives our count, not the printed one.";
const QUOTED: &str = "Quoted from the paper of CCT, which augments.";
const QUOTED_RESNET: &str =
    "Quoted from the paper of CCT, which augments (C10, C100); the stem is a guess.";
const QUOTED_VIT: &str = "Quoted from the paper of CCT, which augments. The paper calls it ViT-384/12x6, which would have 21.3 M; the printed count is that of the CCT paper's ViT-12/16.";
const MIXER: &str = "Patches of 8 pixels at 64x64 are a guess, as it has 64 tokens then too.";
const CUT: &str = "The printed 9.0 M fits no number of classes.";
const QUOTED_SCENES: &str = "Quoted from another paper, with a pretrained encoder and a decoder of another kind; the printed count was not found again.";
const DEEPLAB: &str = "Quoted; the printed count is that of DeepLab's VGG-16 (20,503,379), the mIoU that of ResNet-101 with a CRF behind it, which ours has not.";
const SEGFORMER: &str = "Quoted; augmented and pretrained.";
const OWN_SEGFORMER: &str = "A different network from the row above: segformer-pytorch's default. Resizing its logits to the image is a guess.";
const CONVMIXER: &str = "Kernel 8 and patches of 4 pixels are a guess: no setting of the right output size gives the printed 7.8 M.";
const BATCH_21: &str = "Table 9 prints a batch of 18 and 17/18 images/s for the same model.";
const BATCH_18: &str = "Table 4 prints a batch of 21 and 9/11 images/s for the same model.";
const PICK: &str = "The paper does not name the model of these figures: 128/7 is a guess.";

const MIOU: &str = "The printed mIoU may be another measure: the authors' scripts choose by a rounded ratio of bits of class numbers, which stands beside ours as papers-iou. Ours is the standard one, over the whole set, of 19 classes, at the size of the table's images.";

pub const L1: Table = Table {
    name: "L1",
    title: "WaveMix-Lite, table 1: ImageNet-1k at 64x64",
    printed: &["top-1 %", "M", "GB at 64", "largest batch", "train images/s", "test images/s"],
    parts: &[Part {
        sets: &[IN64],
        rows: &[
            row("ResNet-18", "50.67 11.2 2.6 384 764 1786").note(FEW_CLASSES),
            row("ResNet-34", "55.04 21.3 3.5 288 357 943").note(FEW_CLASSES),
            row("ResNet-50", "55.66 23.6 11.3 96 266 920").note(FEW_CLASSES),
            row("ResNet-101", "56.05 44.6 15.1 64 163 568").note(LARGE_STEM),
            row("CPV-128/5x4", "50.92 1.6 7.8 128 375 1190").note(CPV),
            row("ViT-128/4x4", "30.91 0.7 14.7 64 340 1020").modules(659_304).note(TOKENS),
            row("CCT-128/4x4", "48.82 1.0 20.4 48 149 514").modules(1_033_257).note(TOKENS),
            row("WaveMixLite-128/7", "47.27 2.5 4.7 216 1056 3125"),
            row("WaveMixLite-128/14", "53.06 4.8 7.8 131 555 1471"),
            row("WaveMixLite-256/7", "56.66 9.0 9.0 112 159 420").note(CUT),
        ],
    }],
    notes: &[],
};

pub const L2: Table = Table {
    name: "L2",
    title: "WaveMix-Lite, table 2: CIFAR-10, CIFAR-100, Tiny ImageNet",
    printed: &["M", "GB at 64", "C10 %", "C100 %", "Tiny %"],
    parts: &[Part {
        sets: &[C10, C100, TINY],
        rows: &[
            row("ResNet-18", "11.20 1.2 90.27 63.41 48.11").note(QUOTED_RESNET),
            row("ResNet-34", "21.30 1.4 90.51 64.52 45.60").note(QUOTED_RESNET),
            row("ResNet-50", "25.20 3.3 90.60 61.68 48.77").note(RESNET_50),
            row("MobileNetV2-2.0", "8.72 - 91.02 67.44 -").on(2).note(QUOTED),
            row("MLP-Mixer-512/8", "2.41 1.0 72.22 44.23 26.83").note(MIXER),
            row("ViT-128/4x4", "0.53 13.8 56.81 30.25 26.43").modules(530_442).note(TOKENS),
            row("ViT-12/16", "85.60 - 76.42 46.61 -").on(2).note(QUOTED_VIT),
            row("ViT-Lite-256/6x4", "3.19 - 90.94 69.20 -").on(2).modules(3_173_642).note(QUOTED),
            row("HybridViN-128/4x4", "0.62 4.8 75.26 51.44 34.05").modules(623_706).note(TOKENS),
            row("CCT-128/4x4", "0.91 15.8 82.23 57.09 39.05").modules(905_547).note(TOKENS),
            row("CvT-128/4x4", "1.12 15.4 79.93 48.29 40.69").modules(1_099_786).note(TOKENS),
            row("WaveMixLite-16/7", "0.04 0.1 64.98 23.03 19.15"),
            row("WaveMixLite-32/7", "0.15 0.3 84.67 46.89 34.34"),
            row("WaveMixLite-64/7", "0.60 0.6 87.81 62.72 46.31"),
            row("WaveMixLite-128/7", "2.42 1.1 91.08 68.40 52.03"),
            row("WaveMixLite-144/7", "3.01 1.2 92.97 68.86 52.38"),
            row("WaveMixLite-256/7", "9.62 2.3 90.72 70.20 51.37"),
        ],
    }],
    notes: &[],
};

pub const L3: Table = Table {
    name: "L3",
    title: "WaveMix-Lite, table 3: EMNIST, MNIST, Fashion-MNIST",
    printed: &[
        "Byclass %",
        "Bymerge %",
        "Letters %",
        "Digits %",
        "Balanced %",
        "MNIST %",
        "Fashion %",
    ],
    parts: &[
        Part {
            sets: &[BYCLASS, BYMERGE, LETTERS, DIGITS, BALANCED, MNIST, FASHION],
            rows: &[
                row("ResNet-18", "87.98 91.09 94.76 99.67 89.00 99.64 93.97").note(STEM),
                row("ResNet-34", "88.10 91.13 95.04 99.68 89.17 99.60 93.91").note(STEM),
                row("ResNet-50", "88.18 91.29 94.64 99.62 89.76 99.56 93.81").note(STEM),
            ],
        },
        Part { sets: &[BYCLASS], rows: &[row("WaveMixLite-128/7", "88.43 - - - - - -")] },
        Part { sets: &[BYMERGE], rows: &[row("WaveMixLite-128/16 ff=256", "- 91.80 - - - - -")] },
        Part { sets: &[LETTERS], rows: &[row("WaveMixLite-112/16", "- - 95.96 - - - -")] },
        Part { sets: &[DIGITS], rows: &[row("WaveMixLite-112/16", "- - - 99.80 - - -")] },
        Part { sets: &[BALANCED], rows: &[row("WaveMixLite-128/7", "- - - - 91.06 - -")] },
        Part {
            sets: &[MNIST, FASHION],
            rows: &[row("WaveMixLite-128/7", "- - - - - 99.75 94.32").note(PICK)],
        },
    ],
    notes: &[
        "The paper prints the best WaveMix-Lite of each set in one row; table 7 names the models.",
        "The grey images are repeated to 3 channels.",
    ],
};

pub const L4: Table = Table {
    name: "L4",
    title: "WaveMix-Lite, table 4: semantic segmentation, Cityscapes",
    printed: &["mIoU %", "M", "GB at 64", "largest batch", "train images/s", "test images/s"],
    parts: &[
        Part {
            sets: &[LARGE],
            rows: &[
                row("UNet-ResNet-18", "57.90 28.9 - - - 1").note(QUOTED_SCENES),
                row("UNet-MobileNetV2", "61.00 9.0 - - - -").note(QUOTED_SCENES),
                row("DeepLabV2", "71.40 20.5 - - - 5").note(DEEPLAB),
                row("SegFormer-B0", "71.90 3.4 - - - 47").note(SEGFORMER),
                row("SegFormer", "62.56 7.7 232 4 16 16").note(OWN_SEGFORMER),
            ],
        },
        Part {
            sets: &[SMALL],
            rows: &[
                row("ConvMixer-512/16", "53.40 7.8 42 24 10 11").note(CONVMIXER),
                row("WaveMixLite-128/8", "63.33 2.9 19 55 18 18"),
                row("WaveMixLite-256/12", "67.46 16.9 38 25 11 12"),
                row("WaveMixLite-256/16 ff=512 mult=3", "71.75 44.1 49 21 9 11").note(BATCH_21),
            ],
        },
        Part { sets: &[LARGE], rows: &[row("WaveMixLite-256/16", "75.32 22.2 189 6 14 16")] },
    ],
    notes: &[MIOU],
};

pub const L5: Table = Table {
    name: "L5",
    title: "WaveMix-Lite, table 5: the fewest parameters for an accuracy",
    printed: &["parameters", "goal %"],
    parts: &[
        Part { sets: &[GREY_MNIST], rows: &[row("WaveMixLite-8/10 resize=bilinear", "3566 99")] },
        Part { sets: &[GREY_FASHION], rows: &[row("WaveMixLite-8/5", "7156 90")] },
        Part {
            sets: &[C10],
            rows: &[
                row("WaveMixLite-32/7 resize=bilinear", "37058 80"),
                row("WaveMixLite-64/6", "520106 90"),
            ],
        },
    ],
    notes: &["Bilinear resizing is a guess: the paper says upsampling."],
};

pub const L7: Table = Table {
    name: "L7",
    title: "WaveMix-Lite, table 7: the best model for each set of EMNIST",
    printed: &["M", "top-1 %"],
    parts: &[
        Part { sets: &[BYCLASS], rows: &[row("WaveMixLite-128/7", "2.4 88.43")] },
        Part { sets: &[BALANCED], rows: &[row("WaveMixLite-128/7", "2.4 91.06")] },
        Part { sets: &[LETTERS], rows: &[row("WaveMixLite-112/16", "4.1 95.96")] },
        Part { sets: &[DIGITS], rows: &[row("WaveMixLite-112/16", "4.1 99.80")] },
        Part { sets: &[BYMERGE], rows: &[row("WaveMixLite-128/16 ff=256", "10.1 91.80")] },
    ],
    notes: &["The grey images are repeated to 3 channels."],
};

pub const L8: Table = Table {
    name: "L8",
    title: "WaveMix-Lite, table 8: one level of the wavelet transform alone, CIFAR-10",
    printed: &["top-1 %", "parameters", "GB at 1024"],
    parts: &[Part {
        sets: &[C10],
        rows: &[
            row("WaveMixLite-144/7 mixing=level:1", "91.61 3042550 19.6"),
            row("WaveMixLite-144/7 mixing=level:2", "87.39 5945590 14.2"),
            row("WaveMixLite-144/7 mixing=level:3", "78.07 15235318 13.7"),
            row("WaveMixLite-144/7 mixing=level:4", "65.40 47749366 13.2"),
        ],
    }],
    notes: &[],
};

pub const L9: Table = Table {
    name: "L9",
    title: "WaveMix-Lite, table 9: semantic segmentation by WaveMix-Lite, Cityscapes",
    printed: &["mIoU %", "M", "largest batch", "train images/s", "test images/s"],
    parts: &[
        Part {
            sets: &[SMALL],
            rows: &[
                row("WaveMixLite-128/8", "63.33 2.9 55 18 18"),
                row("WaveMixLite-128/20 mult=3", "67.76 7.5 32 17 17"),
                row("WaveMixLite-160/12", "65.08 6.6 45 18 18"),
                row("WaveMixLite-192/12", "65.92 9.5 40 19 19"),
                row("WaveMixLite-224/12", "66.67 12.9 32 18 18"),
                row("WaveMixLite-256/7 ff=160", "65.30 7.2 45 18 18"),
                row("WaveMixLite-256/7 ff=160 mult=3", "64.34 7.9 40 19 19"),
                row("WaveMixLite-256/7 ff=192 mult=3", "65.27 8.9 30 17 17"),
                row("WaveMixLite-256/12 ff=160", "67.11 11.5 30 18 18"),
                row("WaveMixLite-256/12 ff=192", "65.46 13.3 25 18 17"),
                row("WaveMixLite-256/12 ff=224", "66.75 15.0 30 18 18"),
                row("WaveMixLite-256/12", "67.46 16.9 25 11 12"),
                row("WaveMixLite-256/12 ff=1024 mult=3", "62.39 63.2 22 14 17"),
                row("WaveMixLite-256/16 ff=272 mult=3", "67.46 25.5 20 17 17"),
                row("WaveMixLite-256/16 ff=512 mult=3", "71.75 44.2 18 17 18").note(BATCH_18),
                row("WaveMixLite-256/16 ff=512 mult=4", "67.17 47.3 18 17 18"),
                row("WaveMixLite-256/16 ff=1024 mult=3", "69.94 84 18 11 17"),
                row("WaveMixLite-256/18 ff=512 mult=3", "65.16 49.6 16 15 17"),
                row("WaveMixLite-256/20 mult=3", "67.65 30.1 16 18 18"),
                row("WaveMixLite-256/20 ff=512 mult=3", "67.80 55.0 16 14 17"),
                row("WaveMixLite-272/16", "67.48 25.0 22 17 17"),
                row("WaveMixLite-288/16", "67.90 28.0 20 17 17"),
                row("WaveMixLite-304/16", "67.76 31.2 18 17 18"),
                row("WaveMixLite-320/16 ff=512 mult=3", "67.94 56.5 15 13 16"),
                row("WaveMixLite-512/12 ff=1024 mult=3", "65.09 133.2 11 6 17"),
            ],
        },
        Part {
            sets: &[LARGE],
            rows: &[
                row("WaveMixLite-128/8", "67.55 2.9 32 16 16"),
                row("WaveMixLite-256/7", "70.43 10.2 18 16 16"),
                row("WaveMixLite-256/10", "72.54 14.2 17 16 16"),
                row("WaveMixLite-256/12", "73.01 16.9 16 16 16"),
                row("WaveMixLite-256/14", "73.86 19.5 15 15 16"),
                row("WaveMixLite-256/16", "75.32 22.2 13 14 16"),
                row("WaveMixLite-256/17", "74.26 23.5 12 14 16"),
                row("WaveMixLite-256/18", "74.67 24.9 12 14 16"),
                row("WaveMixLite-256/20", "74.42 27.5 11 12 16"),
                row("WaveMixLite-240/16", "74.45 19.5 15 14 16"),
                row("WaveMixLite-272/16", "73.21 25.1 12 12 16"),
                row("WaveMixLite-288/16", "73.06 28.1 11 12 16"),
            ],
        },
    ],
    notes: &[MIOU, "At 512x1024 the printed batches are those of a card of 40 GB."],
};

pub const L4_7: Table = Table {
    name: "L4.7",
    title: "WaveMix-Lite, section 4.7: the block without its wavelet transform",
    printed: &["top-1, points", "GPU memory"],
    parts: &[Part {
        sets: &[C10],
        rows: &[
            row("WaveMixLite-128/7", "0 0"),
            row("WaveMixLite-128/7 mixing=identity", "-5 +61.8%"),
            row("WaveMixLite-128/7 mixing=dft", "-12 +73%"),
            row("WaveMixLite-128/7 mixing=maxpool", "-5 +7.8%"),
        ],
    }],
    notes: &[
        "The paper does not name the model and the data: WaveMix-Lite-128/7 on CIFAR-10 is a guess.",
    ],
};
