//! Python's pickles, read by a reader that runs nothing.
//!
//! A pickle is a program for a small machine with a stack and a memo. To Python's own reader it may
//! name any function, which is then called with arguments of its choice. This machine knows the
//! steps that dictionaries, lists, texts, numbers, arrays and tensors take. A call is only written
//! down: [`Call`] says what would be called with what, and who reads the pickle says what that
//! means. A name that the reader does not allow is an error, and so is every other step, and a value
//! that holds itself.
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
//! Bytes stay where they lie; only texts of names are kept. Memory grows with the number of steps,
//! of which a million are taken at most.
//!
//! Source: Python's `pickletools`, which describes each opcode.

mod machine;
mod values;

use std::io::{BufReader, Read, Seek};

use machine::Machine;

pub(crate) use values::{Name, Span, Value};

/// What a pickle holds.
pub(crate) struct Pickle {
    /// All values, in the order they were made in.
    pub values: Vec<Value>,
    /// The number of the one that the pickle is of.
    pub root: usize,
    /// Where the pickle ends.
    pub end: u64,
}

impl Pickle {
    /// Reads the pickle that a file of `length` bytes begins with.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn read(
        reader: impl Read + Seek,
        length: u64,
        allowed: &'static [Name],
    ) -> Result<Pickle, String> {
        let mut machine = Machine::new(BufReader::new(reader), length, allowed);
        let end = machine.run();
        end.map_err(|what| format!("{what}, at byte {}", machine.step_at()))
            .map(|(root, end)| Pickle {
                values: machine.into_values(),
                root,
                end,
            })
    }

    /// The values of a tuple.
    pub fn tuple(&self, value: usize) -> Option<&[usize]> {
        match &self.values[value] {
            Value::Tuple(values) => Some(values),
            _ => None,
        }
    }

    /// The arguments of a call of this function.
    pub fn called(&self, value: usize, function: &str) -> Option<&[usize]> {
        match &self.values[value] {
            Value::Call(call) if call.function == function => self.tuple(call.arguments),
            _ => None,
        }
    }

    /// What a short text says.
    pub fn text(&self, value: usize) -> Option<&str> {
        match &self.values[value] {
            Value::Characters { name, .. } => name.as_deref(),
            _ => None,
        }
    }

    /// A number that counts something.
    pub fn count(&self, value: usize) -> Option<usize> {
        match self.values[value] {
            Value::Int(number) => usize::try_from(number).ok(),
            _ => None,
        }
    }

    /// The numbers of a tuple of such.
    pub fn counts(&self, value: usize) -> Option<Vec<usize>> {
        let counts = self.tuple(value)?.iter();
        counts.map(|&count| self.count(count)).collect()
    }
}
