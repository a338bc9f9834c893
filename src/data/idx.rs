//! IDX, the format of the MNIST family: a big-endian header, then bytes.
//!
//! ```text
//! images   00 00 08 03 | count u32 | rows u32 | columns u32 | one byte a pixel, row-major
//! labels   00 00 08 01 | count u32 | one byte a label
//! ```
//!
//! The third byte says "unsigned bytes", the fourth is the number of dimensions. Files come plain
//! or as gzip; which of the two is told by their first bytes, since names change hands.

use super::ImageSet;
use super::archive::{self, File};
use super::gzip::Gunzip;
use crate::{Error, Result};
use byteorder::{BigEndian, ByteOrder};
use std::io::Read;
use std::path::Path;

const IMAGES: u32 = 0x0000_0803;
const LABELS: u32 = 0x0000_0801;

/// The grey images of one IDX file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Number of images; never 0.
    pub count: usize,
    /// Rows of each.
    pub height: usize,
    /// Columns of each.
    pub width: usize,
    /// `[count, height, width]`, row-major; 0 is black.
    pub pixels: Vec<u8>,
}

/// Decodes a file of images, plain or gzip.
///
/// # Errors
/// A wrong magic number, a size other than the header promises, no image, broken gzip. `path` only
/// serves the message.
pub fn images(path: impl AsRef<Path>, bytes: Vec<u8>) -> Result<Images> {
    let path = path.as_ref();
    let ([count, height, width], pixels) = decode(path, bytes, IMAGES)?;
    Ok(Images {
        count,
        height,
        width,
        pixels,
    })
}

/// [`images`], upright: of a file that keeps them column by column (`transposed`), as EMNIST's do,
/// rows and columns change places. This is the way from a file to pixels for training, evaluation
/// and prediction alike.
pub(crate) fn upright(path: &Path, bytes: Vec<u8>, transposed: bool) -> Result<Images> {
    let mut images = images(path, bytes)?;
    if transposed {
        super::image_set::transpose(&mut images.pixels, [images.height, images.width, 1]);
        (images.height, images.width) = (images.width, images.height);
    }
    Ok(images)
}

/// Decodes a file of labels, plain or gzip. Errors as for [`images`].
pub fn labels(path: impl AsRef<Path>, bytes: Vec<u8>) -> Result<Vec<u8>> {
    let path = path.as_ref();
    Ok(decode::<1>(path, bytes, LABELS)?.1)
}

fn decode<const RANK: usize>(
    path: &Path,
    mut bytes: Vec<u8>,
    magic: u32,
) -> Result<([usize; RANK], Vec<u8>)> {
    let length = 4 + 4 * RANK;
    if !bytes.starts_with(&[0x1F, 0x8B]) {
        let dims = header(path, &bytes[..bytes.len().min(length)], magic)?;
        sized(path, &dims, (bytes.len() - length) as u64)?;
        bytes.drain(..length);
        return Ok((dims, bytes));
    }
    let gzip = |e| Error::data(path, format!("broken gzip: {e}"));
    let mut inner = Gunzip::new(bytes.as_slice());
    let mut start = Vec::new();
    inner
        .by_ref()
        .take(length as u64)
        .read_to_end(&mut start)
        .map_err(gzip)?;
    let dims = header(path, &start, magic)?;
    let (need, most) = (product(&dims), archive::justified(bytes.len() as u64));
    if need > most {
        let stored = bytes.len();
        return Err(Error::data(
            path,
            format!(
                "its header promises {need} bytes, but {stored} bytes of gzip hold at most {most}"
            ),
        ));
    }
    // Room for what images usually take; more is only taken as bytes arrive. One byte past the
    // promise is asked for, to see that there is none and to have the checksum of the gzip checked.
    let mut data = Vec::with_capacity((need as usize).min(bytes.len().saturating_mul(8)));
    inner.take(need + 1).read_to_end(&mut data).map_err(gzip)?;
    sized(path, &dims, data.len() as u64)?;
    Ok((dims, data))
}

fn header<const RANK: usize>(path: &Path, start: &[u8], magic: u32) -> Result<[usize; RANK]> {
    let what = if magic == IMAGES { "images" } else { "labels" };
    let number = |i: usize| Some(BigEndian::read_u32(start.get(4 * i..4 * i + 4)?));
    if let Some(found) = number(0).filter(|&found| found != magic) {
        let found = match found {
            IMAGES => "0x00000803, as images do".to_owned(),
            LABELS => "0x00000801, as labels do".to_owned(),
            other => format!("{other:#010x}"),
        };
        return Err(Error::data(
            path,
            format!("IDX {what} begin with {magic:#010x}, this begins with {found}"),
        ));
    }
    if start.len() < 4 + 4 * RANK {
        let (got, need) = (start.len(), 4 + 4 * RANK);
        return Err(Error::data(
            path,
            format!("ends inside its header: IDX {what} have {need} bytes of it, here are {got}"),
        ));
    }
    let dims = std::array::from_fn(|i| number(1 + i).unwrap_or_default() as usize);
    if dims.contains(&0) {
        return Err(Error::data(
            path,
            format!("holds no {what}: its header says {}", times(&dims)),
        ));
    }
    Ok(dims)
}

/// `dims` multiplied, stopping at the largest number: two u32 fit into it, three may not.
fn product(dims: &[usize]) -> u64 {
    dims.iter().fold(1u64, |n, &d| n.saturating_mul(d as u64))
}

fn times(dims: &[usize]) -> String {
    dims.iter()
        .map(usize::to_string)
        .collect::<Vec<_>>()
        .join(" x ")
}

fn sized(path: &Path, dims: &[usize], got: u64) -> Result<()> {
    let need = product(dims);
    let promise = if dims.len() == 1 {
        format!("{need} bytes")
    } else {
        format!("{} = {need} bytes", times(dims))
    };
    match got {
        _ if got == need => Ok(()),
        _ if got < need => Err(Error::data(
            path,
            format!("truncated: its header promises {promise}, {got} are there"),
        )),
        _ => Err(Error::data(
            path,
            format!("too long: its header promises {promise}, more are there"),
        )),
    }
}

/// The files of images and of labels of one part of a set. Labels count from `first` in the file
/// and from 0 afterwards.
pub(crate) fn dataset(
    name: String,
    [images, labels]: [File; 2],
    transposed: bool,
    first: u8,
    classes: Vec<String>,
) -> Result<ImageSet> {
    let (images_path, labels_path) = (images.path, labels.path);
    let images = upright(&images_path, images.bytes, transposed)?;
    let mut labels = self::labels(&labels_path, labels.bytes)?;
    if images.count != labels.len() {
        let (n, of) = (labels.len(), images_path.display());
        return Err(Error::data(
            labels_path,
            format!("holds {n} labels, but {of} holds {} images", images.count),
        ));
    }
    let last = usize::from(first) + classes.len() - 1;
    for (i, label) in labels.iter_mut().enumerate() {
        if *label < first || usize::from(*label) > last {
            return Err(Error::data(
                labels_path,
                format!("label {label} of image {i} is not within {first}..={last}"),
            ));
        }
        *label -= first;
    }
    ImageSet::new(
        name,
        [images.height, images.width, 1],
        images.pixels,
        labels.into_iter().map(i64::from).collect(),
        classes,
    )
}
