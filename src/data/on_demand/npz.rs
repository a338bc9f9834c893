//! NumPy's arrays: an `.npz` is a zip of `.npy` files, stored or deflated.
//!
//! ```text
//! 93 "NUMPY" | version u8 u8 | length of the text, u16 (u32 from version 2) | text | values
//! {'descr': '|u1', 'fortran_order': False, 'shape': (50000, 12288), }
//! ```
//!
//! Source: NumPy's NEP 1 and `numpy.lib.format`.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::data::archive::{self, Entry};
use crate::tensor::shape::checked_product;
use crate::{Error, Result};

/// The most bytes of a header that are read: those of arrays have 128.
const LONGEST_HEADER: u64 = 4096;

/// The arrays of a file.
pub(super) struct Npz {
    path: PathBuf,
    entries: Vec<Entry>,
}

/// Rows of bytes: where they lie on the disk, or in memory, if they were compressed.
pub(crate) enum Rows {
    Disk { path: PathBuf, start: u64 },
    Memory { bytes: Vec<u8>, start: usize },
}

/// What is said of an array: in the header of its file, or in a pickle.
pub(crate) struct Header {
    /// Its type: `|u1`, `<i8`.
    pub dtype: String,
    pub shape: Vec<usize>,
    /// Where the values begin.
    pub start: usize,
}

impl Npz {
    /// # Errors
    /// A file that cannot be read, or is no zip.
    pub fn open(path: &Path) -> Result<Npz> {
        let mut file = File::open(path).map_err(Error::io("open", path))?;
        Ok(Npz {
            path: path.to_owned(),
            entries: archive::directory(path, &mut file)?,
        })
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        let file = format!("{name}.npy");
        let found = self.entries.iter().find(|entry| entry.name == file);
        found.ok_or_else(|| Error::data(&self.path, format!("holds no array `{name}`")))
    }

    /// The values of an array of integers.
    ///
    /// # Errors
    /// No such array, or one of another kind.
    pub fn integers(&self, name: &str) -> Result<Vec<i64>> {
        let mut file = File::open(&self.path).map_err(Error::io("open", &self.path))?;
        let file = archive::member(&self.path, &mut file, self.entry(name)?)?;
        integers(&file.path, &file.bytes)
    }

    /// An array of bytes `[n, width]`, and n. Where it is stored it stays on the disk, and its
    /// checksum is not looked at; where it is deflated it comes into memory.
    ///
    /// # Errors
    /// No such array, or one of another type or shape.
    pub fn rows(&self, name: &str, width: usize) -> Result<(Rows, usize)> {
        let (path, entry) = (&self.path, self.entry(name)?);
        let inside = path.join(&entry.name);
        let mut file = File::open(path).map_err(Error::io("open", path))?;
        if let Some((start, size)) = archive::stored_at(path, &mut file, entry)? {
            let mut head = Vec::new();
            file.seek(SeekFrom::Start(start))
                .and_then(|_| file.take(size.min(LONGEST_HEADER)).read_to_end(&mut head))
                .map_err(Error::io("read", path))?;
            let header = header(&inside, &head)?;
            let count = header.rows(&inside, width, size)?;
            let start = start + header.start as u64;
            let path = path.clone();
            return Ok((Rows::Disk { path, start }, count));
        }
        let bytes = archive::member(path, &mut file, entry)?.bytes;
        let header = header(&inside, &bytes)?;
        let count = header.rows(&inside, width, bytes.len() as u64)?;
        let start = header.start;
        Ok((Rows::Memory { bytes, start }, count))
    }
}

impl Rows {
    /// Fills `row` with row number `index`.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read(&self, index: usize, row: &mut [u8]) -> Result<()> {
        match self {
            Rows::Memory { bytes, start } => {
                let from = start + index * row.len();
                row.copy_from_slice(&bytes[from..from + row.len()]);
                Ok(())
            }
            Rows::Disk { path, start } => {
                let mut file = File::open(path).map_err(Error::io("open", path))?;
                let from = start + (index * row.len()) as u64;
                file.seek(SeekFrom::Start(from))
                    .and_then(|_| file.read_exact(row))
                    .map_err(Error::io("read", path))
            }
        }
    }
}

impl Header {
    /// The rows of an array of bytes of so many columns, in a file of `size` bytes.
    ///
    /// # Errors
    /// Another type, shape or size. `path` only serves the message, here and below.
    pub fn rows(&self, path: &Path, width: usize, size: u64) -> Result<usize> {
        let count = match self.shape[..] {
            [count, columns] if columns == width && self.dtype == "|u1" => count,
            _ => {
                let (dtype, shape) = (&self.dtype, &self.shape);
                let what = format!("is {shape:?} of `{dtype}`, expected [n, {width}] of bytes");
                return Err(Error::data(path, what));
            }
        };
        self.check(path, 1, size)?;
        Ok(count)
    }

    /// The values of an array of integers with one axis, or with a second one of length 1, from its
    /// whole file.
    ///
    /// # Errors
    /// Another type, another number of axes, another size.
    pub fn integers(&self, path: &Path, bytes: &[u8]) -> Result<Vec<i64>> {
        let axes = match self.shape[..] {
            [_, 1] => 1,
            _ => self.shape.len(),
        };
        let width = match (&*self.dtype, axes) {
            ("|u1" | "|i1", 1) => 1,
            ("<u2" | "<i2" | ">u2" | ">i2", 1) => 2,
            ("<u4" | "<i4" | ">u4" | ">i4", 1) => 4,
            ("<u8" | "<i8" | ">u8" | ">i8", 1) => 8,
            _ => {
                let (dtype, shape) = (&self.dtype, &self.shape);
                let what = format!("is {shape:?} of `{dtype}`, expected a row of integers");
                return Err(Error::data(path, what));
            }
        };
        self.check(path, width, bytes.len() as u64)?;
        let (signed, big) = (self.dtype.contains('i'), self.dtype.starts_with('>'));
        let values = bytes[self.start..].chunks_exact(width).map(|value| {
            let mut whole = [0; 8];
            whole[..width].copy_from_slice(value);
            if big {
                whole[..width].reverse();
            }
            if signed && whole[width - 1] >= 0x80 {
                whole[width..].fill(0xFF);
            }
            i64::from_le_bytes(whole)
        });
        Ok(values.collect())
    }

    /// The images of an array of bytes, from its whole file: how many, their height, width and
    /// channels, and their bytes. Its shape is `[n, h, w]`, `[n, h, w, 1]`, `[n, h, w, 3]`, or `[n, h
    /// * w]` of squares.
    ///
    /// # Errors
    /// Another type, shape or size.
    pub fn images<'a>(&self, path: &Path, bytes: &'a [u8]) -> Result<([usize; 4], &'a [u8])> {
        let size = match self.shape[..] {
            [n, h, w] | [n, h, w, 1] => Some([n, h, w, 1]),
            [n, h, w, 3] => Some([n, h, w, 3]),
            [n, pixels] => {
                let side = pixels.isqrt();
                (side * side == pixels).then_some([n, side, side, 1])
            }
            _ => None,
        };
        let Some(size) = size.filter(|_| self.dtype == "|u1") else {
            let (dtype, shape) = (&self.dtype, &self.shape);
            let what = format!(
                "is {shape:?} of `{dtype}`, expected bytes [n, h, w], [n, h, w, 3] or [n, h * h]"
            );
            return Err(Error::data(path, what));
        };
        self.check(path, 1, bytes.len() as u64)?;
        Ok((size, &bytes[self.start..]))
    }

    /// Checks that values of so many bytes fill a file of `size` bytes.
    fn check(&self, path: &Path, width: usize, size: u64) -> Result<()> {
        let values = checked_product(&self.shape).and_then(|n| n.checked_mul(width));
        let need = values.and_then(|bytes| bytes.checked_add(self.start));
        if need.map(|need| need as u64) == Some(size) {
            return Ok(());
        }
        let what = format!("has {size} bytes, which are not {:?} values", self.shape);
        Err(Error::data(path, what))
    }
}

/// Reads the header that a file begins with.
pub(crate) fn header(path: &Path, bytes: &[u8]) -> Result<Header> {
    let broken = || {
        Error::data(
            path,
            "is not a NumPy array with a header that is understood",
        )
    };
    let length = match bytes {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, a, b, ..] => (10, [*a, *b, 0, 0]),
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _, a, b, c, d, ..] => (12, [*a, *b, *c, *d]),
        _ => return Err(broken()),
    };
    let start = length.0 + u32::from_le_bytes(length.1) as usize;
    let read = || {
        let text = std::str::from_utf8(bytes.get(length.0..start)?).ok()?;
        let field = |name: &str| Some(text.split_once(&format!("'{name}':"))?.1.trim_start());
        let dtype = field("descr")?.strip_prefix('\'')?.split_once('\'')?.0;
        let rows_first = field("fortran_order")?.starts_with("False");
        let sizes = field("shape")?.strip_prefix('(')?.split_once(')')?.0;
        let sizes = sizes.split(',').map(str::trim).filter(|s| !s.is_empty());
        let shape = sizes.map(|size| size.parse().ok()).collect::<Option<_>>()?;
        let dtype = dtype.to_owned();
        let header = Header {
            dtype,
            shape,
            start,
        };
        Some((header, rows_first))
    };
    match read().ok_or_else(broken)? {
        (header, true) => Ok(header),
        _ => Err(Error::data(
            path,
            "is stored column by column (Fortran's order): save np.ascontiguousarray of it",
        )),
    }
}

/// The values of an array of integers with one axis.
///
/// # Errors
/// Another type, another number of axes, a size other than the header says. `path` only serves the
/// message.
pub(crate) fn integers(path: &Path, bytes: &[u8]) -> Result<Vec<i64>> {
    header(path, bytes)?.integers(path, bytes)
}
