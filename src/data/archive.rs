//! Members of zip and tar.gz archives, read in place.
//!
//! Only what the official archives need: stored and deflated zip members, and plain files in a gzipped tar. Nothing is
//! ever written under a member's name, every offset is checked against the file, and no buffer grows beyond what the
//! compressed bytes can hold.

use crate::{Error, Result};
use byteorder::{ByteOrder, LittleEndian};
use flate2::read::{DeflateDecoder, MultiGzDecoder};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The bytes of a file and where they came from (for a member: the archive's path and the member's).
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub path: PathBuf,
    pub bytes: Vec<u8>,
}

/// The most bytes that `stored` bytes of deflate may unpack to.
///
/// The format itself cannot do better than 1032 to 1 (258 bytes for two bits). Whatever the ratio, 2 GiB are enough: the
/// largest published file, the training images of EMNIST byclass, has 547 MB.
pub(crate) fn justified(stored: u64) -> u64 {
    stored.saturating_mul(1032).min(2 << 30)
}

/// One entry of a zip's central directory.
struct Entry {
    name: String,
    encrypted: bool,
    method: u16,
    crc: u32,
    stored: u64,
    size: u64,
    header: u64,
}

/// Reads those members of a zip whose file name (after the last `/`) is one of `names`; `None` for those not there.
///
/// # Errors
/// A damaged archive, encryption, zip64, a method other than stored and deflate. `path` only serves the message.
pub(crate) fn zip<R: Read + Seek>(path: &Path, reader: &mut R, names: &[String]) -> Result<Vec<Option<File>>> {
    let entries = directory(path, reader)?;
    let find = |name: &String| entries.iter().find(|e| e.name.rsplit('/').next() == Some(name));
    names.iter().map(|name| find(name).map(|entry| member(path, reader, entry)).transpose()).collect()
}

/// The central directory, found from the end of the file.
fn directory<R: Read + Seek>(path: &Path, reader: &mut R) -> Result<Vec<Entry>> {
    let broken = |what: &str| Error::data(path, format!("broken zip: {what}"));
    let length = reader.seek(SeekFrom::End(0)).map_err(Error::io("read", path))?;
    // The end record has 22 bytes and a comment of at most 65,535.
    let tail_at = length.saturating_sub(22 + 65_535);
    let tail = span(path, reader, tail_at, length - tail_at)?;
    let is_end = |at: &usize| {
        tail[*at..].starts_with(b"PK\x05\x06") && *at + 22 + usize::from(LittleEndian::read_u16(&tail[at + 20..])) == tail.len()
    };
    let end = (0..(tail.len() + 1).saturating_sub(22)).rev().find(is_end).ok_or_else(|| broken("no end record"))?;
    let count = LittleEndian::read_u16(&tail[end + 10..]);
    let size = u64::from(LittleEndian::read_u32(&tail[end + 12..]));
    let start = u64::from(LittleEndian::read_u32(&tail[end + 16..]));
    if count == u16::MAX || start == u64::from(u32::MAX) {
        return Err(broken("zip64 is not read"));
    }
    if start + size > tail_at + end as u64 {
        return Err(broken("its directory lies outside the file"));
    }
    let directory = span(path, reader, start, size)?;
    let (mut entries, mut rest) = (Vec::new(), directory.as_slice());
    for _ in 0..count {
        if rest.len() < 46 || !rest.starts_with(b"PK\x01\x02") {
            return Err(broken("its directory ends early"));
        }
        let (short, long) = (|at: usize| LittleEndian::read_u16(&rest[at..]), |at: usize| LittleEndian::read_u32(&rest[at..]));
        let name_end = 46 + usize::from(short(28));
        let next = name_end + usize::from(short(30)) + usize::from(short(32));
        if rest.len() < next {
            return Err(broken("its directory ends early"));
        }
        entries.push(Entry {
            name: String::from_utf8_lossy(&rest[46..name_end]).into_owned(),
            encrypted: short(8) & 1 == 1,
            method: short(10),
            crc: long(16),
            stored: u64::from(long(20)),
            size: u64::from(long(24)),
            header: u64::from(long(42)),
        });
        rest = &rest[next..];
    }
    Ok(entries)
}

fn member<R: Read + Seek>(path: &Path, reader: &mut R, entry: &Entry) -> Result<File> {
    let inside = path.join(&entry.name);
    let broken = |what: &str| Error::data(&inside, format!("broken zip member: {what}"));
    if entry.encrypted {
        return Err(broken("it is encrypted"));
    }
    let local = span(path, reader, entry.header, 30)?;
    if !local.starts_with(b"PK\x03\x04") {
        return Err(broken("no header where the directory says"));
    }
    let skip = 30 + u64::from(LittleEndian::read_u16(&local[26..])) + u64::from(LittleEndian::read_u16(&local[28..]));
    let stored = span(path, reader, entry.header + skip, entry.stored)?;
    let bytes = match entry.method {
        0 => stored,
        8 if entry.size > justified(entry.stored) => {
            return Err(broken(&format!("{} bytes cannot unpack to the {} it promises", entry.stored, entry.size)));
        }
        8 => {
            let mut bytes = Vec::new();
            let inner = DeflateDecoder::new(stored.as_slice());
            inner.take(entry.size + 1).read_to_end(&mut bytes).map_err(|e| broken(&e.to_string()))?;
            bytes
        }
        method => return Err(broken(&format!("compression method {method}; only stored and deflate are read"))),
    };
    if bytes.len() as u64 != entry.size {
        return Err(broken(&format!("it unpacks to another size than the {} bytes it promises", entry.size)));
    }
    let mut crc = flate2::Crc::new();
    crc.update(&bytes);
    if crc.sum() != entry.crc {
        return Err(broken("its checksum is wrong"));
    }
    Ok(File { path: inside, bytes })
}

/// `count` bytes from `at`, after checking that the file has them.
fn span<R: Read + Seek>(path: &Path, reader: &mut R, at: u64, count: u64) -> Result<Vec<u8>> {
    let length = reader.seek(SeekFrom::End(0)).map_err(Error::io("read", path))?;
    if at.checked_add(count).is_none_or(|end| end > length) {
        return Err(Error::data(path, format!("broken zip: bytes {at}..{} of a file of {length}", at.saturating_add(count))));
    }
    reader.seek(SeekFrom::Start(at)).map_err(Error::io("read", path))?;
    let mut bytes = vec![0; count as usize];
    reader.read_exact(&mut bytes).map_err(Error::io("read", path))?;
    Ok(bytes)
}

/// Reads those members of a gzipped tar whose file name (after the last `/`) is one of `names`; `None` for those not
/// there. `stored` is the size of the archive. One pass over the file, to its end, so that the gzip checksum is checked.
///
/// # Errors
/// Damage to the gzip or to a header, a member cut short. `path` only serves the message.
pub(crate) fn tar_gz(path: &Path, reader: impl Read, stored: u64, names: &[String]) -> Result<Vec<Option<File>>> {
    tar(path, MultiGzDecoder::new(reader), justified(stored), names)
}

/// [`tar_gz`] after unpacking: members of more than `most` bytes are refused.
pub(crate) fn tar(path: &Path, mut reader: impl Read, most: u64, names: &[String]) -> Result<Vec<Option<File>>> {
    let broken = |e: io::Error| Error::data(path, format!("broken gzip: {e}"));
    let mut found: Vec<Option<File>> = vec![None; names.len()];
    let mut header = [0; 512];
    loop {
        let got = fill(&mut reader, &mut header).map_err(broken)?;
        if got < 512 {
            return Err(Error::data(path, "broken tar: it ends without an end record"));
        }
        if header == [0; 512] {
            io::copy(&mut reader, &mut io::sink()).map_err(broken)?;
            return Ok(found);
        }
        let (name, size) = tar_header(path, &header)?;
        let short = || Error::data(path.join(&name), "broken tar: the archive ends inside this member");
        // GNU and POSIX keep plain files under '0', the oldest tars under 0; all else (folders, long names) is passed over.
        let wanted = names.iter().position(|n| matches!(header[156], 0 | b'0') && name.rsplit('/').next() == Some(n));
        let mut content = reader.by_ref().take(size);
        if let Some(place) = wanted {
            if size > most {
                let what = format!("broken tar: promises {size} bytes, the archive can hold at most {most}");
                return Err(Error::data(path.join(&name), what));
            }
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes).map_err(broken)?;
            found[place] = Some(File { path: path.join(&name), bytes });
        } else {
            io::copy(&mut content, &mut io::sink()).map_err(broken)?;
        }
        let left = content.limit();
        // Content is padded to whole blocks of 512 bytes.
        let padding = size.wrapping_neg() % 512;
        if left > 0 || io::copy(&mut reader.by_ref().take(padding), &mut io::sink()).map_err(broken)? < padding {
            return Err(short());
        }
    }
}

/// Name and size out of a tar header, its checksum checked.
fn tar_header(path: &Path, header: &[u8; 512]) -> Result<(String, u64)> {
    let octal = |range: std::ops::Range<usize>| {
        let text = std::str::from_utf8(&header[range]).ok()?;
        u64::from_str_radix(text.trim_matches([' ', '\0']), 8).ok()
    };
    let text = |range: std::ops::Range<usize>| {
        let field = header[range].split(|&b| b == 0).next().unwrap_or_default();
        String::from_utf8_lossy(field).into_owned()
    };
    // The checksum counts its own field as eight spaces.
    let sum = header.iter().enumerate().map(|(i, &b)| if (148..156).contains(&i) { 32 } else { u64::from(b) }).sum::<u64>();
    if octal(148..156) != Some(sum) {
        return Err(Error::data(path, "broken tar: the checksum of a header is wrong"));
    }
    let size = octal(124..136).ok_or_else(|| Error::data(path, "broken tar: a size is not an octal number"))?;
    let prefix = if &header[257..262] == b"ustar" { text(345..500) } else { String::new() };
    let name = text(0..100);
    Ok((if prefix.is_empty() { name } else { format!("{prefix}/{name}") }, size))
}

/// Reads until `buffer` is full or the end; how many bytes there were.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}
