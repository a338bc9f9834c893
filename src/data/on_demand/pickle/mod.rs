//! Python's pickles of NumPy arrays, read by a reader that runs nothing.
//!
//! A pickle is a program for a small machine with a stack and a memo. To Python's own reader it may
//! name any function, which is then called with arguments of its choice; [`machine`] knows the
//! steps that a dictionary of arrays and of lists of numbers takes, and of names only the four that
//! NumPy writes. What these would do is written out there. Every other step and every other name is
//! an error, and so is a value that holds itself.
//!
//! ```text
//! 80 03                         protocol 3
//! }  (                          a dictionary, and the mark that its items begin at
//! X  "data"                     a text: its length as u32, its bytes
//! c  numpy.core.multiarray      names `_reconstruct`, which makes an empty array
//!    _reconstruct
//! ..  R                         calls it
//! (  K 1, (n, columns), dtype, 89 (rows first), B length as u32 and bytes  t
//! b                             gives the array its shape, its type and its bytes
//! X  "labels"  ]  ( K 1 M 1000 .. e
//! u  .                          sets the items, ends
//! ```
//!
//! The bytes of an array stay on the disk. Memory grows with the number of steps, of which a million
//! are taken at most.
//!
//! Source: Python's `pickletools`, which describes each opcode; NumPy's `ndarray.__reduce__` and
//! `dtype.__reduce__`.

mod machine;
mod values;

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use super::npz::Rows;
use crate::{Error, Result};
use machine::Machine;

pub(crate) use values::Item;

/// What a pickled dictionary holds.
pub(crate) struct Pickle {
    path: PathBuf,
    items: Vec<(String, Item)>,
}

impl Pickle {
    /// # Errors
    /// A file that cannot be read, or that is anything but a dictionary of arrays and lists.
    pub fn open(path: &Path) -> Result<Pickle> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let length = file.metadata().map_err(Error::io("read", path))?.len();
        let items = parse(path, file, length)?;
        Ok(Pickle {
            path: path.to_owned(),
            items,
        })
    }

    fn item(&self, name: &str) -> Result<&Item> {
        // As in Python, the last of several counts.
        let found = self.items.iter().rev().find(|(key, _)| key == name);
        let found = found.map(|(_, item)| item);
        found.ok_or_else(|| Error::data(&self.path, format!("holds no item `{name}`")))
    }

    /// The values of a list of integers, or of an array of them.
    ///
    /// # Errors
    /// No such item, or one of another kind.
    pub fn integers(&self, name: &str) -> Result<Vec<i64>> {
        match self.item(name)? {
            Item::Integers(list) => Ok(list.to_vec()),
            Item::Array(array) => {
                let bytes = array.bytes.read(&self.path)?;
                array.header().integers(&self.path.join(name), &bytes)
            }
            Item::Other => Err(self.no_array(name)),
        }
    }

    /// An array of bytes `[n, width]`, and n. Its values stay on the disk, but for those that
    /// Python 3 wrote as text, in protocol 2.
    ///
    /// # Errors
    /// No such item, or one of another type or shape.
    pub fn rows(&self, name: &str, width: usize) -> Result<(Rows, usize)> {
        let Item::Array(array) = self.item(name)? else {
            return Err(self.no_array(name));
        };
        let (inside, header, span) = (self.path.join(name), array.header(), array.bytes);
        if !span.is_text {
            let count = header.rows(&inside, width, span.size)?;
            let (path, start) = (self.path.clone(), span.start);
            return Ok((Rows::Disk { path, start }, count));
        }
        let bytes = span.read(&self.path)?;
        let count = header.rows(&inside, width, bytes.len() as u64)?;
        Ok((Rows::Memory { bytes, start: 0 }, count))
    }

    fn no_array(&self, name: &str) -> Error {
        Error::data(&self.path, format!("its item `{name}` is no array"))
    }
}

/// Reads a pickled dictionary of `length` bytes. `path` only serves the message.
///
/// # Errors
/// Anything but a dictionary of arrays and lists.
pub(crate) fn parse(
    path: &Path,
    reader: impl Read + Seek,
    length: u64,
) -> Result<Vec<(String, Item)>> {
    let mut machine = Machine::new(BufReader::new(reader), length);
    let items = machine.run();
    items.map_err(|what| {
        let at = machine.step_at();
        Error::data(
            path,
            format!("broken or foreign pickle: {what}, at byte {at}"),
        )
    })
}
