//! Images in tables: a line for each, of a label and the pixels, as Kaggle has them.
//!
//! ```text
//! label,pixel0,pixel1,..          label,pixels
//! 5,0,0,12,..                     5,"0 0 12 .."
//! ```
//!
//! The label is the column of that name (or `emotion`, `class`), the first one where no names are
//! given. Pixels are bytes, row by row: s * s of them are grey, 3 s * s are red, green and blue.

use std::path::Path;

use super::image_set::transpose;
use super::picture::transposed_by_name;
use crate::{Error, Result};

const LABELS: [&str; 3] = ["label", "emotion", "class"];

/// Images, and the label of each.
pub(crate) struct Labelled {
    /// Height, width and channels.
    pub size: [usize; 3],
    pub pixels: Vec<u8>,
    pub labels: Vec<i64>,
}

/// The images of a table; `None` where it has no labels.
///
/// # Errors
/// A field that is no number, or no byte; lines of other lengths; pixels that make up no square.
/// `path` only serves the message, and tells EMNIST's tables, whose images lie column by column.
pub(crate) fn read(path: &Path, bytes: &[u8]) -> Result<Option<Labelled>> {
    // Excel and pandas' "utf-8-sig" begin with a byte order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let lines = bytes.split(|&byte| byte == b'\n').enumerate();
    let mut lines = lines
        .map(|(i, line)| (i + 1, line.trim_ascii()))
        .filter(|(_, line)| !line.is_empty())
        .peekable();
    let mut label_at = 0;
    if let Some((_, names)) = lines.next_if(|(_, line)| !begins_with_a_digit(line)) {
        let names = crate::data::text(path, names)?.to_lowercase();
        let mut names = names.split(',').map(|name| name.trim().trim_matches('"'));
        match names.position(|name| LABELS.contains(&name)) {
            Some(place) => label_at = place,
            None => return Ok(None),
        }
    }
    let (mut pixels, mut labels, mut count) = (Vec::new(), Vec::new(), 0);
    for (number, line) in lines {
        let before = pixels.len();
        let label = row(line, label_at, &mut pixels);
        let own = pixels.len() - before;
        if labels.is_empty() {
            count = own;
        }
        let label = label.and_then(|label| match own == count {
            true => Ok(label),
            false => Err(format!("{own} pixels, where the first line has {count}")),
        });
        labels.push(label.map_err(|what| Error::data(path, format!("line {number}: {what}")))?);
    }
    let (side, coloured) = (count.isqrt(), (count / 3).isqrt());
    let size = match count {
        0 => return Err(Error::data(path, "holds no images")),
        _ if side * side == count => [side, side, 1],
        _ if 3 * coloured * coloured == count => [coloured, coloured, 3],
        _ => {
            return Err(Error::data(
                path,
                format!("{count} pixels a line are no square"),
            ));
        }
    };
    if transposed_by_name(path) == Some(true) {
        transpose(&mut pixels, size);
    }
    Ok(Some(Labelled {
        size,
        pixels,
        labels,
    }))
}

/// Whether the first field is a number, quoted or not, and no name.
fn begins_with_a_digit(line: &[u8]) -> bool {
    let line = line.strip_prefix(b"\"").unwrap_or(line);
    line.first().is_some_and(u8::is_ascii_digit)
}

/// The label of a line, whose pixels are added to the others.
fn row(line: &[u8], label_at: usize, pixels: &mut Vec<u8>) -> std::result::Result<i64, String> {
    let mut label = None;
    for (column, field) in line.split(|&byte| byte == b',').enumerate() {
        let field = field.trim_ascii();
        let field = field.strip_prefix(b"\"").unwrap_or(field);
        let field = field.strip_suffix(b"\"").unwrap_or(field);
        if column == label_at {
            label = Some(whole(field).ok_or("its label is no number")?.into());
            continue;
        }
        let values = field.split(|&byte| byte == b' ').filter(|v| !v.is_empty());
        for value in values {
            let pixel = whole(value).and_then(|value| u8::try_from(value).ok());
            pixels.push(pixel.ok_or_else(|| {
                let value = String::from_utf8_lossy(&value[..value.len().min(20)]);
                let value = value.escape_debug();
                format!("`{value}` in column {} is no byte", column + 1)
            })?);
        }
    }
    label.ok_or_else(|| "it has no label".into())
}

/// A number of up to nine digits.
fn whole(digits: &[u8]) -> Option<u32> {
    let known = (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    known.then(|| {
        digits
            .iter()
            .fold(0, |n, digit| 10 * n + u32::from(digit - b'0'))
    })
}
