//! SVHN's MATLAB files, and STL-10's planes.

use super::*;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::io::Write;
use wavemix::data::{stl10, svhn};

/// Files that scipy 1.17's `savemat` wrote. Pixel (row r, column c) of channel h of image n is
/// 2 r + 4 c + 16 h + 50 n, wrapped; the first has labels 10 and 3 as bytes, the second a double 7.
const COMPRESSED: &[u8] = include_bytes!("../seeds/svhn/compressed");
const PLAIN: &[u8] = include_bytes!("../seeds/svhn/plain");

fn read(bytes: &[u8]) -> Result<(Vec<u8>, Vec<i64>), Error> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    svhn::decode("f", bytes, &mut pixels, &mut labels).map(|()| (pixels, labels))
}

/// An element, padded to 8 bytes.
fn element(kind: u32, content: &[u8]) -> Vec<u8> {
    let head = [kind, content.len() as u32].map(u32::to_le_bytes).concat();
    let mut all = [&head, content].concat();
    all.resize(all.len().next_multiple_of(8), 0);
    all
}

/// A matrix of bytes, its name as a small element.
fn matrix(name: u8, sizes: &[u32], kind: u32, values: &[u8]) -> Vec<u8> {
    let flags = [9u32, 0].map(u32::to_le_bytes).concat();
    let sizes: Vec<u8> = sizes.iter().flat_map(|s| s.to_le_bytes()).collect();
    let name = [&[1, 0, 1, 0, name][..], &[0; 3]].concat();
    let values = element(kind, values);
    element(
        14,
        &[element(6, &flags), element(5, &sizes), name, values].concat(),
    )
}

fn header() -> Vec<u8> {
    let mut header = b"MATLAB 5.0 MAT-file".to_vec();
    header.resize(124, b' ');
    [header, b"\0\x01IM".to_vec()].concat()
}

fn mat(elements: &[Vec<u8>]) -> Vec<u8> {
    [header(), elements.concat()].concat()
}

/// An element of zlib, which nothing pads.
fn packed(matrix: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(matrix).unwrap();
    let content = encoder.finish().unwrap();
    [
        [15, content.len() as u32].map(u32::to_le_bytes).concat(),
        content,
    ]
    .concat()
}

fn images(n: u32) -> Vec<u8> {
    let planes: Vec<u8> = (0..3072 * n).map(|i| i as u8).collect();
    matrix(b'X', &[32, 32, 3, n], 2, &planes)
}

#[test]
fn svhn_is_read_as_scipy_writes_it() {
    let (pixels, labels) = read(COMPRESSED).unwrap();
    assert_eq!((pixels.len(), &labels[..]), (2 * 3072, &[0, 3][..]));
    for (at, &got) in pixels.iter().enumerate() {
        let [n, r, c, h] = [at / 3072, at / 96 % 32, at / 3 % 32, at % 3];
        let want = (2 * r + 4 * c + 16 * h + 50 * n) as u8;
        assert_eq!(got, want, "image {n}, row {r}, column {c}, channel {h}");
    }
    let (plain, labels) = read(PLAIN).unwrap();
    assert_eq!((&plain[..], &labels[..]), (&pixels[..3072], &[7][..]));
}

#[test]
fn svhn_is_made_of_its_three_files() {
    let folder = Folder::new("svhn");
    let file = |digits: &[u8]| {
        let y = matrix(b'y', &[digits.len() as u32, 1], 2, digits);
        mat(&[packed(&images(digits.len() as u32)), packed(&y)])
    };
    folder.write("train_32x32.mat", &file(&[1, 2, 10]));
    folder.write("test_32x32.mat", &file(&[9]));
    let said = message(Source::Svhn.load(folder.path()));
    assert!(
        said.ends_with("SVHN is not whole: extra_32x32.mat missing"),
        "{said}"
    );
    let pair = Source::SvhnWithoutExtra.load(folder.path()).unwrap();
    assert_eq!(
        (&pair.train.labels[..], &pair.test.labels[..]),
        (&[1, 2, 0][..], &[9][..])
    );
    folder.write("extra_32x32.mat", &file(&[5, 6]));
    let pair = Source::Svhn.load(folder.path()).unwrap();
    assert_eq!(pair.train.labels, [1, 2, 0, 5, 6]);
    assert_eq!(
        (pair.train.size, pair.train.classes.concat()),
        ([32, 32, 3], "0123456789".into())
    );
    // The second column of a plane is the second 32 bytes of it.
    assert_eq!(pair.train.image(0)[3..6], [32; 3]);
}

#[test]
fn wrong_matlab_files_are_told_apart() {
    let said = |elements: &[Vec<u8>]| message(read(&mat(elements)));
    let y = |labels: &[u8]| matrix(b'y', &[labels.len() as u32, 1], 2, labels);
    assert_eq!(
        message(read(b"MATLAB 5.0")),
        "f: is not a MATLAB file of level 5"
    );
    let big = [&header()[..124], b"\x01\0MI"].concat();
    assert_eq!(message(read(&big)), "f: is a big-endian MATLAB file");
    assert_eq!(said(&[]), "f: holds no variable X");
    assert_eq!(said(&[images(1)]), "f: holds no variable y");
    assert_eq!(said(&[packed(&y(&[1]))]), "f: holds no variable X");
    assert_eq!(
        said(&[images(2), y(&[1])]),
        "f: holds 1 labels, but 2 images"
    );
    assert_eq!(
        said(&[images(2), y(&[1, 11])]),
        "f: label 11 of image 1 is not within 1..=10"
    );
    assert_eq!(
        said(&[images(1), y(&[0])]),
        "f: label 0 of image 0 is not within 1..=10"
    );
    let half = matrix(b'y', &[1, 1], 9, &1.5f64.to_le_bytes());
    assert_eq!(
        said(&[images(1), half]),
        "f: label 1.5 of image 0 is not within 1..=10"
    );
    let small = matrix(b'X', &[16, 16, 3, 1], 2, &[0; 768]);
    assert_eq!(
        said(&[small]),
        "f: X is not 32 x 32 x 3 x n of bytes, but [16, 16, 3, 1]"
    );
    let short = matrix(b'X', &[32, 32, 3, 2], 2, &[0; 3072]);
    assert_eq!(
        said(&[short]),
        "f: X is not 32 x 32 x 3 x n of bytes, but [32, 32, 3, 2]"
    );
    let wide = matrix(b'y', &[1, 1], 4, &[1, 0]);
    assert_eq!(
        said(&[wide]),
        "f: y is not n x 1 of bytes or doubles, but [1, 1]"
    );
    let twice = said(&[y(&[1]), y(&[1])]);
    assert_eq!(
        twice,
        "f: broken MATLAB file: a variable that is there twice"
    );
    // Other variables and elements are passed over.
    let other = [
        matrix(b'z', &[1, 1], 2, &[1]),
        element(1, b"note"),
        y(&[4]),
        images(1),
    ];
    assert_eq!(read(&mat(&other)).unwrap().1, [4]);
}

#[test]
fn damaged_matlab_files_are_told_apart() {
    let y = matrix(b'y', &[1, 1], 2, &[1]);
    let whole = mat(&[packed(&images(1)), packed(&y)]);
    assert_eq!(read(&whole).unwrap().1, [1]);
    for end in 128..whole.len() {
        let said = message(read(&whole[..end]));
        let known = ["holds no variable", "it ends within an element"];
        assert!(
            known.iter().any(|known| said.contains(known)),
            "{end} bytes: {said}"
        );
    }
    // The last byte of the images' zlib is of its checksum.
    let mut wrong = whole.clone();
    wrong[128 + packed(&images(1)).len() - 1] ^= 1;
    let said = message(read(&wrong));
    assert!(said.starts_with("f: broken zlib: "), "{said}");
    // Values that a promise of a few bytes cannot hold.
    let mut bomb = images(1);
    let at = bomb.len() - 3072 - 4;
    bomb[at..at + 4].fill(0xFF);
    assert_eq!(
        message(read(&mat(&[packed(&bomb)]))),
        "f: broken MATLAB file: more values than its bytes can hold"
    );
    let mut long = images(1);
    long[28..32].fill(0x7F); // the length of the sizes
    assert_eq!(
        message(read(&mat(&[long]))),
        "f: broken MATLAB file: sizes or a name that are too long"
    );
    let mut small = images(1);
    small[10] = 5; // the first field as a small element of five bytes
    assert_eq!(
        message(read(&mat(&[small]))),
        "f: broken MATLAB file: a small element of more than 4 bytes"
    );
}

#[test]
fn stl10_is_turned_upright() {
    // Byte i of an image is i, wrapped: red of row r, column c is 96 c + r.
    let planes: Vec<u8> = (0..2 * 27_648usize)
        .map(|i| (i % 27_648 + i / 27_648) as u8)
        .collect();
    let folder = Folder::new("stl10");
    for (part, labels) in [("train", [1, 10]), ("test", [3, 2])] {
        folder.write(&format!("stl10_binary/{part}_X.bin"), &planes);
        folder.write(&format!("stl10_binary/{part}_y.bin"), &labels);
    }
    let pair = Source::Stl10.load(folder.path()).unwrap();
    assert_eq!(
        (pair.train.size, &pair.train.labels[..]),
        ([96, 96, 3], &[0, 9][..])
    );
    assert_eq!(
        (&pair.test.labels[..], &*pair.test.classes[9]),
        (&[2, 1][..], "truck")
    );
    for (r, c) in [(0, 1), (1, 0), (5, 7), (95, 95)] {
        let want = [0, 1, 2].map(|channel| (9216 * channel + 96 * c + r + 1) as u8);
        assert_eq!(pair.train.image(1)[(96 * r + c) * 3..][..3], want);
    }
    let cut = message(stl10::images("f", &planes[..27_650]));
    assert_eq!(
        cut,
        "f: 27650 bytes are not a multiple of an image's 27648: 2 are left over"
    );
    assert_eq!(message(stl10::images("f", &[])), "f: is empty");
    assert_eq!(
        message(stl10::labels("f", &[1, 0])),
        "f: label 0 of image 1 is not within 1..=10"
    );
    folder.write("stl10_binary/test_y.bin", &[1]);
    let said = message(Source::Stl10.load_test(folder.path()));
    let images = folder.path().join("stl10_binary/test_X.bin");
    let ending = format!(
        "test_y.bin: holds 1 labels, but {} holds 2 images",
        images.display()
    );
    assert!(said.ends_with(&ending), "{said}");
}

#[test]
fn stl10_is_read_out_of_its_archive() {
    let folder = Folder::new("stl10-tar");
    let image = vec![7; 27_648];
    let members = [
        (
            "stl10_binary/class_names.txt",
            b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n".to_vec(),
        ),
        ("stl10_binary/unlabeled_X.bin", image.clone()),
        ("stl10_binary/train_X.bin", image.clone()),
        ("stl10_binary/train_y.bin", vec![10]),
        ("stl10_binary/test_X.bin", image),
        ("stl10_binary/test_y.bin", vec![1]),
    ];
    folder.write("stl10_binary.tar.gz", &gzip(&tar(&members)));
    let pair = Source::Stl10.load(folder.path()).unwrap();
    assert_eq!(
        (&pair.train.labels[..], &*pair.train.classes[9]),
        (&[9][..], "j")
    );
    assert_eq!(pair.test.image(0), [7; 27_648]);
}
