use proptest::prelude::*;
use wavemix::gradcheck::adjoint_check;
use wavemix::ops::Interpolation::{self, Bicubic, Bilinear, Nearest};
use wavemix::{DType, Rng, Tensor, Var};

use crate::helpers::{assert_error, assert_starts, on_threads};

const ALL: [Interpolation; 3] = [Nearest, Bilinear, Bicubic];

fn close(a: &[f64], b: &[f64], limit: f64) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= limit)
}

/// The squares of 0..12 as an image of 3 x 4, resized by PyTorch 2's
/// `interpolate(align_corners=False)`.
#[test]
fn agrees_with_pytorch() {
    let x = Var::from(
        Tensor::from_vec((0..12).map(|i| f64::from(i * i)).collect(), [1, 3, 4, 1]).unwrap(),
    );
    let resized = |size, how| {
        x.upsample(size, how)
            .unwrap()
            .value()
            .to_vec::<f64>()
            .unwrap()
    };
    assert_eq!(resized([2, 3], Nearest), [0.0, 1.0, 4.0, 16.0, 25.0, 36.0]);
    assert_eq!(
        resized([5, 6], Nearest)[12..24],
        [
            16.0, 16.0, 25.0, 36.0, 36.0, 49.0, 16.0, 16.0, 25.0, 36.0, 36.0, 49.0
        ]
    );
    let bilinear = [4.5, 9.5, 17.833333333333332, 54.5, 75.5, 99.83333333333333];
    assert!(close(&resized([2, 3], Bilinear), &bilinear, 1e-13));
    let bilinear = [
        0.0,
        0.5,
        1.5,
        3.5,
        6.5,
        9.0,
        6.4,
        8.5,
        11.633333333333333,
        15.766666666666666,
        20.9,
        25.0,
    ];
    assert!(close(&resized([5, 6], Bilinear)[..12], &bilinear, 1e-13));
    let bicubic = [
        2.2221137152777817,
        6.359375,
        14.672562210648149,
        55.604275173611136,
        77.515625,
        103.60290075231482,
    ];
    assert!(close(&resized([2, 3], Bicubic), &bicubic, 1e-12));
    let bicubic = [
        -1.5561388888888905,
        -1.6292500000000016,
        -1.037,
        0.2443333333333299,
        3.2532499999999933,
        5.527361111111105,
    ];
    assert!(close(&resized([5, 6], Bicubic)[..6], &bicubic, 1e-12));
}

#[test]
fn nothing_changes_at_the_same_size_and_constants_stay() {
    let x = Tensor::normal([2, 5, 3, 7], 0.0, 1.0, DType::F32, &Rng::new(1));
    for how in ALL {
        let same = Var::from(&x).upsample([5, 3], how).unwrap();
        assert_eq!(
            same.value().to_vec::<f32>().unwrap(),
            x.to_vec::<f32>().unwrap()
        );
        // Along one axis four weights are made to add up to 1 with three roundings, and added with
        // three more: of numbers below 2, so of eps/2 each. The first axis' error goes through
        // weights whose sizes add up to 1.375 at most (at half way, 2 * 19/32 + 2 * 3/32): 6 (1 +
        // 1.375) eps/2 = 7.1 eps.
        let flat = Var::from(Tensor::ones([1, 3, 2, 2], DType::F64))
            .upsample([7, 11], how)
            .unwrap();
        assert!(close(
            &flat.value().to_vec::<f64>().unwrap(),
            &[1.0; 154],
            7.2 * f64::EPSILON
        ));
    }
}

#[test]
fn single_precision_and_two_threads() {
    let x = Tensor::normal([3, 17, 23, 31], 0.0, 1.0, DType::F32, &Rng::new(1));
    for how in ALL {
        let run = |threads, dtype| {
            on_threads(threads, || {
                let x = Var::leaf(x.cast(dtype).unwrap());
                let y = x.upsample([34, 50], how).unwrap();
                let gradients = y.backward_from(y.value().clone(), &[]).unwrap();
                [y.value(), gradients.of(&x).unwrap()]
                    .map(|t| t.cast(DType::F64).unwrap().to_vec::<f64>().unwrap())
            })
        };
        let (single, double) = (run(1, DType::F32), run(1, DType::F64));
        assert!(single == run(2, DType::F32));
        // Up to 16 and 64 numbers below 10 with weights below 1.
        let eps = f64::from(f32::EPSILON);
        assert!(
            close(&single[0], &double[0], 10.0 * eps * 4.0)
                && close(&single[1], &double[1], 10.0 * eps * 8.0),
            "{how:?}"
        );
    }
}

#[test]
fn errors() {
    let error = |shape: [usize; 4], size| {
        Var::from(Tensor::zeros(shape, DType::F32))
            .upsample(size, Bilinear)
            .err()
            .unwrap()
            .to_string()
    };
    assert_starts(
        &error([1, 2, 2, 1], [4, 0]),
        "upsample: size expects a height and a width of at least 1, got [4, 0] (upsample.rs:",
    );
    assert_starts(
        &error([1, 0, 2, 1], [4, 4]),
        "upsample: x expects images of at least one pixel, got [1, 0, 2, 1]",
    );
    assert_error(
        Var::from(Tensor::zeros([2, 2], DType::F32)).upsample([4, 4], Nearest),
        "upsample: x expects [n, h, w, c], got [2, 2]",
    );
    assert_error(
        Var::from(Tensor::zeros([1, 2, 2, 1], DType::U8)).upsample([4, 4], Nearest),
        "upsample: x expects f32 or f64, got u8",
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn backward_is_the_adjoint(n in 0usize..3, h in 1usize..7, w in 1usize..7, c in 0usize..5, oh in 1usize..15, ow in 1usize..15) {
        for how in ALL {
            adjoint_check(|x| x.upsample([oh, ow], how), &[n, h, w, c])?;
        }
    }
}

#[test]
fn no_images_are_resized_to_any_size() {
    for kind in [Nearest, Bilinear, Bicubic] {
        for dtype in [DType::F32, DType::F64, DType::BF16] {
            let x = Var::leaf(Tensor::zeros([0, 2, 3, 1], dtype));
            let y = x.upsample([1 << 50, 7], kind).unwrap();
            assert_eq!(y.shape()[..], [0, 1 << 50, 7, 1]);
            let dx = y
                .backward_from(Tensor::zeros(y.shape(), dtype), &[])
                .unwrap();
            assert_eq!(dx.of(&x).unwrap().shape(), x.shape());
        }
    }
    let x = Var::from(Tensor::zeros([1, 2, 3, 1], DType::F32));
    let error = x.upsample([1 << 50, 7], Nearest).err().unwrap().to_string();
    let expected = "upsample: result expects a shape that fits in memory, got [1, 1125899906842624, 7, 1] of f32 (upsample.rs:";
    assert!(error.starts_with(expected), "{error}");
}
