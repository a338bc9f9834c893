//! Writers for the formats that the library only reads: small IDX, gzip, zip, tar and CIFAR files,
//! made by the tests.
#![allow(dead_code)] // each test crate uses its part

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A folder of its own for one test, removed when dropped.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("wavemix-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// Writes a file, and the folders above it.
    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn idx_images(count: u32, h: u32, w: u32, pixels: &[u8]) -> Vec<u8> {
    let header = [0x0803, count, h, w].map(u32::to_be_bytes).concat();
    [&header, pixels].concat()
}

pub fn idx_labels(labels: &[u8]) -> Vec<u8> {
    let header = [0x0801, labels.len() as u32].map(u32::to_be_bytes).concat();
    [&header, labels].concat()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A zip: every second member is stored, the others deflated.
pub fn zip(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    zip_of(members, false)
}

/// The same as zip64, with every size and offset in the long fields.
pub fn zip64(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    zip_of(members, true)
}

fn zip_of(members: &[(&str, Vec<u8>)], long: bool) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (i, (name, bytes)) in members.iter().enumerate() {
        let (method, data) = if i % 2 == 0 {
            (8u16, deflate(bytes))
        } else {
            (0, bytes.clone())
        };
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        let offset = archive.len();
        // An extra field that is none of ours (a time, kind 0x5455) stands before that of zip64,
        // kind 1.
        let long_sizes = [bytes.len(), data.len(), offset]
            .map(|n| (n as u64).to_le_bytes())
            .concat();
        let extra = if long {
            [&b"UT\x05\0\x03\0\0\0\0\x01\0\x18\0"[..], &long_sizes].concat()
        } else {
            Vec::new()
        };
        // What the two headers share: flags, method, time and date, checksum, sizes, lengths of
        // name and extra field.
        let shared = |sizes: [u32; 2], extra: usize| {
            let start = [0u16, method, 0, 0].map(u16::to_le_bytes).concat();
            let sizes = [crc.sum(), sizes[0], sizes[1]]
                .map(u32::to_le_bytes)
                .concat();
            [
                start,
                sizes,
                [name.len() as u16, extra as u16]
                    .map(u16::to_le_bytes)
                    .concat(),
            ]
            .concat()
        };
        let sizes = [data.len() as u32, bytes.len() as u32];
        let (known, start) = if long {
            ([u32::MAX; 2], u32::MAX)
        } else {
            (sizes, offset as u32)
        };
        directory.extend(
            [
                &b"PK\x01\x02\x14\0\x14\0"[..],
                &shared(known, extra.len()),
                &[0; 10],
                &start.to_le_bytes(),
            ]
            .concat(),
        );
        directory.extend([name.as_bytes(), &extra].concat());
        archive.extend(
            [
                &b"PK\x03\x04\x14\0"[..],
                &shared(sizes, 0),
                name.as_bytes(),
                &data,
            ]
            .concat(),
        );
    }
    let (count, size, start) = (members.len(), directory.len(), archive.len());
    archive.extend(directory);
    if long {
        // The record (its own length, versions, disks, counts, size and start of the directory),
        // then the locator.
        let record = archive.len() as u64;
        archive.extend(
            [
                &b"PK\x06\x06"[..],
                &44u64.to_le_bytes(),
                &[45, 0, 45, 0],
                &[0; 8],
            ]
            .concat(),
        );
        archive.extend(
            [count, count, size, start]
                .map(|n| (n as u64).to_le_bytes())
                .concat(),
        );
        archive.extend(
            [
                &b"PK\x06\x07\0\0\0\0"[..],
                &record.to_le_bytes(),
                &1u32.to_le_bytes(),
            ]
            .concat(),
        );
    }
    archive.extend(b"PK\x05\x06\0\0\0\0");
    archive.extend(
        [if long { u16::MAX } else { count as u16 }; 2]
            .map(u16::to_le_bytes)
            .concat(),
    );
    archive.extend(
        [size, start]
            .map(|n| if long { u32::MAX } else { n as u32 })
            .map(u32::to_le_bytes)
            .concat(),
    );
    archive.extend([0, 0]);
    archive
}

/// A tar of plain files, not compressed.
pub fn tar(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let all: Vec<u8> = members
        .iter()
        .flat_map(|(name, bytes)| tar_member(name, b'0', bytes))
        .collect();
    [all, vec![0; 1024]].concat()
}

/// A member of a tar of any kind: its header and its content, padded.
pub fn tar_member(name: &str, kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut header = [0u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[124..135].copy_from_slice(format!("{:011o}", bytes.len()).as_bytes());
    header[156] = kind;
    header[257..263].copy_from_slice(b"ustar\0");
    seal(&mut header);
    let mut member = [&header[..], bytes].concat();
    member.resize(member.len().next_multiple_of(512), 0);
    member
}

/// Sets the checksum of a tar's header.
pub fn seal(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&b| u32::from(b)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}

/// CIFAR records with these label bytes; pixel `i` of the planes of record `r` is `r + i`, wrapped.
pub fn cifar(labels: &[&[u8]]) -> Vec<u8> {
    let record = |(r, labels): (usize, &&[u8])| {
        [labels.to_vec(), (0..3072).map(|i| (r + i) as u8).collect()].concat()
    };
    labels.iter().enumerate().flat_map(record).collect()
}

/// A file of the six by which EMNIST balanced is known, made small: `count` images of 3 rows and 2
/// columns as stored, pixels counting up from 0, labels counting up from `first`.
pub fn idx_set(
    folder: &Folder,
    stem: [&str; 2],
    count: u8,
    first: u8,
    pack: fn(&[u8]) -> Vec<u8>,
    ending: &str,
) {
    let pixels: Vec<u8> = (0..count * 6).collect();
    let labels: Vec<u8> = (first..first + count).collect();
    for stem in stem {
        folder.write(
            &format!("{stem}-images-idx3-ubyte{ending}"),
            &pack(&idx_images(count.into(), 3, 2, &pixels)),
        );
        folder.write(
            &format!("{stem}-labels-idx1-ubyte{ending}"),
            &pack(&idx_labels(&labels)),
        );
    }
}
