//! STL-10 in its binary version: a file of images and a file of labels for each part.
//!
//! ```text
//! X.bin   for each image: 9216 red | 9216 green | 9216 blue      27,648 bytes
//! y.bin   for each image: its label, 1..10                            1 byte
//! ```
//!
//! Each plane is 96 x 96, column by column. 5,000 training images are 138 MB in memory, 8,000 test
//! images 221 MB; the 100,000 images without labels are not read.
//!
//! Source: Coates, Lee and Ng, "An analysis of single-layer networks in unsupervised feature
//! learning" (2011) and the page of the set. The published files were not at hand: the format is
//! the one described there, and that torchvision reads.

use super::ImageSet;
use super::archive::File;
use super::planes::{Order, interleave};
use crate::{Error, Result};
use std::path::Path;

/// Rows, and columns, of an image.
pub const SIDE: usize = 96;

/// Bytes of an image.
const IMAGE: usize = SIDE * SIDE * 3;

/// The classes in the order of their labels, as `class_names.txt` has them.
pub(super) const CLASSES: [&str; 10] = [
    "airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck",
];

/// Decodes a file of images to `[n, 96, 96, 3]`.
///
/// # Errors
/// A size that is not a whole number of images, no image. `path` only serves the message.
pub fn images(path: impl AsRef<Path>, bytes: &[u8]) -> Result<Vec<u8>> {
    let path = path.as_ref();
    if bytes.is_empty() {
        return Err(Error::data(path, "is empty"));
    }
    if !bytes.len().is_multiple_of(IMAGE) {
        let (n, over) = (bytes.len(), bytes.len() % IMAGE);
        return Err(Error::data(
            path,
            format!("{n} bytes are not a multiple of an image's {IMAGE}: {over} are left over"),
        ));
    }
    let mut pixels = Vec::with_capacity(bytes.len());
    for planes in bytes.chunks_exact(IMAGE) {
        interleave(planes, SIDE, Order::Columns, &mut pixels);
    }
    Ok(pixels)
}

/// Decodes a file of labels, which count from 1, to labels that count from 0.
///
/// # Errors
/// A label out of range. `path` only serves the message.
pub fn labels(path: impl AsRef<Path>, bytes: &[u8]) -> Result<Vec<i64>> {
    let decode = |(i, &label): (usize, &u8)| match label {
        1..=10 => Ok(i64::from(label) - 1),
        _ => Err(Error::data(
            path.as_ref(),
            format!("label {label} of image {i} is not within 1..=10"),
        )),
    };
    bytes.iter().enumerate().map(decode).collect()
}

/// The files of images and of labels of one part of the set.
pub(super) fn dataset(
    name: String,
    [images, labels]: [File; 2],
    classes: Vec<String>,
) -> Result<ImageSet> {
    let pixels = self::images(&images.path, &images.bytes)?;
    let (count, numbers) = (
        pixels.len() / IMAGE,
        self::labels(&labels.path, &labels.bytes)?,
    );
    if numbers.len() != count {
        let (n, of) = (numbers.len(), images.path.display());
        let what = format!("holds {n} labels, but {of} holds {count} images");
        return Err(Error::data(labels.path, what));
    }
    ImageSet::new(name, [SIDE, SIDE, 3], pixels, numbers, classes)
}
