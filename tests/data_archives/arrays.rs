//! Labelled images as NumPy's files and as CSV tables.

use super::*;
use wavemix::data::{ImageArrays, ImageSet, read_arrays};

/// Written by NumPy 1.26: arrays of the bytes 0..24 as two images of 3 x 4, and of 0..18 as two of 3 x
/// 3 that are flat.
const MEDMNIST: &[u8] = include_bytes!("../seeds/npz/medmnist");
const KERAS: &[u8] = include_bytes!("../seeds/npz/keras");
const QUICKDRAW: &[u8] = include_bytes!("../seeds/npz/quickdraw");

fn npy(dtype: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}");
    let head = format!("{text:<117}\n");
    [b"\x93NUMPY\x01\x00v\x00", head.as_bytes(), values].concat()
}

fn one(array: Vec<u8>) -> Vec<u8> {
    zip(&[("arr_0.npy", array)])
}

fn read(path: &Path) -> ImageArrays {
    read_arrays(path).unwrap().unwrap()
}

fn said(path: &Path) -> String {
    match read_arrays(path) {
        Ok(Some(_)) => "images".into(),
        Ok(None) => "nothing".into(),
        Err(error) => error
            .to_string()
            .replace(&path.display().to_string(), "PATH"),
    }
}

fn facts(set: &ImageSet) -> ([usize; 3], &[u8], &[i64], usize) {
    (set.size, &set.pixels, &set.labels, set.classes.len())
}

#[test]
fn the_published_layouts_of_npz_are_read() {
    let folder = Folder::new("arrays");
    let bytes: Vec<u8> = (0..24).collect();
    let medmnist = read(&folder.write("medmnist.npz", MEDMNIST));
    assert_eq!(
        facts(&medmnist.train),
        ([3, 4, 1], &bytes[..], &[1, 0][..], 2)
    );
    let validation = medmnist.validation.unwrap();
    assert_eq!(facts(&validation), ([3, 4, 1], &bytes[..12], &[1][..], 2));
    let test = medmnist.test.unwrap();
    assert_eq!(facts(&test), ([3, 4, 1], &bytes[12..], &[0][..], 2));
    assert_eq!(medmnist.train.classes, ["0", "1"]);
    // Compressed; labels in both orders of bytes.
    let keras = read(&folder.write("mnist.npz", KERAS));
    assert_eq!(facts(&keras.train), ([3, 4, 1], &bytes[..], &[1, 0][..], 2));
    assert_eq!(
        facts(&keras.test.unwrap()),
        ([3, 4, 1], &bytes[..], &[1, 0][..], 2)
    );
    assert_eq!(keras.validation, None);
    // The only archive of a folder.
    folder.write("one/med.npz", MEDMNIST);
    assert_eq!(read(&folder.path().join("one")).train.pixels, bytes);
}

#[test]
fn kmnist_and_quickdraw_are_read_from_their_folders() {
    let folder = Folder::new("arrays-folders");
    let colours: Vec<u8> = (0..48).collect();
    for (name, array) in [
        ("train-imgs", npy("|u1", "(4, 2, 2, 3)", &colours)),
        ("train-labels", npy("|u1", "(4,)", &[2, 0, 2, 1])),
        ("test-imgs", npy("|u1", "(1, 2, 2, 3)", &colours[..12])),
        ("test-labels", npy("|u1", "(1,)", &[3])),
    ] {
        folder.write(&format!("kmnist/kmnist-{name}.npz"), &one(array));
    }
    let kmnist = folder.path().join("kmnist");
    let found = read(&kmnist);
    assert_eq!(
        facts(&found.train),
        ([2, 2, 3], &colours[..], &[2, 0, 2, 1][..], 4)
    );
    assert_eq!(found.test.unwrap().labels, [3]);
    std::fs::remove_file(kmnist.join("kmnist-test-labels.npz")).unwrap();
    assert_eq!(
        said(&kmnist),
        "PATH: holds images for the test part, but no labels"
    );

    folder.write("quickdraw/full_numpy_bitmap_cat.npy", QUICKDRAW);
    folder.write("quickdraw/bee.npy", &npy("|u1", "(1, 9)", &[7; 9]));
    let drawn = read(&folder.path().join("quickdraw")).train;
    assert_eq!(drawn.classes, ["bee", "cat"]);
    assert_eq!((drawn.size, &drawn.labels[..]), ([3, 3, 1], &[0, 1, 1][..]));
    assert_eq!(drawn.pixels, [vec![7; 9], (0..18).collect()].concat());
    folder.write("quickdraw/dog.npy", &npy("|u1", "(1, 16)", &[7; 16]));
    assert_eq!(
        said(&folder.path().join("quickdraw")),
        "PATH/dog.npy: its images are 4x4x1, those before [3, 3, 1]"
    );

    // Of two sets none is left out unsaid.
    for name in ["kmnist-train-imgs", "k49-train-imgs"] {
        folder.write(
            &format!("two/{name}.npz"),
            &one(npy("|u1", "(1, 2, 2)", &[0; 4])),
        );
    }
    assert_eq!(
        said(&folder.path().join("two")),
        "PATH: has two for the training part, PATH/k49-train-imgs.npz/arr_0.npy and PATH/kmnist-train-imgs.npz/arr_0.npy: give one set, in a file or folder of its own"
    );

    // Folders of other things are left to others.
    folder.write("pictures/cat/1.png", b"");
    folder.write("pictures/labels.csv", b"id,breed\n1,cat\n");
    assert_eq!(said(&folder.path().join("pictures")), "nothing");
    folder.write("empty/readme.txt", b"");
    assert_eq!(said(&folder.path().join("empty")), "nothing");
}

#[test]
fn wrong_arrays_are_told_apart() {
    let folder = Folder::new("arrays-wrong");
    let with = |images: Vec<u8>, labels: Vec<u8>| {
        let members = [("train_images.npy", images), ("train_labels.npy", labels)];
        said(&folder.write("x.npz", &zip(&members)))
    };
    let images = || npy("|u1", "(2, 2, 2)", &[0; 8]);
    let labels = || npy("|u1", "(2, 1)", &[0, 1]);
    assert_eq!(with(images(), labels()), "images");
    let expected = "expected bytes [n, h, w], [n, h, w, 3] or [n, h * h]";
    for (dtype, shape) in [
        ("<f4", "(2, 1, 1)"),
        ("|u1", "(2, 2)"),
        ("|u1", "(1, 1, 2, 2, 2)"),
    ] {
        let got = with(npy(dtype, shape, &[0; 8]), labels());
        assert!(got.ends_with(expected) && got.contains(dtype), "{got}");
    }
    assert_eq!(
        with(npy("|u1", "(3, 2, 2)", &[0; 8]), labels()),
        "PATH/train_images.npy: has 136 bytes, which are not [3, 2, 2] values"
    );
    let many = with(images(), npy("|u1", "(1, 2)", &[0, 1]));
    assert!(many.ends_with("expected a row of integers"), "{many}");
    let three = with(images(), npy("|u1", "(3,)", &[0, 1, 2]));
    assert_eq!(three, "PATH/train_images.npy: holds 2 images, but 3 labels");
    let negative = with(images(), npy(">i2", "(2,)", &[0, 1, 0xFF, 0xFE]));
    assert_eq!(
        negative,
        "PATH: holds the label -2, which is not within 0..65536"
    );
    // What plays no part is not read, whatever it is.
    let other = ("features.npy", b"no array".to_vec());
    let parts = [("x_train.npy", images()), ("y_train.npy", labels()), other];
    assert_eq!(said(&folder.write("w.npz", &zip(&parts))), "images");
    let twice = [("x_train.npy", images()), ("train_images.npy", images())];
    assert_eq!(
        said(&folder.write("v.npz", &zip(&twice))),
        "PATH: has two for the training part, x_train and train_images: give one set, in a file or folder of its own"
    );
    let none = folder.write("y.npz", &zip(&[("a.npy", images())]));
    assert_eq!(said(&none), "PATH: holds no labelled images to train on");
    let sizes = zip(&[
        ("x_train.npy", images()),
        ("y_train.npy", labels()),
        ("x_test.npy", npy("|u1", "(1, 3, 3)", &[0; 9])),
        ("y_test.npy", npy("|u1", "(1,)", &[0])),
    ]);
    let sizes = said(&folder.write("z.npz", &sizes));
    assert_eq!(sizes, "PATH: holds images of [2, 2, 1] and of [3, 3, 1]");
    for length in 0..MEDMNIST.len() {
        let cut = said(&folder.write("cut.npz", &MEDMNIST[..length]));
        assert!(cut.starts_with("PATH"), "{length}: {cut}");
    }
}

#[test]
fn tables_of_every_kind_are_read() {
    let folder = Folder::new("tables");
    let table = |name: &str, text: &str| folder.write(name, text.as_bytes());
    let kaggle = "label,pixel0,pixel1,pixel2,pixel3\n5,0,255,12,7\n0,1,2,3,4\n";
    let want = ([2, 2, 1], &[0, 255, 12, 7, 1, 2, 3, 4][..], &[5, 0][..], 6);
    assert_eq!(facts(&read(&table("a.csv", kaggle)).train), want);
    // No names, lines of Windows; names in another order; in quotes, spaces between pixels.
    let plain = "5,0,255,12,7\r\n0,1,2,3,4\r\n\r\n";
    assert_eq!(facts(&read(&table("b.csv", plain)).train), want);
    let last = "\"p0\",\"p1\",\"p2\",\"p3\",\"Label\"\n0,255,12,7,5\n1,2,3,4,0";
    assert_eq!(facts(&read(&table("c.csv", last)).train), want);
    let quoted = "emotion,pixels\n5,\"0 255 12 7\"\n0,\"1 2 3 4\"\n";
    assert_eq!(facts(&read(&table("d.csv", quoted)).train), want);
    // EMNIST's tables keep images column by column.
    let turned = &read(&table("emnist-balanced-train.csv", plain)).train;
    assert_eq!(turned.pixels, [0, 12, 255, 7, 1, 3, 2, 4]);
    // A byte order mark; numbers in quotes without names above.
    let marked = format!("\u{feff}{kaggle}");
    assert_eq!(facts(&read(&table("f.csv", &marked)).train), want);
    let in_quotes = "\"5\",\"0\",\"255\",\"12\",\"7\"\n0,1,2,3,4\n";
    assert_eq!(facts(&read(&table("g.csv", in_quotes)).train), want);
    let coloured = &read(&table("e.csv", "1,1,2,3,4,5,6,7,8,9,10,11,12\n")).train;
    assert_eq!(coloured.size, [2, 2, 3]);
    // A folder, whose test may have no labels.
    table("kaggle/train.csv", kaggle);
    table("kaggle/test.csv", "pixel0,pixel1,pixel2,pixel3\n1,2,3,4\n");
    table("kaggle/sample_submission.csv", "ImageId,Label\n1,0\n");
    let found = read(&folder.path().join("kaggle"));
    assert_eq!((facts(&found.train), found.test), (want, None));
    table("emnist/emnist-balanced-train.csv", kaggle);
    table("emnist/emnist-mnist-train.csv", kaggle);
    assert_eq!(
        said(&folder.path().join("emnist")),
        "PATH: has two for the training part, PATH/emnist-balanced-train.csv and PATH/emnist-mnist-train.csv: give one set, in a file or folder of its own"
    );
    table("fashion/fashion-mnist_train.csv", kaggle);
    table(
        "fashion/fashion-mnist_test.csv",
        "label,a,b,c,d\n7,9,9,9,9\n",
    );
    let test = read(&folder.path().join("fashion")).test.unwrap();
    assert_eq!(facts(&test), ([2, 2, 1], &[9; 4][..], &[7][..], 8));
}

#[test]
fn wrong_tables_are_told_apart() {
    let folder = Folder::new("tables-wrong");
    let of = |text: &str| said(&folder.write("a.csv", text.as_bytes()));
    let no = "PATH: holds no labelled images to train on";
    assert_eq!(of("a,b\n1,2\n"), no);
    assert_eq!(of(""), "PATH: holds no images");
    assert_eq!(of("label,a\n"), "PATH: holds no images");
    assert_eq!(of("label,a\nx,1\n"), "PATH: line 2: its label is no number");
    assert_eq!(
        of("label,a\n-1,1\n"),
        "PATH: line 2: its label is no number"
    );
    assert_eq!(
        of("3,1\n3,256\n"),
        "PATH: line 2: `256` in column 2 is no byte"
    );
    assert_eq!(
        of("3,1\n\n3,1.5\n"),
        "PATH: line 3: `1.5` in column 2 is no byte"
    );
    assert_eq!(
        of("3,1\n3,1,2\n"),
        "PATH: line 2: 2 pixels, where the first line has 1"
    );
    assert_eq!(of("3,1,2\n"), "PATH: 2 pixels a line are no square");
    assert_eq!(of("a,label\n3\n"), "PATH: line 2: it has no label");
    assert_eq!(
        of("a,b,label\n1,2,3\n1,2\n"),
        "PATH: line 3: it has no label"
    );
    let far = "PATH: holds the label 70000, which is not within 0..65536";
    assert_eq!(of("70000,1\n"), far);
}
