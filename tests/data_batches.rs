//! Batches: what is in them, in which order, and that nothing but seed, epoch and number decides
//! it.

#[path = "data_batches/any_data.rs"]
mod any_data;

use std::sync::Arc;
use wavemix::data::{Augment, Batch, Dataset, ImageSet, Loader, Subset};
use wavemix::{Error, Rng};

fn message<T>(result: Result<T, Error>) -> String {
    result.err().map_or("no error".into(), |e| e.to_string())
}

/// `n` images of 4 x 5 and `c` channels; byte k of image i is i + 20 k, wrapped; labels 0..10 in
/// turn.
fn set(n: usize, c: usize) -> Arc<ImageSet> {
    let pixels = (0..n)
        .flat_map(|i| (0..20 * c).map(move |k| (i + 20 * k) as u8))
        .collect();
    let classes = (0..10).map(|i| i.to_string()).collect();
    Arc::new(
        ImageSet::new(
            "test",
            [4, 5, c],
            pixels,
            (0..n).map(|i| (i % 10) as i64).collect(),
            classes,
        )
        .unwrap(),
    )
}

fn loader(n: usize, c: usize) -> Loader {
    Loader::new(set(n, c), 8)
        .unwrap()
        .normalised(&vec![0.25; c], &vec![0.5; c])
        .unwrap()
}

fn bits(batches: impl Iterator<Item = wavemix::Result<Batch>>) -> Vec<(Vec<f32>, Vec<i64>)> {
    batches
        .map(|b| b.unwrap())
        .map(|b| (b.inputs.to_vec().unwrap(), b.targets.to_vec().unwrap()))
        .collect()
}

#[test]
fn evaluation_goes_in_order_and_keeps_the_short_batch() {
    let loader = loader(20, 1).with_augment(Augment {
        flip: true,
        crop: 2,
        fill: vec![],
    });
    let batches: Vec<Batch> = loader.in_order().unwrap().map(|b| b.unwrap()).collect();
    assert_eq!(
        batches
            .iter()
            .map(|b| b.inputs.shape()[0])
            .collect::<Vec<_>>(),
        [8, 8, 4]
    );
    assert_eq!(batches[2].targets.to_vec::<i64>().unwrap(), [6, 7, 8, 9]);
    assert_eq!(batches[2].inputs.shape()[..], [4, 4, 5, 1]);
    let first = batches[0].inputs.to_vec::<f32>().unwrap();
    // Image 1 starts with the bytes 1 and 21.
    assert_eq!(
        first[20..22],
        [(1.0 / 255.0 - 0.25) / 0.5, (21.0 / 255.0 - 0.25) / 0.5]
    );
}

#[test]
fn a_last_batch_of_one_image_can_join_the_one_before() {
    let sizes = |n: usize, batch: usize, start: usize| -> Vec<usize> {
        let loader = Loader::new(set(n, 1), batch)
            .unwrap()
            .normalised(&[0.25], &[0.5])
            .unwrap()
            .joining_a_single_sample();
        let batches = loader.epoch(&Rng::new(1), 0, start).unwrap();
        assert_eq!(batches.len(), loader.batches().saturating_sub(start));
        let sizes: Vec<usize> = batches
            .map(|batch| batch.unwrap().targets.elements())
            .collect();
        if start == 0 {
            assert!(
                sizes.iter().all(|size| loader.batch_sizes().contains(size)),
                "{n} by {batch}: {sizes:?}"
            );
        }
        sizes
    };
    assert_eq!(sizes(17, 8, 0), [8, 9]);
    assert_eq!(sizes(17, 8, 1), [9]);
    assert_eq!(sizes(9, 8, 0), [9]);
    assert_eq!(sizes(3, 2, 0), [3]);
    // Nothing to join, or no need to.
    assert_eq!(sizes(18, 8, 0), [8, 8, 2]);
    assert_eq!(sizes(16, 8, 0), [8, 8]);
    assert_eq!(sizes(1, 8, 0), [1]);
    assert_eq!(sizes(3, 1, 0), [1, 1, 1]);
    // The images are those of the epoch in their order, whichever way it is cut.
    let plain = bits(loader(17, 1).epoch(&Rng::new(3), 2, 0).unwrap());
    let joined = bits(
        loader(17, 1)
            .joining_a_single_sample()
            .epoch(&Rng::new(3), 2, 0)
            .unwrap(),
    );
    let all = |batches: &[(Vec<f32>, Vec<i64>)]| {
        batches
            .iter()
            .flat_map(|(images, _)| images.clone())
            .collect::<Vec<f32>>()
    };
    assert_eq!(plain[0], joined[0]);
    assert_eq!(all(&plain), all(&joined));
    // Without being asked for it does not happen.
    assert_eq!((plain.len(), joined.len()), (3, 2));
}

#[cfg(feature = "download")]
#[test]
fn a_fingerprint_tells_sets_apart() {
    let own = set(20, 1);
    let other = |change: fn(&mut ImageSet)| {
        let mut set = (*own).clone();
        change(&mut set);
        set.fingerprint()
    };
    assert_eq!(own.fingerprint(), other(|_| ()));
    let changes: [fn(&mut ImageSet); 6] = [
        |set| set.name = "another".into(),
        |set| set.size = [5, 4, 1],
        |set| set.labels.swap(3, 4),
        |set| set.pixels[399] += 1,
        |set| set.classes[7] = "seven".into(),
        |set| *set = set.subset(&(0..19).collect::<Vec<_>>()).unwrap(),
    ];
    for (i, change) in changes.into_iter().enumerate() {
        assert_ne!(own.fingerprint(), other(change), "change {i}");
    }
    assert!(
        own.fingerprint()
            .starts_with("test: 20 images of 4x5x1, 10 classes, labels "),
        "{}",
        own.fingerprint()
    );
    // Of a large set a sample of the pixels counts, from its first image to its last; all labels
    // do.
    let classes = vec!["0".to_owned(), "1".to_owned()];
    let large = ImageSet::new(
        "large",
        [64, 64, 3],
        vec![1; 12288 * 1000],
        vec![0; 1000],
        classes,
    )
    .unwrap();
    let of = |change: fn(&mut ImageSet)| {
        let mut set = large.clone();
        change(&mut set);
        set.fingerprint()
    };
    assert_ne!(large.fingerprint(), of(|set| set.labels[500] = 1));
    assert_ne!(large.fingerprint(), of(|set| set.pixels[..1000].fill(2)));
    assert_ne!(
        large.fingerprint(),
        of(|set| set.pixels[12288 * 999..][..1000].fill(2))
    );
}

/// The elements of the first batch.
fn pixels(loader: &Loader) -> Vec<f32> {
    let batch = loader.in_order().unwrap().next().unwrap().unwrap();
    batch.inputs.to_vec().unwrap()
}

#[test]
fn each_channel_has_its_constants() {
    let loader = Loader::new(set(1, 3), 1)
        .unwrap()
        .normalised(&[0.0, 0.5, 0.25], &[1.0, 0.5, 2.0])
        .unwrap();
    let values = pixels(&loader);
    assert_eq!(
        values[..3],
        [0.0, (20.0 / 255.0 - 0.5) / 0.5, (40.0 / 255.0 - 0.25) / 2.0]
    );
}

#[test]
fn grey_is_repeated_over_channels() {
    let loader = loader(3, 1).with_channels(3).unwrap();
    assert_eq!(loader.input_shape()[..], [4, 5, 3]);
    let batch = loader.in_order().unwrap().next().unwrap().unwrap();
    assert_eq!(batch.inputs.shape()[..], [3, 4, 5, 3]);
    let values = batch.inputs.to_vec::<f32>().unwrap();
    let grey = pixels(&self::loader(3, 1));
    assert!(values.chunks(3).zip(&grey).all(|(rgb, v)| rgb == [*v; 3]));
}

#[test]
fn an_epoch_shows_every_image_once_in_an_order_of_its_own() {
    let labels = |epoch| -> Vec<i64> {
        bits(loader(100, 1).epoch(&Rng::new(3), epoch, 0).unwrap())
            .into_iter()
            .flat_map(|b| b.1)
            .collect()
    };
    let (a, b) = (labels(0), labels(1));
    assert_ne!(a, b);
    assert_eq!(a, labels(0));
    for mut labels in [a, b] {
        labels.sort_unstable();
        assert_eq!(labels, (0..100).map(|i| i / 10).collect::<Vec<i64>>());
    }
}

#[test]
fn an_interrupted_epoch_goes_on_with_the_same_batches() {
    let loader = loader(50, 3).with_augment(Augment {
        flip: true,
        crop: 1,
        fill: vec![9, 8, 7],
    });
    let whole = bits(loader.epoch(&Rng::new(1), 4, 0).unwrap());
    let rest = loader.epoch(&Rng::new(1), 4, 3).unwrap();
    assert_eq!((rest.len(), loader.batches()), (4, 7));
    assert_eq!(bits(rest), whole[3..]);
    assert_eq!(loader.epoch(&Rng::new(1), 4, 9).unwrap().count(), 0);
}

#[test]
fn augmentation_of_an_image_does_not_depend_on_its_batch() {
    let augment = Augment {
        flip: true,
        crop: 2,
        fill: vec![],
    };
    let images = |batch_size| -> Vec<f32> {
        let loader = Loader::new(set(40, 1), batch_size)
            .unwrap()
            .normalised(&[0.0], &[1.0])
            .unwrap()
            .with_augment(augment.clone());
        bits(loader.epoch(&Rng::new(6), 2, 0).unwrap())
            .into_iter()
            .flat_map(|b| b.0)
            .collect()
    };
    assert_eq!(images(7), images(40));
    let (first, second) = (Rng::new(6).child(2).child(0), Rng::new(6).child(3).child(0));
    assert_ne!(first.block(0), second.block(0));
}

#[test]
fn dropped_early_it_stops() {
    let loader = loader(10_000, 1);
    for taken in [0, 1, 5] {
        let mut batches = loader.epoch(&Rng::new(0), 0, 0).unwrap();
        assert_eq!(batches.by_ref().take(taken).count(), taken);
        assert_eq!(batches.len(), 1250 - taken);
        // Dropping waits for the thread: were it still making batches for no one, this would hang.
        drop(batches);
    }
}

#[test]
fn wrong_settings_are_named() {
    let make = |n, batch, mean: &[f32], std: &[f32]| {
        message(Loader::new(set(n, 1), batch).and_then(|l| l.normalised(mean, std)))
    };
    assert_eq!(
        make(0, 1, &[0.0], &[1.0]),
        "test: no samples to make batches of"
    );
    assert_eq!(
        make(1, 0, &[0.0], &[1.0]),
        "a batch needs at least one sample"
    );
    assert_eq!(
        make(1, 1, &[0.0, 0.0], &[1.0]),
        "test: 2 means and 1 deviations for 1 channels"
    );
    assert_eq!(
        make(1, 1, &[0.0], &[0.0]),
        "test: a standard deviation must be above 0, got 0"
    );
    assert_eq!(
        make(1, 1, &[0.0], &[f32::NAN]),
        "test: a standard deviation must be above 0, got NaN"
    );
    assert_eq!(
        message(loader(1, 3).with_channels(1)),
        "test: 3 channels cannot be made 1"
    );
    assert_eq!(
        message(loader(1, 1).with_channels(0)),
        "test: 1 channels cannot be made 0"
    );
}

/// What becomes of a 3 x 3 image of two channels, 1..=9 and 11..=19, under many seeds.
fn outcomes(augment: &Augment) -> Vec<[u8; 18]> {
    let image: Vec<u8> = (1..=9).flat_map(|v| [v, v + 10]).collect();
    let draw = |i| {
        let mut out = [0; 18];
        augment
            .apply(&image, [3, 3, 2], &Rng::new(5).child(i), &mut out)
            .unwrap();
        out
    };
    (0..2000).map(draw).collect()
}

#[test]
fn a_flip_mirrors_about_half_of_the_images() {
    let plain: Vec<u8> = (1..=9).flat_map(|v| [v, v + 10]).collect();
    let mirrored: Vec<u8> = [3, 2, 1, 6, 5, 4, 9, 8, 7]
        .into_iter()
        .flat_map(|v| [v, v + 10])
        .collect();
    let outcomes = outcomes(&Augment {
        flip: true,
        ..Augment::default()
    });
    let flipped = outcomes.iter().filter(|o| o[..] == mirrored).count();
    assert_eq!(
        flipped + outcomes.iter().filter(|o| o[..] == plain).count(),
        2000
    );
    // Four standard deviations of 2000 coins are 90.
    assert!((910..=1090).contains(&flipped), "{flipped}");
}

#[test]
fn a_crop_moves_by_up_to_its_padding_and_fills_with_its_values() {
    let outcomes = outcomes(&Augment {
        crop: 1,
        fill: vec![100, 200],
        ..Augment::default()
    });
    let mut seen = std::collections::BTreeMap::new();
    for out in outcomes {
        *seen.entry(out).or_insert(0) += 1;
    }
    // One outcome for each of 3 x 3 offsets, about 222 times each; five standard deviations are 70.
    assert_eq!(seen.len(), 9);
    assert!(
        seen.values().all(|n| (152..=292).contains(n)),
        "{:?}",
        seen.values()
    );
    // Moved down and right by one: the first row and column are filled.
    let moved = [
        100, 200, 100, 200, 100, 200, 100, 200, 1, 11, 2, 12, 100, 200, 4, 14, 5, 15,
    ];
    assert!(seen.contains_key(&moved));
}

#[test]
fn augment_names_a_slice_of_the_wrong_size() {
    let said = message(Augment::default().apply(&[0; 8], [3, 3, 1], &Rng::new(0), &mut [0; 9]));
    assert!(
        said.starts_with("augment: image expects 3 x 3 x 1 bytes, got 8 (data_batches.rs:"),
        "{said}"
    );
    let said = message(Augment::default().apply(&[0; 9], [3, 3, 1], &Rng::new(0), &mut [0; 8]));
    assert!(
        said.starts_with("augment: out expects 3 x 3 x 1 bytes, got 8 (data_batches.rs:"),
        "{said}"
    );
}

#[test]
fn channels_that_nothing_can_hold_are_an_error() {
    let set = || {
        Arc::new(
            ImageSet::new(
                "dots",
                [1, 1, 1],
                vec![0, 255],
                vec![0, 1],
                vec!["a".into(), "b".into()],
            )
            .unwrap(),
        )
    };
    let loader = || {
        Loader::new(set(), 2)
            .unwrap()
            .normalised(&[0.5], &[0.5])
            .unwrap()
    };
    for channels in [usize::MAX, 1 << 40, (1 << 16) + 1] {
        let said = message(loader().with_channels(channels));
        assert_eq!(
            said,
            format!("dots: at most 65536 channels are made of one, not {channels}")
        );
    }
    let wide = loader().with_channels(1 << 16).unwrap();
    let batch = wide.in_order().unwrap().next().unwrap().unwrap();
    assert_eq!(batch.inputs.shape()[..], [2, 1, 1, 1 << 16]);
    let values = batch.inputs.to_vec::<f32>().unwrap();
    assert!(
        values[..1 << 16].iter().all(|&v| v == -1.0) && values[1 << 16..].iter().all(|&v| v == 1.0)
    );
    let changed = ImageSet {
        labels: vec![0; 3],
        ..(*set()).clone()
    };
    let expected = "dots: 3 labels of 1x1x1 images need 3 pixel bytes, got 2";
    assert_eq!(message(Loader::new(changed.clone(), 2)), expected);
    // Nor as a part of it.
    let part = Subset::new(Arc::new(changed), vec![2]).unwrap();
    assert_eq!(message(Loader::new(part, 2)), expected);
}

#[test]
fn a_crop_beyond_any_image_leaves_its_fill() {
    let augment = Augment {
        crop: usize::MAX,
        fill: vec![9],
        ..Augment::default()
    };
    let mut out = [0; 4];
    augment
        .apply(&[1, 2, 3, 4], [2, 2, 1], &Rng::new(0), &mut out)
        .unwrap();
    assert_eq!(out, [9; 4]);
    let said = message(augment.apply(&[], [1 << 32, 1 << 32, 1], &Rng::new(0), &mut out));
    assert!(
        said.starts_with("augment: image expects 4294967296 x 4294967296 x 1 bytes, got 0"),
        "{said}"
    );
}
