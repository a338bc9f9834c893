//! Gradients from y, whatever is added to it.

use super::*;

/// dx, dgamma and dbeta by the definition, in f64.
fn gradients(x: &[f64], gamma: &[f64], dy: &[f64]) -> [Vec<f64>; 3] {
    let c = gamma.len();
    let (xhat, _, var) = naive(x, &vec![1.0; c], &vec![0.0; c]);
    let rows = (x.len() / c) as f64;
    let sum = |f: &dyn Fn(usize) -> f64| -> Vec<f64> {
        (0..c)
            .map(|i| (i..x.len()).step_by(c).map(f).sum::<f64>())
            .collect()
    };
    let (dgamma, dbeta) = (sum(&|k| dy[k] * xhat[k]), sum(&|k| dy[k]));
    let dx = (0..x.len()).map(|k| {
        let i = k % c;
        gamma[i] / (var[i] + EPS).sqrt() * (dy[k] - dbeta[i] / rows - xhat[k] * dgamma[i] / rows)
    });
    [dx.collect(), dgamma, dbeta]
}

/// xhat is recomputed from y - residual - beta, and rounded as those are: not where that would
/// show. In each case the first channel has this residual, beta and gamma, and the others ordinary
/// ones.
#[test]
fn gradients_do_not_depend_on_what_is_added() {
    let inf = f64::INFINITY;
    let cases = [
        (0.0, 0.0, 1.0),
        (100.0, 0.0, 1.0),
        (1e3, 0.0, 1.0),
        (1e5, 0.0, 1.0),
        (-1e7, 0.0, 1.0),
        (inf, 0.0, 1.0),
        (f64::NAN, 0.0, 1.0),
        (0.0, 100.0, 1.0),
        (0.0, 1e3, 1.0),
        (0.0, -1e5, 1.0),
        (0.0, 1e7, 1.0),
        (1e7, -1e7, 1.0),
        (1.0, 0.0, 0.01),
        (1.0, 0.0, -1e-4),
        (1e5, 0.0, 1e3),
        (0.0, 0.0, 0.0),
    ];
    // By hand: four rows. And so many that threads share them, of which the last alone has the
    // residual.
    for (rows, last) in [(4, false), (40_000, true)] {
        let draw = |seed| {
            if rows == 4 {
                vec![]
            } else {
                in_f64(&normal(&[rows, 3], DType::BF16, seed))
            }
        };
        let x = if last {
            draw(1)
        } else {
            (0..12).map(|k| (k / 3) as f64 + 1.0).collect()
        };
        let dy = if last {
            draw(2)
        } else {
            [1.0, 0.0, 0.0, -0.5]
                .iter()
                .flat_map(|&dy| [dy; 3])
                .collect()
        };
        for ((added, shift, factor), dtype) in cases
            .into_iter()
            .flat_map(|case| [DType::F32, DType::BF16, DType::F64].map(|dtype| (case, dtype)))
        {
            let residual: Vec<f64> = (0..3 * rows)
                .map(|k| {
                    if k % 3 == 0 && (!last || k + 3 == 3 * rows) {
                        added
                    } else {
                        ((k * 7) % 5) as f64
                    }
                })
                .collect();
            let (gamma, beta) = ([factor, 1.0, 1.5], [shift, 0.25, 0.0]);
            let wide = if dtype == DType::BF16 {
                DType::F32
            } else {
                dtype
            };
            let leaf = |v: &[f64], shape: &[usize], dtype| {
                Var::leaf(
                    Tensor::from_slice(v, Shape::new(shape).unwrap())
                        .unwrap()
                        .cast(dtype)
                        .unwrap(),
                )
            };
            let map = |v: &[f64]| leaf(v, &[rows, 3], dtype);
            let ([x_var, residual], [gamma_var, beta]) = (
                [map(&x), map(&residual)],
                [&gamma, &beta].map(|v| leaf(v, &[3], wide)),
            );
            let (y, _) = batch_norm(
                &x_var,
                &gamma_var,
                &beta,
                BatchNormOptions {
                    residual: Some(&residual),
                    ..Default::default()
                },
            )
            .unwrap();
            let got = y.backward_from(map(&dy).into_value(), &[]).unwrap();
            let want = gradients(
                &x,
                &gamma.map(|g| Tensor::scalar(g).cast(wide).unwrap().item().unwrap()),
                &dy,
            );
            // What y may be beside gamma (see LARGEST_RATIO), and what rounding makes of it; and
            // the sums of f32 over blocks.
            let unit = if dtype == DType::F64 {
                f64::EPSILON
            } else {
                f64::from(f32::EPSILON)
            } / 2.0;
            let recomputed =
                dtype != DType::BF16 && added.abs().max(shift.abs()) < 256.0 * factor.abs();
            let room = unit * if recomputed { 2.0 * 256.0 } else { 32.0 };
            let size = |v: &[f64]| v.iter().fold(1.0f64, |size, v| size.max(v.abs()));
            for (i, (var, want)) in [&x_var, &gamma_var, &beta].iter().zip(&want).enumerate() {
                let own = if i == 0 && dtype == DType::BF16 {
                    2f64.powi(-8)
                } else {
                    0.0
                };
                // Errors of xhat in dgamma add up over the rows at random, and all agree at worst
                // for few.
                let terms = if i == 0 { 1.0 } else { (rows as f64).sqrt() };
                let got = in_f64(got.of(var).unwrap());
                let off = worst(&got, want);
                let allowed = (room * terms + own) * size(want);
                assert!(
                    off <= allowed,
                    "{dtype}, {rows} rows, {added:e} and {shift:e} added, gamma {factor}: gradient {i} off by {off:e} of {allowed:e}"
                );
            }
        }
    }
}
