//! Tests of the exercises of chapter 11.

use exercises::fast::*;
use wavemix::Rng;

#[test]
fn exercise_1_the_slower_of_computing_and_moving_counts() {
    // A matrix product of 512 reads and writes three matrices: 85 operations a byte.
    let n = 512.0;
    assert_eq!(roofline(80.0, 12.0, 2.0 * n * n * n, 12.0 * n * n), 80.0);
    // relu: one operation for 4 bytes read and 4 bytes written.
    assert_eq!(roofline(80.0, 12.0, n, 8.0 * n), 1.5);
    assert_eq!(roofline(10.0, 5.0, 4.0, 2.0), 10.0);
}

#[test]
fn exercise_2_panels_are_read_from_front_to_back() {
    // Rows 0 1 2 3 4 and 10 11 12 13 14.
    let b = [0.0, 1.0, 2.0, 3.0, 4.0, 10.0, 11.0, 12.0, 13.0, 14.0];
    let want = [
        0.0, 1.0, 10.0, 11.0, 2.0, 3.0, 12.0, 13.0, 4.0, 0.0, 14.0, 0.0,
    ];
    assert_eq!(pack(&b, [2, 5], 2), want);
    assert_eq!(pack(&b, [2, 5], 5), b);
    assert_eq!(
        pack(&b, [5, 2], 4)[..8],
        [0.0, 1.0, 0.0, 0.0, 2.0, 3.0, 0.0, 0.0]
    );
}

#[test]
fn exercise_3_two_to_the_26_ones_are_all_counted() {
    // One by one, f32 stops counting at 2^24.
    let n = 1 << 26;
    assert_eq!(sum(&vec![1.0; n]), n as f32);
    assert_eq!(sum(&[]), 0.0);
    let mut rng = Rng::new(0);
    let x: Vec<f32> = (0..1_000_003).map(|_| rng.uniform()).collect();
    let exact: f64 = x.iter().map(|&x| f64::from(x)).sum();
    // 20 additions on the way of each element, each with an error of at most eps / 2.
    let bound = 20.0 * f64::from(f32::EPSILON) / 2.0 * exact;
    assert!((f64::from(sum(&x)) - exact).abs() < bound);
}
