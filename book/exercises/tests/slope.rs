//! Tests of the exercises of chapter 2.

use exercises::slope::*;

#[test]
fn exercise_1_slopes_of_the_absolute_error_are_those_that_differences_see() {
    let points = [(0.0, 1.0), (1.0, 2.5), (2.0, 2.0), (3.5, -4.0)];
    let loss = |a: f64, b: f64| {
        points
            .iter()
            .map(|(x, y)| (a * x + b - y).abs())
            .sum::<f64>()
            / 4.0
    };
    for (a, b) in [(0.3, 0.2), (-1.0, 4.0), (2.0, 0.1)] {
        let (da, db) = absolute_slopes(&points, a, b);
        // The loss is straight within the step, so that only rounding is left: eps / h.
        let h = 1e-6;
        let seen = (
            (loss(a + h, b) - loss(a - h, b)) / (2.0 * h),
            (loss(a, b + h) - loss(a, b - h)) / (2.0 * h),
        );
        assert!((da - seen.0).abs() < 1e-8, "by a: {da}, seen {}", seen.0);
        assert!((db - seen.1).abs() < 1e-8, "by b: {db}, seen {}", seen.1);
    }
    assert_eq!(absolute_slopes(&[(2.0, 5.0)], 2.0, 1.0), (0.0, 0.0));
}

/// How far gradient descent is from the minimum after 2000 steps, having begun at 1 everywhere.
fn distance(curvatures: &[f64], rate: f64) -> f64 {
    let mut w = vec![1.0; curvatures.len()];
    for _ in 0..2000 {
        w.iter_mut()
            .zip(curvatures)
            .for_each(|(w, c)| *w -= rate * c * *w);
    }
    w.iter().map(|w| w.abs()).fold(0.0, f64::max)
}

#[test]
fn exercise_2_just_below_the_rate_it_converges_and_just_above_it_diverges() {
    for curvatures in [vec![1.0], vec![0.5, 3.0, 7.6], vec![40.0, 1.0]] {
        let rate = largest_rate(&curvatures);
        assert!(
            distance(&curvatures, 0.99 * rate) < 1e-6,
            "{curvatures:?} below {rate}"
        );
        assert!(
            distance(&curvatures, 1.01 * rate) > 1e6,
            "{curvatures:?} above {rate}"
        );
    }
}

#[test]
fn exercise_3_the_line_is_the_same_line() {
    let ((a, b), mean, spread) = ((2.0, -3.0), 20.0, 4.0);
    let (big_a, big_b) = unscale((a, b), mean, spread);
    for x in [0.0, 12.0, 20.0, 31.0] {
        let (scaled, plain) = (a * (x - mean) / spread + b, big_a * x + big_b);
        assert!((scaled - plain).abs() < 1e-12, "at {x}: {scaled}, {plain}");
    }
}
