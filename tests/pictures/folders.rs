//! A folder of pictures for each class, and parts of data sets.

use super::*;
use std::sync::Arc;
use wavemix::data::{Dataset, ImageFolder, Preparation, Subset, random_split};

fn flat(size: [u32; 2], tone: u8) -> Vec<u8> {
    let bytes = vec![tone; (size[0] * size[1]) as usize];
    png(
        size,
        ColorType::Grayscale,
        BitDepth::Eight,
        &bytes,
        &[],
        &[],
    )
}

const CENTRE_OF_WIDE: [u8; 6] = [89, 95, 101, 155, 161, 167];
const CENTRE_OF_TALL: [u8; 6] = [97, 101, 107, 139, 143, 149];

fn message<T>(result: wavemix::Result<T>) -> String {
    result.err().map_or("no error".into(), |e| e.to_string())
}

/// Two classes: `cat` with three pictures, one in a folder of its own, `dog` with one in colour.
fn pets(name: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write(
        "dog/1.PNG",
        &png(
            [2, 1],
            ColorType::Rgb,
            BitDepth::Eight,
            &[1, 2, 3, 5, 6, 7],
            &[],
            &[],
        ),
    );
    folder.write("cat/2.png", &flat([3, 5], 20));
    folder.write("cat/10.png", &flat([4, 4], 10));
    folder.write("cat/more/1.png", &flat([1, 1], 30));
    folder.write("cat/notes.txt", b"not a picture");
    folder.write("readme.txt", b"not a class");
    folder
}

#[test]
fn folders_are_classes_and_pictures_come_in_the_order_of_their_paths() {
    let folder = pets("image-folder");
    let set = ImageFolder::new(folder.path(), [2, 2]).unwrap();
    assert_eq!(set.classes(), ["cat", "dog"]);
    let samples: Vec<(Vec<u8>, i64)> = (0..set.len())
        .map(|i| {
            let sample = set.sample(i).unwrap();
            assert_eq!(sample.input.shape()[..], [2, 2, 3]);
            let class = sample.target.to_vec::<i64>().unwrap()[0];
            (sample.input.to_vec::<u8>().unwrap(), class)
        })
        .collect();
    assert_eq!(samples[0], (vec![10; 12], 0));
    assert_eq!(samples[1], (vec![20; 12], 0));
    assert_eq!(samples[2], (vec![30; 12], 0));
    // Two rows of one pixel, made two wide.
    assert_eq!(samples[3], (vec![1, 2, 3, 1, 2, 3, 5, 6, 7, 5, 6, 7], 1));
    // A picture more is another set.
    let before = set.fingerprint();
    folder.write("dog/2.png", &flat([1, 1], 0));
    let after = ImageFolder::new(folder.path(), [2, 2]).unwrap();
    assert_ne!(before, after.fingerprint());
    // So are as many under other names, of other lengths, or in another class.
    let mut seen = vec![before, after.fingerprint()];
    let mut differs = |set: ImageFolder| {
        let print = set.fingerprint();
        assert!(!seen.contains(&print), "{print}");
        seen.push(print);
    };
    let at = |name: &str| folder.path().join(name);
    std::fs::rename(at("dog/2.png"), at("dog/3.png")).unwrap();
    differs(ImageFolder::new(folder.path(), [2, 2]).unwrap());
    folder.write("dog/3.png", &flat([2, 2], 9));
    differs(ImageFolder::new(folder.path(), [2, 2]).unwrap());
    std::fs::rename(at("dog/3.png"), at("cat/3.png")).unwrap();
    differs(ImageFolder::new(folder.path(), [2, 2]).unwrap());
    // And other pixels in a file of the same name and length.
    let [old, new] = [9, 8].map(|tone| flat([2, 2], tone));
    assert_eq!(old.len(), new.len());
    folder.write("cat/3.png", &new);
    differs(ImageFolder::new(folder.path(), [2, 2]).unwrap());
}

#[test]
fn jpegs_lie_beside_pngs_under_any_ending() {
    let folder = Folder::new("image-folder-jpeg");
    for (name, jpeg) in [
        ("a/1.jpg", jpegs::GREY),
        ("a/2.JPEG", jpegs::BASELINE),
        ("b/3.jpeg", jpegs::TURNED),
        ("b/4.Jpg", jpegs::CMYK),
    ] {
        folder.write(name, &jpegs::bytes(jpeg));
    }
    folder.write("b/5.png", &flat([1, 1], 7));
    let set = ImageFolder::new(folder.path(), [2, 3]).unwrap();
    let labels: Vec<i64> = set.files().iter().map(|(_, class)| *class).collect();
    assert_eq!(labels, [0, 0, 1, 1, 1]);
    for i in 0..set.len() {
        assert_eq!(set.sample(i).unwrap().input.shape()[..], [2, 3, 3]);
    }
}

#[test]
fn folders_that_hold_no_pictures_are_named() {
    let folder = pets("image-folder-errors");
    let make = |size| message(ImageFolder::new(folder.path(), size));
    assert_eq!(make([0, 2]), "pictures need rows and columns, not 0 x 2");
    for size in [
        [1 << 40, 1 << 40],
        [1 << 32, 1 << 32],
        [1, usize::MAX],
        [8193, 8192],
    ] {
        let [h, w] = size;
        let expected = format!("pictures have at most 67108864 pixels, not {h} x {w}");
        assert_eq!(make(size), expected);
    }
    assert_eq!(make([8192, 8192]), "no error");
    assert!(
        message(ImageFolder::new(folder.path().join("none"), [2, 2])).starts_with("cannot read ")
    );
    let within = message(ImageFolder::new(folder.path().join("dog"), [2, 2]));
    assert!(
        within.ends_with("holds no folder, one for each class"),
        "{within}"
    );
    folder.write("bird/jay.gif", b"GIF89a");
    assert!(
        make([2, 2]).ends_with("bird: holds no PNG or JPEG picture of its class"),
        "{}",
        make([2, 2])
    );
    folder.write("bird/torn.png", b"\x89PNG\r\n\x1a\n");
    let set = ImageFolder::new(folder.path(), [2, 2]).unwrap();
    let torn = message(set.sample(0));
    assert!(
        torn.contains("torn.png: is not a PNG that can be read"),
        "{torn}"
    );
}

/// A link to itself is refused to root too, whom permission bits do not bind.
#[cfg(unix)]
#[test]
fn a_class_that_cannot_be_read_is_not_left_out() {
    let folder = pets("image-folder-unreadable");
    let bird = folder.path().join("bird");
    std::os::unix::fs::symlink(&bird, &bird).unwrap();
    let said = message(ImageFolder::new(folder.path(), [2, 2]));
    assert!(
        said.starts_with(&format!("cannot read {}: ", bird.display())),
        "{said}"
    );
}

/// `a-b.png` stands before `a/1.png`: of the bytes `-` and `/` the first is smaller.
#[test]
fn pictures_are_in_the_order_of_their_paths_bytes() {
    let folder = Folder::new("image-folder-order");
    for name in ["c/a/1.png", "c/a-b.png", "c/B.png", "c/10.png", "c/9.png"] {
        folder.write(name, &flat([1, 1], 0));
    }
    let set = ImageFolder::new(folder.path(), [1, 1]).unwrap();
    let class = folder.path().join("c");
    let names: Vec<String> = (set.files().iter())
        .map(|(path, _)| path.strip_prefix(&class).unwrap().display().to_string())
        .collect();
    assert_eq!(names, ["10.png", "9.png", "B.png", "a-b.png", "a/1.png"]);
}

/// Pictures of 12 shades, some of which are cut short.
fn torn(name: &str, broken: &[usize]) -> Folder {
    let folder = Folder::new(name);
    for i in 0..12 {
        let whole = flat([5, 3], 10 * i as u8);
        let size = if broken.contains(&i) { 50 } else { whole.len() };
        folder.write(&format!("{}/{i:02}.png", ["a", "b"][i % 2]), &whole[..size]);
    }
    folder
}

fn samples(set: &ImageFolder) -> Vec<(Vec<u8>, i64)> {
    let sample = |i| {
        let sample = set.sample(i).unwrap();
        (
            sample.input.to_vec::<u8>().unwrap(),
            sample.target.to_vec::<i64>().unwrap()[0],
        )
    };
    (0..set.len()).map(sample).collect()
}

#[test]
fn decoded_pictures_are_the_same_in_memory_and_on_any_number_of_threads() {
    let folder = torn("image-folder-decoded", &[]);
    folder.write("a/13.jpg", &jpegs::bytes(jpegs::BASELINE));
    let set = ImageFolder::new(folder.path(), [4, 6]).unwrap();
    let want = samples(&set);
    let bytes = 13 * 4 * 6 * 3;
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        for (memory, kept) in [(bytes, true), (bytes - 1, false), (0, false)] {
            let (decoded, broken) = pool.install(|| set.clone().decoded(memory));
            assert_eq!((broken.count, broken.first.len()), (0, 0));
            assert_eq!(decoded.is_in_memory(), kept);
            assert_eq!(samples(&decoded), want);
            assert_eq!(decoded.fingerprint(), set.fingerprint());
        }
    }
    // What is kept is not read again.
    let (decoded, _) = set.decoded(bytes);
    std::fs::remove_dir_all(folder.path()).unwrap();
    assert_eq!(samples(&decoded), want);
}

#[test]
fn pictures_that_cannot_be_read_are_told_and_left_out() {
    let folder = torn("image-folder-torn", &[3, 4]);
    folder.write("a/05.jpg", &jpegs::bytes(jpegs::BASELINE)[..200]);
    let set = ImageFolder::new(folder.path(), [2, 2]).unwrap();
    for memory in [0, 1 << 20] {
        let (left, broken) = set.clone().decoded(memory);
        assert_eq!((set.len(), left.len(), broken.count), (13, 10, 3));
        let names = [
            "a/04.png: is not a PNG",
            "a/05.jpg: is a JPEG that ends early",
            "b/03.png",
        ];
        let told = broken.first.iter().zip(names);
        assert!(
            told.clone().all(|(told, name)| told.contains(name)),
            "{:?}",
            broken.first
        );
        let shades: Vec<u8> = samples(&left).iter().map(|(pixels, _)| pixels[0]).collect();
        assert_eq!(shades, [0, 20, 60, 80, 100, 10, 50, 70, 90, 110]);
        let labels: Vec<i64> = samples(&left).iter().map(|(_, class)| *class).collect();
        assert_eq!(labels, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]);
    }
    let all: Vec<usize> = (0..12).collect();
    let folder = torn("image-folder-all-torn", &all);
    let (left, broken) = ImageFolder::new(folder.path(), [2, 2])
        .unwrap()
        .decoded(1 << 20);
    assert_eq!((left.len(), broken.count, broken.first.len()), (0, 12, 10));
}

/// By Pillow's resize and the offsets of torchvision's center_crop. Pillow rounds between its two
/// passes too: so within one.
#[test]
fn the_centre_is_cut_out_of_a_picture_made_smaller() {
    let folder = Folder::new("image-folder-centre");
    let ramp: Vec<u8> = (0..7 * 12).map(|i| (3 * i) as u8).collect();
    let wide = png(
        [7, 12],
        ColorType::Grayscale,
        BitDepth::Eight,
        &ramp,
        &[],
        &[],
    );
    let tall = png(
        [12, 7],
        ColorType::Grayscale,
        BitDepth::Eight,
        &ramp,
        &[],
        &[],
    );
    folder.write("a/wide.png", &wide);
    folder.write("b/tall.png", &tall);
    let set = ImageFolder::new(folder.path(), [2, 3]).unwrap();
    let set = set.with_centre_crop(4).unwrap();
    for (i, want) in [CENTRE_OF_WIDE, CENTRE_OF_TALL].into_iter().enumerate() {
        let got = set.sample(i).unwrap().input.to_vec::<u8>().unwrap();
        let grey: Vec<u8> = got.iter().step_by(3).copied().collect();
        let near = grey
            .iter()
            .zip(want)
            .all(|(got, want)| got.abs_diff(want) <= 1);
        assert!(near && grey.len() == 6, "{grey:?} for {want:?}");
    }
    let stretched = ImageFolder::new(folder.path(), [2, 3]).unwrap();
    assert_ne!(stretched.fingerprint(), set.fingerprint());
    assert_eq!(
        message(stretched.with_centre_crop(2)),
        "2x3 pixels cannot be cut out of a picture whose shorter side has 2"
    );
}

#[test]
fn parts_of_a_set_are_disjoint_and_drawn_at_random() {
    let folder = pets("image-folder-parts");
    let set = Arc::new(ImageFolder::new(folder.path(), [1, 1]).unwrap());
    let tone = |part: &Subset, i| part.sample(i).unwrap().input.to_vec::<u8>().unwrap()[0];
    let mut first = Vec::new();
    for seed in 0..20 {
        let (train, test) = random_split(set.clone(), 0.25, &Rng::new(seed)).unwrap();
        assert_eq!(
            (train.len(), test.len(), train.classes()),
            (3, 1, set.classes())
        );
        let mut all: Vec<u8> = (0..3).map(|i| tone(&train, i)).collect();
        all.push(tone(&test, 0));
        first.push(all[3]);
        all.sort_unstable();
        assert_eq!(all, [3, 10, 20, 30]);
        assert_ne!(train.fingerprint(), test.fingerprint());
    }
    let print = |indices: &[usize]| {
        let part = Subset::new(set.clone(), indices.to_vec());
        part.unwrap().fingerprint()
    };
    assert_ne!(print(&[0, 1]), print(&[0, 2]));
    first.sort_unstable();
    first.dedup();
    assert!(first.len() > 1);
    assert_eq!(
        message(random_split(set.clone(), 1.5, &Rng::new(0))),
        "a part of a data set is a fraction within 0 and 1, not 1.5"
    );
    let wrong = message(Subset::new(set.clone(), vec![0, 4]));
    assert!(
        wrong.ends_with("there is no sample 4, but 4 of them"),
        "{wrong}"
    );
}

#[test]
fn a_prepared_picture_is_what_the_folder_gives() {
    let folder = Folder::new("image-folder-resized");
    let bytes: Vec<u8> = (0..7 * 9 * 3).map(|i| (i * 37 % 251) as u8).collect();
    let (size, kind) = ([7, 9], ColorType::Rgb);
    let file = png(size, kind, BitDepth::Eight, &bytes, &[], &[]);
    let path = folder.write("cat/1.png", &file);
    for (how, to) in [
        (Preparation::Stretched, [3, 4]),
        (Preparation::Stretched, [12, 5]),
        (Preparation::CentreCrop(6), [5, 4]),
        (Preparation::CentreCrop(13), [13, 2]),
    ] {
        let set = ImageFolder::new(folder.path(), to).unwrap();
        let set = match how {
            Preparation::CentreCrop(shorter) => set.with_centre_crop(shorter).unwrap(),
            Preparation::Stretched => set,
        };
        assert_eq!(set.preparation(), Some(how));
        let want = set.sample(0).unwrap().input.to_vec::<u8>().unwrap();
        let picture = read_pictures(&path, 1, false).unwrap().remove(0);
        let made = picture.clone().prepared(how, to).unwrap();
        assert_eq!((made.size, &made.pixels), ([to[0], to[1], 3], &want));
        // And a tensor of it has these bytes, while one of the picture as it was has others.
        let values = |picture: Picture| {
            let tensor = picture.to_tensor(to, 3, &[0.0], &[1.0 / 255.0]).unwrap();
            let values: Vec<f32> = tensor.to_vec().unwrap();
            values.iter().map(|v| v.round() as u8).collect::<Vec<_>>()
        };
        assert_eq!(values(made), want);
        assert_ne!(values(picture), want);
    }
    let picture = read_pictures(&path, 1, false).unwrap().remove(0);
    for (how, to, what) in [
        (
            Preparation::Stretched,
            [0, 4],
            "pictures need rows and columns, not 0 x 4",
        ),
        (
            Preparation::CentreCrop(3),
            [3, 4],
            "3x4 pixels cannot be cut out of a picture whose shorter side has 3",
        ),
    ] {
        assert_eq!(message(picture.clone().prepared(how, to)), what);
    }
}
