//! Tests of the exercises of chapter 3.

use exercises::chain_rule::*;

#[test]
fn exercise_1_a_quotient_has_the_slopes_that_differences_see() {
    for (a, b) in [(3.0, 2.0), (-1.5, 0.7), (0.0, -4.0)] {
        let (value, [by_a, by_b]) = divide(a, b);
        assert_eq!(value, a / b);
        // The error of the central difference is about h^2, and rounding adds eps / h.
        let h = 1e-5;
        let seen_a = ((a + h) / b - (a - h) / b) / (2.0 * h);
        let seen_b = (a / (b + h) - a / (b - h)) / (2.0 * h);
        assert!((by_a - seen_a).abs() < 1e-8, "by a: {by_a}, seen {seen_a}");
        assert!((by_b - seen_b).abs() < 1e-8, "by b: {by_b}, seen {seen_b}");
    }
}

#[test]
fn exercise_2_slopes_are_multiplied_along_paths_and_added_over_them() {
    // 0: x = 3. 1: y = x x, with slopes 3 and 3. 2: z = y - x. dz/dx = 3 + 3 - 1.
    let tape = [vec![], vec![(0, 3.0), (0, 3.0)], vec![(1, 1.0), (0, -1.0)]];
    assert_eq!(backward(&tape), [5.0, 1.0, 1.0]);
    // Number 1 is no part of what number 2 was computed from.
    let tape = [vec![], vec![(0, 7.0)], vec![(0, 2.0)]];
    assert_eq!(backward(&tape), [2.0, 0.0, 1.0]);
    assert!(backward(&[]).is_empty());
}

#[test]
fn exercise_2_slopes_of_a_shared_number_are_complete_before_they_are_used() {
    // 0: x. 1: a = 2 x. 2: b = 3 a. 3: c = a + b. dc/da = 1 + 3, dc/dx = 8.
    let tape = [
        vec![],
        vec![(0, 2.0)],
        vec![(1, 3.0)],
        vec![(1, 1.0), (2, 1.0)],
    ];
    assert_eq!(backward(&tape), [8.0, 4.0, 1.0, 1.0]);
}

#[test]
fn exercise_3_paths_are_counted_without_being_followed() {
    assert_eq!(paths(&[vec![]]), 1);
    // x x - x: two paths through the product, one past it.
    assert_eq!(paths(&[vec![], vec![0, 0], vec![1, 0]]), 3);
    // Another leaf has no path from number 0.
    assert_eq!(paths(&[vec![], vec![], vec![1, 0]]), 1);
    let mut doublings = vec![vec![]];
    doublings.extend((0..60).map(|i| vec![i, i]));
    assert_eq!(paths(&doublings), 1 << 60);
}
