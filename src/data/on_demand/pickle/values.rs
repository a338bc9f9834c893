//! What a pickle holds, as far as it is read.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use crate::data::on_demand::npz::Header;
use crate::{Error, Result};

/// A value of the dictionary.
pub(crate) enum Item {
    Integers(Arc<Vec<i64>>),
    Array(Array),
    /// Nothing that is asked for: a text, a number, none.
    Other,
}

/// A NumPy array, whose values are still in the file.
#[derive(Clone, Debug)]
pub(crate) struct Array {
    /// Byte order, kind and width, as NumPy writes them: `|u1`, `<i8`.
    pub dtype: String,
    pub shape: Vec<usize>,
    pub bytes: Span,
}

/// Bytes of the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub start: u64,
    pub size: u64,
    /// Whether they are a text in UTF-8 whose characters are the bytes, as Python 3 writes them in
    /// protocol 2.
    pub is_text: bool,
}

impl Array {
    pub fn header(&self) -> Header {
        Header {
            dtype: self.dtype.clone(),
            shape: self.shape.clone(),
            start: 0,
        }
    }
}

impl Span {
    /// The bytes themselves.
    ///
    /// # Errors
    /// A file that cannot be read; a text of other characters than bytes.
    pub fn read(self, path: &Path) -> Result<Vec<u8>> {
        let mut file = File::open(path).map_err(Error::io("open", path))?;
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(self.start))
            .and_then(|_| file.take(self.size).read_to_end(&mut bytes))
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
