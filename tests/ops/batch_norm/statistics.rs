//! Statistics of the convolution before it, none, and given ones.

use super::*;

/// Those of a map taken as it is made, by each way there is to make one, are those of the map as it
/// is then.
#[test]
fn statistics_of_a_convolution() {
    let enlarging = Window {
        stride: [2; 2],
        padding: [1; 2],
        ..Window::default()
    };
    let cases = [
        // Of many images and of one, cut into rows or by phases; with products in registers, of
        // matrices, and as they are defined.
        ([9, 7, 5, 16], [16, 4, 4, 16], enlarging),
        ([1, 12, 10, 16], [16, 4, 4, 16], enlarging),
        ([6, 14, 14, 64], [64, 4, 4, 64], enlarging),
        ([1, 14, 14, 64], [64, 4, 4, 64], enlarging),
        ([3, 11, 9, 24], [24, 4, 4, 20], enlarging),
        (
            [70, 3, 3, 5],
            [5, 2, 2, 3],
            Window {
                stride: [2; 2],
                ..Window::default()
            },
        ),
        (
            [2, 20, 30, 6],
            [6, 3, 3, 1],
            Window {
                groups: 6,
                ..enlarging
            },
        ),
        // Pixel by pixel: taps so far apart that a frame around the image would be nearly all
        // zeros.
        (
            [8, 2, 2, 3],
            [3, 3, 3, 2],
            Window {
                dilation: [1500; 2],
                padding: [1500; 2],
                ..Window::default()
            },
        ),
        // With outputs that no input reaches.
        (
            [5, 4, 3, 2],
            [2, 1, 2, 3],
            Window {
                stride: [3, 4],
                output_padding: [1, 2],
                ..Window::default()
            },
        ),
    ];
    for (dtype, (shape, weight, window)) in [DType::F32, DType::BF16, DType::F64]
        .into_iter()
        .flat_map(|d| cases.map(|c| (d, c)))
    {
        let [x, w] = [normal(&shape, dtype, 1), normal(&weight, dtype, 2)].map(Var::from);
        let bias = Var::from(normal(&[weight[3] * window.groups], dtype, 3));
        let run = |threads| {
            let (y, stats) = on_threads(threads, || {
                conv_transpose2d_with_stats(&x, &w, Some(&bias), window)
            })
            .unwrap();
            (y, stats.unwrap())
        };
        let ((y, stats), (_, again)) = (run(1), run(2));
        let plain = conv_transpose2d(&x, &w, Some(&bias), window).unwrap();
        assert_eq!(in_f64(y.value()), in_f64(plain.value()), "{shape:?}");
        assert_eq!(
            [&stats.mean, &stats.var].map(in_f64),
            [&again.mean, &again.var].map(in_f64),
            "{shape:?}: two threads"
        );
        let y = in_f64(y.value());
        let c = stats.mean.elements();
        let (_, mean, var) = naive(&y, &vec![1.0; c], &vec![0.0; c]);
        let room = if dtype == DType::F64 { 1e-12 } else { 1e-6 };
        assert_eq!(stats.count, y.len() / c);
        for (got, want) in [(&stats.mean, mean), (&stats.var, var.clone())] {
            let off = worst(&in_f64(got), &want);
            assert!(
                off <= room * var.iter().fold(1.0, |a: f64, &b| a.max(b)),
                "{dtype:?} {shape:?}: off by {off:e}"
            );
        }
    }
}

#[test]
fn no_numbers_have_no_statistics() {
    let [x, w] =
        [[0, 3, 3, 2], [2, 2, 2, 4]].map(|shape| Var::from(Tensor::zeros(shape, DType::F32)));
    assert!(
        conv_transpose2d_with_stats(&x, &w, None, Window::default())
            .unwrap()
            .1
            .is_none()
    );
}

/// A normalisation with the statistics given is the one that takes them, forwards and back.
#[test]
fn given_statistics_are_those_taken() {
    let leaf = |shape: &[usize], seed| Var::leaf(normal(shape, DType::F64, seed));
    let operands = [
        leaf(&[4, 6, 5, 3], 1),
        leaf(&[4, 6, 5, 3], 2),
        leaf(&[3], 3),
        leaf(&[3], 4),
    ];
    let run = |given: bool| {
        let [x, residual, gamma, beta] = &operands;
        let (y, stats) = batch_norm(
            x,
            gamma,
            beta,
            BatchNormOptions {
                residual: Some(residual),
                ..Default::default()
            },
        )
        .unwrap();
        let y = if given {
            batch_norm(
                x,
                gamma,
                beta,
                BatchNormOptions {
                    residual: Some(residual),
                    statistics: Statistics::Known(stats),
                    ..Default::default()
                },
            )
            .unwrap()
            .0
        } else {
            y
        };
        let gradients = y.square().unwrap().mean_all().unwrap().backward().unwrap();
        let all = [y.value().clone()]
            .into_iter()
            .chain(operands.iter().map(|v| gradients.of(v).unwrap().clone()));
        all.map(|t| in_f64(&t)).collect::<Vec<_>>()
    };
    assert_eq!(run(true), run(false));
}
