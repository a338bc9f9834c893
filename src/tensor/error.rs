//! The one error type: what went wrong, with whom, and what would have been right.

use std::fmt;
use std::io;
use std::panic::Location;
use std::path::{Path, PathBuf};

/// Shorthand for results of this crate. Another type of error may be named: `Result<T, E>` is the
/// standard one.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything a caller, a file or a machine can get wrong.
///
/// Each message stands alone: it names the op or the file, what was expected and what came.
/// Mistakes in an op's operands also carry the caller's line and the layer they happened in:
///
/// ```text
/// matmul: b expects [.., k = 64, n], got [32, 10] (train.rs:41, in layers.3.attention)
/// ```
#[non_exhaustive]
pub enum Error {
    /// An operand of an op has the wrong shape, dtype or value.
    Operand(Box<Operand>),
    /// A setting, flag or name is unknown or out of range; the message lists what is allowed.
    Argument(String),
    /// A data or weight file does not hold what its format promises.
    Data {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The operating system refused something.
    Io {
        /// What was being done, as in "cannot *open*".
        action: &'static str,
        /// The file or folder concerned.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A device is missing or cannot do what was asked.
    Device(String),
    /// A device's memory is full; the message says what was asked for, and what holds the rest.
    OutOfMemory(String),
    /// The autograd graph was misused, for instance walked twice.
    Graph(String),
    /// A value became infinite or not-a-number; the message names the first place.
    NonFinite(String),
}

/// The details of [`Error::Operand`].
#[derive(Debug)]
pub struct Operand {
    /// The op, `matmul`.
    pub op: &'static str,
    /// Which of its operands, `b`.
    pub operand: &'static str,
    /// What it expects, `[.., k = 64, n]`.
    pub expected: String,
    /// What it was given, `[32, 10]`.
    pub got: String,
    /// The line that called the op.
    pub at: &'static Location<'static>,
    /// The layer that was running, `layers.3.attention`; empty outside of any.
    pub scope: String,
}

impl Error {
    /// An operand that does not fit: `{op}: {operand} expects {expected}, got {got}`.
    #[track_caller]
    pub fn operand(
        op: &'static str,
        operand: &'static str,
        expected: impl fmt::Display,
        got: impl fmt::Display,
    ) -> Self {
        Error::mismatch(op, operand, &expected, &got, Location::caller())
    }

    /// [`Error::operand`], compiled once for all types of what was expected and given.
    #[cold]
    #[inline(never)]
    fn mismatch(
        op: &'static str,
        operand: &'static str,
        expected: &dyn fmt::Display,
        got: &dyn fmt::Display,
        at: &'static Location<'static>,
    ) -> Self {
        Error::Operand(Box::new(Operand {
            op,
            operand,
            expected: expected.to_string(),
            got: got.to_string(),
            at,
            scope: crate::tensor::scope::scope(),
        }))
    }

    /// A malformed file.
    pub fn data(path: impl AsRef<Path>, what: impl fmt::Display) -> Self {
        Error::Data {
            path: path.as_ref().to_owned(),
            what: what.to_string(),
        }
    }

    /// A failed system call, for `map_err`: `Error::io("open", path)`.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Error::Io {
            action,
            path,
            source,
        }
    }

    /// An unknown name among known ones: ``unknown {what} `{got}`; choose one of a, b, c``.
    pub fn choice(what: &str, got: &str, choices: &[&str]) -> Self {
        Error::Argument(format!(
            "unknown {what} `{got}`; choose one of {}",
            choices.join(", ")
        ))
    }
}

impl fmt::Debug for Error {
    /// The message, as that is what `unwrap` and a `main` that returns a `Result` print.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Operand(o) => {
                let file = Path::new(o.at.file())
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy();
                write!(
                    f,
                    "{}: {} expects {}, got {} ({file}:{}",
                    o.op,
                    o.operand,
                    o.expected,
                    o.got,
                    o.at.line()
                )?;
                if o.scope.is_empty() {
                    write!(f, ")")
                } else {
                    write!(f, ", in {})", o.scope)
                }
            }
            Error::Data { path, what } => write!(f, "{}: {what}", path.display()),
            Error::Io {
                action,
                path,
                source,
            } => write!(f, "cannot {action} {}: {source}", path.display()),
            Error::Argument(s)
            | Error::Device(s)
            | Error::OutOfMemory(s)
            | Error::Graph(s)
            | Error::NonFinite(s) => f.write_str(s),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
