//! What the fuzzers call: one function a target, from any bytes to nothing, which must not panic or
//! run out of memory.
//!
//! A new target is a function and a line in [`TARGETS`] here, and the same two lines as its
//! siblings in `fuzz/fuzz_targets`. `tests/fuzz_corpus.rs` replays `tests/seeds/<name>` through it
//! on stable Rust.

mod convolution;
mod geometry;
mod numbers;

pub use convolution::convolution;
pub use geometry::geometry;

use crate::data::on_demand::npz::Rows;
use crate::data::on_demand::pickle::Pickle;
use crate::data::on_demand::store::tar_members;
use crate::data::on_demand::{npz, places365, tiny_imagenet};
use crate::data::{Split, archive, arrays, cifar, csv, emnist, idx, picture::picture, stl10, svhn};
use crate::io::checkpoint::State;
use crate::io::pth;
use crate::io::safetensors::TensorFile;
use crate::io::weights;
use crate::optim::{Method, Optimizer};
use crate::params::{FileLayout, Init};
use crate::{DType, Params, Result, Rng, Tensor};
use std::collections::HashMap;
use std::io::Cursor;
use std::path::Path;

/// A fuzz target: its name and its entry.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("archive", archive),
    ("checkpoint", checkpoint),
    ("cifar", cifar),
    ("convolution", convolution),
    ("csv", csv),
    ("geometry", geometry),
    ("idx", idx),
    ("jpeg", jpeg),
    ("lists", lists),
    ("npy", npy),
    ("npz", npz),
    ("pickle", pickle),
    ("pth", pth),
    ("safetensors", safetensors),
    ("stl10", stl10),
    ("svhn", svhn),
];

/// IDX images and labels, plain or gzip, and EMNIST's mappings.
pub fn idx(bytes: &[u8]) {
    let path = Path::new("fuzz");
    if let Ok(images) = idx::images(path, bytes.to_vec()) {
        assert_eq!(
            images.pixels.len(),
            images.count * images.height * images.width
        );
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

/// STL-10's images and labels.
pub fn stl10(bytes: &[u8]) {
    let path = Path::new("fuzz");
    if let Ok(pixels) = stl10::images(path, bytes) {
        assert_eq!(pixels.len(), bytes.len());
    }
    if let Ok(labels) = stl10::labels(path, bytes) {
        assert!(labels.iter().all(|label| (0..10).contains(label)));
    }
}

/// SVHN's MATLAB files, compressed and not.
pub fn svhn(bytes: &[u8]) {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    if svhn::decode(Path::new("fuzz"), bytes, &mut pixels, &mut labels).is_ok() {
        assert_eq!(pixels.len(), labels.len() * 3072);
        assert!(labels.iter().all(|label| (0..10).contains(label)));
    }
}

/// JPEG pictures and their Exif data, and PNGs.
pub fn jpeg(bytes: &[u8]) {
    if let Ok(picture) = picture(Path::new("fuzz"), bytes) {
        assert_eq!(picture.pixels.len(), picture.size.iter().product::<usize>());
    }
}

/// The lists of files and classes of Tiny ImageNet and Places365.
pub fn lists(bytes: &[u8]) {
    let (path, text) = (Path::new("fuzz"), String::from_utf8_lossy(bytes));
    let index = HashMap::from([("n01443537", 0), ("n01629819", 1)]);
    if let Ok(files) = tiny_imagenet::annotations(path, &text, &index) {
        assert!(files.values().all(|&class| class < 2));
    }
    let _ = places365::list(path, &text);
}

/// Tables of labels and pixels.
pub fn csv(bytes: &[u8]) {
    if let Ok(Some(images)) = csv::read(Path::new("fuzz"), bytes) {
        let [h, w, c] = images.size;
        assert_eq!(images.pixels.len(), images.labels.len() * h * w * c);
    }
}

/// NumPy's archives of images and labels, and an array by itself, which a fuzzer gets into more easily
/// than through a checksum.
pub fn npz(bytes: &[u8]) {
    let path = Path::new("fuzz");
    if let Ok(sets) = arrays::npz(path, Cursor::new(bytes)) {
        assert!(sets.train.pixels.len() <= 1032 * bytes.len());
    }
    if let Ok((size, pixels)) = npz::header(path, bytes).and_then(|h| h.images(path, bytes)) {
        assert_eq!(size.iter().product::<usize>(), pixels.len());
    }
}

/// NumPy's arrays of integers, as the labels of ImageNet 64x64.
pub fn npy(bytes: &[u8]) {
    if let Ok(values) = npz::integers(Path::new("fuzz"), bytes) {
        assert!(values.len() <= bytes.len());
    }
}

/// Python's pickles of dictionaries of arrays.
pub fn pickle(bytes: &[u8]) {
    let length = bytes.len() as u64;
    let Ok(pickle) = Pickle::parse(Path::new("fuzz"), Cursor::new(bytes), length) else {
        return;
    };
    for name in pickle.names() {
        if let Ok(list) = pickle.integers(name) {
            assert!(list.len() <= bytes.len());
        }
        if let Ok((Rows::Disk { start, .. }, count)) = pickle.rows(name, 16) {
            assert!(start + 16 * count as u64 <= length);
        }
    }
}

/// Files of `torch.save`, and the pickles in them, which a fuzzer gets into more easily than through
/// a checksum.
pub fn pth(bytes: &[u8]) {
    if let Ok(file) = TensorFile::from_bytes("fuzz", bytes) {
        let total: usize = file.tensors.values().map(Tensor::bytes).sum();
        assert!(total <= 16 * bytes.len());
    }
    let Ok(object) = pth::pickle(bytes) else {
        return;
    };
    // As long as the storages of the seed `object`.
    let (bytes, sizes) = ([7; 96], [12, 12, 24, 48, 16, 2, 3, 4, 0, 20, 96]);
    let storages = (sizes.iter().enumerate()).map(|(key, &size)| (key.to_string(), &bytes[..size]));
    let file = pth::TorchFile {
        object,
        storages: storages.collect(),
    };
    if let Ok(contents) = file.contents(1 << 16) {
        let bytes = contents.tensors.values().map(|view| view.bytes.len());
        assert!(bytes.sum::<usize>() <= 1 << 16);
    }
}

/// Zip, tar.gz, and tar by itself, which a fuzzer gets into more easily than through a checksum.
pub fn archive(bytes: &[u8]) {
    let (path, names) = (Path::new("fuzz"), ["a".to_owned(), "b.bin".to_owned()]);
    let _ = archive::zip(path, &mut Cursor::new(bytes), &names);
    let _ = archive::tar_gz(path, &mut &*bytes, bytes.len() as u64, &names);
    let _ = archive::tar(path, &mut &*bytes, bytes.len() as u64, &names);
    let _ = tar_members(path, Cursor::new(bytes), bytes.len() as u64);
    let entries = archive::directory(path, &mut Cursor::new(bytes));
    for entry in entries.iter().flatten() {
        let _ = archive::member(path, &mut Cursor::new(bytes), entry);
    }
}

/// Files of tensors: what can be read is written in one way only, and fits a model or is told how
/// it does not.
pub fn safetensors(bytes: &[u8]) {
    let Ok(file) = TensorFile::from_bytes("fuzz", bytes) else {
        return;
    };
    let written = |file: &TensorFile| {
        let mut out = Vec::new();
        file.write_to(&mut out).map(|()| out)
    };
    if let Ok(first) = written(&file) {
        let again = TensorFile::from_bytes("fuzz", &first).map(|copy| written(&copy));
        assert!(
            again.is_ok_and(|again| again.is_ok_and(|again| again == first)),
            "what was written reads back"
        );
    }
    if let Ok(mut params) = small_params() {
        match weights::from_file(&mut params, &file.tensors) {
            Ok(fit) if fit.is_exact() => assert_eq!(
                weights::to_file(&params).map_or(0, |all| all.len()),
                file.tensors.len()
            ),
            Ok(fit) => assert!(!fit.to_string().is_empty()),
            Err(_) => (),
        }
    }
}

/// Training states, and an optimizer that takes its part from one.
pub fn checkpoint(bytes: &[u8]) {
    let Ok(state) = State::from_bytes("fuzz", bytes) else {
        return;
    };
    let _ = (state.get::<u64>("epoch"), state.get::<f64>("best"));
    let method: Result<Method> = "adamw".parse();
    if let (Ok(params), Ok(method), Ok(section)) =
        (small_params(), method, state.section("optimizer"))
    {
        let _ = Optimizer::new(method, &params)
            .and_then(|mut optimizer| optimizer.load_state(&params, &section));
    }
}

/// A convolution's weight, a bias and a counter.
fn small_params() -> Result<Params> {
    let declare = |names: &mut crate::params::Names| {
        names.param(
            "conv.weight",
            [2, 1, 2, 3],
            Init::Constant(0.0),
            FileLayout::ChannelsFirst,
        );
        names.param("conv.bias", [2], Init::Constant(0.0), FileLayout::Same);
        names.counter("batches");
        Ok(())
    };
    Ok(Params::declare(DType::F32, &Rng::new(0), declare)?.1)
}
