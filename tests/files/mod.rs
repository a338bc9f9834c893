//! Writers for the formats that the library only reads: small IDX, gzip, zip, tar and CIFAR files, made by the tests.
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
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (i, (name, bytes)) in members.iter().enumerate() {
        let (method, data) = if i % 2 == 0 { (8u16, deflate(bytes)) } else { (0, bytes.clone()) };
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        // What the two headers share: flags, method, time and date, checksum, sizes, lengths of name and extra field.
        let mut shared = [0u16, method, 0, 0].map(u16::to_le_bytes).concat();
        shared.extend([crc.sum(), data.len() as u32, bytes.len() as u32].map(u32::to_le_bytes).concat());
        shared.extend([name.len() as u16, 0].map(u16::to_le_bytes).concat());
        directory.extend([&b"PK\x01\x02\x14\0\x14\0"[..], &shared, &[0; 10], &(archive.len() as u32).to_le_bytes()].concat());
        directory.extend(name.as_bytes());
        archive.extend([&b"PK\x03\x04\x14\0"[..], &shared, name.as_bytes(), &data].concat());
    }
    let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
    end.extend([members.len() as u16; 2].map(u16::to_le_bytes).concat());
    end.extend([directory.len() as u32, archive.len() as u32].map(u32::to_le_bytes).concat());
    end.extend([0, 0]);
    [archive, directory, end].concat()
}

/// A tar of plain files, not compressed.
pub fn tar(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, bytes) in members {
        let mut header = [0u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", bytes.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = b'0';
        header[257..263].copy_from_slice(b"ustar\0");
        let sum: u32 = header.iter().map(|&b| u32::from(b)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        archive.extend(header);
        archive.extend(bytes);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

/// CIFAR records with these label bytes; pixel `i` of the planes of record `r` is `r + i`, wrapped.
pub fn cifar(labels: &[&[u8]]) -> Vec<u8> {
    let record = |(r, labels): (usize, &&[u8])| [labels.to_vec(), (0..3072).map(|i| (r + i) as u8).collect()].concat();
    labels.iter().enumerate().flat_map(record).collect()
}

/// A file of the six by which EMNIST balanced is known, made small: `count` images of 3 rows and 2 columns as stored,
/// pixels counting up from 0, labels counting up from `first`.
pub fn idx_set(folder: &Folder, stem: [&str; 2], count: u8, first: u8, pack: fn(&[u8]) -> Vec<u8>, ending: &str) {
    let pixels: Vec<u8> = (0..count * 6).collect();
    let labels: Vec<u8> = (first..first + count).collect();
    for stem in stem {
        folder.write(&format!("{stem}-images-idx3-ubyte{ending}"), &pack(&idx_images(count.into(), 3, 2, &pixels)));
        folder.write(&format!("{stem}-labels-idx1-ubyte{ending}"), &pack(&idx_labels(&labels)));
    }
}
