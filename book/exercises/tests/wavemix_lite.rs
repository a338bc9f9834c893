//! Tests of the exercises of chapter 10.

use exercises::wavemix_lite::*;
use wavemix::models::Config;
use wavemix::{DType, Rng};

/// The parameters of a WaveMixLite of this width and depth.
fn parameters(dim: usize, depth: usize) -> usize {
    let name = format!("WaveMixLite-{dim}/{depth}");
    let (_, params) = Config::parse(&name)
        .unwrap()
        .build(DType::F32, &Rng::new(0))
        .unwrap();
    params.count()
}

#[test]
fn exercise_1_a_block_more_has_the_librarys_parameters() {
    for dim in [8, 16, 64] {
        // In the library mult is 2, and ff is dim, if nothing else is said.
        let block = parameters(dim, 3) - parameters(dim, 2);
        assert_eq!(block_parameters(dim, 2, dim), block, "dim {dim}");
    }
    assert_eq!(block_parameters(16, 2, 16), 5284);
    assert_eq!(
        block_parameters(16, 2, 20) - block_parameters(16, 2, 16),
        4 * 33 + 64 * 16
    );
}

#[test]
fn exercise_2_rows_are_labels() {
    let counts = confusion(&[0, 1, 1, 2, 2, 2], &[0, 2, 1, 2, 2, 0], 3);
    assert_eq!(counts, [[1, 0, 0], [0, 1, 1], [1, 0, 2]]);
    assert_eq!(confusion(&[], &[], 2), [[0, 0], [0, 0]]);
}

#[test]
fn exercise_3_probabilities_meet_what_happened() {
    let answers = [
        (0.95, true),
        (0.85, false),
        (1.0, true),
        (0.6, true),
        (0.55, false),
    ];
    let bins = calibration(&answers, 5);
    assert_eq!(bins[..2], [None, None]);
    let (p, right) = bins[2].unwrap();
    assert!((p - 0.55).abs() < 1e-12 && right == 0.0, "{p}, {right}");
    assert_eq!(bins[3], Some((0.6, 1.0)));
    let (p, right) = bins[4].unwrap();
    assert!(
        (p - 2.8 / 3.0).abs() < 1e-12 && (right - 2.0 / 3.0).abs() < 1e-12,
        "{p}, {right}"
    );
}
