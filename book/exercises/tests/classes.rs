//! Tests of the exercises of chapter 5.

use exercises::classes::*;

#[test]
fn exercise_1_softmax_gives_probabilities_for_logits_of_any_size() {
    let p = softmax(&[0.0, 2f64.ln(), 5f64.ln()]);
    for (p, want) in p.iter().zip([1.0 / 8.0, 2.0 / 8.0, 5.0 / 8.0]) {
        assert!((p - want).abs() < 1e-15, "{p}, expected {want}");
    }
    assert_eq!(softmax(&[1000.0, 0.0]), [1.0, 0.0]);
    assert_eq!(softmax(&[-1000.0, -1000.0]), [0.5, 0.5]);
    let shifted = softmax(&[700.0, 701.0, 699.0]);
    for (a, b) in shifted.iter().zip(softmax(&[0.0, 1.0, -1.0])) {
        assert!((a - b).abs() < 1e-15, "{a}, {b}");
    }
}

#[test]
fn exercise_2_the_loss_has_the_slopes_that_differences_see() {
    let logits = [0.3, -1.2, 2.0, 0.7];
    for label in 0..4 {
        let (loss, slopes) = cross_entropy(&logits, label);
        assert!((loss + softmax(&logits)[label].ln()).abs() < 1e-14);
        for (i, slope) in slopes.iter().enumerate() {
            let moved = |h: f64| {
                let mut logits = logits;
                logits[i] += h;
                cross_entropy(&logits, label).0
            };
            let seen = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!(
                (slope - seen).abs() < 1e-9,
                "logit {i}: {slope}, seen {seen}"
            );
        }
    }
}

#[test]
fn exercise_2_a_hopeless_logit_has_a_finite_loss() {
    let (loss, slopes) = cross_entropy(&[0.0, 2000.0], 0);
    assert_eq!(loss, 2000.0);
    assert_eq!(slopes, [-1.0, 1.0]);
}

#[test]
fn exercise_3_training_ends_when_nothing_gets_better() {
    let losses = [0.9, 0.7, 0.6, 0.65, 0.61, 0.59, 0.7, 0.8, 0.9, 0.1];
    assert_eq!(early_stop(&losses, 3), (5, 8));
    // Epoch 3 and 4 are not better than epoch 2.
    assert_eq!(early_stop(&losses, 2), (2, 4));
    assert_eq!(early_stop(&losses, 100), (9, 9));
    // Equal is not below.
    assert_eq!(early_stop(&[0.5, 0.5, 0.5], 2), (0, 2));
}
