//! Published sets that are read on demand, from small files in their formats: out of folders and
//! archives alike, and what is said of those that are broken.

mod files;

use std::path::Path;

use files::*;
use wavemix::data::{Datasets, Loader, Part, Place, Source};
use wavemix::{Error, Rng};

#[path = "on_demand/cityscapes.rs"]
mod cityscapes;
#[path = "on_demand/classes.rs"]
mod classes;
#[path = "on_demand/imagenet64.rs"]
mod imagenet64;
#[path = "on_demand/pickles.rs"]
mod pickles;
#[path = "on_demand/tiny_imagenet.rs"]
mod tiny_imagenet;

/// A JPEG of 9 rows and 12 columns, grey.
const JPEG: &[u8] = include_bytes!("seeds/jpeg/grey");

fn message<T>(result: Result<T, Error>) -> String {
    result.err().map_or("no error".into(), |e| e.to_string())
}

/// A PNG of one grey pixel.
fn dot(tone: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, 1, 1);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[tone]).unwrap();
    drop(writer);
    out
}

/// Files of a set: names and contents.
type Files = Vec<(String, Vec<u8>)>;

fn write(folder: &Folder, within: &str, files: &Files) {
    for (name, bytes) in files {
        folder.write(&format!("{within}{name}"), bytes);
    }
}

/// As members of an archive.
fn members(files: &Files) -> Vec<(&str, Vec<u8>)> {
    files
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.clone()))
        .collect()
}

fn within(top: &str, files: &Files) -> Files {
    let file = |(name, bytes): &(String, Vec<u8>)| (format!("{top}{name}"), bytes.clone());
    files.iter().map(file).collect()
}

/// Label and first pixel of each sample of both parts.
fn samples(set: &Datasets) -> [Vec<(i64, [u8; 3])>; 2] {
    [&set.train, &set.test].map(|part| {
        let sample = |i| {
            let sample = part.sample(i).unwrap();
            let pixels = sample.input.to_vec::<u8>().unwrap();
            let label = sample.target.to_vec::<i64>().unwrap()[0];
            (label, [pixels[0], pixels[1], pixels[2]])
        };
        (0..part.len()).map(sample).collect()
    })
}

#[test]
fn sets_in_memory_are_opened_too() {
    let folder = Folder::new("open-mnist");
    idx_set(&folder, ["train", "t10k"], 3, 0, gzip, ".gz");
    let set = Source::Mnist.open(folder.path(), None).unwrap();
    assert_eq!((set.train.len(), set.test.len()), (3, 3));
    assert_eq!((set.mean, set.std), (vec![0.1307], vec![0.3081]));
    assert!(Source::Mnist.open(folder.path(), Some([3, 2])).is_ok());
    assert_eq!(
        message(Source::Mnist.open(folder.path(), Some([28, 28]))),
        "MNIST holds images of 3x2, not 28x28"
    );
}

/// The system does not say what is there: an error, for a set may well be. A link to itself is
/// refused to root too, whom permission bits do not bind.
#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_read_is_not_an_empty_one() {
    for (source, link) in [
        (Source::TinyImageNet, "tiny-imagenet-200"),
        (Source::TinyImageNet, "tiny-imagenet-200.zip"),
        (Source::Caltech256, "256_ObjectCategories"),
        (Source::INaturalist2021Mini, "train_mini"),
        (Source::ImageNet64, "val_data.npz"),
        (Source::Cityscapes, "leftImg8bit"),
    ] {
        let folder = Folder::new("on-demand-unreadable");
        let path = folder.path().join(link);
        std::os::unix::fs::symlink(&path, &path).unwrap();
        let found = source.locate(folder.path(), Part::Both);
        for said in [message(found), message(source.open(folder.path(), None))] {
            assert!(
                said.starts_with(&format!("cannot read {}", path.display()))
                    && said.contains("symbolic links"),
                "{source}, {link}: {said}"
            );
        }
    }
}

#[test]
fn what_is_read_on_demand_is_not_loaded() {
    let folder = Folder::new("not-loaded");
    let said = message(Source::Caltech256.load(folder.path()));
    assert_eq!(
        said,
        "Caltech-256 is read on demand, by `Source::open`, not into memory"
    );
    let dir = folder.path().display().to_string();
    let said = message(Source::INaturalist2021Mini.open(folder.path(), None));
    assert_eq!(
        said,
        format!(
            "{dir}: no iNaturalist 2021 mini; looked for train_mini/ or train_mini.tar or train_mini.tar.gz, \
             and val/ or val.tar or val.tar.gz; it is published at \
             https://github.com/visipedia/inat_comp/tree/master/2021"
        )
    );
    assert_eq!(
        said,
        Source::INaturalist2021Mini
            .missing(folder.path(), Part::Both)
            .to_string()
    );
    assert_eq!(
        Source::INaturalist2021Mini
            .locate(folder.path(), Part::Both)
            .unwrap(),
        None
    );
}
