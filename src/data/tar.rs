//! The headers of a tar: plain ones, and those of GNU and POSIX (pax) for names that are too long
//! for them.
//!
//! A header is a block of 512 bytes with the name, the size and the kind of a member. A long name
//! comes before the member it is of, as the content of a member of its own: kind `L` holds the name
//! alone (GNU), kind `x` lines of `length key=value` (pax), among them `path` and `size`.

use crate::{Error, Result};
use std::io::{self, Read};
use std::path::Path;

/// What stands at 257 of a header, but of the oldest ones.
pub(super) const MAGIC: &[u8] = b"ustar";

/// The most bytes of a long name or of pax lines.
const LONGEST_EXTENSION: u64 = 1 << 20;

/// What a header says of the content behind it.
pub(super) struct Header {
    /// The member's name, with its folders.
    pub name: String,
    /// Bytes of content.
    pub size: u64,
    /// Whether it is a plain file: not a folder, a link, a device.
    pub is_file: bool,
}

/// The header of the next member; `None` at the end record. The reader then stands at the member's
/// content.
///
/// # Errors
/// A damaged header, no end record. `path` only serves the message.
pub(super) fn next(path: &Path, reader: &mut dyn Read) -> Result<Option<Header>> {
    let (mut long_name, mut long_size) = (None, None);
    loop {
        let mut block = [0; 512];
        if fill(path, reader, &mut block)? < 512 {
            return Err(Error::data(
                path,
                "broken tar: it ends without an end record",
            ));
        }
        if block == [0; 512] {
            return Ok(None);
        }
        let (name, size) = (name(&block), checked_size(path, &block)?);
        match block[156] {
            b'L' => {
                let content = extension(path, reader, size)?;
                long_name = Some(until_zero(&content));
            }
            b'x' => {
                for (key, value) in pax(&extension(path, reader, size)?) {
                    match key {
                        "path" => long_name = Some(value.to_owned()),
                        "size" => long_size = value.parse().ok(),
                        _ => (),
                    }
                }
            }
            // A long target of a link; pax lines about all members, among which a path would make
            // no sense.
            b'K' | b'g' => drop(extension(path, reader, size)?),
            kind => {
                // GNU and POSIX keep plain files under '0', the oldest tars under 0.
                let is_file = matches!(kind, 0 | b'0');
                return Ok(Some(Header {
                    name: long_name.unwrap_or(name),
                    size: long_size.unwrap_or(size),
                    is_file,
                }));
            }
        }
    }
}

/// The content of a member that is about the next one, read with its padding.
fn extension(path: &Path, reader: &mut dyn Read, size: u64) -> Result<Vec<u8>> {
    if size > LONGEST_EXTENSION {
        return Err(Error::data(
            path,
            format!("broken tar: {size} bytes of a name; {LONGEST_EXTENSION} are read"),
        ));
    }
    let mut content = vec![0; size.next_multiple_of(512) as usize];
    if fill(path, reader, &mut content)? < content.len() {
        return Err(Error::data(path, "broken tar: it ends inside a long name"));
    }
    content.truncate(size as usize);
    Ok(content)
}

/// The lines `length key=value` of pax, `length` being that of the whole line; nothing behind the
/// first broken one.
fn pax(content: &[u8]) -> Vec<(&str, &str)> {
    let (mut lines, mut rest) = (Vec::new(), std::str::from_utf8(content).unwrap_or_default());
    while let Some((length, _)) = rest.split_once(' ') {
        let start = length.len() + 1;
        let line = length
            .parse()
            .ok()
            .and_then(|end| Some((rest.get(start..end)?, rest.get(end..)?)));
        let Some((line, behind)) = line else { break };
        lines.extend(line.trim_end_matches('\n').split_once('='));
        rest = behind;
    }
    lines
}

/// The name in a header itself.
fn name(block: &[u8; 512]) -> String {
    let name = until_zero(&block[0..100]);
    // What GNU's own format (`ustar  `) keeps there is no part of a name.
    let prefix = if &block[257..263] == b"ustar\0" {
        until_zero(&block[345..500])
    } else {
        String::new()
    };
    if prefix.is_empty() {
        name
    } else {
        format!("{prefix}/{name}")
    }
}

/// The size in a header whose checksum is right.
fn checked_size(path: &Path, block: &[u8; 512]) -> Result<u64> {
    let octal = |range: std::ops::Range<usize>| {
        let text = std::str::from_utf8(&block[range]).ok()?;
        u64::from_str_radix(text.trim_matches([' ', '\0']), 8).ok()
    };
    // The checksum counts its own field as eight spaces.
    let sum = block
        .iter()
        .enumerate()
        .map(|(i, &b)| {
            if (148..156).contains(&i) {
                32
            } else {
                u64::from(b)
            }
        })
        .sum::<u64>();
    if octal(148..156) != Some(sum) {
        return Err(Error::data(
            path,
            "broken tar: the checksum of a header is wrong",
        ));
    }
    // GNU writes sizes of 8 GiB and more as a big-endian number behind a byte 0x80.
    let big = || u64::from_be_bytes(std::array::from_fn(|i| block[128 + i]));
    let size = if block[124..128] == [0x80, 0, 0, 0] {
        Some(big())
    } else {
        octal(124..136)
    };
    size.ok_or_else(|| Error::data(path, "broken tar: a size is not an octal number"))
}

fn until_zero(field: &[u8]) -> String {
    String::from_utf8_lossy(field.split(|&b| b == 0).next().unwrap_or_default()).into_owned()
}

/// Reads until `buffer` is full or the end; how many bytes there were.
fn fill(path: &Path, reader: &mut dyn Read, buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::data(path, format!("broken gzip: {e}"))),
        }
    }
    Ok(filled)
}
