//! SVHN, cropped digits (format 2): a MATLAB file of level 5 with images `X` and labels `y`.
//!
//! ```text
//! file      128 bytes of header, then elements
//! element   type u32 | length u32 | content, padded to 8 bytes
//!           or, small: type u16 | length u16 | up to 4 bytes of content
//! matrix    an element of type 14, often within one of type 15, which is zlib:
//!           elements with class and flags (u32), sizes (i32), name (bytes), values
//! X         32 x 32 x 3 x n, u8, column by column: for each image a plane for each channel
//! y         n x 1, the digits, of which 0 is written as 10
//! ```
//!
//! The images are decoded from zlib one by one. 73,257 training images are 225 MB in memory, with
//! the 531,131 extra ones 1.9 GB, 26,032 test images 80 MB; while a file is decoded, its compressed
//! bytes are in memory too, up to 1.6 GB.
//!
//! Source: Netzer et al., "Reading digits in natural images with unsupervised feature learning"
//! (2011) and the page of the set; MathWorks, "MAT-File Format", level 5. The published files were
//! not at hand: the format is the one described there, and that scipy and torchvision read.

use super::archive::justified;
use super::planes::{Order, interleave};
use crate::{Error, Result};
use flate2::read::ZlibDecoder;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// Rows, and columns, of an image.
pub const SIDE: usize = 32;

/// Bytes of an image.
const IMAGE: usize = SIDE * SIDE * 3;

/// Types of elements.
const BYTES: u32 = 2;
const DOUBLES: u32 = 9;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;

/// The most bytes of an element that is no matrix and no values: sizes and names are short.
const LONGEST_FIELD: u32 = 1 << 10;

/// Decodes one file and appends its images to `pixels` as `[32, 32, 3]` each, and its labels, 0 to
/// 9, to `labels`.
///
/// # Errors
/// Another format, a broken element or zlib, no `X` or `y` or one of another kind, a label out of
/// range, another number of labels than of images. `path` only serves the message.
pub fn decode(
    path: impl AsRef<Path>,
    bytes: &[u8],
    pixels: &mut Vec<u8>,
    labels: &mut Vec<i64>,
) -> Result<()> {
    let path = path.as_ref();
    match bytes.get(124..128) {
        Some(&[0, 1, b'I', b'M']) => {}
        Some(&[1, 0, b'M', b'I']) => {
            return Err(Error::data(path, "is a big-endian MATLAB file"));
        }
        _ => return Err(Error::data(path, "is not a MATLAB file of level 5")),
    }
    let before = [pixels.len() / IMAGE, labels.len()];
    let mut into = Variables {
        pixels,
        labels,
        found: [false; 2],
    };
    let mut rest = &bytes[128..];
    while !rest.is_empty() && into.found != [true; 2] {
        let mut file = Stream { path, reader: rest };
        let tag = file.tag()?;
        let end = 8 + tag.length as usize;
        if tag.small.is_none() {
            let content = rest.get(8..end).ok_or_else(|| file.early())?;
            element(path, tag.kind, content, &mut into)?;
        }
        // Nothing pads what is compressed.
        let next = match (tag.small, tag.kind) {
            (Some(_), _) => 8,
            (None, COMPRESSED) => end,
            (None, _) => 8 + tag.padded(),
        };
        rest = rest.get(next..).unwrap_or_default();
    }
    for (name, found) in ["X", "y"].into_iter().zip(into.found) {
        if !found {
            return Err(Error::data(path, format!("holds no variable {name}")));
        }
    }
    let [images, digits] = [
        into.pixels.len() / IMAGE - before[0],
        into.labels.len() - before[1],
    ];
    if images != digits {
        let what = format!("holds {digits} labels, but {images} images");
        return Err(Error::data(path, what));
    }
    Ok(())
}

/// Where the two variables go, and which of them were there: `X`, `y`.
struct Variables<'a> {
    pixels: &'a mut Vec<u8>,
    labels: &'a mut Vec<i64>,
    found: [bool; 2],
}

/// Reads an element of the file itself: the variable in it, if it is one.
fn element(path: &Path, kind: u32, content: &[u8], into: &mut Variables) -> Result<()> {
    let stored = content.len() as u64;
    match kind {
        MATRIX => {
            let reader = content;
            Stream { path, reader }.variable(stored, into)
        }
        COMPRESSED => {
            let reader = ZlibDecoder::new(content);
            let mut matrix = Stream { path, reader };
            if matrix.tag()?.kind == MATRIX {
                matrix.variable(justified(stored), into)?;
                // To its end, so that its checksum is checked.
                let end = io::copy(&mut matrix.reader.take(8), &mut io::sink());
                end.map_err(|e| Error::data(path, format!("broken zlib: {e}")))?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The head of an element, and its content where that is small.
struct Tag {
    kind: u32,
    length: u32,
    small: Option<[u8; 4]>,
}

impl Tag {
    /// Bytes of the content with its padding.
    fn padded(&self) -> usize {
        (self.length as usize).next_multiple_of(8)
    }
}

/// Elements, read one after the other.
struct Stream<'a, R> {
    path: &'a Path,
    reader: R,
}

impl<R: Read> Stream<'_, R> {
    fn early(&self) -> Error {
        Error::data(self.path, "broken MATLAB file: it ends within an element")
    }

    fn broken(&self, what: &str) -> Error {
        Error::data(self.path, format!("broken MATLAB file: {what}"))
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<()> {
        self.reader.read_exact(buffer).map_err(|e| match e.kind() {
            ErrorKind::UnexpectedEof => self.early(),
            _ => Error::data(self.path, format!("broken zlib: {e}")),
        })
    }

    fn tag(&mut self) -> Result<Tag> {
        let mut head = [0; 8];
        self.fill(&mut head)?;
        let [a, b, c, d, content @ ..] = head;
        let (kind, length) = (u32::from_le_bytes([a, b, 0, 0]), u16::from_le_bytes([c, d]));
        Ok(match length {
            0 => Tag {
                kind,
                length: u32::from_le_bytes(content),
                small: None,
            },
            1..=4 => Tag {
                kind,
                length: length.into(),
                small: Some(content),
            },
            _ => return Err(self.broken("a small element of more than 4 bytes")),
        })
    }

    /// The content of the next element, a short one.
    fn field(&mut self) -> Result<Vec<u8>> {
        let tag = self.tag()?;
        if let Some(content) = tag.small {
            return Ok(content[..tag.length as usize].to_vec());
        }
        if tag.length > LONGEST_FIELD {
            return Err(self.broken("sizes or a name that are too long"));
        }
        let mut content = vec![0; tag.padded()];
        self.fill(&mut content)?;
        content.truncate(tag.length as usize);
        Ok(content)
    }

    /// Reads a matrix behind its tag: the images where it is `X`, the labels where it is `y`. Its
    /// values have at most `most` bytes.
    fn variable(&mut self, most: u64, into: &mut Variables) -> Result<()> {
        let (_flags, sizes, name) = (self.field()?, self.field()?, self.field()?);
        let sizes: Vec<u64> = sizes
            .chunks_exact(4)
            .map(|s| u32::from_le_bytes([s[0], s[1], s[2], s[3]]).into())
            .collect();
        let which = match &name[..] {
            b"X" => 0,
            b"y" => 1,
            _ => return Ok(()),
        };
        if std::mem::replace(&mut into.found[which], true) {
            return Err(self.broken("a variable that is there twice"));
        }
        let tag = self.tag()?;
        if u64::from(tag.length) > most {
            return Err(self.broken("more values than its bytes can hold"));
        }
        match which {
            0 => self.images(&tag, &sizes, into.pixels),
            _ => self.labels(&tag, &sizes, into.labels),
        }
    }

    fn images(&mut self, tag: &Tag, sizes: &[u64], pixels: &mut Vec<u8>) -> Result<()> {
        // MATLAB leaves out a last size of 1.
        let count = match sizes {
            [32, 32, 3, count] => *count,
            [32, 32, 3] => 1,
            _ => 0,
        };
        let bytes = count.saturating_mul(IMAGE as u64);
        if tag.kind != BYTES || count == 0 || bytes != u64::from(tag.length) {
            let what = format!("X is not 32 x 32 x 3 x n of bytes, but {sizes:?}");
            return Err(Error::data(self.path, what));
        }
        let mut planes = [0; IMAGE];
        for _ in 0..count {
            self.fill(&mut planes)?;
            interleave(&planes, SIDE, Order::Columns, pixels);
        }
        Ok(())
    }

    fn labels(&mut self, tag: &Tag, sizes: &[u64], labels: &mut Vec<i64>) -> Result<()> {
        let width = match tag.kind {
            BYTES => 1,
            DOUBLES => 8,
            _ => 0,
        };
        let count = match sizes {
            [count, 1] | [1, count] => *count,
            _ => 0,
        };
        if width == 0 || count == 0 || count.saturating_mul(width) != u64::from(tag.length) {
            let what = format!("y is not n x 1 of bytes or doubles, but {sizes:?}");
            return Err(Error::data(self.path, what));
        }
        for i in 0..count as usize {
            let mut value = [0; 8];
            match tag.small {
                Some(content) if width == 1 => value[0] = content[i],
                _ => self.fill(&mut value[..width as usize])?,
            }
            let digit = match width {
                1 => f64::from(value[0]),
                _ => f64::from_le_bytes(value),
            };
            let Some(label) = (1..=10).find(|&label| f64::from(label) == digit) else {
                let what = format!("label {digit} of image {i} is not within 1..=10");
                return Err(Error::data(self.path, what));
            };
            labels.push(i64::from(label % 10));
        }
        Ok(())
    }
}
