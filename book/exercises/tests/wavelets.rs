//! Tests of the exercises of chapter 9.

use exercises::wavelets::*;
use wavemix::Rng;

fn assert_close(got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() < 1e-13, "{got}, expected {want}");
    }
}

fn energy(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum()
}

fn row(n: usize) -> Vec<f64> {
    let mut rng = Rng::new(n as u64);
    (0..n).map(|_| rng.normal()).collect()
}

#[test]
fn exercise_1_sums_and_differences_keep_the_energy() {
    let (sums, differences) = haar(&[3.0, 1.0, -2.0, -2.0]);
    let root = 2f64.sqrt();
    assert_close(&sums, &[4.0 / root, -4.0 / root]);
    assert_close(&differences, &[2.0 / root, 0.0]);
    let x = row(64);
    let (sums, differences) = haar(&x);
    assert!((energy(&sums) + energy(&differences) - energy(&x)).abs() < 1e-12);
}

#[test]
fn exercise_2_the_inverse_undoes_it() {
    let x = row(32);
    let (sums, differences) = haar(&x);
    assert_close(&inverse(&sums, &differences), &x);
    let root = 2f64.sqrt();
    assert_close(&inverse(&[root], &[0.0]), &[1.0, 1.0]);
}

#[test]
fn exercise_3_all_levels_keep_the_energy_and_find_what_is_constant() {
    // A constant row is one coefficient: c sqrt(n).
    let constant = all_levels(&[1.5; 16]);
    assert_close(&constant[..1], &[6.0]);
    assert_close(&constant[1..], &[0.0; 15]);
    assert_close(
        &all_levels(&[1.0, 3.0, 5.0, 5.0]),
        &[7.0, -3.0, -(2f64.sqrt()), 0.0],
    );
    let x = row(128);
    assert!((energy(&all_levels(&x)) - energy(&x)).abs() < 1e-12);
}
