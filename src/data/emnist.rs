//! EMNIST: handwritten characters in six splits, and what is peculiar about its files.
//!
//! Source: Cohen, Afshar, Tapson, van Schaik, "EMNIST: an extension of MNIST to handwritten
//! letters" (2017); NIST Special Database 19. Three things to know:
//!
//! - Images are stored column by column: read as rows, they look mirrored and turned by 90 degrees.
//!   Here they are turned upright. [`ImageSet::transpose`](super::ImageSet::transpose) gives the
//!   files' own order back, for comparison with libraries that leave it so.
//! - The letters split counts its labels from 1; here from 0, as everywhere.
//! - Test labels may be sorted by class: never take the first part of a test set for the whole.

use crate::{Error, Result};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// One of the six ways in which NIST cuts the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// 47 classes, 2,400 training and 400 test images of each: 112,800 and 18,800.
    Balanced,
    /// All 62 characters, as frequent as in writing: 697,932 and 116,323.
    ByClass,
    /// As `ByClass`, with the 15 letters merged whose two cases look alike: 47 classes.
    ByMerge,
    /// 26 letters, upper and lower case together: 124,800 and 20,800.
    Letters,
    /// 10 digits: 240,000 and 40,000.
    Digits,
    /// 10 digits, in MNIST's format and size: 60,000 and 10,000.
    Mnist,
}

impl Split {
    /// All six.
    pub const ALL: [Split; 6] = [
        Split::Balanced,
        Split::ByClass,
        Split::ByMerge,
        Split::Letters,
        Split::Digits,
        Split::Mnist,
    ];

    /// The name that files carry: `balanced`.
    pub fn name(self) -> &'static str {
        match self {
            Split::Balanced => "balanced",
            Split::ByClass => "byclass",
            Split::ByMerge => "bymerge",
            Split::Letters => "letters",
            Split::Digits => "digits",
            Split::Mnist => "mnist",
        }
    }

    /// The character of each class; upper case stands for both where they are merged.
    pub fn classes(self) -> Vec<String> {
        let characters: &[&str] = match self {
            Split::Balanced | Split::ByMerge => &[DIGITS, UPPER, "abdefghnqrt"],
            Split::ByClass => &[DIGITS, UPPER, "abcdefghijklmnopqrstuvwxyz"],
            Split::Letters => &[UPPER],
            Split::Digits | Split::Mnist => &[DIGITS],
        };
        characters
            .iter()
            .flat_map(|s| s.chars())
            .map(String::from)
            .collect()
    }

    /// The label of the first class in the files.
    pub(crate) fn first_label(self) -> u8 {
        u8::from(self == Split::Letters)
    }
}

const DIGITS: &str = "0123456789";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Split {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        let unknown = || Error::choice("EMNIST split", s, &Split::ALL.map(Split::name));
        Split::ALL
            .into_iter()
            .find(|split| split.name() == s)
            .ok_or_else(unknown)
    }
}

/// Decodes `emnist-<split>-mapping.txt` to the names of the classes: a line `label code` for each
/// class, `code` being the character's ASCII number; the letters split has a second code a line,
/// the lower case, which is not read.
///
/// # Errors
/// A line of another form, a label missing, twice or out of range, a code that prints nothing.
pub fn mapping(path: impl AsRef<Path>, bytes: &[u8], split: Split) -> Result<Vec<String>> {
    let path = path.as_ref();
    let text = super::text(path, bytes)?;
    let first = usize::from(split.first_label());
    let mut names = vec![String::new(); split.classes().len()];
    for (i, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let wrong = |what: String| Error::data(path, format!("line {}: {what}", i + 1));
        let mut numbers = line.split_whitespace().map(str::parse::<usize>);
        let (Some(Ok(label)), Some(Ok(code))) = (numbers.next(), numbers.next()) else {
            return Err(wrong(format!(
                "expected `label code`, got `{}`",
                line.trim()
            )));
        };
        let last = first + names.len() - 1;
        let Some(name) = label
            .checked_sub(first)
            .and_then(|class| names.get_mut(class))
        else {
            return Err(wrong(format!(
                "label {label} is not within {first}..={last}"
            )));
        };
        let character = u8::try_from(code).ok().filter(u8::is_ascii_graphic);
        let character = character.ok_or_else(|| {
            wrong(format!(
                "{code} is not the code of a printed ASCII character"
            ))
        })?;
        if !name.is_empty() {
            return Err(wrong(format!("label {label} stands there twice")));
        }
        *name = char::from(character).to_string();
    }
    match names.iter().position(String::is_empty) {
        Some(class) => Err(Error::data(
            path,
            format!("label {} is missing", class + first),
        )),
        None => Ok(names),
    }
}
