//! Tests of the exercises of chapter 12.

use std::collections::BTreeSet;

use exercises::sure::*;
use wavemix::{DType, Rng, Tensor};

#[test]
fn exercise_1_numbers_are_a_function_of_seed_and_index() {
    let forwards: Vec<f64> = (0..1000).map(|i| uniform(5, i)).collect();
    let backwards: Vec<f64> = (0..1000).rev().map(|i| uniform(5, i)).collect();
    assert!(forwards.iter().eq(backwards.iter().rev()));
    assert!(forwards.iter().all(|u| (0.0..1.0).contains(u)));
}

#[test]
fn exercise_1_numbers_look_random() {
    for seed in [0, 1, u64::MAX] {
        let n = 100_000u64;
        let u: Vec<f64> = (0..n).map(|i| uniform(seed, i)).collect();
        let mean = |f: &dyn Fn(usize) -> f64| (1..u.len()).map(f).sum::<f64>() / (n - 1) as f64;
        // Five standard deviations of a mean of n numbers each.
        let bound = |std: f64| 5.0 * std / (n as f64).sqrt();
        assert!(
            (mean(&|i| u[i]) - 0.5).abs() < bound(0.289),
            "seed {seed}: mean"
        );
        let square = mean(&|i| (u[i] - 0.5).powi(2));
        assert!(
            (square - 1.0 / 12.0).abs() < bound(0.0745),
            "seed {seed}: variance"
        );
        let neighbours = mean(&|i| (u[i] - 0.5) * (u[i - 1] - 0.5));
        assert!(neighbours.abs() < bound(0.0834), "seed {seed}: neighbours");
        let streams = mean(&|i| (u[i] - 0.5) * (uniform(seed ^ 2, i as u64) - 0.5));
        assert!(streams.abs() < bound(0.0834), "seed {seed}: two streams");
        let distinct: BTreeSet<u64> = u.iter().map(|u| u.to_bits()).collect();
        assert_eq!(distinct.len(), u.len(), "seed {seed}: a number came twice");
    }
}

#[test]
fn exercise_2_any_number_of_threads_gives_the_same_bits() {
    for n in [0, 1, 999, 1000, 1001, 123_457] {
        let x = Tensor::normal([n], 0.0, 1.0, DType::F32, &Rng::new(3))
            .to_vec::<f32>()
            .unwrap();
        let one = sum(&x, 1);
        for threads in 2..9 {
            assert_eq!(
                sum(&x, threads).to_bits(),
                one.to_bits(),
                "{n} elements, {threads} threads"
            );
        }
        let exact: f64 = x.iter().map(|&x| f64::from(x)).sum();
        assert!(
            (f64::from(one) - exact).abs() < 1e-2,
            "{n} elements: {one}, exactly {exact}"
        );
    }
}

#[test]
fn exercise_3_right_adjoints_pass_and_wrong_ones_do_not() {
    // Neighbours' differences, n to n - 1; and what gives them back.
    let f = |x: &[f64]| -> Vec<f64> { x.windows(2).map(|pair| pair[1] - pair[0]).collect() };
    let g = |y: &[f64]| -> Vec<f64> {
        let at = |i: usize| y.get(i).copied().unwrap_or(0.0);
        (0..=y.len())
            .map(|i| if i == 0 { -at(0) } else { at(i - 1) - at(i) })
            .collect()
    };
    assert!(is_adjoint(&f, &g, [9, 8]));
    assert!(is_adjoint(&g, &f, [8, 9]));
    let twice = |y: &[f64]| -> Vec<f64> { g(y).iter().map(|x| 2.0 * x).collect() };
    assert!(!is_adjoint(&f, &twice, [9, 8]));
    let edge = |y: &[f64]| -> Vec<f64> {
        let mut x = g(y);
        x[8] = 0.0;
        x
    };
    assert!(!is_adjoint(&f, &edge, [9, 8]), "the last element is wrong");
    let short = |y: &[f64]| -> Vec<f64> { g(y)[..8].to_vec() };
    assert!(!is_adjoint(&f, &short, [9, 8]), "one element is missing");
    // Large numbers are no reason to fail, nor small ones to pass.
    let large = |x: &[f64]| -> Vec<f64> { x.iter().map(|x| 1e9 * x).collect() };
    assert!(is_adjoint(&large, &large, [50, 50]));
}
