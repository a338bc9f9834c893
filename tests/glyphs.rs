//! The built-in set: balanced, repeatable, varied, inside its frame, and written by other people
//! for testing.

mod helpers;

use std::collections::{HashMap, HashSet};

use helpers::on_threads;
use wavemix::data::glyphs::{self, Classes, Framing, Settings, Writers};

#[test]
fn one_and_two_threads_write_the_same_bytes() {
    let write = |threads| {
        on_threads(threads, || {
            glyphs::generate(&Settings::default(), Writers::Train, 6).unwrap()
        })
    };
    assert_eq!(write(1), write(2));
}

#[test]
fn another_seed_is_another_set() {
    let other = Settings {
        seed: 1,
        ..Settings::default()
    };
    let (a, b) = (
        glyphs::generate(&Settings::default(), Writers::Train, 2),
        glyphs::generate(&other, Writers::Train, 2),
    );
    assert_ne!(a.unwrap().pixels, b.unwrap().pixels);
}

#[test]
fn a_larger_set_begins_with_the_smaller() {
    let small = glyphs::generate(&Settings::default(), Writers::Test, 3).unwrap();
    let large = glyphs::generate(&Settings::default(), Writers::Test, 5).unwrap();
    assert_eq!(small.pixels, large.pixels[..small.pixels.len()]);
}

#[test]
fn nobody_writes_for_both_parts() {
    let settings = Settings::default();
    let writers = |part| {
        (0..3000)
            .map(|round| settings.writer(part, round))
            .collect::<HashSet<_>>()
    };
    let (train, test) = (writers(Writers::Train), writers(Writers::Test));
    assert!(
        train.len() >= 1000 && test.len() >= 1000,
        "{} and {} hands",
        train.len(),
        test.len()
    );
    assert!(train.is_disjoint(&test));
}

#[test]
fn classes_are_balanced_and_named_as_in_emnist() {
    let set = glyphs::generate(&Settings::default(), Writers::Test, 5).unwrap();
    assert_eq!(
        set.classes.concat(),
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"
    );
    let mut counts = HashMap::new();
    set.labels
        .iter()
        .for_each(|label| *counts.entry(*label).or_insert(0) += 1);
    assert_eq!(counts.len(), 47);
    assert!(counts.values().all(|&count| count == 5), "{counts:?}");
    let digits = Settings {
        classes: Classes::Digits,
        ..Settings::default()
    };
    assert_eq!(
        glyphs::generate(&digits, Writers::Test, 1)
            .unwrap()
            .classes
            .concat(),
        "0123456789"
    );
}

#[test]
fn every_glyph_has_ink_inside_its_frame() {
    for framing in [Framing::Emnist, Framing::Mnist] {
        let set = glyphs::generate(
            &Settings {
                framing,
                ..Settings::default()
            },
            Writers::Train,
            60,
        )
        .unwrap();
        for i in 0..set.len() {
            let (image, name) = (set.image(i), &set.classes[set.labels[i] as usize]);
            let ink = image.iter().filter(|&&p| p > 100).count();
            assert!(
                (10..500).contains(&ink),
                "image {i}, a {name}, has {ink} pixels of ink"
            );
            let edge = (0..28)
                .flat_map(|k| {
                    [
                        image[k],
                        image[27 * 28 + k],
                        image[k * 28],
                        image[k * 28 + 27],
                    ]
                })
                .max();
            assert!(
                edge < Some(100),
                "image {i}, a {name}, runs over the edge: {edge:?}"
            );
        }
    }
}

#[test]
fn mean_and_deviation_are_as_stated() {
    for classes in [Classes::Balanced, Classes::Digits] {
        for framing in [Framing::Emnist, Framing::Mnist] {
            let settings = Settings {
                classes,
                framing,
                seed: 0,
            };
            let pixels = glyphs::generate(&settings, Writers::Train, 400)
                .unwrap()
                .pixels;
            let values = || pixels.iter().map(|&p| f64::from(p) / 255.0);
            let mean = values().sum::<f64>() / pixels.len() as f64;
            let std =
                (values().map(|v| (v - mean).powi(2)).sum::<f64>() / pixels.len() as f64).sqrt();
            let (stated_mean, stated_std) = settings.mean_std();
            assert!(
                (mean - f64::from(stated_mean)).abs() < 0.006,
                "{settings:?}: mean {mean}, stated {stated_mean}"
            );
            assert!(
                (std - f64::from(stated_std)).abs() < 0.006,
                "{settings:?}: deviation {std}, stated {stated_std}"
            );
        }
    }
}

#[test]
fn no_two_glyphs_are_equal_and_every_class_varies() {
    let set = glyphs::generate(&Settings::default(), Writers::Train, 100).unwrap();
    let different: HashSet<&[u8]> = (0..set.len()).map(|i| set.image(i)).collect();
    assert_eq!(different.len(), set.len());
    for (class, name) in set.classes.iter().enumerate() {
        let images: Vec<&[u8]> = (0..set.len())
            .filter(|&i| set.labels[i] as usize == class)
            .map(|i| set.image(i))
            .collect();
        let variance: f64 = (0..28 * 28)
            .map(|k| {
                let mean = images
                    .iter()
                    .map(|image| f64::from(image[k]) / 255.0)
                    .sum::<f64>()
                    / images.len() as f64;
                images
                    .iter()
                    .map(|image| (f64::from(image[k]) / 255.0 - mean).powi(2))
                    .sum::<f64>()
                    / images.len() as f64
            })
            .sum();
        // Stored MNIST digits have 22 (the 1) to 60 (the 2).
        assert!(
            variance > 20.0,
            "class {name} has a total variance of {variance}"
        );
    }
}

#[test]
fn a_page_shows_one_writer_a_row() {
    let settings = Settings {
        classes: Classes::Digits,
        ..Settings::default()
    };
    let (width, height, pixels) = glyphs::page(&settings, Writers::Test, 3).unwrap();
    assert_eq!((width, height, pixels.len()), (280, 84, 280 * 84));
    let set = glyphs::generate(&settings, Writers::Test, 6).unwrap();
    let second_one: Vec<u8> = (28..56)
        .flat_map(|y| pixels[y * 280 + 28..y * 280 + 56].to_vec())
        .collect();
    assert_eq!(
        second_one,
        set.image(
            (1..6)
                .map(|round| round * 10 + 1)
                .find(|&i| set.image(i) == second_one)
                .unwrap()
        )
    );
}

#[test]
fn an_empty_set_is_refused() {
    let refusal = glyphs::generate(&Settings::default(), Writers::Train, 0).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the built-in set needs at least 1 glyph per class, got 0"
    );
    // 47 classes of 784 bytes an image, times 2^60, wrap to 2^64 / 4; two images a row of a page.
    for (count, rows) in [(1 << 60, 1 << 59), (usize::MAX, (1 << 63) + 1)] {
        let refusal = glyphs::generate(&Settings::default(), Writers::Train, count).unwrap_err();
        let expected = format!("{count} glyphs per class do not fit in memory");
        assert_eq!(refusal.to_string(), expected);
        let refusal = glyphs::page(&Settings::default(), Writers::Train, rows).unwrap_err();
        assert_eq!(refusal.to_string(), expected);
    }
}
