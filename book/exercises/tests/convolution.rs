//! Tests of the exercises of chapter 8.

use exercises::convolution::*;
use wavemix::{Rng, Window};

fn normal<const N: usize>(seed: u64) -> [f64; N] {
    let mut rng = Rng::new(seed);
    [0.0; N].map(|_| rng.normal())
}

#[test]
fn exercise_1_sizes_are_the_librarys() {
    assert_eq!(output_size(7, 3, 2, 1), Some(4));
    assert_eq!(output_size(2, 3, 1, 0), None);
    for size in 1..12 {
        for taps in 1..6 {
            for (stride, padding) in [(1, 0), (2, 1), (3, 2)] {
                let window = Window::strided(stride, padding);
                let want = window
                    .output_size("conv2d", [size, size], [taps, taps])
                    .ok();
                let got = output_size(size, taps, stride, padding);
                assert_eq!(
                    got,
                    want.map(|[h, _]| h),
                    "{size} {taps} {stride} {padding}"
                );
            }
        }
    }
}

#[test]
fn exercise_2_it_is_the_adjoint_of_the_convolution() {
    for stride in 1..=3 {
        let (x, w): ([f64; 5], [f64; 3]) = (normal(1), normal(2));
        let y = transposed(&x, &w, stride);
        assert_eq!(y.len(), 4 * stride + 3);
        let mut rng = Rng::new(3);
        let big: Vec<f64> = y.iter().map(|_| rng.normal()).collect();
        let convolved = |i: usize| (0..3).map(|k| big[i * stride + k] * w[k]).sum::<f64>();
        let forward: f64 = (0..5).map(|i| convolved(i) * x[i]).sum();
        let backward: f64 = big.iter().zip(&y).map(|(a, b)| a * b).sum();
        assert!(
            (forward - backward).abs() < 1e-12,
            "stride {stride}: {forward}, {backward}"
        );
    }
}

#[test]
fn exercise_3_two_outputs_by_four_products() {
    let (x, w): ([f64; 4], [f64; 3]) = (normal(4), normal(5));
    let mut pairs = Vec::new();
    let mut run = |x: [f64; 4], w: [f64; 3]| {
        pairs.clear();
        let y = winograd_2_3(x, w, &mut |a, b| {
            pairs.push((a, b));
            a * b
        });
        (y, pairs.clone())
    };
    let (y, used) = run(x, w);
    let want = [0, 1].map(|i| x[i] * w[0] + x[i + 1] * w[1] + x[i + 2] * w[2]);
    assert!(
        (y[0] - want[0]).abs() < 1e-14 && (y[1] - want[1]).abs() < 1e-14,
        "{y:?}, {want:?}"
    );
    assert_eq!(used.len(), 4, "products");
    // One factor of each product depends on the inputs alone, the other one on the weights alone.
    let (_, other_weights) = run(x, normal(6));
    let (_, other_inputs) = run(normal(7), w);
    for k in 0..4 {
        let kept = |a: f64, b: f64| (a - b).abs() < 1e-15;
        let inputs_first =
            kept(used[k].0, other_weights[k].0) && kept(used[k].1, other_inputs[k].1);
        let weights_first =
            kept(used[k].1, other_weights[k].1) && kept(used[k].0, other_inputs[k].0);
        assert!(
            inputs_first || weights_first,
            "product {k} mixes inputs and weights in a factor"
        );
    }
}
