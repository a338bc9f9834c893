//! Pickled dictionaries of NumPy's arrays and of lists of integers.
//!
//! [`io::pickle`](crate::io::pickle) reads the pickle, and calls nothing. Of names it is allowed the
//! four that NumPy writes; what they would do is written out here:
//!
//! ```text
//! _reconstruct(ndarray, (0,), b'b')           an array, whose state is
//!     (1, shape, dtype, rows first, bytes)
//! dtype('u1', False, True)                    its type, whose state is
//!     (3, '|', ..)                            its byte order, and what only structures have
//! _codecs.encode(text, 'latin1')              the bytes that the characters are: so Python 3 writes
//!                                             bytes in protocol 2
//! ```
//!
//! The bytes of an array stay on the disk.
//!
//! Source: NumPy's `ndarray.__reduce__` and `dtype.__reduce__`.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::npz::{Header, Rows};
use crate::io::pickle::{self, Name, Span, Value};
use crate::{Error, Result};

const NAMES: &[Name] = &[
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("_codecs", "encode"),
];

/// The most axes of an array.
const MOST_AXES: usize = 8;

/// What a pickled dictionary holds.
pub(crate) struct Pickle {
    path: PathBuf,
    pickle: pickle::Pickle,
}

/// An array, whose values are still in the file.
struct Array {
    header: Header,
    bytes: Span,
    /// Whether the bytes are a text in UTF-8 whose characters are the bytes.
    is_text: bool,
}

impl Pickle {
    /// # Errors
    /// A file that cannot be read, or that is anything but a dictionary.
    pub fn open(path: &Path) -> Result<Pickle> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let length = file.metadata().map_err(Error::io("read", path))?.len();
        Pickle::parse(path, file, length)
    }

    /// Reads a pickle of `length` bytes.
    ///
    /// # Errors
    /// As [`Pickle::open`].
    pub fn parse(path: &Path, reader: impl Read + Seek, length: u64) -> Result<Pickle> {
        let broken = |what| Error::data(path, format!("broken or foreign pickle: {what}"));
        let pickle = pickle::Pickle::read(reader, length, NAMES).map_err(broken)?;
        match pickle.values[pickle.root] {
            Value::Dict(_) => Ok(Pickle {
                path: path.to_owned(),
                pickle,
            }),
            _ => Err(broken("it holds something other than a dictionary".into())),
        }
    }

    /// The keys of the dictionary that are texts.
    pub fn names(&self) -> Vec<&str> {
        let items = self.items().iter();
        items
            .filter_map(|(key, _)| self.pickle.text(*key))
            .collect()
    }

    fn items(&self) -> &[(usize, usize)] {
        match &self.pickle.values[self.pickle.root] {
            Value::Dict(items) => items,
            _ => &[],
        }
    }

    /// The number of an item's value.
    fn item(&self, name: &str) -> Result<usize> {
        // As in Python, the last of several counts.
        let mut items = self.items().iter().rev();
        let found = items.find(|(key, _)| self.pickle.text(*key) == Some(name));
        let found = found.map(|(_, value)| *value);
        found.ok_or_else(|| Error::data(&self.path, format!("holds no item `{name}`")))
    }

    /// The values of a list of integers, or of an array of them.
    ///
    /// # Errors
    /// No such item, or one of another kind.
    pub fn integers(&self, name: &str) -> Result<Vec<i64>> {
        let value = self.item(name)?;
        if let Value::List(list) = &self.pickle.values[value] {
            let number = |&value: &usize| match self.pickle.values[value] {
                Value::Int(number) => Ok(number),
                _ => Err(Error::data(
                    &self.path,
                    format!("its item `{name}` is a list of other things than integers"),
                )),
            };
            return list.iter().map(number).collect();
        }
        let array = self.array(name, value)?;
        let bytes = array.read(&self.path)?;
        array.header.integers(&self.path.join(name), &bytes)
    }

    /// An array of bytes `[n, width]`, and n. Its values stay on the disk, but for those that
    /// Python 3 wrote as text.
    ///
    /// # Errors
    /// No such item, or one of another type or shape.
    pub fn rows(&self, name: &str, width: usize) -> Result<(Rows, usize)> {
        let array = self.array(name, self.item(name)?)?;
        let (inside, span) = (self.path.join(name), array.bytes);
        if !array.is_text {
            let count = array.header.rows(&inside, width, span.size)?;
            let (path, start) = (self.path.clone(), span.start);
            return Ok((Rows::Disk { path, start }, count));
        }
        let bytes = array.read(&self.path)?;
        let count = array.header.rows(&inside, width, bytes.len() as u64)?;
        Ok((Rows::Memory { bytes, start: 0 }, count))
    }

    /// The array that an item is.
    fn array(&self, name: &str, value: usize) -> Result<Array> {
        self.as_array(value).ok_or_else(|| {
            let what = format!("its item `{name}` is no array that is stored rows first");
            Error::data(&self.path, what)
        })
    }

    fn as_array(&self, value: usize) -> Option<Array> {
        let pickle = &self.pickle;
        let &[_version, shape, dtype, columns_first, bytes] = self.state(value, "_reconstruct")?
        else {
            return None;
        };
        let Value::Bool(false) = pickle.values[columns_first] else {
            return None;
        };
        let kind = pickle.text(*pickle.called(dtype, "dtype")?.first()?)?;
        let order = pickle.text(*self.state(dtype, "dtype")?.get(1)?)?;
        let (bytes, is_text) = match pickle.called(bytes, "encode") {
            Some(&[text, code]) if pickle.text(code) == Some("latin1") => (text, true),
            Some(_) => return None,
            None => (bytes, false),
        };
        let Value::Characters { span, .. } = pickle.values[bytes] else {
            return None;
        };
        let header = Header {
            dtype: format!("{order}{kind}"),
            shape: pickle
                .counts(shape)
                .filter(|shape| shape.len() <= MOST_AXES)?,
            start: 0,
        };
        Some(Array {
            header,
            bytes: span,
            is_text,
        })
    }

    /// The state that what a function makes is given.
    fn state(&self, value: usize, function: &str) -> Option<&[usize]> {
        match &self.pickle.values[value] {
            Value::Call(call) if call.function == function => self.pickle.tuple(call.state?),
            _ => None,
        }
    }
}

impl Array {
    /// The bytes of its values.
    fn read(&self, path: &Path) -> Result<Vec<u8>> {
        let mut file = File::open(path).map_err(Error::io("open", path))?;
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(self.bytes.start))
            .and_then(|_| file.take(self.bytes.size).read_to_end(&mut bytes))
            .map_err(Error::io("read", path))?;
        if !self.is_text {
            return Ok(bytes);
        }
        let broken = || Error::data(path, "broken or foreign pickle: a text that is not bytes");
        let text = std::str::from_utf8(&bytes).map_err(|_| broken())?;
        let byte = |c: char| u8::try_from(u32::from(c)).map_err(|_| broken());
        text.chars().map(byte).collect()
    }
}
