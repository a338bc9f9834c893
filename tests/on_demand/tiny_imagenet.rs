//! Tiny ImageNet, from its zip and its folder.

use super::*;

fn id(class: usize) -> String {
    format!("n{:08}", 7 * class)
}

/// For each class a picture to train on and one to test with, both grey `class`.
fn files() -> Files {
    // The order of the classes is that of the lines.
    let ids: Vec<String> = (0..200).rev().map(id).collect();
    let boxed = |class| format!("val_{class:03}.JPEG\t{}\t0\t32\t44\t62\n", id(class));
    let annotations: String = (0..200).map(boxed).collect();
    let words = format!("{}\tgoldfish, Carassius auratus\n", id(199));
    let mut files: Files = vec![
        ("wnids.txt".into(), ids.join("\n").into_bytes()),
        ("words.txt".into(), words.into_bytes()),
        ("val/val_annotations.txt".into(), annotations.into_bytes()),
        ("test/images/test_0.JPEG".into(), dot(9)),
    ];
    for class in 0..200 {
        let (own, tone) = (id(class), class as u8);
        files.push((format!("train/{own}/{own}_boxes.txt"), b"0".to_vec()));
        files.push((format!("train/{own}/images/{own}_0.JPEG"), dot(tone)));
        files.push((format!("val/images/val_{class:03}.JPEG"), dot(tone)));
    }
    files
}

fn zipped(folder: &Folder, files: &Files) {
    let files = within("tiny-imagenet-200/", files);
    folder.write("tiny-imagenet-200.zip", &zip(&members(&files)));
}

#[test]
fn it_is_the_same_in_its_zip_and_unpacked() {
    let (packed, unpacked) = (Folder::new("tiny-zip"), Folder::new("tiny-folder"));
    zipped(&packed, &files());
    write(&unpacked, "tiny-imagenet-200/", &files());
    let source = Source::TinyImageNet;
    let zip = packed.path().join("tiny-imagenet-200.zip");
    let within = unpacked.path().join("tiny-imagenet-200");
    assert_eq!(
        source.locate(packed.path(), Part::Both).unwrap(),
        Some(Place::Archive(zip.clone()))
    );
    assert_eq!(
        source.locate(unpacked.path(), Part::Both).unwrap(),
        Some(Place::Folder(within.clone()))
    );
    let dirs: [&Path; 4] = [packed.path(), &zip, unpacked.path(), &within];
    let mut prints = Vec::new();
    for dir in dirs {
        let set = source.open(dir, None).unwrap();
        assert_eq!((set.train.len(), set.test.len()), (200, 200));
        let input = set.train.sample(0).unwrap().input;
        assert_eq!(input.shape()[..], [64, 64, 3]);
        // Class i is line i: the identifiers fall.
        let want: Vec<_> = (0..200).map(|i| (199 - i, [i as u8; 3])).collect();
        assert_eq!(samples(&set), [want.clone(), want], "{}", dir.display());
        let classes = set.train.classes();
        assert_eq!(
            (&*classes[0], &*classes[1]),
            ("goldfish, Carassius auratus", &*id(198))
        );
        assert_eq!(set.mean, [0.4803, 0.4481, 0.3975]);
        prints.push([set.train.fingerprint(), set.test.fingerprint()]);
    }
    assert!(prints.iter().all(|print| *print == prints[0]), "{prints:?}");
    let small = source.open(packed.path(), Some([2, 3])).unwrap();
    assert_eq!(small.test.sample(0).unwrap().input.shape()[..], [2, 3, 3]);
}

#[test]
fn several_threads_read_one_archive() {
    let folder = Folder::new("tiny-workers");
    zipped(&folder, &files());
    let set = Source::TinyImageNet
        .open(folder.path(), Some([1, 1]))
        .unwrap();
    let loader = Loader::new(set.train, 16).unwrap().with_workers(4);
    let mut seen = Vec::new();
    for batch in loader.epoch(&Rng::new(3), 0, 0).unwrap() {
        let batch = batch.unwrap();
        let tones = batch.inputs.to_vec::<u8>().unwrap();
        let labels = batch.targets.to_vec::<i64>().unwrap();
        for (tone, label) in tones.iter().step_by(3).zip(labels) {
            assert_eq!(199 - i64::from(*tone), label);
            seen.push(*tone);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..200).collect::<Vec<u8>>());
}

#[test]
fn what_is_wrong_is_named() {
    let said = |change: &dyn Fn(&mut Files)| {
        let folder = Folder::new("tiny-wrong");
        let mut files = files();
        change(&mut files);
        write(&folder, "", &files);
        let dir = folder.path().display().to_string();
        message(Source::TinyImageNet.open(folder.path(), None)).replace(&dir, "DIR")
    };
    assert_eq!(said(&|_| ()), "no error");
    assert_eq!(
        said(&|files| files[0].1 = b"n1 n2 n2".to_vec()),
        "DIR: wnids.txt: 2 different identifiers, expected 200"
    );
    assert_eq!(
        said(&|files| files[2].1 = b"val_0.JPEG\tn99999999\t1\n".to_vec()),
        "DIR/val/val_annotations.txt: line 1: no class of wnids.txt in `val_0.JPEG\tn99999999\t1`"
    );
    assert_eq!(
        said(&|files| files.retain(|(name, _)| name != "val/val_annotations.txt")),
        "DIR: holds no val/val_annotations.txt"
    );
    assert_eq!(
        said(&|files| files.retain(|(name, _)| name != "val/images/val_001.JPEG")),
        "DIR: Tiny ImageNet, test: holds no picture of class `n00000007`"
    );
    // The class has another picture.
    let twice = format!("val_001.JPEG\t{0}\nval_200.JPEG\t{0}\n", id(1));
    assert_eq!(
        said(&|files| files[2].1.extend_from_slice(twice.as_bytes())),
        "DIR: val/images holds 200 of the 201 annotated pictures"
    );
    let lost = format!("train/{0}/images/{0}_0.JPEG", id(198));
    assert_eq!(
        said(&|files| files.retain(|(name, _)| *name != lost)),
        format!(
            "DIR: Tiny ImageNet, training: holds no picture of class `{}`",
            id(198)
        )
    );
    assert_eq!(
        message(Source::TinyImageNet.open(".", Some([0, 4])))
            .split(';')
            .next(),
        Some(".: no Tiny ImageNet")
    );
}

#[test]
fn a_picture_that_is_broken_is_the_error_of_its_sample() {
    let mut files = files();
    let picture = format!("train/{0}/images/{0}_0.JPEG", id(1));
    let at = files.iter().position(|(name, _)| *name == picture).unwrap();
    for (bytes, what) in [
        (b"text".to_vec(), "is neither a PNG nor a JPEG picture"),
        (JPEG[..150].to_vec(), "is a JPEG that ends early"),
    ] {
        files[at].1 = bytes;
        let folder = Folder::new("tiny-torn");
        zipped(&folder, &files);
        let set = Source::TinyImageNet.open(folder.path(), None).unwrap();
        assert!(set.train.sample(0).is_ok());
        let said = message(set.train.sample(1));
        assert!(said.ends_with(&format!("{picture}: {what}")), "{said}");
    }
    files[at].1 = JPEG.to_vec();
    let folder = Folder::new("tiny-jpeg");
    zipped(&folder, &files);
    let set = Source::TinyImageNet.open(folder.path(), None).unwrap();
    assert_eq!(set.train.sample(1).unwrap().input.shape()[..], [64, 64, 3]);
}
