//! ImageNet 64x64, from NumPy's files and from pickles.

use super::*;
use pickles::pickled;

/// An array: a header of 128 bytes, as NumPy writes it, and the values.
fn npy(dtype: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}");
    let head = format!("{text:<117}\n");
    [b"\x93NUMPY\x01\x00v\x00", head.as_bytes(), values].concat()
}

/// Byte i of image n is `first + n + i`, wrapped.
fn bytes(first: usize, count: usize) -> Vec<u8> {
    let image = |n: usize| (0..12_288).map(move |i| (first + n + i) as u8);
    (0..count).flat_map(image).collect()
}

fn data(first: usize, count: usize) -> Vec<u8> {
    npy("|u1", &format!("({count}, 12288)"), &bytes(first, count))
}

fn labels(labels: &[i64]) -> Vec<u8> {
    let values: Vec<u8> = labels
        .iter()
        .flat_map(|label| label.to_le_bytes())
        .collect();
    npy("<i8", &format!("({},)", labels.len()), &values)
}

/// A file of images; every second member of a zip of the tests is stored, the others deflated.
fn npz(stored: bool, data: Vec<u8>, labels: Vec<u8>) -> Vec<u8> {
    let mean = ("mean.npy", npy("<f8", "(0,)", &[]));
    match stored {
        true => zip(&[("labels.npy", labels), ("data.npy", data), mean]),
        false => zip(&[("data.npy", data), ("labels.npy", labels), mean]),
    }
}

/// Batch i has an image of label i and, where i is even, a second one of label 1000. The files are
/// pickles where nothing stands behind their names; of NumPy's, every third is deflated.
pub fn write_set(folder: &Folder, train: [&str; 2], val: &str, ending: &str) {
    let file = |i: i64, own: &[i64]| match ending {
        "" => pickled(
            &bytes(10 * i as usize, own.len()),
            12_288,
            own,
            Some(&[0.5]),
        ),
        _ => npz(i % 3 != 0, data(10 * i as usize, own.len()), labels(own)),
    };
    for i in 1..=10 {
        let own = if i % 2 == 0 { vec![i, 1000] } else { vec![i] };
        let within = train[usize::from(i > 5)];
        folder.write(
            &format!("{within}train_data_batch_{i}{ending}"),
            &file(i, &own),
        );
    }
    folder.write(&format!("{val}val_data{ending}"), &file(0, &[77]));
}

#[test]
fn imagenet64_is_read_where_it_lies_and_from_memory() {
    let folder = Folder::new("imagenet64");
    let parts = ["Imagenet64_train_part1_npz/", "Imagenet64_train_part2_npz/"];
    write_set(&folder, parts, "Imagenet64_val_npz/", ".npz");
    let flat = Folder::new("imagenet64-flat");
    write_set(&flat, ["", ""], "", ".npz");
    let pickled = Folder::new("imagenet64-pickled");
    let parts = ["Imagenet64_train_part1/", "Imagenet64_train_part2/"];
    write_set(&pickled, parts, "Imagenet64_val/", "");
    let pickled_flat = Folder::new("imagenet64-pickled-flat");
    write_set(&pickled_flat, ["", ""], "", "");
    for folder in [&folder, &flat, &pickled, &pickled_flat] {
        let dir = folder.path();
        let set = Source::ImageNet64.open(dir, None).unwrap();
        assert_eq!((set.train.len(), set.test.len()), (15, 1));
        assert_eq!(
            (set.train.classes().len(), &*set.train.classes()[0]),
            (1000, "1")
        );
        let want = [1, 2, 1000, 3, 4, 1000, 5, 6, 1000, 7, 8, 1000, 9, 10, 1000];
        let firsts = [10, 20, 21, 30, 40, 41, 50, 60, 61, 70, 80, 81, 90, 100, 101];
        for (i, (label, first)) in want.into_iter().zip(firsts).enumerate() {
            let sample = set.train.sample(i).unwrap();
            assert_eq!(sample.target.to_vec::<i64>().unwrap(), [label - 1]);
            assert_eq!(sample.input.shape()[..], [64, 64, 3]);
            let pixels = sample.input.to_vec::<u8>().unwrap();
            for (row, column) in [(0, 0), (0, 1), (1, 0), (63, 63)] {
                let at = 64 * row + column;
                let planes = [at, at + 4096, at + 8192].map(|i| (first + i) as u8);
                assert_eq!(
                    pixels[3 * at..3 * at + 3],
                    planes,
                    "image {i}, {row}, {column}"
                );
            }
        }
        assert_eq!(set.std, [1.0; 3]);
    }
    let small = Source::ImageNet64.open(flat.path(), Some([8, 8])).unwrap();
    assert_eq!(small.test.sample(0).unwrap().input.shape()[..], [8, 8, 3]);
    // What tells a run that goes on whether its data are the same.
    let print = || {
        let set = Source::ImageNet64.open(flat.path(), None).unwrap();
        [set.train.fingerprint(), set.test.fingerprint()]
    };
    let [train, test] = print();
    assert_ne!(small.test.fingerprint(), test);
    flat.write("val_data.npz", &npz(true, data(0, 1), labels(&[78])));
    let after = print();
    assert_eq!(after[0], train);
    assert_ne!(after[1], test);
    flat.write("val_data.npz", &npz(true, data(1, 1), labels(&[78])));
    assert_ne!(print()[1], after[1], "other pixels under the same labels");
}

#[test]
fn wrong_arrays_are_told_apart() {
    let folder = Folder::new("imagenet64-wrong");
    write_set(&folder, ["", ""], "", ".npz");
    let dir = folder.path().display().to_string();
    let said = |bytes: &[u8]| {
        folder.write("val_data.npz", bytes);
        message(Source::ImageNet64.open(folder.path(), None)).replace(&dir, "DIR")
    };
    assert_eq!(said(b"text"), "DIR/val_data.npz: broken zip: no end record");
    assert_eq!(
        said(&zip(&[("labels.npy", labels(&[1]))])),
        "DIR/val_data.npz: holds no array `data`"
    );
    assert_eq!(
        said(&npz(true, data(0, 2), labels(&[1]))),
        "DIR/val_data.npz: holds 1 labels, but 2 images"
    );
    for wrong in [0, 1001] {
        assert_eq!(
            said(&npz(true, data(0, 2), labels(&[3, wrong]))),
            format!("DIR/val_data.npz: label {wrong} of image 1 is not within 1..=1000")
        );
    }
    for stored in [true, false] {
        let small = npy("|u1", "(1, 3072)", &[0; 3072]);
        assert_eq!(
            said(&npz(stored, small, labels(&[1]))),
            "DIR/val_data.npz/data.npy: is [1, 3072] of `|u1`, expected [n, 12288] of bytes"
        );
        let cut = data(0, 2)[..20_000].to_vec();
        assert_eq!(
            said(&npz(stored, cut, labels(&[1]))),
            "DIR/val_data.npz/data.npy: has 20000 bytes, which are not [2, 12288] values"
        );
        let columns_first = data(0, 1);
        let at = columns_first
            .windows(5)
            .position(|w| w == b"False")
            .unwrap();
        let columns_first = [&columns_first[..at], b"True ", &columns_first[at + 5..]].concat();
        assert_eq!(
            said(&npz(stored, columns_first, labels(&[1]))),
            "DIR/val_data.npz/data.npy: is stored column by column (Fortran's order): save np.ascontiguousarray of it"
        );
    }
    let floats = npy("<f4", "(1,)", &[0; 4]);
    assert_eq!(
        said(&npz(true, data(0, 1), floats)),
        "DIR/val_data.npz/labels.npy: is [1] of `<f4`, expected a row of integers"
    );
    let huge = npy("|u1", "(18446744073709551615, 12288)", &[0; 9]);
    let huge = said(&npz(true, huge, labels(&[1])));
    assert!(
        huge.ends_with("which are not [18446744073709551615, 12288] values"),
        "{huge}"
    );
    // 2^52 rows of 3 x 2^12 bytes are a multiple of 2^64.
    let wrapped = npy("|u1", "(4503599627370496, 12288)", &[]);
    assert_eq!(
        said(&npz(true, wrapped, labels(&[1]))),
        "DIR/val_data.npz/data.npy: has 128 bytes, which are not [4503599627370496, 12288] values"
    );
    std::fs::remove_file(folder.path().join("train_data_batch_7.npz")).unwrap();
    let said = said(&npz(true, data(0, 1), labels(&[1])));
    assert_eq!(
        said,
        "DIR: ImageNet 64x64 is not whole: Imagenet64_train_part2_npz/train_data_batch_7.npz or \
         Imagenet64_train_npz/train_data_batch_7.npz or train_data_batch_7.npz or \
         Imagenet64_train_part2/train_data_batch_7 or Imagenet64_train/train_data_batch_7 or \
         train_data_batch_7 missing"
    );
}

#[test]
fn labels_of_any_width_are_read() {
    for (name, width) in [("|u1", 1), ("<i2", 2), ("<u4", 4), ("<i8", 8)] {
        let folder = Folder::new("imagenet64-widths");
        write_set(&folder, ["", ""], "", ".npz");
        let values: Vec<u8> = [5i64, 100]
            .iter()
            .flat_map(|v| v.to_le_bytes()[..width].to_vec())
            .collect();
        folder.write(
            "val_data.npz",
            &npz(true, data(0, 2), npy(name, "(2,)", &values)),
        );
        let set = Source::ImageNet64.open(folder.path(), None).unwrap();
        let label = |i| set.test.sample(i).unwrap().target.to_vec::<i64>().unwrap()[0];
        assert_eq!([label(0), label(1)], [4, 99], "{name}");
    }
}
