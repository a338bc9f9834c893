//! CIFAR-10 and CIFAR-100 in their binary version: records of one or two label bytes and 3,072
//! pixel bytes.
//!
//! ```text
//! CIFAR-10    label            | 1024 red | 1024 green | 1024 blue      3,073 bytes
//! CIFAR-100   coarse  fine     | 1024 red | 1024 green | 1024 blue      3,074 bytes
//! ```
//!
//! Each plane is 32 x 32, row-major. Source: Krizhevsky, "Learning multiple layers of features from
//! tiny images" (2009) and the page of the set. The Python version of the sets holds pickles, which
//! run code when read: it is refused.

use super::planes::{Order, interleave};
use crate::{Error, Result};
use std::path::Path;

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One label of 10.
    Cifar10,
    /// A coarse label of 20, which is not used, and a fine one of 100.
    Cifar100,
}

impl Kind {
    /// The number of classes for each label byte of a record; the last byte is the label that
    /// counts.
    fn labels(self) -> &'static [u8] {
        match self {
            Kind::Cifar10 => &[10],
            Kind::Cifar100 => &[20, 100],
        }
    }

    /// The published names of the classes, in the order of their labels.
    pub fn classes(self) -> Vec<String> {
        let names = match self {
            Kind::Cifar10 => "airplane automobile bird cat deer dog frog horse ship truck",
            Kind::Cifar100 => CIFAR100,
        };
        names.split_whitespace().map(String::from).collect()
    }
}

const CIFAR100: &str = "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly \
    camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin \
    elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man \
    maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain \
    plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake \
    spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle \
    wardrobe whale willow_tree wolf woman worm";

/// Decodes one `.bin` file and appends its images to `pixels` as `[32, 32, 3]` each, and its labels
/// to `labels`.
///
/// # Errors
/// A size that is not a whole number of records, no record, a label out of range. `path` only
/// serves the message.
pub fn decode(
    path: &Path,
    bytes: &[u8],
    kind: Kind,
    pixels: &mut Vec<u8>,
    labels: &mut Vec<u8>,
) -> Result<()> {
    let head = kind.labels().len();
    let record = head + 3 * PLANE;
    if bytes.is_empty() {
        return Err(Error::data(path, "is empty"));
    }
    if !bytes.len().is_multiple_of(record) {
        let (n, over) = (bytes.len(), bytes.len() % record);
        return Err(Error::data(
            path,
            format!("{n} bytes are not a multiple of the record's {record}: {over} are left over"),
        ));
    }
    pixels.reserve_exact(bytes.len() / record * 3 * PLANE);
    for (i, record) in bytes.chunks_exact(record).enumerate() {
        for (&label, &classes) in record.iter().zip(kind.labels()) {
            if label >= classes {
                return Err(Error::data(
                    path,
                    format!("label {label} of image {i} is not below {classes}"),
                ));
            }
        }
        labels.push(record[head - 1]);
        let planes = &record[head..];
        interleave(planes, SIDE, Order::Rows, pixels);
    }
    Ok(())
}

/// Decodes `batches.meta.txt` or `fine_label_names.txt`: one name a line.
///
/// # Errors
/// Text that is none, or another number of names than there are classes.
pub fn names(path: impl AsRef<Path>, bytes: &[u8], kind: Kind) -> Result<Vec<String>> {
    names_of(path.as_ref(), bytes, kind.classes().len())
}

/// So many names, one a line.
pub(super) fn names_of(path: &Path, bytes: &[u8], classes: usize) -> Result<Vec<String>> {
    let text = super::text(path, bytes)?;
    let names: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(String::from)
        .collect();
    if names.len() == classes {
        Ok(names)
    } else {
        Err(Error::data(
            path,
            format!("holds {} class names, expected {classes}", names.len()),
        ))
    }
}
