//! The table of published sets: one row each.

use super::cifar::Kind;
use super::emnist::Split;
use super::glyphs::{Classes, Framing};
use super::on_demand::root::OnDemand;
use super::on_demand::{caltech256, cityscapes, imagenet64, inaturalist, places365, tiny_imagenet};
use super::remotes::{self, Remote};

/// What is known of a set.
pub(crate) struct Spec {
    /// Its name as its authors write it: `EMNIST balanced`.
    pub title: &'static str,
    /// How its files are read.
    pub format: Format,
    /// Mean and standard deviation of each channel over the training images, in units of 0..1, as
    /// published: EMNIST in lightning-bolts, the others in the customary transforms of programs
    /// with torchvision.
    pub mean: &'static [f32],
    pub std: &'static [f32],
    /// The files of the training set, and of the test set.
    pub files: [&'static [&'static str]; 2],
    /// The file that names the classes. It need not be there: torchvision's folders lack EMNIST's.
    pub names: Option<&'static str>,
    /// Folders in which the files may lie, the preferred one first.
    pub folders: &'static [&'static str],
    /// The official archive's file name, where there is one.
    pub archive: Option<&'static str>,
    /// Names that give away the Python version of the set, which is not read.
    pub pickles: &'static [&'static str],
    /// The official files.
    pub remotes: &'static [Remote],
    /// The built-in glyphs that stand in for it where it is missing, and how they are framed.
    #[cfg_attr(not(feature = "cli"), allow(dead_code))]
    pub glyphs: Option<(Classes, Framing)>,
}

/// The formats of files.
#[derive(Clone, Copy)]
pub(crate) enum Format {
    /// IDX, with the published names of the classes.
    Idx(&'static [&'static str]),
    /// IDX as EMNIST has it: column by column, some splits counting labels from 1.
    Emnist(Split),
    /// Records of a label and the planes of a 32 x 32 image.
    Cifar(Kind),
    /// A file of planes of 96 x 96 images, and one of labels.
    Stl10,
    /// MATLAB files of images and labels.
    Svhn,
    /// Files that are found and decoded in a way of their own.
    OnDemand(&'static OnDemand),
}

pub(crate) const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
const FASHION: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

macro_rules! idx_files {
    ($($train:literal)*, $($test:literal)*) => {
        [
            &[
                concat!($($train,)* "-images-idx3-ubyte"),
                concat!($($train,)* "-labels-idx1-ubyte"),
            ],
            &[
                concat!($($test,)* "-images-idx3-ubyte"),
                concat!($($test,)* "-labels-idx1-ubyte"),
            ],
        ]
    };
}

/// A split of EMNIST: its name, mean and standard deviation, and the glyphs of its classes.
macro_rules! emnist {
    ($name:literal, $split:ident, $mean:literal, $std:literal, $glyphs:expr) => {
        Spec {
            title: concat!("EMNIST ", $name),
            format: Format::Emnist(Split::$split),
            mean: &[$mean],
            std: &[$std],
            files: idx_files!("emnist-" $name "-train", "emnist-" $name "-test"),
            names: Some(concat!("emnist-", $name, "-mapping.txt")),
            folders: &[
                "EMNIST/raw",
                "EMNIST",
                "raw",
                "gzip",
                "emnist_source_files",
                "",
            ],
            archive: Some("gzip.zip"),
            pickles: &[],
            remotes: remotes::EMNIST,
            glyphs: $glyphs,
        }
    };
}

const BALANCED: Option<(Classes, Framing)> = Some((Classes::Balanced, Framing::Emnist));
const DIGIT_GLYPHS: Option<(Classes, Framing)> = Some((Classes::Digits, Framing::Emnist));

/// EMNIST's splits, in the order of [`Split::ALL`].
pub(crate) const EMNIST: [Spec; 6] = [
    emnist!("balanced", Balanced, 0.175, 0.333, BALANCED),
    emnist!("byclass", ByClass, 0.174, 0.332, None),
    emnist!("bymerge", ByMerge, 0.174, 0.332, BALANCED),
    emnist!("letters", Letters, 0.172, 0.331, None),
    emnist!("digits", Digits, 0.173, 0.332, DIGIT_GLYPHS),
    emnist!("mnist", Mnist, 0.173, 0.332, DIGIT_GLYPHS),
];

pub(crate) const MNIST: Spec = Spec {
    title: "MNIST",
    format: Format::Idx(&DIGITS),
    mean: &[0.1307],
    std: &[0.3081],
    files: idx_files!("train", "t10k"),
    names: None,
    folders: &["MNIST/raw", "MNIST", "raw", ""],
    archive: None,
    pickles: &[],
    remotes: remotes::MNIST,
    glyphs: Some((Classes::Digits, Framing::Mnist)),
};

/// Its files are named as MNIST's, so the folder that says which comes before the one given.
pub(crate) const FASHION_MNIST: Spec = Spec {
    title: "Fashion-MNIST",
    format: Format::Idx(&FASHION),
    mean: &[0.2861],
    std: &[0.3530],
    folders: &[
        "FashionMNIST/raw",
        "FashionMNIST",
        "raw",
        "data/fashion",
        "",
    ],
    remotes: remotes::FASHION,
    glyphs: None,
    ..MNIST
};

pub(crate) const CIFAR10: Spec = Spec {
    title: "CIFAR-10",
    format: Format::Cifar(Kind::Cifar10),
    mean: &[0.4914, 0.4822, 0.4465],
    std: &[0.2470, 0.2435, 0.2616],
    files: [
        &[
            "data_batch_1.bin",
            "data_batch_2.bin",
            "data_batch_3.bin",
            "data_batch_4.bin",
            "data_batch_5.bin",
        ],
        &["test_batch.bin"],
    ],
    names: Some("batches.meta.txt"),
    folders: &["cifar-10-batches-bin", ""],
    archive: Some("cifar-10-binary.tar.gz"),
    pickles: &[
        "cifar-10-batches-py",
        "cifar-10-python.tar.gz",
        "data_batch_1",
    ],
    remotes: remotes::CIFAR10,
    glyphs: None,
};

pub(crate) const CIFAR100: Spec = Spec {
    title: "CIFAR-100",
    format: Format::Cifar(Kind::Cifar100),
    mean: &[0.5071, 0.4867, 0.4408],
    std: &[0.2675, 0.2565, 0.2761],
    files: [&["train.bin"], &["test.bin"]],
    names: Some("fine_label_names.txt"),
    folders: &["cifar-100-binary", ""],
    archive: Some("cifar-100-binary.tar.gz"),
    pickles: &["cifar-100-python", "cifar-100-python.tar.gz", "meta"],
    remotes: remotes::CIFAR100,
    glyphs: None,
};

pub(crate) const STL10: Spec = Spec {
    title: "STL-10",
    format: Format::Stl10,
    mean: &[0.4467, 0.4398, 0.4066],
    std: &[0.2603, 0.2566, 0.2713],
    files: [
        &["train_X.bin", "train_y.bin"],
        &["test_X.bin", "test_y.bin"],
    ],
    names: Some("class_names.txt"),
    folders: &["stl10_binary", ""],
    archive: Some("stl10_binary.tar.gz"),
    pickles: &[],
    remotes: remotes::STL10,
    glyphs: None,
};

/// With the extra images, as the WaveMix papers train on it.
pub(crate) const SVHN: Spec = Spec {
    title: "SVHN",
    format: Format::Svhn,
    mean: &[0.4377, 0.4438, 0.4728],
    std: &[0.1980, 0.2010, 0.1970],
    files: [&["train_32x32.mat", "extra_32x32.mat"], &["test_32x32.mat"]],
    names: None,
    folders: &["SVHN", "svhn", ""],
    archive: None,
    pickles: &[],
    remotes: &remotes::SVHN,
    glyphs: None,
};

pub(crate) const SVHN_WITHOUT_EXTRA: Spec = Spec {
    title: "SVHN without extra",
    files: [&["train_32x32.mat"], &["test_32x32.mat"]],
    remotes: &[remotes::SVHN[0], remotes::SVHN[2]],
    ..SVHN
};

/// A set that is read on demand: its title, its files, mean and standard deviation.
const fn on_demand(
    title: &'static str,
    set: &'static OnDemand,
    mean: &'static [f32],
    std: &'static [f32],
) -> Spec {
    Spec {
        title,
        format: Format::OnDemand(set),
        mean,
        std,
        files: [&[], &[]],
        names: None,
        folders: &[],
        archive: None,
        pickles: &[],
        remotes: &[],
        glyphs: None,
    }
}

pub(crate) static TINY_IMAGENET: Spec = on_demand(
    "Tiny ImageNet",
    &tiny_imagenet::SET,
    &[0.4803, 0.4481, 0.3975],
    &[0.2770, 0.2691, 0.2821],
);

/// Constants of its own are not published: these are ImageNet's.
pub(crate) static CALTECH256: Spec = on_demand(
    "Caltech-256",
    &caltech256::SET,
    &[0.485, 0.456, 0.406],
    &[0.229, 0.224, 0.225],
);

pub(crate) static PLACES365: Spec = Spec {
    remotes: remotes::PLACES365,
    ..on_demand(
        "Places365 small",
        &places365::SET,
        &[0.4577, 0.4413, 0.4078],
        &[0.2695, 0.2671, 0.2853],
    )
};

pub(crate) static INATURALIST: Spec = on_demand(
    "iNaturalist 2021 mini",
    &inaturalist::SET,
    &[0.4642, 0.4807, 0.3768],
    &[0.2345, 0.2255, 0.2442],
);

/// The mean of each channel, which the papers of WaveMix subtract; they divide by nothing.
pub(crate) static IMAGENET64: Spec = on_demand(
    "ImageNet 64x64",
    &imagenet64::SET,
    &[0.4811, 0.4575, 0.4079],
    &[1.0, 1.0, 1.0],
);

/// Constants of its own are not published: these are ImageNet's.
pub(crate) static CITYSCAPES: Spec = on_demand(
    "Cityscapes",
    &cityscapes::SET,
    &[0.485, 0.456, 0.406],
    &[0.229, 0.224, 0.225],
);
