//! What programs print: results on stdout, remarks on stderr. Unlike `println!` and its kin,
//! nothing here panics.
//!
//! A result that cannot be written is an error: a full disk is reported, with status 1. Where the
//! reader of a pipe has gone, as in `summary ... | head -1`, the program ends at once, without a
//! word and with status 141, as SIGPIPE ends programs that are not in Rust: results are to be on
//! disk before they are printed. A remark that cannot be shown is dropped: neither a closed terminal
//! nor a full log is a reason to stop training.
//!
//! ```
//! use wavemix::console::{Stderr, Stdout};
//! writeln!(Stdout, "top-1 {:.2} %", 99.5)?;
//! writeln!(Stderr, "epoch {} of {}", 1, 5);
//! # Ok::<(), wavemix::Error>(())
//! ```

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::{Error, Result};

/// What errors call the standard output.
const STDOUT: &str = "standard output";

/// The status of a program that SIGPIPE ends, as shells report it: 128 + 13.
const CLOSED_PIPE: i32 = 141;

/// The standard output, for `write!` and `writeln!`. What is written leaves at once.
#[derive(Clone, Copy, Debug)]
pub struct Stdout;

impl Stdout {
    /// Writes formatted text; `write!` and `writeln!` call this. Where the reader of a pipe has gone
    /// it ends the program, with status 141.
    ///
    /// # Errors
    /// The system refuses, as where a disk is full.
    pub fn write_fmt(&self, text: fmt::Arguments<'_>) -> Result<()> {
        let mut out = io::stdout().lock();
        let written = out.write_fmt(text).and_then(|()| out.flush());
        if let Err(error) = &written
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            std::process::exit(CLOSED_PIPE);
        }
        written.map_err(Error::io("write to", STDOUT))
    }
}

/// The standard error output, for `write!` and `writeln!`, which then give nothing to check.
#[derive(Clone, Copy, Debug)]
pub struct Stderr;

impl Stderr {
    /// Writes formatted text, in one piece, or drops it where the system refuses.
    pub fn write_fmt(&self, text: fmt::Arguments<'_>) {
        let _ = io::stderr().lock().write_all(text.to_string().as_bytes());
    }
}

/// How a program ends: with status 0, or with a line `error: ...` on stderr and status 1.
pub fn exit_status(outcome: Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(Stderr, "error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A path as a shell's command line takes it: as it is where that is safe, else in single quotes.
/// Control characters and bytes that are not UTF-8 are written as octal numbers in `$'...'`, which
/// bash, zsh and ksh read.
///
/// ```
/// # use wavemix::console::quoted;
/// assert_eq!(quoted("runs/mnist-1"), "runs/mnist-1");
/// assert_eq!(quoted("my runs/it's"), r"'my runs/it'\''s'");
/// assert_eq!(quoted("-1"), "./-1");
/// ```
pub fn quoted(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    let bytes = path.as_os_str().as_encoded_bytes();
    // A leading dash would make it a flag.
    let start = if bytes.first() == Some(&b'-') {
        "./"
    } else {
        ""
    };
    let safe = |byte: &u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(byte);
    match path.to_str() {
        Some(text) if !text.is_empty() && bytes.iter().all(safe) => format!("{start}{text}"),
        Some(text) if cfg!(windows) => format!("\"{start}{text}\""),
        Some(text) if !text.chars().any(char::is_control) => {
            format!("'{start}{}'", text.replace('\'', r"'\''"))
        }
        _ => {
            let byte = |&byte: &u8| match byte {
                b' '..=b'~' if byte != b'\'' && byte != b'\\' => char::from(byte).to_string(),
                _ => format!("\\{byte:03o}"),
            };
            format!("$'{start}{}'", bytes.iter().map(byte).collect::<String>())
        }
    }
}
