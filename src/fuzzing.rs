//! What the fuzzers call: one function a target, from any bytes to nothing, which must not panic or run out of memory.
//!
//! A new target is a function and a line in [`TARGETS`] here, and the same two lines as its siblings in
//! `fuzz/fuzz_targets`. `tests/fuzz_corpus.rs` replays `fuzz/corpus/<name>` through it on stable Rust.

use crate::data::{Split, archive, cifar, emnist, idx};
use std::io::Cursor;
use std::path::Path;

/// A fuzz target: its name and its entry.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[("archive", archive), ("cifar", cifar), ("idx", idx)];

/// IDX images and labels, plain or gzip, and EMNIST's mappings.
pub fn idx(bytes: &[u8]) {
    let path = Path::new("fuzz");
    if let Ok(images) = idx::images(path, bytes.to_vec()) {
        assert_eq!(images.pixels.len(), images.count * images.height * images.width);
    }
    let _ = idx::labels(path, bytes.to_vec());
    for split in Split::ALL {
        if let Ok(names) = emnist::mapping(path, bytes, split) {
            assert_eq!(names.len(), split.classes().len());
        }
    }
}

/// CIFAR's records and class names.
pub fn cifar(bytes: &[u8]) {
    let path = Path::new("fuzz");
    for kind in [cifar::Kind::Cifar10, cifar::Kind::Cifar100] {
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        if cifar::decode(path, bytes, kind, &mut pixels, &mut labels).is_ok() {
            assert_eq!(pixels.len(), labels.len() * 3072);
        }
        let _ = cifar::names(path, bytes, kind);
    }
}

/// Zip, tar.gz, and tar by itself, which a fuzzer gets into more easily than through a checksum.
pub fn archive(bytes: &[u8]) {
    let (path, names) = (Path::new("fuzz"), ["a".to_owned(), "b.bin".to_owned()]);
    let _ = archive::zip(path, &mut Cursor::new(bytes), &names);
    let _ = archive::tar_gz(path, bytes, bytes.len() as u64, &names);
    let _ = archive::tar(path, bytes, bytes.len() as u64, &names);
}
