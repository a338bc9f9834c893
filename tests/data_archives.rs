//! The official archives, read in place, and fetched by a stand-in for curl.

#[cfg(all(unix, feature = "download"))]
#[path = "data_archives/download.rs"]
mod download;
mod files;

use files::*;
use std::fs;
use std::path::Path;
use wavemix::Error;
use wavemix::data::{Part, Place, Source, Split, idx};

#[path = "data_archives/arrays.rs"]
mod arrays;
#[path = "data_archives/tar.rs"]
mod tar;

const BALANCED: Source = Source::Emnist(Split::Balanced);

fn message<T>(result: Result<T, Error>) -> String {
    result.err().map_or("no error".into(), |e| e.to_string())
}

/// EMNIST's archive made small: 3 images of 2 x 2, the members gzipped as in the real one.
fn emnist_zip() -> Vec<u8> {
    zip(&emnist_members()
        .each_ref()
        .map(|(name, bytes)| (*name, bytes.clone())))
}

fn emnist_members() -> [(&'static str, Vec<u8>); 5] {
    let images = gzip(&idx_images(3, 2, 2, &(0..12).collect::<Vec<_>>()));
    let labels = gzip(&idx_labels(&[0, 10, 46]));
    let mapping: String = Split::Balanced
        .classes()
        .iter()
        .enumerate()
        .map(|(i, c)| format!("{i} {}\n", c.as_bytes()[0]))
        .collect();
    [
        (
            "gzip/emnist-balanced-train-images-idx3-ubyte.gz",
            images.clone(),
        ),
        (
            "gzip/emnist-balanced-train-labels-idx1-ubyte.gz",
            labels.clone(),
        ),
        ("gzip/emnist-balanced-test-images-idx3-ubyte.gz", images),
        ("gzip/emnist-balanced-test-labels-idx1-ubyte.gz", labels),
        ("gzip/emnist-balanced-mapping.txt", mapping.into_bytes()),
    ]
}

fn cifar_tar() -> Vec<u8> {
    let mut members = vec![("cifar-10-batches-bin/readme.html", b"<p>".to_vec())];
    let names: Vec<String> = (1..=5)
        .map(|i| format!("cifar-10-batches-bin/data_batch_{i}.bin"))
        .collect();
    members.extend(
        names
            .iter()
            .map(|name| (name.as_str(), cifar(&[&[1], &[2]]))),
    );
    members.push(("cifar-10-batches-bin/test_batch.bin", cifar(&[&[9]])));
    members.push((
        "cifar-10-batches-bin/batches.meta.txt",
        b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n".to_vec(),
    ));
    tar(&members)
}

#[test]
fn emnist_is_read_out_of_its_zip() {
    let folder = Folder::new("zip");
    let path = folder.write("EMNIST/raw/gzip.zip", &emnist_zip());
    assert_eq!(
        BALANCED.locate(folder.path(), Part::Both).unwrap(),
        Some(Place::Archive(path.clone()))
    );
    for dir in [folder.path(), path.parent().unwrap(), &path] {
        let pair = BALANCED.load(dir).unwrap();
        assert_eq!((pair.train.len(), pair.test.labels), (3, vec![0, 10, 46]));
        assert_eq!(
            (pair.train.image(0), pair.train.classes[46].as_str()),
            (&[0, 2, 1, 3][..], "t")
        );
    }
    let said = message(Source::Emnist(Split::Digits).load(folder.path()));
    assert_eq!(
        said,
        format!(
            "{}: holds no emnist-digits-train-images-idx3-ubyte",
            path.display()
        )
    );
}

#[test]
fn damaged_zips_are_told_apart() {
    let folder = Folder::new("bad-zip");
    let path = folder.path().join("gzip.zip");
    let inside = path
        .join("gzip/emnist-balanced-train-images-idx3-ubyte.gz")
        .display()
        .to_string();
    let archive = path.display().to_string();
    let good = emnist_zip();
    let load = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        folder.write("gzip.zip", &bytes);
        message(BALANCED.load(folder.path()))
    };
    // The directory starts at the first PK\1\2, and its first entry is the deflated training
    // images.
    let entry = good.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    let end = good.len() - 22;
    assert_eq!(load(&|_| ()), "no error");
    assert_eq!(
        load(&|b| b.truncate(b.len() - 1)),
        format!("{archive}: broken zip: no end record")
    );
    assert_eq!(
        load(&|b| b.truncate(5)),
        format!("{archive}: broken zip: no end record")
    );
    assert_eq!(
        load(&|b| b[end + 15] = 1),
        format!("{archive}: broken zip: its directory lies outside the file")
    );
    assert_eq!(
        load(&|b| b[end + 10] = 6),
        format!("{archive}: broken zip: its directory ends early")
    );
    assert_eq!(
        load(&|b| b[end + 10..end + 12].fill(0xFF)),
        format!("{archive}: broken zip: its directory ends early")
    );
    assert_eq!(
        load(&|b| b[entry + 8] = 1),
        format!("{inside}: broken zip member: it is encrypted")
    );
    let method = format!(
        "{inside}: broken zip member: compression method 9; only stored and deflate are read"
    );
    assert_eq!(load(&|b| b[entry + 10] = 9), method);
    assert_eq!(
        load(&|b| b[entry + 16] ^= 1),
        format!("{inside}: broken zip member: its checksum is wrong")
    );
    assert_eq!(
        load(&|b| b[entry + 42] = 1),
        format!("{inside}: broken zip member: no header where the directory says")
    );
    let size = u32::from_le_bytes(good[entry + 24..entry + 28].try_into().unwrap());
    let other = format!(
        "{inside}: broken zip member: it unpacks to another size than the {} bytes it promises",
        size - 1
    );
    assert_eq!(load(&|b| b[entry + 24] -= 1), other);
    let stored = u32::from_le_bytes(good[entry + 20..entry + 24].try_into().unwrap());
    let bomb = format!(
        "{inside}: broken zip member: {stored} bytes cannot unpack to the {} it promises",
        size | 0x7F00_0000
    );
    assert_eq!(load(&|b| b[entry + 27] = 0x7F), bomb);
    let large = format!(
        "{inside}: is compressed and has {} bytes, where at most 2 GiB are unpacked: store it uncompressed",
        size | 0xFF00_0000
    );
    assert_eq!(load(&|b| b[entry + 27] = 0xFF), large);
    let outside = load(&|b| b[entry + 23] = 0x7F);
    assert!(
        outside.starts_with(&format!("{archive}: broken zip: bytes ")),
        "{outside}"
    );
}

#[test]
fn zip64_and_backslashes_are_read() {
    let folder = Folder::new("zip64");
    let members = emnist_members();
    let good = zip64(&members);
    let load = |bytes: &[u8]| {
        folder.write("gzip.zip", bytes);
        BALANCED.load(folder.path()).map(|pair| {
            (
                pair.train.len(),
                pair.test.labels,
                pair.train.classes[46].clone(),
            )
        })
    };
    let want = (3, vec![0, 10, 46], "t".to_owned());
    assert_eq!(load(&good).unwrap(), want);
    let windows = members.each_ref().map(|(name, _)| name.replace('/', "\\"));
    let windows: Vec<(&str, Vec<u8>)> = windows
        .iter()
        .zip(&members)
        .map(|(name, (_, bytes))| (&**name, bytes.clone()))
        .collect();
    assert_eq!(load(&zip(&windows)).unwrap(), want);
    assert_eq!(load(&zip64(&windows)).unwrap(), want);

    let archive = folder.path().join("gzip.zip").display().to_string();
    let said = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        message(load(&bytes))
    };
    let (record, locator) = (good.len() - 22 - 20 - 56, good.len() - 22 - 20);
    let nowhere = format!("{archive}: broken zip: no zip64 end record where its locator says");
    assert_eq!(said(&|b| b[locator + 8] ^= 1), nowhere);
    let outside = said(&|b| b[locator + 15] = 0xFF);
    assert!(
        outside.starts_with(&format!("{archive}: broken zip: bytes ")),
        "{outside}"
    );
    for start in [0x7F, 0xFF] {
        let outside = format!("{archive}: broken zip: its directory lies outside the file");
        assert_eq!(said(&|b| b[record + 55] = start), outside);
    }
    assert_eq!(
        said(&|b| b[record + 39] = 0xFF),
        format!("{archive}: broken zip: its directory ends early")
    );
    // The kind of the extra field of the first entry: 46 bytes of it, its name, nine of another
    // field.
    let entry = good.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    let kind = entry + 46 + members[0].0.len() + 9;
    assert_eq!(good[kind..kind + 4], [1, 0, 24, 0]);
    assert_eq!(
        said(&|b| b[kind] = 2),
        format!("{archive}: broken zip: an entry lacks its zip64 sizes")
    );
    let far = said(&|b| b[kind + 4 + 23] = 0xFF);
    assert!(
        far.starts_with(&format!("{archive}: broken zip: bytes ")),
        "{far}"
    );
}

#[test]
fn zeros_behind_the_last_gzip_member_are_passed_over() {
    let folder = Folder::new("zeros");
    let images = idx_images(2, 3, 2, &(0..12).collect::<Vec<_>>());
    // One member, or two that share the content.
    for packed in [
        gzip(&images),
        [gzip(&images[..20]), gzip(&images[20..])].concat(),
    ] {
        for zeros in [0, 1, 7, 511, 100_000] {
            let padded = [&packed[..], &vec![0; zeros]].concat();
            let read = idx::images(Path::new("x"), padded.clone()).unwrap();
            assert_eq!(
                (read.count, read.pixels),
                (2, images[16..].to_vec()),
                "{zeros} zeros"
            );
            let said = message(idx::images(Path::new("x"), [&padded[..], b"?"].concat()));
            assert!(
                said.starts_with("x: broken gzip: "),
                "{zeros} zeros, then another byte: {said}"
            );
        }
    }
    let tar = cifar_tar();
    for packed in [
        gzip(&tar),
        [gzip(&tar[..3000]), gzip(&tar[3000..])].concat(),
    ] {
        folder.write(
            "cifar-10-binary.tar.gz",
            &[packed, vec![0; 100_000]].concat(),
        );
        assert_eq!(Source::Cifar10.load(folder.path()).unwrap().train.len(), 10);
    }
}

/// Kaggle's archive of MNIST holds each file twice: under a name with a dot, and in a folder of its
/// own name.
#[test]
fn an_archive_of_any_name_can_be_given() {
    let (images, labels) = (idx_images(3, 2, 2, &[7; 12]), idx_labels(&[0, 1, 2]));
    let names = ["train-images", "train-labels", "t10k-images", "t10k-labels"];
    let bytes = |name: &str| {
        if name.ends_with("images") {
            images.clone()
        } else {
            labels.clone()
        }
    };
    let kind = |name: &str| {
        if name.ends_with("images") {
            "idx3-ubyte"
        } else {
            "idx1-ubyte"
        }
    };
    let dotted = names.map(|name| (format!("{name}.{}", kind(name)), bytes(name)));
    let nested = names.map(|name| (format!("{name}-{0}/{name}-{0}", kind(name)), bytes(name)));
    for members in [dotted.to_vec(), nested.to_vec(), [dotted, nested].concat()] {
        let members: Vec<(&str, Vec<u8>)> = members
            .iter()
            .map(|(name, bytes)| (&**name, bytes.clone()))
            .collect();
        let folder = Folder::new("kaggle");
        for path in [
            folder.write("archive.zip", &zip(&members)),
            folder.write("archive.tgz", &gzip(&tar(&members))),
        ] {
            assert_eq!(
                Source::Mnist.load(&path).unwrap().test.labels,
                [0, 1, 2],
                "{}",
                path.display()
            );
            assert_eq!(Source::FashionMnist.load(&path).unwrap().train.len(), 3);
        }
    }
}

#[test]
fn the_default_folder_follows_the_environment() {
    let find = |set: &'static [(&str, &str)]| {
        wavemix::data::default_folder_from(|name| {
            set.iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| value.into())
        })
    };
    let all = &[
        ("WAVEMIX_DATA", "/a"),
        ("XDG_CACHE_HOME", "/b"),
        ("HOME", "/c"),
    ];
    assert_eq!(find(all).unwrap(), Path::new("/a"));
    assert_eq!(find(&all[1..]).unwrap(), Path::new("/b/wavemix/datasets"));
    assert_eq!(
        find(&[("XDG_CACHE_HOME", ""), ("HOME", "/c")]).unwrap(),
        Path::new("/c/.cache/wavemix/datasets")
    );
    let said = message(find(&[]));
    assert_eq!(
        said,
        "no place for data sets: none of WAVEMIX_DATA, XDG_CACHE_HOME and HOME is set"
    );
}
