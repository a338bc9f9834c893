//! Cityscapes: images with a map of classes.

use super::*;
use wavemix::data::Augment;

/// A grey or coloured PNG.
fn png(size: [u32; 2], color: png::ColorType, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, size[1], size[0]);
    encoder.set_color(color);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(bytes).unwrap();
    drop(writer);
    out
}

fn map(ids: &[u8; 8]) -> Vec<u8> {
    png([2, 4], png::ColorType::Grayscale, ids)
}

/// Images of two rows and four columns in one tone, and their maps of ids.
fn scenes() -> [Files; 2] {
    let scene = |part: &str, city: &str, i: u8, ids: [u8; 8]| {
        let stem = format!("{part}/{city}/{city}_000000_{i:06}");
        let image = png([2, 4], png::ColorType::Rgb, &[i; 24]);
        [
            (format!("{stem}_leftImg8bit.png"), image),
            (format!("{stem}_gtFine_labelIds.png"), map(&ids)),
        ]
    };
    let scenes = [
        scene("val", "lindau", 3, [7, 8, 11, 12, 13, 17, 19, 20]),
        scene("train", "aachen", 1, [21, 22, 23, 24, 25, 26, 27, 28]),
        scene("train", "ulm", 2, [31, 32, 33, 0, 1, 29, 34, 255]),
        scene("test", "berlin", 9, [1; 8]),
    ];
    let (images, mut maps): (Files, Files) = scenes.into_iter().map(|[i, m]| (i, m)).unzip();
    maps.push((
        "train/aachen/aachen_000000_000001_gtFine_color.png".into(),
        dot(1),
    ));
    [images, maps]
}

/// Tone and targets of each sample.
fn targets(part: &dyn wavemix::data::Dataset) -> Vec<(u8, Vec<i64>)> {
    let sample = |i| {
        let sample = part.sample(i).unwrap();
        let tone = sample.input.to_vec::<u8>().unwrap()[0];
        (tone, sample.target.to_vec::<i64>().unwrap())
    };
    (0..part.len()).map(sample).collect()
}

#[test]
fn cityscapes_has_a_class_for_each_pixel() {
    let [images, maps] = scenes();
    let (packed, unpacked) = (
        Folder::new("cityscapes-zip"),
        Folder::new("cityscapes-folder"),
    );
    for (name, files) in [("leftImg8bit", &images), ("gtFine", &maps)] {
        let archived = within(&format!("{name}/"), files);
        packed.write(
            &format!("{name}_trainvaltest.zip"),
            &zip(&members(&archived)),
        );
        write(&unpacked, &format!("{name}/"), files);
    }
    for folder in [&packed, &unpacked] {
        let set = Source::Cityscapes
            .open(folder.path(), Some([2, 4]))
            .unwrap();
        assert_eq!(
            targets(&*set.train),
            [
                (1, (8..16).collect()),
                (2, vec![16, 17, 18, 255, 255, 255, 255, 255])
            ]
        );
        assert_eq!(targets(&*set.test), [(3, (0..8).collect())]);
        let sample = set.train.sample(0).unwrap();
        assert_eq!(
            (&sample.input.shape()[..], &sample.target.shape()[..]),
            (&[2, 4, 3][..], &[2, 4][..])
        );
        assert_eq!(
            (set.train.classes().len(), &*set.train.classes()[18]),
            (19, "bicycle")
        );
    }
    // What tells a run that goes on whether its data are the same: the images' names and size.
    let print = |size| {
        let set = Source::Cityscapes.open(unpacked.path(), size).unwrap();
        [set.train.fingerprint(), set.test.fingerprint()]
    };
    let before = print(Some([2, 4]));
    assert_ne!(print(None)[0], before[0]);
    for (kind, part) in [
        ("leftImg8bit", "leftImg8bit"),
        ("gtFine", "gtFine_labelIds"),
    ] {
        let ulm = unpacked.path().join(format!("{kind}/train/ulm"));
        let named = |i: u8| ulm.join(format!("ulm_000000_00000{i}_{part}.png"));
        std::fs::rename(named(2), named(5)).unwrap();
    }
    let after = print(Some([2, 4]));
    assert_ne!(after[0], before[0]);
    assert_eq!(after[1], before[1]);
    // And the content of images and of maps, under the same names.
    let mut seen = vec![after[0].clone()];
    for (kind, part) in [
        ("leftImg8bit", "leftImg8bit"),
        ("gtFine", "gtFine_labelIds"),
    ] {
        let of = |city: &str, i: u8| {
            let file = format!("{kind}/train/{city}/{city}_000000_00000{i}_{part}.png");
            unpacked.path().join(file)
        };
        std::fs::copy(of("aachen", 1), of("ulm", 5)).unwrap();
        let [now, _] = print(Some([2, 4]));
        assert!(!seen.contains(&now), "{kind}");
        seen.push(now);
    }
    // Maps take the nearest pixel: never a class between two.
    let set = Source::Cityscapes
        .open(packed.path(), Some([1, 2]))
        .unwrap();
    assert_eq!(targets(&*set.train)[0], (1, vec![13, 15]));
    let whole = Source::Cityscapes.open(packed.path(), None).unwrap();
    assert_eq!(
        whole.train.sample(0).unwrap().target.shape()[..],
        [256, 512]
    );
    // A loader changes image and map alike.
    let mirrored = Augment {
        flip: true,
        ..Augment::default()
    };
    let set = Source::Cityscapes
        .open(packed.path(), Some([2, 4]))
        .unwrap();
    let (_, loader) = set.loaders(1).unwrap();
    let loader = loader.with_augment(mirrored);
    let mut seen = std::collections::BTreeSet::new();
    for epoch in 0..20 {
        for batch in loader.epoch(&Rng::new(0), epoch, 0).unwrap() {
            seen.insert(batch.unwrap().targets.to_vec::<i64>().unwrap());
        }
    }
    let seen: Vec<Vec<i64>> = seen.into_iter().collect();
    assert_eq!(
        seen,
        [vec![0, 1, 2, 3, 4, 5, 6, 7], vec![3, 2, 1, 0, 7, 6, 5, 4]]
    );
}

#[test]
fn cityscapes_that_is_not_whole_is_named() {
    let [images, maps] = scenes();
    let folder = Folder::new("cityscapes-wrong");
    write(&folder, "leftImg8bit/", &images);
    let dir = folder.path().display().to_string();
    let open = || Source::Cityscapes.open(folder.path(), Some([2, 4]));
    assert_eq!(
        message(open()),
        format!("{dir}: Cityscapes is not whole: gtFine/train or gtFine_trainvaltest.zip missing")
    );
    write(&folder, "gtFine/", &maps[1..].to_vec());
    let lost = "val/lindau/lindau_000000_000003";
    assert_eq!(
        message(open()),
        format!(
            "{dir}/gtFine: holds no {lost}_gtFine_labelIds.png, the map of {dir}/leftImg8bit/{lost}_leftImg8bit.png"
        )
    );
    write(&folder, "gtFine/", &maps);
    let name = format!("gtFine/{lost}_gtFine_labelIds.png");
    for (bytes, size) in [
        (png([1, 4], png::ColorType::Grayscale, &[7; 4]), "1x4x1"),
        (png([2, 4], png::ColorType::Rgb, &[7; 24]), "2x4x3"),
    ] {
        folder.write(&name, &bytes);
        assert_eq!(
            message(open().unwrap().test.sample(0)),
            format!(
                "{dir}/{name}: is {size}, not one id for each of 2x4 pixels of \
                 {dir}/leftImg8bit/{lost}_leftImg8bit.png"
            )
        );
    }
    let said = message(Source::Cityscapes.open(folder.path(), Some([2, 0])));
    assert_eq!(said, "pictures need rows and columns, not 2 x 0");
    let said = message(Source::Cityscapes.open(folder.path(), Some([1 << 40, 4])));
    let expected = "pictures have at most 67108864 pixels, not 1099511627776 x 4";
    assert_eq!(said, expected);
}
