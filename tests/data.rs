//! Decoders of the published formats: what they read, how they turn it, and what they say of files
//! that are wrong.

mod files;

use files::*;
use std::path::Path;
use wavemix::data::{ImageSet, Part, Picture, Place, Source, Split, TrainTest, cifar, emnist, idx};
use wavemix::{Error, Rng};

#[path = "data/house_numbers.rs"]
mod house_numbers;
#[path = "data/places.rs"]
mod places;
#[path = "data/sets.rs"]
mod sets;

const BALANCED: Source = Source::Emnist(Split::Balanced);
const STEMS: [&str; 2] = ["emnist-balanced-train", "emnist-balanced-test"];

fn message<T>(result: Result<T, Error>) -> String {
    result.err().map_or("no error".into(), |e| e.to_string())
}

fn plain(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

#[test]
fn idx_is_read_plain_and_as_gzip() {
    let file = idx_images(2, 3, 2, &(0..12).collect::<Vec<_>>());
    let images = idx::images(Path::new("x"), file.clone()).unwrap();
    assert_eq!((images.count, images.height, images.width), (2, 3, 2));
    assert_eq!(images.pixels, (0..12).collect::<Vec<_>>());
    assert_eq!(idx::images(Path::new("x"), gzip(&file)).unwrap(), images);
    assert_eq!(
        idx::labels(Path::new("x"), gzip(&idx_labels(&[4, 5]))).unwrap(),
        [4, 5]
    );
}

#[test]
fn wrong_idx_files_are_told_apart() {
    let images = |bytes: &[u8]| message(idx::images(Path::new("f"), bytes.to_vec()));
    let good = idx_images(2, 3, 2, &[7; 12]);
    assert_eq!(
        images(b""),
        "f: ends inside its header: IDX images have 16 bytes of it, here are 0"
    );
    assert_eq!(
        images(&good[..10]),
        "f: ends inside its header: IDX images have 16 bytes of it, here are 10"
    );
    assert_eq!(
        images(b"PNG...."),
        "f: IDX images begin with 0x00000803, this begins with 0x504e472e"
    );
    let labels = idx_labels(&[1]);
    assert_eq!(
        images(&labels),
        "f: IDX images begin with 0x00000803, this begins with 0x00000801, as labels do"
    );
    assert_eq!(
        images(&good[..27]),
        "f: truncated: its header promises 2 x 3 x 2 = 12 bytes, 11 are there"
    );
    let long = [&good[..], &[0]].concat();
    assert_eq!(
        images(&long),
        "f: too long: its header promises 2 x 3 x 2 = 12 bytes, more are there"
    );
    assert_eq!(
        images(&gzip(&good[..27])),
        "f: truncated: its header promises 2 x 3 x 2 = 12 bytes, 11 are there"
    );
    assert_eq!(
        images(&gzip(&long)),
        "f: too long: its header promises 2 x 3 x 2 = 12 bytes, more are there"
    );
    assert_eq!(
        images(&idx_images(0, 28, 28, &[])),
        "f: holds no images: its header says 0 x 28 x 28"
    );
    assert_eq!(
        images(&idx_images(3, 0, 28, &[])),
        "f: holds no images: its header says 3 x 0 x 28"
    );
    let short = message(idx::labels(
        Path::new("f"),
        [&idx_labels(&[1, 2])[..9]].concat(),
    ));
    assert_eq!(
        short,
        "f: truncated: its header promises 2 bytes, 1 are there"
    );
    let packed = gzip(&good);
    let cut = images(&packed[..packed.len() - 9]);
    assert!(cut.starts_with("f: broken gzip: "), "{cut}");
    let mut flipped = packed.clone();
    let end = flipped.len();
    flipped[end - 6] ^= 1; // in the checksum
    let wrong = images(&flipped);
    assert!(wrong.starts_with("f: broken gzip: "), "{wrong}");
}

#[test]
fn a_promise_beyond_the_file_is_refused_before_anything_is_allocated() {
    let most = u32::MAX;
    let huge = message(idx::images(
        Path::new("f"),
        idx_images(most, most, most, &[1]),
    ));
    assert!(
        huge.starts_with("f: truncated: its header promises 4294967295 x "),
        "{huge}"
    );
    // 2^64 bytes, of which none are there.
    let wrapped = message(idx::images(
        Path::new("f"),
        idx_images(1 << 31, 1 << 31, 4, &[]),
    ));
    assert!(
        wrapped.starts_with("f: truncated: its header promises 2147483648 x "),
        "{wrapped}"
    );
    let packed = gzip(&idx_images(1 << 20, 28, 28, &[0; 64]));
    let need = 784u64 << 20;
    let limit = 1032 * packed.len() as u64;
    let bomb = message(idx::images(Path::new("f"), packed.clone()));
    let stored = packed.len();
    assert_eq!(
        bomb,
        format!(
            "f: its header promises {need} bytes, but {stored} bytes of gzip hold at most {limit}"
        )
    );
    // Ten megabytes of zeros behind a header that promises four bytes.
    let bomb = gzip(&idx_images(1, 2, 2, &vec![0; 10 << 20]));
    let said = message(idx::images(Path::new("f"), bomb));
    assert_eq!(
        said,
        "f: too long: its header promises 1 x 2 x 2 = 4 bytes, more are there"
    );
}

#[test]
fn emnist_is_turned_upright() {
    let folder = Folder::new("upright");
    // An L of 3 rows and 2 columns, stored column by column: as 2 rows of 3.
    let stored = idx_images(1, 2, 3, &[1, 1, 1, 0, 0, 1]);
    for stem in STEMS {
        folder.write(&format!("{stem}-images-idx3-ubyte"), &stored);
        folder.write(&format!("{stem}-labels-idx1-ubyte"), &idx_labels(&[21]));
    }
    let pair = BALANCED.load(folder.path()).unwrap();
    assert_eq!(pair.train.size, [3, 2, 1]);
    assert_eq!(pair.train.image(0), [1, 0, 1, 0, 1, 1]);
    assert_eq!(pair.train.classes[pair.train.labels[0] as usize], "L");
    assert_eq!((pair.mean, pair.std), (vec![0.175], vec![0.333]));
    let mut raw = pair.test;
    raw.transpose();
    assert_eq!(
        (raw.size, raw.image(0)),
        ([2, 3, 1], &[1, 1, 1, 0, 0, 1][..])
    );
}

#[test]
fn every_split_has_its_classes() {
    let counts = Split::ALL.map(|split| split.classes().len());
    assert_eq!(counts, [47, 62, 47, 26, 10, 10]);
    assert_eq!(
        Split::Balanced.classes().concat(),
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"
    );
    assert_eq!(
        Split::ByClass.classes()[36..].concat(),
        "abcdefghijklmnopqrstuvwxyz"
    );
    assert_eq!(Source::Cifar100.classes().len(), 100);
    assert_eq!(Source::Cifar100.classes()[99], "worm");
}

#[test]
fn letters_count_from_one_in_the_file_and_from_zero_here() {
    let folder = Folder::new("letters");
    idx_set(
        &folder,
        ["emnist-letters-train", "emnist-letters-test"],
        26,
        1,
        gzip,
        ".gz",
    );
    let mapping: String = (1..=26)
        .map(|i| format!("{i} {} {}\n", 64 + i, 96 + i))
        .collect();
    folder.write("emnist-letters-mapping.txt", mapping.as_bytes());
    let source = Source::Emnist(Split::Letters);
    let pair = source.load(folder.path()).unwrap();
    assert_eq!(pair.train.labels, (0..26).collect::<Vec<_>>());
    assert_eq!(pair.train.classes.concat(), "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    assert_eq!(pair.train.name, "EMNIST letters, training");
    folder.write(
        "emnist-letters-test-labels-idx1-ubyte.gz",
        &idx_labels(&[0; 26]),
    );
    let said = message(source.load_test(folder.path()));
    assert!(
        said.ends_with("test-labels-idx1-ubyte.gz: label 0 of image 0 is not within 1..=26"),
        "{said}"
    );
}

#[test]
fn mappings_are_checked() {
    let read = |text: &str, split| message(emnist::mapping(Path::new("m"), text.as_bytes(), split));
    let digits: String = (0..10).map(|i| format!("{i} {}\r\n", 48 + i)).collect();
    let names = emnist::mapping(Path::new("m"), digits.as_bytes(), Split::Digits).unwrap();
    assert_eq!(names.concat(), "0123456789");
    let marked = format!("\u{feff}{digits}");
    assert_eq!(
        emnist::mapping(Path::new("m"), marked.as_bytes(), Split::Digits).unwrap(),
        names
    );
    let mut kinds = b"\xEF\xBB\xBFplane\r\n".to_vec();
    kinds.extend("b c d e f g h i j".replace(' ', "\r\n").bytes());
    assert_eq!(
        cifar::names(Path::new("m"), &kinds, cifar::Kind::Cifar10).unwrap()[..2],
        ["plane", "b"]
    );
    for utf16 in [b"\xFF\xFE0\0 \0", b"\xFE\xFF\x000\0 "] {
        let said = message(emnist::mapping(Path::new("m"), utf16, Split::Digits));
        assert_eq!(said, "m: is text in UTF-16; save it in UTF-8");
    }
    assert_eq!(
        read("0 48\n1", Split::Digits),
        "m: line 2: expected `label code`, got `1`"
    );
    assert_eq!(
        read("0 zero", Split::Digits),
        "m: line 1: expected `label code`, got `0 zero`"
    );
    assert_eq!(
        read("10 58", Split::Digits),
        "m: line 1: label 10 is not within 0..=9"
    );
    assert_eq!(
        read("0 65", Split::Letters),
        "m: line 1: label 0 is not within 1..=26"
    );
    assert_eq!(
        read("0 10", Split::Digits),
        "m: line 1: 10 is not the code of a printed ASCII character"
    );
    assert_eq!(
        read("0 48\n0 49", Split::Digits),
        "m: line 2: label 0 stands there twice"
    );
    assert_eq!(read("0 48\n2 50", Split::Digits), "m: label 1 is missing");
    assert_eq!(
        message(emnist::mapping(Path::new("m"), &[0xFF], Split::Digits)),
        "m: is not text"
    );
}

#[test]
fn images_and_labels_must_agree() {
    let folder = Folder::new("agree");
    idx_set(&folder, ["train", "t10k"], 4, 0, plain, "");
    assert_eq!(
        Source::Mnist.load(folder.path()).unwrap().test.labels,
        [0, 1, 2, 3]
    );
    folder.write("t10k-labels-idx1-ubyte", &idx_labels(&[1, 2, 3]));
    let said = message(Source::Mnist.load(folder.path()));
    let images = folder.path().join("t10k-images-idx3-ubyte");
    let labels = folder.path().join("t10k-labels-idx1-ubyte");
    assert_eq!(
        said,
        format!(
            "{}: holds 3 labels, but {} holds 4 images",
            labels.display(),
            images.display()
        )
    );
    folder.write("t10k-labels-idx1-ubyte", &idx_labels(&[1, 2, 3, 10]));
    let said = message(Source::Mnist.load(folder.path()));
    assert_eq!(
        said,
        format!(
            "{}: label 10 of image 3 is not within 0..=9",
            labels.display()
        )
    );
    folder.write("t10k-labels-idx1-ubyte", &idx_labels(&[1]));
    folder.write("t10k-images-idx3-ubyte", &idx_images(1, 2, 2, &[0; 4]));
    let said = message(Source::Mnist.load(folder.path()));
    assert_eq!(
        said,
        "MNIST, training holds 3x2x1 images of 10 classes, MNIST, test holds 2x2x1 images of 10"
    );
}

#[test]
fn cifar_planes_become_pixels() {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    cifar::decode(
        Path::new("x"),
        &cifar(&[&[3], &[9]]),
        cifar::Kind::Cifar10,
        &mut pixels,
        &mut labels,
    )
    .unwrap();
    assert_eq!((labels.as_slice(), pixels.len()), (&[3, 9][..], 2 * 3072));
    // Pixel (row 1, column 2) is the 34th of each plane; planes start at 0, 1024, 2048, which are 0
    // as bytes.
    assert_eq!(pixels[34 * 3..35 * 3], [34, 34, 34]);
    let mut file = cifar(&[&[0]]);
    (file[1 + 34], file[1 + 1024 + 34], file[1 + 2048 + 34]) = (200, 100, 50);
    pixels.clear();
    cifar::decode(
        Path::new("x"),
        &file,
        cifar::Kind::Cifar10,
        &mut pixels,
        &mut labels,
    )
    .unwrap();
    assert_eq!(pixels[34 * 3..35 * 3], [200, 100, 50]);
}

#[test]
fn wrong_cifar_files_are_told_apart() {
    let read = |bytes: &[u8], kind| {
        message(cifar::decode(
            Path::new("f"),
            bytes,
            kind,
            &mut Vec::new(),
            &mut Vec::new(),
        ))
    };
    let (ten, hundred) = (cifar::Kind::Cifar10, cifar::Kind::Cifar100);
    assert_eq!(read(&[], ten), "f: is empty");
    let cut = &cifar(&[&[0], &[1]])[..5000];
    assert_eq!(
        read(cut, ten),
        "f: 5000 bytes are not a multiple of the record's 3073: 1927 are left over"
    );
    assert_eq!(
        read(&cifar(&[&[0], &[10]]), ten),
        "f: label 10 of image 1 is not below 10"
    );
    assert_eq!(
        read(&cifar(&[&[20, 5]]), hundred),
        "f: label 20 of image 0 is not below 20"
    );
    assert_eq!(
        read(&cifar(&[&[19, 100]]), hundred),
        "f: label 100 of image 0 is not below 100"
    );
    assert_eq!(
        message(cifar::names(Path::new("f"), b"a\nb\n\n", ten)),
        "f: holds 2 class names, expected 10"
    );
    assert_eq!(
        message(cifar::names(Path::new("f"), &[0xFF], ten)),
        "f: is not text"
    );
}

#[test]
fn cifar_folders_are_read_and_pickles_refused() {
    let folder = Folder::new("cifar");
    folder.write("cifar-10-batches-py/data_batch_1", b"\x80");
    let said = message(Source::Cifar10.load(folder.path()));
    let pickles = folder.path().join("cifar-10-batches-py");
    let rest = "the Python version of CIFAR-10 is not read (pickles run code); get cifar-10-binary.tar.gz from \
                https://www.cs.toronto.edu/~kriz/";
    assert_eq!(said, format!("{}: {rest}", pickles.display()));
    assert_eq!(
        message(Source::Cifar10.load(&pickles)),
        format!("{}: {rest}", pickles.join("data_batch_1").display())
    );
    for i in 1..=5 {
        folder.write(
            &format!("cifar-10-batches-bin/data_batch_{i}.bin"),
            &cifar(&[&[i], &[i + 1]]),
        );
    }
    let said = message(Source::Cifar10.load(folder.path().join("cifar-10-batches-bin")));
    assert!(
        said.ends_with("CIFAR-10 is not whole: test_batch.bin missing"),
        "{said}"
    );
    folder.write("cifar-10-batches-bin/test_batch.bin", &cifar(&[&[0]]));
    folder.write(
        "cifar-10-batches-bin/batches.meta.txt",
        b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n",
    );
    let pair = Source::Cifar10.load(folder.path()).unwrap();
    assert_eq!(pair.train.labels, [1, 2, 2, 3, 3, 4, 4, 5, 5, 6]);
    assert_eq!(
        (pair.test.labels, pair.test.classes.concat()),
        (vec![0], "abcdefghij".into())
    );
}
