//! Members of zip and tar.gz archives, read in place.
//!
//! Only what archives of data sets need: stored and deflated zip members, zip64 included, and plain
//! files in a tar, gzipped or not, under names of any length. Nothing is ever written under a
//! member's name, every offset is checked against the file, and no buffer grows beyond what the
//! compressed bytes can hold.

use super::gzip::Gunzip;
use super::tar::{self, Header};
use crate::{Error, Result};
use byteorder::{ByteOrder, LittleEndian};
use flate2::read::DeflateDecoder;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The bytes of a file and where they came from (for a member: the archive's path and the
/// member's).
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub path: PathBuf,
    pub bytes: Vec<u8>,
}

/// The most bytes that a file may unpack to, whatever the ratio: a few MB of zeros must not fill the
/// memory. The training images of EMNIST byclass have 547 MB.
const MOST_UNPACKED: u64 = 2 << 30;

/// The most bytes that `stored` bytes of deflate may unpack to: the format itself cannot do better
/// than 1032 to 1 (258 bytes for two bits).
pub(crate) fn justified(stored: u64) -> u64 {
    stored.saturating_mul(1032).min(MOST_UNPACKED)
}

/// One entry of a zip's central directory.
pub(crate) struct Entry {
    pub name: String,
    encrypted: bool,
    method: u16,
    crc: u32,
    stored: u64,
    size: u64,
    /// Where its header begins.
    pub header: u64,
}

impl Entry {
    /// Whether the content has the checksum that it was written with.
    fn is_whole(&self, content: &[u8]) -> bool {
        let mut crc = flate2::Crc::new();
        crc.update(content);
        crc.sum() == self.crc
    }
}

/// The last part of a member's name. Some programs on Windows write `\` where the zip format wants
/// `/`.
fn file_name(member: &str) -> &str {
    member.rsplit(['/', '\\']).next().unwrap_or(member)
}

/// Reads those members of a zip whose [`file_name`] is one of `names`; `None` for those not there.
///
/// # Errors
/// A damaged archive, encryption, a method other than stored and deflate. `path` only serves the
/// message.
pub(crate) fn zip<R: Read + Seek>(
    path: &Path,
    reader: &mut R,
    names: &[String],
) -> Result<Vec<Option<File>>> {
    let entries = directory(path, reader)?;
    let find = |name: &String| entries.iter().find(|e| file_name(&e.name) == name);
    names
        .iter()
        .map(|name| {
            find(name)
                .map(|entry| member(path, reader, entry))
                .transpose()
        })
        .collect()
}

/// The entries of the central directory.
///
/// # Errors
/// A damaged archive.
pub(crate) fn directory<R: Read + Seek>(path: &Path, reader: &mut R) -> Result<Vec<Entry>> {
    let end = end_record(path, reader)?;
    let directory = span(path, reader, end.start, end.size)?;
    let (mut entries, mut rest) = (Vec::new(), directory.as_slice());
    for _ in 0..end.count {
        let (entry, length) =
            entry(rest).map_err(|what| Error::data(path, format!("broken zip: {what}")))?;
        entries.push(entry);
        rest = &rest[length..];
    }
    Ok(entries)
}

/// What the end of a zip says of its central directory.
struct EndRecord {
    /// Entries.
    count: u64,
    /// Bytes.
    size: u64,
    /// Where it begins in the file.
    start: u64,
}

/// The end record, the last thing in a zip but for a comment of unknown length: so it is looked for
/// from the end.
fn end_record<R: Read + Seek>(path: &Path, reader: &mut R) -> Result<EndRecord> {
    let broken = |what: &str| Error::data(path, format!("broken zip: {what}"));
    let length = reader
        .seek(SeekFrom::End(0))
        .map_err(Error::io("read", path))?;
    // It has 22 bytes, and the comment at most 65,535.
    let tail_at = length.saturating_sub(22 + 65_535);
    let tail = span(path, reader, tail_at, length - tail_at)?;
    let is_end = |at: &usize| {
        tail[*at..].starts_with(b"PK\x05\x06")
            && *at + 22 + usize::from(LittleEndian::read_u16(&tail[at + 20..])) == tail.len()
    };
    let end = (0..(tail.len() + 1).saturating_sub(22))
        .rev()
        .find(is_end)
        .ok_or_else(|| broken("no end record"))?;
    let mut record = EndRecord {
        count: LittleEndian::read_u16(&tail[end + 10..]).into(),
        size: LittleEndian::read_u32(&tail[end + 12..]).into(),
        start: LittleEndian::read_u32(&tail[end + 16..]).into(),
    };
    // zip64: a locator of 20 bytes before the end record says where another end record with longer
    // fields lies.
    let locator = end
        .checked_sub(20)
        .map(|at| &tail[at..end])
        .filter(|bytes| bytes.starts_with(b"PK\x06\x07"));
    if let Some(locator) = locator {
        let longer = span(path, reader, LittleEndian::read_u64(&locator[8..]), 56)?;
        if !longer.starts_with(b"PK\x06\x06") {
            return Err(broken("no zip64 end record where its locator says"));
        }
        let [count, size, start] = [32, 40, 48].map(|at| LittleEndian::read_u64(&longer[at..]));
        record = EndRecord { count, size, start };
    }
    let directory_end = record.start.checked_add(record.size);
    if directory_end.is_none_or(|directory_end| directory_end > tail_at + end as u64) {
        return Err(broken("its directory lies outside the file"));
    }
    Ok(record)
}

/// The entry that `rest` of a central directory begins with, and its length in bytes.
fn entry(rest: &[u8]) -> std::result::Result<(Entry, usize), &'static str> {
    const ENDS_EARLY: &str = "its directory ends early";
    if rest.len() < 46 || !rest.starts_with(b"PK\x01\x02") {
        return Err(ENDS_EARLY);
    }
    // Behind 46 bytes lie a name, extra fields and a comment.
    let [name, extra, comment] =
        [28, 30, 32].map(|at| usize::from(LittleEndian::read_u16(&rest[at..])));
    let name_end = 46 + name;
    let length = name_end + extra + comment;
    if rest.len() < length {
        return Err(ENDS_EARLY);
    }
    // In the order of the zip64 field, which holds those that do not fit into 32 bits.
    let mut sizes = [24, 20, 42].map(|at| u64::from(LittleEndian::read_u32(&rest[at..])));
    let mut longer = zip64_field(&rest[name_end..name_end + extra]).chunks_exact(8);
    for size in sizes
        .iter_mut()
        .filter(|size| **size == u64::from(u32::MAX))
    {
        let own = longer.next().ok_or("an entry lacks its zip64 sizes")?;
        *size = LittleEndian::read_u64(&own[0..]);
    }
    let [size, stored, header] = sizes;
    let entry = Entry {
        name: String::from_utf8_lossy(&rest[46..name_end]).into_owned(),
        encrypted: LittleEndian::read_u16(&rest[8..]) & 1 == 1,
        method: LittleEndian::read_u16(&rest[10..]),
        crc: LittleEndian::read_u32(&rest[16..]),
        stored,
        size,
        header,
    };
    Ok((entry, length))
}

/// The field of kind 1 among an entry's extra fields (kind, length, bytes); empty where there is
/// none.
fn zip64_field(mut extra: &[u8]) -> &[u8] {
    while extra.len() >= 4 {
        let end = (4 + usize::from(LittleEndian::read_u16(&extra[2..]))).min(extra.len());
        if LittleEndian::read_u16(&extra[0..]) == 1 {
            return &extra[4..end];
        }
        extra = &extra[end..];
    }
    &[]
}

/// The file of an entry.
///
/// # Errors
/// A damaged member, encryption, a method other than stored and deflate.
pub(crate) fn member<R: Read + Seek>(path: &Path, reader: &mut R, entry: &Entry) -> Result<File> {
    let inside = path.join(&entry.name);
    let broken = |what: &str| Error::data(&inside, format!("broken zip member: {what}"));
    if entry.encrypted {
        return Err(broken("it is encrypted"));
    }
    let start = content_start(path, reader, entry)?;
    let stored = span(path, reader, start, entry.stored)?;
    let bytes = match entry.method {
        0 => stored,
        8 if entry.size > MOST_UNPACKED => {
            return Err(Error::data(
                &inside,
                format!(
                    "is compressed and has {} bytes, where at most 2 GiB are unpacked: store it uncompressed",
                    entry.size
                ),
            ));
        }
        8 if entry.size > justified(entry.stored) => {
            return Err(broken(&format!(
                "{} bytes cannot unpack to the {} it promises",
                entry.stored, entry.size
            )));
        }
        8 => {
            let mut bytes = Vec::new();
            let inner = DeflateDecoder::new(stored.as_slice());
            inner
                .take(entry.size + 1)
                .read_to_end(&mut bytes)
                .map_err(|e| broken(&e.to_string()))?;
            bytes
        }
        method => {
            return Err(broken(&format!(
                "compression method {method}; only stored and deflate are read"
            )));
        }
    };
    if bytes.len() as u64 != entry.size {
        return Err(broken(&format!(
            "it unpacks to another size than the {} bytes it promises",
            entry.size
        )));
    }
    if !entry.is_whole(&bytes) {
        return Err(broken("its checksum is wrong"));
    }
    Ok(File {
        path: inside,
        bytes,
    })
}

/// Where the bytes of an entry begin.
fn content_start<R: Read + Seek>(path: &Path, reader: &mut R, entry: &Entry) -> Result<u64> {
    let local = span(path, reader, entry.header, 30)?;
    if !local.starts_with(b"PK\x03\x04") {
        let what = "broken zip member: no header where the directory says";
        return Err(Error::data(path.join(&entry.name), what));
    }
    let [name, extra] = [26, 28].map(|at| u64::from(LittleEndian::read_u16(&local[at..])));
    Ok(entry.header.saturating_add(30 + name + extra))
}

/// Where the bytes of an entry lie and how many they are, if they are stored as they are.
///
/// # Errors
/// A damaged archive.
pub(crate) fn stored_at<R: Read + Seek>(
    path: &Path,
    reader: &mut R,
    entry: &Entry,
) -> Result<Option<(u64, u64)>> {
    if entry.encrypted || entry.method != 0 || entry.stored != entry.size {
        return Ok(None);
    }
    let start = content_start(path, reader, entry)?;
    let length = reader
        .seek(SeekFrom::End(0))
        .map_err(Error::io("read", path))?;
    if start.checked_add(entry.size).is_none_or(|end| end > length) {
        let what = "broken zip member: the file ends within it";
        return Err(Error::data(path.join(&entry.name), what));
    }
    Ok(Some((start, entry.size)))
}

/// The content of an entry of an archive in memory, where it lies.
///
/// # Errors
/// A damaged member, or one that is not stored as it is.
pub(crate) fn stored<'a>(path: &Path, archive: &'a [u8], entry: &Entry) -> Result<&'a [u8]> {
    let place = stored_at(path, &mut io::Cursor::new(archive), entry)?;
    let content = place.map(|(start, size)| &archive[start as usize..][..size as usize]);
    let what = match content {
        Some(content) if entry.is_whole(content) => return Ok(content),
        Some(_) => "broken zip member: its checksum is wrong",
        None => "is compressed or encrypted; only stored members are read here",
    };
    Err(Error::data(path.join(&entry.name), what))
}

/// `count` bytes from `at`, after checking that the file has them.
fn span<R: Read + Seek>(path: &Path, reader: &mut R, at: u64, count: u64) -> Result<Vec<u8>> {
    let length = reader
        .seek(SeekFrom::End(0))
        .map_err(Error::io("read", path))?;
    if at.checked_add(count).is_none_or(|end| end > length) {
        return Err(Error::data(
            path,
            format!(
                "broken zip: bytes {at}..{} of a file of {length}",
                at.saturating_add(count)
            ),
        ));
    }
    reader
        .seek(SeekFrom::Start(at))
        .map_err(Error::io("read", path))?;
    let mut bytes = vec![0; count as usize];
    reader
        .read_exact(&mut bytes)
        .map_err(Error::io("read", path))?;
    Ok(bytes)
}

/// Reads those members of a tar, gzipped or not, whose [`file_name`] is one of `names`; `None` for
/// those not there. `stored` is the size of the archive. One pass over the file, to its end, so
/// that the gzip checksum is checked.
///
/// # Errors
/// Damage to the gzip or to a header, a member cut short. `path` only serves the message.
pub(crate) fn tar_gz(
    path: &Path,
    reader: &mut dyn Read,
    stored: u64,
    names: &[String],
) -> Result<Vec<Option<File>>> {
    let mut reader = BufReader::new(reader);
    let plain = io::BufRead::fill_buf(&mut reader)
        .is_ok_and(|start| tar::MAGIC == start.get(257..262).unwrap_or_default());
    match plain {
        // Safari unpacks the gzip of what it fetches.
        true => tar(path, &mut reader, stored, names),
        false => tar(path, &mut Gunzip::new(reader), justified(stored), names),
    }
}

/// [`tar_gz`] after unpacking: members of more than `most` bytes are refused.
pub(crate) fn tar(
    path: &Path,
    reader: &mut dyn Read,
    most: u64,
    names: &[String],
) -> Result<Vec<Option<File>>> {
    let broken = |e: io::Error| Error::data(path, format!("broken gzip: {e}"));
    let mut found: Vec<Option<File>> = vec![None; names.len()];
    while let Some(Header {
        name,
        size,
        is_file,
    }) = tar::next(path, reader)?
    {
        let wanted = names.iter().position(|n| is_file && file_name(&name) == n);
        let mut content = (&mut *reader).take(size);
        if let Some(place) = wanted {
            if size > most {
                let what = format!(
                    "broken tar: promises {size} bytes, the archive can hold at most {most}"
                );
                return Err(Error::data(path.join(&name), what));
            }
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes).map_err(broken)?;
            found[place] = Some(File {
                path: path.join(&name),
                bytes,
            });
        } else {
            io::copy(&mut content, &mut io::sink()).map_err(broken)?;
        }
        let left = content.limit();
        // Content is padded to whole blocks of 512 bytes.
        let padding = size.wrapping_neg() % 512;
        if left > 0
            || io::copy(&mut (&mut *reader).take(padding), &mut io::sink()).map_err(broken)?
                < padding
        {
            return Err(Error::data(
                path.join(&name),
                "broken tar: the archive ends inside this member",
            ));
        }
    }
    io::copy(reader, &mut io::sink()).map_err(broken)?;
    Ok(found)
}
