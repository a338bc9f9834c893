use proptest::prelude::*;
use wavemix::gradcheck::{adjoint_check, gradcheck};
use wavemix::{DType, Rng, Tensor, Var};

use crate::helpers::{assert_error, on_threads};

fn normal(shape: [usize; 4], dtype: DType, seed: u64) -> Tensor {
    Tensor::normal(shape, 0.0, 1.0, dtype, &Rng::new(seed))
}

/// The definition, one output number at a time.
fn naive(x: &Tensor) -> Vec<f64> {
    let (values, s) = (x.to_vec::<f64>().unwrap(), x.shape());
    let (n, h, w, c) = (s[0], s[1], s[2], s[3]);
    let at = |i: usize, y: usize, x: usize, ch| {
        if y < h && x < w {
            values[((i * h + y) * w + x) * c + ch]
        } else {
            0.0
        }
    };
    let signs = [
        [1.0, 1.0, 1.0, 1.0],
        [1.0, 1.0, -1.0, -1.0],
        [1.0, -1.0, 1.0, -1.0],
        [1.0, -1.0, -1.0, 1.0],
    ];
    let mut out = Vec::new();
    for (i, y, x) in pixels(n, h.div_ceil(2), w.div_ceil(2)) {
        let band = |ch, band: usize| {
            let block = [
                at(i, 2 * y, 2 * x, ch),
                at(i, 2 * y, 2 * x + 1, ch),
                at(i, 2 * y + 1, 2 * x, ch),
                at(i, 2 * y + 1, 2 * x + 1, ch),
            ];
            block
                .iter()
                .zip(signs[band])
                .map(|(v, s)| v * s)
                .sum::<f64>()
                / 2.0
        };
        out.extend((0..c).map(|ch| band(ch, 0)));
        out.extend((0..c).flat_map(|ch| [band(ch, 1), band(ch, 2), band(ch, 3)]));
    }
    out
}

fn pixels(n: usize, h: usize, w: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..n * h * w).map(move |k| (k / (h * w), k / w % h, k % w))
}

#[test]
fn one_block_by_hand() {
    let x = Var::from(
        Tensor::from_vec(
            vec![1.0f64, 10.0, 2.0, 20.0, 4.0, 40.0, 8.0, 80.0],
            [1, 2, 2, 2],
        )
        .unwrap(),
    );
    let y = x.dwt().unwrap();
    // All LL, then (LH, HL, HH) of channel 0, then of channel 1.
    assert_eq!(
        y.value().to_vec::<f64>().unwrap(),
        [7.5, 75.0, -4.5, -2.5, 1.5, -45.0, -25.0, 15.0]
    );
    assert_eq!(y.shape().to_string(), "[1, 1, 1, 8]");
}

#[test]
fn an_image_of_bytes_comes_back() {
    let pixels: Vec<f32> = (0..3 * 29 * 27 * 3)
        .map(|i| (Rng::new(5).word(i) % 256) as f32 / 255.0)
        .collect();
    let x = Var::from(Tensor::from_vec(pixels.clone(), [3, 29, 27, 3]).unwrap());
    let back = x
        .dwt()
        .unwrap()
        .idwt([29, 27])
        .unwrap()
        .value()
        .to_vec::<f32>()
        .unwrap();
    assert!(back.iter().zip(&pixels).all(|(a, b)| (a - b).abs() <= 1e-6));
}

#[test]
fn two_threads_give_the_bits_of_one() {
    let x = Var::from(normal([3, 65, 63, 24], DType::F32, 1));
    let run = |threads| {
        on_threads(threads, || {
            let y = x.dwt().unwrap();
            (
                y.value().to_vec::<f32>().unwrap(),
                y.idwt([65, 63]).unwrap().value().to_vec::<f32>().unwrap(),
            )
        })
    };
    assert!(run(1) == run(2));
}

#[test]
fn levels_go_on_from_the_low_band() {
    let x = Var::leaf(normal([2, 9, 12, 3], DType::F64, 4));
    let levels = x.dwt_levels(3).unwrap();
    let shapes: Vec<String> = levels.iter().map(|y| y.shape().to_string()).collect();
    assert_eq!(shapes, ["[2, 5, 6, 12]", "[2, 3, 3, 12]", "[2, 2, 2, 12]"]);
    let low = levels[0]
        .value()
        .to_vec::<f64>()
        .unwrap()
        .chunks(12)
        .flat_map(|pixel| pixel[..3].to_vec())
        .collect();
    let second = Var::from(Tensor::from_vec(low, [2, 5, 6, 3]).unwrap())
        .dwt()
        .unwrap();
    assert_eq!(
        second.value().to_vec::<f64>().unwrap(),
        levels[1].value().to_vec::<f64>().unwrap()
    );
    assert!(x.dwt_levels(0).unwrap().is_empty());
    gradcheck(
        |v| Ok(v[0].dwt_levels(3)?.pop().unwrap()),
        &[x.value().clone()],
    )
    .unwrap();
}

#[test]
fn errors() {
    assert_error(
        Var::from(Tensor::zeros([4, 4], DType::F32)).dwt(),
        "dwt: x expects [n, h, w, c], got [4, 4] (dwt.rs:",
    );
    assert_error(
        Var::from(Tensor::zeros([1, 4, 4, 1], DType::U8)).dwt(),
        "dwt: x expects f32 or f64, got u8",
    );
    let bands = Var::from(Tensor::zeros([1, 2, 2, 8], DType::F32));
    assert_error(
        bands.idwt([5, 4]),
        "idwt: x expects [n, 3, 2, 4 c] for images of 5 x 4, got [1, 2, 2, 8] (dwt.rs:",
    );
    assert_error(
        Var::from(Tensor::zeros([1, 2, 2, 6], DType::F32)).idwt([4, 4]),
        "idwt: x expects [n, 2, 2, 4 c] for images of 4 x 4, got [1, 2, 2, 6]",
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn value_inverse_and_adjoint(n in 0usize..3, h in 1usize..8, w in 1usize..8, c in 1usize..20, seed: u64) {
        let x = normal([n, h, w, c], DType::F64, seed);
        let y = Var::from(&x).dwt()?;
        let close = |a: Vec<f64>, b: Vec<f64>| a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-14);
        prop_assert!(close(y.value().to_vec()?, naive(&x)));
        prop_assert!(close(y.idwt([h, w])?.value().to_vec()?, x.to_vec()?));
        adjoint_check(|x| x.dwt(), &[n, h, w, c])?;
        adjoint_check(|x| x.idwt([h, w]), y.shape())?;
        let single = Var::from(x.cast(DType::F32).unwrap()).dwt()?.value().cast(DType::F64).unwrap().to_vec::<f64>()?;
        prop_assert!(single.iter().zip(y.value().to_vec::<f64>()?).all(|(a, b)| (a - b).abs() < 20.0 * f64::from(f32::EPSILON)));
    }
}

#[test]
fn levels_beyond_one_pixel_are_few() {
    let x = Var::from(Tensor::ones([1, 3, 2, 1], DType::F64));
    let levels = x.dwt_levels(64).unwrap();
    assert_eq!(
        (levels.len(), &levels[63].shape()[..]),
        (64, &[1, 1, 1, 4][..])
    );
    for levels in [65, usize::MAX] {
        let error = x.dwt_levels(levels).err().unwrap().to_string();
        assert!(
            error.starts_with(&format!(
                "dwt_levels: levels expects at most 64, got {levels} (dwt.rs:"
            )),
            "{error}"
        );
    }
}
