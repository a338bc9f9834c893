//! ImageNet 64x64: all of ImageNet's pictures, made 64 x 64.
//!
//! ```text
//! train_data_batch_1 .. train_data_batch_10     1,281,167 images for training
//! val_data                                      50,000, the test set
//!     data    u8 [n, 12288]: a red, a green, a blue plane, each 64 x 64 row by row
//!     labels  integers [n], 1..1000, numbered by the set's own list, not by ImageNet's identifiers
//!     mean    of the training images (not read)
//! ```
//!
//! as pickles, or as NumPy's archives with `.npz` behind the name. The published zips hold these
//! files and have to be unpacked. Arrays that are stored as they are stay on the disk; those that
//! NumPy compressed come into memory, which for all of the training images are 15.7 GB. Pickles are
//! read by a reader of this crate that calls nothing: see [`pickle`](super::pickle).
//!
//! The papers of WaveMix subtract the mean image, pixel by pixel, and divide by nothing. The
//! constants of this set are the means of the channels, and deviations of 1.
//!
//! Source: Chrabaszcz, Loshchilov and Hutter, "A downsampled variant of ImageNet as an alternative
//! to the CIFAR datasets" (2017). The published files were not at hand: the format is the one
//! described there, and that TensorFlow Datasets reads; of the pickles, the one that Python writes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::npz::{Npz, Rows};
use super::pickle::Pickle;
use super::root::{OnDemand, Parts, Root};
use crate::data::dataset::{Dataset, Sample, hash, hash_contents};
use crate::data::picture::Picture;
use crate::data::planes::{Order, interleave};
use crate::data::preparation::Preparation;
use crate::data::resize::check_size;
use crate::{Error, Result, Tensor};

/// Rows, and columns, of an image.
const SIDE: usize = 64;

/// Bytes of an image.
const IMAGE: usize = 3 * SIDE * SIDE;

const CLASSES: i64 = 1000;

/// The files of a batch: in the folders that the zips of a part, or of all of them, unpack to, or in
/// the given folder itself.
macro_rules! batch {
    ($part:literal, $number:literal) => {
        Root {
            folders: &[
                (
                    concat!("Imagenet64_train_", $part, "_npz"),
                    concat!("train_data_batch_", $number, ".npz"),
                ),
                (
                    "Imagenet64_train_npz",
                    concat!("train_data_batch_", $number, ".npz"),
                ),
                ("", concat!("train_data_batch_", $number, ".npz")),
                (
                    concat!("Imagenet64_train_", $part),
                    concat!("train_data_batch_", $number),
                ),
                ("Imagenet64_train", concat!("train_data_batch_", $number)),
                ("", concat!("train_data_batch_", $number)),
            ],
            archives: &[],
            optional: false,
        }
    };
}

pub(crate) static SET: OnDemand = OnDemand {
    url: "https://image-net.org/download-images.php, in zips to unpack",
    roots: &[
        batch!("part1", "1"),
        batch!("part1", "2"),
        batch!("part1", "3"),
        batch!("part1", "4"),
        batch!("part1", "5"),
        batch!("part2", "6"),
        batch!("part2", "7"),
        batch!("part2", "8"),
        batch!("part2", "9"),
        batch!("part2", "10"),
        Root {
            folders: &[
                ("Imagenet64_val_npz", "val_data.npz"),
                ("", "val_data.npz"),
                ("Imagenet64_val", "val_data"),
                ("", "val_data"),
            ],
            archives: &[],
            optional: false,
        },
    ],
    size: [SIDE, SIDE],
    open,
};

fn open(roots: &[Option<PathBuf>], size: [usize; 2]) -> Result<Parts> {
    let folders: Vec<&Path> = roots.iter().flatten().map(PathBuf::as_path).collect();
    let Some((val, train)) = folders.split_last() else {
        return Err(Error::Argument("ImageNet 64x64: no folders".into()));
    };
    let batches = train.iter().enumerate();
    let batches = batches.map(|(i, folder)| folder.join(format!("train_data_batch_{}", i + 1)));
    let train = Images::open("training", &batches.collect::<Vec<_>>(), size)?;
    let test = Images::open("test", &[val.join("val_data")], size)?;
    Ok(Parts {
        train: Arc::new(train),
        test: Arc::new(test),
    })
}

/// The rows of images of a file, how many they are, and their labels: of the archive that has `.npz`
/// behind this name, if it is there, else of the pickle.
fn arrays(path: &Path) -> Result<(PathBuf, (Rows, usize), Vec<i64>)> {
    let archive = path.with_extension("npz");
    if archive.exists() {
        let npz = Npz::open(&archive)?;
        let (rows, labels) = (npz.rows("data", IMAGE)?, npz.integers("labels")?);
        return Ok((archive, rows, labels));
    }
    let pickle = Pickle::open(path)?;
    let (rows, labels) = (pickle.rows("data", IMAGE)?, pickle.integers("labels")?);
    Ok((path.to_owned(), rows, labels))
}

/// The images of some files.
struct Images {
    name: String,
    /// The images of each file, and the number of the first of them.
    files: Vec<(Rows, usize)>,
    labels: Vec<i64>,
    classes: Vec<String>,
    size: [usize; 2],
}

impl Images {
    fn open(part: &str, paths: &[PathBuf], size: [usize; 2]) -> Result<Images> {
        check_size(size)?;
        let (mut files, mut labels) = (Vec::new(), Vec::new());
        for path in paths {
            let (path, (rows, count), own) = arrays(path)?;
            if own.len() != count {
                let what = format!("holds {} labels, but {count} images", own.len());
                return Err(Error::data(&path, what));
            }
            if let Some((i, label)) =
                (own.iter().enumerate()).find(|(_, label)| !(1..=CLASSES).contains(*label))
            {
                let what = format!("label {label} of image {i} is not within 1..={CLASSES}");
                return Err(Error::data(&path, what));
            }
            files.push((rows, labels.len()));
            labels.extend(own.into_iter().map(|label| label - 1));
        }
        Ok(Images {
            name: format!("ImageNet 64x64, {part}"),
            files,
            labels,
            classes: (1..=CLASSES).map(|class| class.to_string()).collect(),
            size,
        })
    }
}

impl Images {
    /// The bytes of an image as its file has them, plane after plane.
    fn planes(&self, index: usize) -> Result<Vec<u8>> {
        let file = self.files.partition_point(|(_, first)| *first <= index) - 1;
        let (rows, first) = &self.files[file];
        let mut planes = vec![0; IMAGE];
        rows.read(index - first, &mut planes)?;
        Ok(planes)
    }
}

impl Dataset for Images {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        let planes = self.planes(index)?;
        let mut pixels = Vec::with_capacity(IMAGE);
        interleave(&planes, SIDE, Order::Rows, &mut pixels);
        let picture = Picture {
            name: format!("{}[{index}]", self.name),
            size: [SIDE, SIDE, 3],
            pixels,
        };
        Ok(Sample {
            input: picture.into_rgb(self.size)?,
            target: Tensor::scalar(self.labels[index]),
        })
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn preparation(&self) -> Option<Preparation> {
        Some(Preparation::Stretched)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The number of images, a hash of their classes, and one of some of the images.
    fn fingerprint(&self) -> String {
        let labels = hash(self.labels.iter().map(|&label| label as u64));
        let (n, [h, w]) = (self.len(), self.size);
        let pixels = hash_contents(n, |i| self.planes(i));
        format!(
            "{}: {n} images as {h}x{w}, labels {labels:016x}, pixels {pixels:016x}",
            self.name
        )
    }
}
