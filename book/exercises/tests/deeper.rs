//! Tests of the exercises of chapter 6.

use exercises::deeper::*;
use wavemix::{DType, Rng, Tensor, Var};

#[test]
fn exercise_1_activations_keep_their_size_through_twenty_layers() {
    for n in [512, 768] {
        let rng = Rng::new(0);
        let mut x = Var::from(Tensor::normal([64, n], 0.0, 1.0, DType::F64, &rng));
        for layer in 1..=20 {
            let a = relu_bound(n);
            let w = Tensor::uniform([n, n], -a, a, DType::F64, &rng.child(layer));
            x = x.matmul(&w.into()).unwrap().relu().unwrap();
        }
        // The input has mean square 1. A bound that is off by a tenth changes the result by a
        // factor of 1.1^40 = 45, or a 45th; chance by less than 2.
        let size = x.square().unwrap().mean(..).unwrap().item().unwrap();
        assert!(
            (0.2..5.0).contains(&size),
            "{n} neurons: mean square {size} after 20 layers"
        );
    }
}

fn normal(seed: u64) -> Vec<f64> {
    let x = Tensor::normal([9], 1.0, 2.0, DType::F64, &Rng::new(seed));
    x.to_vec().unwrap()
}

#[test]
fn exercise_2_norms_have_the_slopes_that_differences_see() {
    let (x, dy, eps) = (normal(1), normal(2), 1e-3);
    for centred in [true, false] {
        let loss = |x: &[f64]| {
            let n = x.len() as f64;
            let middle = if centred {
                x.iter().sum::<f64>() / n
            } else {
                0.0
            };
            let var = x.iter().map(|x| (x - middle).powi(2)).sum::<f64>() / n;
            let y = x.iter().map(|x| (x - middle) / (var + eps).sqrt());
            y.zip(&dy).map(|(y, dy)| y * dy).sum::<f64>()
        };
        let dx = norm_backward(&x, &dy, eps, centred);
        for i in 0..x.len() {
            let moved = |h: f64| {
                let mut x = x.clone();
                x[i] += h;
                loss(&x)
            };
            let seen = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!(
                (dx[i] - seen).abs() < 1e-8,
                "centred {centred}, {i}: {}, {seen}",
                dx[i]
            );
        }
    }
}

#[test]
fn exercise_3_dropout_keeps_the_mean() {
    let x = [1.0, 2.0, 3.0, 4.0];
    assert_eq!(
        dropout(&x, &[0.1, 0.3, 0.24, 0.9], 0.25, true),
        [0.0, 2.0 / 0.75, 0.0, 4.0 / 0.75]
    );
    assert_eq!(dropout(&x, &[0.0; 4], 0.25, false), x);
    let n = 100_000;
    let mut rng = Rng::new(3);
    let uniform: Vec<f64> = (0..n).map(|_| f64::from(rng.uniform())).collect();
    for p in [0.1, 0.5, 0.9] {
        // The mean of n numbers with standard deviation sqrt(p / (1 - p)): five of its own.
        let mean = dropout(&vec![1.0; n], &uniform, p, true)
            .iter()
            .sum::<f64>()
            / n as f64;
        let bound = 5.0 * (p / (1.0 - p) / n as f64).sqrt();
        assert!((mean - 1.0).abs() < bound, "p {p}: mean {mean}");
    }
}
