//! Data sets in memory: checks, splits, statistics.

use super::*;

#[test]
fn names_parse_and_unknown_ones_list_the_choices() {
    for source in Source::all() {
        assert_eq!(source.to_string().parse::<Source>().unwrap(), source);
    }
    assert_eq!(
        message("emnist".parse::<Source>()),
        "unknown data set `emnist`; choose one of emnist-balanced, emnist-byclass, emnist-bymerge, emnist-letters, \
         emnist-digits, emnist-mnist, mnist, fashion-mnist, cifar-10, cifar-100, stl-10, svhn, svhn-without-extra, tiny-imagenet, imagenet-64x64, caltech-256, places365-small, inaturalist-2021-mini, cityscapes"
    );
    assert_eq!(
        message("fair".parse::<Split>()),
        "unknown EMNIST split `fair`; choose one of balanced, byclass, bymerge, letters, digits, mnist"
    );
}

/// `n` one-pixel images, labels 0..3 in turn.
fn dots(n: u8) -> ImageSet {
    let classes = ["a", "b", "c"].map(String::from).to_vec();
    ImageSet::new(
        "dots",
        [1, 1, 1],
        (0..n).collect(),
        (0..n).map(|i| i64::from(i % 3)).collect(),
        classes,
    )
    .unwrap()
}

#[test]
fn data_sets_are_checked() {
    let make = |pixels, labels| {
        message(ImageSet::new(
            "x",
            [2, 1, 1],
            pixels,
            labels,
            vec!["a".into(), "b".into()],
        ))
    };
    assert_eq!(
        make(vec![0; 3], vec![0, 1]),
        "x: 2 labels of 2x1x1 images need 4 pixel bytes, got 3"
    );
    assert_eq!(
        make(vec![0; 4], vec![0, 2]),
        "x: label 2 of image 1 is not in 0..2"
    );
    // 2^62 bytes an image, times 4 labels, are 2^64.
    let labels = vec![0; 4];
    let wrapped = ImageSet::new("x", [1 << 31, 1 << 31, 1], vec![], labels, vec!["a".into()]);
    assert_eq!(
        message(wrapped),
        "x: 4 labels of 2147483648x2147483648x1 images need more pixel bytes, got 0"
    );
    assert_eq!(
        message(dots(3).subset(&[2, 3])),
        "dots: there is no image 3, but 3 of them"
    );
    assert_eq!(dots(3).subset(&[2, 0]).unwrap().pixels, [2, 0]);
    let changed = ImageSet {
        pixels: vec![0; 2],
        ..dots(3)
    };
    assert_eq!(
        message(changed.subset(&[0])),
        "dots: 3 labels of 1x1x1 images need 3 pixel bytes, got 2"
    );
    let pair = |mean: &[f32]| message(TrainTest::new(dots(3), dots(3), mean.to_vec(), vec![1.0]));
    assert_eq!(pair(&[0.5]), "no error");
    assert_eq!(pair(&[]), "dots: 0 means and 1 deviations for 1 channels");
}

#[test]
fn a_stratified_split_takes_its_share_of_every_class() {
    let set = dots(90);
    let (first, second) = set.split_stratified(0.1, &mut Rng::new(4));
    assert_eq!((first.len(), second.len()), (81, 9));
    assert_eq!(
        [0, 1, 2].map(|class| second.labels.iter().filter(|&&l| l == class).count()),
        [3, 3, 3]
    );
    let mut all = [first.pixels, second.pixels.clone()].concat();
    all.sort_unstable();
    assert_eq!(all, set.pixels);
    assert_ne!(
        second.pixels,
        set.split_stratified(0.1, &mut Rng::new(5)).1.pixels
    );
}

#[test]
fn statistics_are_those_of_each_channel() {
    let set = ImageSet::new(
        "x",
        [1, 2, 2],
        vec![0, 255, 0, 0],
        vec![0],
        vec!["a".into()],
    )
    .unwrap();
    assert_eq!(set.statistics(), (vec![0.0, 0.5], vec![0.0, 0.5]));
}

#[test]
fn a_picture_with_other_than_its_pixels_is_an_error() {
    let picture = |size, pixels: usize| Picture {
        name: "p".into(),
        size,
        pixels: vec![7; pixels],
    };
    let made = |picture: &Picture, size| message(picture.to_tensor(size, 1, &[0.0], &[1.0]));
    assert_eq!(
        made(&picture([2, 2, 1], 3), [2, 2]),
        "p: 3 bytes are no picture of 2x2x1"
    );
    assert_eq!(
        made(&picture([0, 2, 1], 0), [2, 2]),
        "p: 0 bytes are no picture of 0x2x1"
    );
    assert!(
        made(&picture([1 << 32, 1 << 32, 1], 0), [2, 2])
            .starts_with("p: 0 bytes are no picture of 4294967296x")
    );
    assert!(
        made(&picture([2, 2, 1], 4), [1 << 40, 1 << 40])
            .starts_with("to_tensor: result expects a shape that fits in memory")
    );
    let grown = picture([2, 2, 1], 4)
        .to_tensor([3, 3], 1, &[0.0], &[1.0])
        .unwrap();
    assert_eq!(grown.to_vec::<f32>().unwrap(), [7.0 / 255.0; 9]);
}
