//! Data: decoders for the published files, a generator of handwriting for where there are none, and
//! batches of both.
//!
//! A [`Dataset`] is samples by their numbers, a [`Loader`] makes batches of any.
//!
//! From a folder to a model: [`Source`] finds a set's files ([`Place`]: a folder or an archive read
//! in place), decodes them ([`idx`] with [`emnist`], [`cifar`], [`stl10`], [`svhn`]) to a
//! [`TrainTest`] of [`ImageSet`]s, and a [`Loader`] makes batches of one. [`glyphs`] draws a
//! `TrainTest` instead of reading it. [`Source::open`] gives sets that are too large for memory too,
//! as [`Dataset`]s that decode a sample when it is asked for. `Downloader` fetches what is missing,
//! when told to (feature `download`).
//!
//! Decoders take any bytes: what is wrong with a file is an error that names the file and the
//! place, never a panic, and never an allocation that the size of the file does not justify.

pub(crate) mod archive;
pub(crate) mod arrays;
mod augment;
mod batches;
pub mod cifar;
mod collate;
pub(crate) mod csv;
mod dataset;
#[cfg(feature = "download")]
pub mod download;
pub mod emnist;
mod feed;
#[cfg(feature = "download")]
mod fingerprint;
pub mod glyphs;
mod gzip;
pub mod idx;
#[cfg(feature = "pictures")]
mod image_folder;
mod image_set;
#[cfg(feature = "pictures")]
mod jpeg;
mod loader;
mod normalise;
pub(crate) mod on_demand;
mod open;
pub(crate) mod picture;
mod place;
mod planes;
#[cfg(feature = "pictures")]
mod png;
mod preparation;
mod remotes;
mod resize;
mod sets;
mod source;
pub mod stl10;
mod subset;
pub mod svhn;
mod tar;
mod void_class;

pub use arrays::{ImageArrays, read_arrays};
pub use augment::Augment;
pub use batches::{Batch, Batches};
pub use dataset::{Dataset, Sample, TensorDataset};
#[cfg(feature = "download")]
pub use download::Downloader;
pub use emnist::Split;
pub use feed::HostToDevice;
#[cfg(feature = "pictures")]
pub use image_folder::{Broken, ImageFolder};
pub use image_set::ImageSet;
pub use loader::Loader;
pub use normalise::Constants;
pub use open::Datasets;
pub use picture::{Picture, read_pictures, transposed_by_name};
pub use place::Place;
#[cfg(feature = "cli")]
pub(crate) use place::is_folder;
pub use preparation::Preparation;
pub use remotes::Remote;
pub use source::{Part, Source, default_folder, default_folder_from};
pub use subset::{Subset, random_split};
pub use void_class::VoidClass;

use crate::{Error, Result};

/// The text of a file that people edit; what editors on Windows write before it is passed over.
fn text<'a>(path: &std::path::Path, bytes: &'a [u8]) -> Result<&'a str> {
    match bytes {
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => {
            Err(Error::data(path, "is text in UTF-16; save it in UTF-8"))
        }
        [0xEF, 0xBB, 0xBF, rest @ ..] | rest => {
            std::str::from_utf8(rest).map_err(|_| Error::data(path, "is not text"))
        }
    }
}

/// Training and test images of one kind, and the constants that normalise both.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainTest {
    /// Images to learn from.
    pub train: ImageSet,
    /// Images to be judged by.
    pub test: ImageSet,
    /// Mean of each channel, in units of 0..1: a model sees `(pixel / 255 - mean) / std`.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, in units of 0..1.
    pub std: Vec<f32>,
}

impl TrainTest {
    /// Checks that the two sets and the constants go together. Where no constants are published,
    /// take those of [`ImageSet::statistics`] of the training set.
    ///
    /// # Errors
    /// Another size or number of classes in one than in the other; constants for another number of
    /// channels.
    pub fn new(train: ImageSet, test: ImageSet, mean: Vec<f32>, std: Vec<f32>) -> Result<Self> {
        let ([h, w, c], [th, tw, tc]) = (train.size, test.size);
        if train.size != test.size || train.classes.len() != test.classes.len() {
            return Err(Error::Argument(format!(
                "{} holds {h}x{w}x{c} images of {} classes, {} holds {th}x{tw}x{tc} images of {}",
                train.name,
                train.classes.len(),
                test.name,
                test.classes.len()
            )));
        }
        if mean.len() != c || std.len() != c {
            let (mean, std) = (mean.len(), std.len());
            return Err(Error::Argument(format!(
                "{}: {mean} means and {std} deviations for {c} channels",
                train.name
            )));
        }
        Ok(TrainTest {
            train,
            test,
            mean,
            std,
        })
    }

    /// Batches of so many normalised images: of the training images, and of the test images.
    ///
    /// # Errors
    /// Those of [`Loader::new`].
    pub fn loaders(self, batch_size: usize) -> Result<(Loader, Loader)> {
        let TrainTest {
            train,
            test,
            mean,
            std,
        } = self;
        let loader = |set| Loader::new(set, batch_size)?.normalised(&mean, &std);
        Ok((loader(train)?, loader(test)?))
    }
}
