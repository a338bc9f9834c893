//! Where data sets are looked for, and what is said where they are not.

use super::*;

#[test]
fn every_layout_is_found() {
    let folder = Folder::new("layouts");
    for (source, under, stems) in [
        (BALANCED, "EMNIST/raw", STEMS),
        (Source::Mnist, "MNIST/raw", ["train", "t10k"]),
        (Source::FashionMnist, "FashionMNIST/raw", ["train", "t10k"]),
    ] {
        assert_eq!(source.locate(folder.path(), Part::Both).unwrap(), None);
        idx_set(
            &folder,
            stems
                .map(|stem| format!("{under}/{stem}"))
                .each_ref()
                .map(String::as_str),
            3,
            0,
            gzip,
            ".gz",
        );
        let place = source.locate(folder.path(), Part::Both).unwrap();
        assert_eq!(place, Some(Place::Folder(folder.path().join(under))));
        assert_eq!(source.load(folder.path()).unwrap().train.len(), 3);
        assert_eq!(
            source.load(folder.path().join(under)).unwrap().test.len(),
            3
        );
    }
    assert_eq!(
        Source::FashionMnist
            .load_test(folder.path())
            .unwrap()
            .classes[9],
        "Ankle boot"
    );
}

/// 7-Zip, macOS and Kaggle write the names that the gzip files hold inside, with a dot; Kaggle and
/// 7-Zip put each file into a folder of its own name.
#[test]
fn other_programs_names_are_found() {
    let sets = [
        (Source::Mnist, ["train", "t10k"]),
        (Source::FashionMnist, ["train", "t10k"]),
        (BALANCED, STEMS),
        (
            Source::Emnist(Split::Letters),
            ["emnist-letters-train", "emnist-letters-test"],
        ),
    ];
    for (source, stems) in sets {
        let first = u8::from(source == Source::Emnist(Split::Letters));
        // Of the file: with a dash or a dot. Of the folder around it: none, either.
        for (in_folder, in_file) in [("", "."), ("-", "-"), (".", "."), ("-", "."), (".", "-")] {
            for (pack, ending) in [(plain as fn(&[u8]) -> Vec<u8>, ""), (gzip, ".gz")] {
                let folder = Folder::new("names");
                for stem in stems {
                    for (kind, bytes) in [
                        (
                            ["images", "idx3-ubyte"],
                            idx_images(2, 3, 2, &(0..12).collect::<Vec<_>>()),
                        ),
                        (["labels", "idx1-ubyte"], idx_labels(&[first, first + 1])),
                    ] {
                        let around = if in_folder.is_empty() {
                            String::new()
                        } else {
                            format!("{stem}-{}/", kind.join(in_folder))
                        };
                        folder.write(
                            &format!("{around}{stem}-{}{ending}", kind.join(in_file)),
                            &pack(&bytes),
                        );
                    }
                }
                let case =
                    format!("{source}, folder `{in_folder}`, file `{in_file}`, ending `{ending}`");
                let pair = source
                    .load(folder.path())
                    .unwrap_or_else(|e| panic!("{case}: {e}"));
                assert_eq!(
                    (pair.train.len(), pair.test.labels),
                    (2, vec![0, 1]),
                    "{case}"
                );
                assert_eq!(
                    pair.train.image(1)[..2],
                    if stems == ["train", "t10k"] {
                        [6, 7]
                    } else {
                        [6, 8]
                    },
                    "{case}"
                );
            }
        }
    }
}

#[test]
fn a_near_name_is_told_when_nothing_fits() {
    let near = |file: &str, source: Source| {
        let folder = Folder::new("near");
        let path = folder.write(file, b"").display().to_string();
        let said = message(source.load(folder.path()));
        said.contains(&format!("; a near name is {path}; --download fetches it"))
            .then_some(())
            .ok_or(said)
    };
    // A second download, one that is not whole, a folder that is not looked in, another name for
    // it, a small mistake.
    for file in [
        "train-images-idx3-ubyte (1).gz",
        "train-images-idx3-ubyte.gz.part",
        "mnist/train-images-idx3-ubyte",
        "a/b/c/train-images.idx3-ubyte.gz",
        "Train_Images_IDX3_ubyte.gz",
        "train-images-idx3-byte",
    ] {
        assert_eq!(near(file, Source::Mnist), Ok(()), "{file}");
    }
    assert_eq!(
        near("emnist/EMNIST-balanced-train-images-idx3-ubyte", BALANCED),
        Ok(())
    );
    assert_eq!(near("cifar/data_batch_1.bin", Source::Cifar10), Ok(()));
    assert_eq!(
        near("cifar/cifar-10-binary.tar.gz", Source::Cifar10),
        Ok(())
    );
    // Other sets' and other parts' names are not near, nor is one too deep down.
    for file in [
        "t10k-images-idx3-ubyte.gz.part",
        "emnist-mnist-train-images-idx3-ubyte",
        "notes.txt",
        "1/2/3/4/train-images-idx3-ubyte",
    ] {
        assert!(
            near(file, Source::Mnist).is_err_and(|said| !said.contains("a near name")),
            "{file}"
        );
    }
    let folder = Folder::new("near-partial");
    idx_set(&folder, ["train", "t10k"], 2, 0, plain, "");
    let labels = folder.path().join("t10k-labels-idx1-ubyte");
    let other = folder.path().join("t10k-labels-idx1-ubyte (2)");
    std::fs::rename(&labels, &other).unwrap();
    let said = message(Source::Mnist.load(folder.path()));
    let expected = format!(
        "MNIST is not whole: t10k-labels-idx1-ubyte missing; a near name is {}",
        other.display()
    );
    assert_eq!(said, format!("{}: {expected}", folder.path().display()));
    let said = message(Source::Mnist.load(&other));
    assert!(
        said.contains(": neither a folder nor a zip or tar archive, hence no MNIST; "),
        "{said}"
    );
}

/// The system does not say what is there: an error, for a set may well be. A link to itself is
/// refused to root too.
#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_read_is_not_an_empty_one() {
    for (source, link) in [
        (BALANCED, "EMNIST"),
        (Source::Mnist, "MNIST"),
        (Source::Mnist, "."),
        (Source::Cifar10, "cifar-10-batches-py"),
    ] {
        let folder = Folder::new("unreadable");
        let dir = folder.path().join("data");
        let path = dir.join(link);
        if link != "." {
            std::fs::create_dir(&dir).unwrap();
        }
        std::os::unix::fs::symlink(&path, path.components().as_path()).unwrap();
        for said in [
            message(source.locate(&dir, Part::Both)),
            message(source.load_test(&dir)),
        ] {
            assert!(
                said.starts_with(&format!(
                    "cannot read {}",
                    path.components().as_path().display()
                )),
                "{source}, {link}: {said}"
            );
            assert!(said.contains("symbolic links"), "{source}, {link}: {said}");
        }
    }
    // Permission bits do not bind root, who reads the folder and finds it empty.
    let folder = Folder::new("locked");
    let locked = folder.path().join("MNIST");
    std::fs::create_dir(&locked).unwrap();
    std::fs::set_permissions(&locked, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let bound = std::fs::read_dir(&locked).is_err();
    let said = message(Source::Mnist.locate(folder.path(), Part::Both));
    std::fs::set_permissions(&locked, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(
        said.starts_with(&format!("cannot read {}/", locked.display())),
        bound,
        "{said}"
    );
}

#[test]
fn absent_and_partial_sets_are_named() {
    let folder = Folder::new("partial");
    let dir = folder.path().display().to_string();
    let said = message(BALANCED.load(folder.path()));
    assert_eq!(
        said,
        format!(
            "{dir}: no EMNIST balanced; looked for emnist-balanced-train-images-idx3-ubyte or gzip.zip in {dir}/EMNIST/raw, \
             {dir}/EMNIST, {dir}/raw, {dir}/gzip, {dir}/emnist_source_files, {dir}; --download fetches it from \
             https://biometrics.nist.gov/cs_links/EMNIST/"
        )
    );
    let nowhere = folder.path().join("nowhere");
    let said = message(Source::Cifar10.load(&nowhere));
    assert!(
        said.starts_with(&format!(
            "{}: no such folder, hence no CIFAR-10; ",
            nowhere.display()
        )),
        "{said}"
    );
    idx_set(
        &folder,
        [
            "EMNIST/raw/emnist-balanced-test",
            "EMNIST/raw/emnist-balanced-test",
        ],
        2,
        0,
        plain,
        "",
    );
    let said = message(BALANCED.load(folder.path()));
    assert_eq!(
        said,
        format!(
            "{dir}/EMNIST/raw: EMNIST balanced is not whole: emnist-balanced-train-images-idx3-ubyte, \
             emnist-balanced-train-labels-idx1-ubyte missing"
        )
    );
    assert_eq!(BALANCED.load_test(folder.path()).unwrap().len(), 2);
}
