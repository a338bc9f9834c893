use std::f64::consts::TAU;

use proptest::prelude::*;
use wavemix::gradcheck::{adjoint_check, gradcheck};
use wavemix::{DType, Rng, Shape, Tensor, Var};

use crate::helpers::{assert_errors, on_threads};

fn normal(dims: &[usize], dtype: DType, seed: u64) -> Tensor {
    Tensor::normal(Shape::new(dims).unwrap(), 0.0, 1.0, dtype, &Rng::new(seed))
}

/// The place of element `i` along each axis.
fn place(mut i: usize, dims: &[usize]) -> Vec<usize> {
    let mut at = vec![0; dims.len()];
    for (axis, &n) in dims.iter().enumerate().rev() {
        (at[axis], i) = (i % n, i / n);
    }
    at
}

/// The definition: each y a sum over all x at the same place along the other axes.
fn naive(x: &Tensor, axes: &[usize]) -> Vec<f64> {
    let (values, dims) = (x.to_vec::<f64>().unwrap(), x.shape());
    let places: Vec<_> = (0..values.len()).map(|i| place(i, dims)).collect();
    let term = |to: &[usize], from: &[usize], x: f64| {
        let apart = (0..dims.len()).any(|axis| !axes.contains(&axis) && to[axis] != from[axis]);
        let turns = |&axis: &usize| (to[axis] * from[axis] % dims[axis]) as f64 / dims[axis] as f64;
        if apart {
            0.0
        } else {
            x * (TAU * axes.iter().map(turns).sum::<f64>()).cos()
        }
    };
    let value = |to: &Vec<usize>| {
        let terms = places.iter().zip(&values);
        terms.map(|(from, &x)| term(to, from, x)).sum()
    };
    places.iter().map(value).collect()
}

/// `torch.fft.fftn(x, dim=axes).real` of PyTorch 2.15.
#[test]
fn as_in_pytorch() {
    let x = Tensor::from_slice(&[1.0, -2.0, 0.5, 4.0, 3.0, -1.5], [2, 3]).unwrap();
    let of = |axes: &[usize]| {
        let y = Var::from(x.clone()).dft_real(axes).unwrap();
        y.value().to_vec::<f64>().unwrap()
    };
    let near = |got: Vec<f64>, want: [f64; 6]| {
        assert!(
            got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-14),
            "{got:?}"
        );
    };
    near(of(&[0]), [5.0, 1.0, -1.0, -3.0, -5.0, 2.0]);
    near(of(&[1]), [-0.5, 1.75, 1.75, 5.5, 3.25, 3.25]);
    near(of(&[0, 1]), [5.0, 5.0, 5.0, -6.0, -1.5, -1.5]);
}

/// The mean of x is in y's first element alone, and a wave in the two of its frequency.
#[test]
fn constants_and_waves() {
    let n = 12;
    let wave = |i: usize| 3.0 + (TAU * 2.0 * i as f64 / n as f64).cos();
    let x = Tensor::from_vec((0..n).map(wave).collect(), [n]).unwrap();
    let y = Var::from(x).dft_real(0).unwrap();
    for (k, y) in y.to_vec::<f64>().unwrap().into_iter().enumerate() {
        let want = match k {
            0 => 36.0,
            2 | 10 => 6.0,
            _ => 0.0,
        };
        assert!((y - want).abs() < 1e-13, "{k}: {y}");
    }
}

/// The real part is taken at the end: not after each axis.
#[test]
fn two_axes_are_not_one_after_the_other() {
    let x = Var::from(normal(&[5, 7], DType::F64, 3));
    let together: Vec<f64> = x.dft_real([0, 1]).unwrap().to_vec().unwrap();
    let again: Vec<f64> = x.dft_real([1, 0]).unwrap().to_vec().unwrap();
    let apart = x.dft_real(0).unwrap().dft_real(1).unwrap();
    let apart: Vec<f64> = apart.to_vec().unwrap();
    let off = |other: &[f64]| {
        let differences = together.iter().zip(other).map(|(a, b)| (a - b).abs());
        differences.fold(0.0, f64::max)
    };
    assert!(off(&again) < 1e-13 && off(&apart) > 1.0);
}

#[test]
fn two_threads_give_the_bits_of_one() {
    let x = normal(&[3, 33, 31, 24], DType::F32, 1);
    let run = |threads| {
        on_threads(threads, || {
            let x = Var::leaf(x.clone());
            let y = x.dft_real([1, 2, 3]).unwrap();
            let gradients = y.backward_from(x.value().clone(), &[]).unwrap();
            let dx: Vec<f32> = gradients.of(&x).unwrap().to_vec().unwrap();
            (y.to_vec::<f32>().unwrap(), dx)
        })
    };
    let (y, dx) = run(1);
    // The op is its own adjoint, and dy is x here.
    assert!(y == dx);
    assert!((y, dx) == run(2));
}

/// A sum of n products of random sign rounds partial sums of sqrt(k) times a term's size, for k up to
/// n: relative to its own size it is off by u sqrt(n / 6) or so, with u half a unit of f32. The
/// elements of C and S, and sums of products, are off by u each: with three axes less than 8 u^2 of
/// variance. y's mean square is half the number of terms, and none of so many is off by 6 deviations.
#[test]
fn single_precision() {
    let x = normal(&[2, 32, 32, 64], DType::F32, 5);
    let of = |dtype| -> Vec<f64> {
        let y = Var::from(x.cast(dtype).unwrap()).dft_real([1, 2, 3]);
        y.unwrap().cast(DType::F64).unwrap().to_vec().unwrap()
    };
    let size = (32.0f64 * 32.0 * 64.0 / 2.0).sqrt();
    let deviation = 2f64.powi(-24) * ((32.0 + 32.0 + 64.0) / 6.0 + 8.0f64).sqrt() * size;
    for (got, want) in of(DType::F32).iter().zip(of(DType::F64)) {
        assert!((got - want).abs() < 6.0 * deviation, "{got}, not {want}");
    }
}

#[test]
fn errors() {
    let x = Var::from(Tensor::zeros([2, 3, 1, 1], DType::F32));
    let bytes = Var::from(Tensor::zeros([2, 3], DType::U8));
    let long = Var::from(Tensor::zeros([4097], DType::F32));
    let cases = [
        (
            x.dft_real(Vec::new()),
            "dft_real: axes expects one to three, got []",
        ),
        (
            x.dft_real(..),
            "dft_real: axes expects one to three, got [0, 1, 2, 3]",
        ),
        (
            x.dft_real(4),
            "dft_real: axes expects different axes below 4 for [2, 3, 1, 1], got [4]",
        ),
        (
            x.dft_real([1, 1]),
            "dft_real: axes expects different axes below 4 for [2, 3, 1, 1], got [1, 1]",
        ),
        (
            long.dft_real(0),
            "dft_real: x expects at most 4096 elements along axis 0, got [4097]",
        ),
        (bytes.dft_real(0), "dft_real: x expects f32 or f64, got u8"),
    ];
    assert_errors(cases, "dft.rs");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn value_gradient_and_adjoint(dims in prop::collection::vec(1usize..6, 1..5), first in 0usize..4, count in 1usize..4, seed: u64) {
        let axes: Vec<usize> = (0..count.min(dims.len())).map(|i| (first + i) % dims.len()).collect();
        let x = normal(&dims, DType::F64, seed);
        let y = Var::from(&x).dft_real(&axes[..])?;
        for (got, want) in y.to_vec::<f64>()?.iter().zip(naive(&x, &axes)) {
            // Up to 125 terms of up to 5, in three sums.
            prop_assert!((got - want).abs() < 1e-12, "{got}, not {want}");
        }
        adjoint_check(|x| x.dft_real(&axes[..]), &dims)?;
        gradcheck(|v| v[0].dft_real(&axes[..]), &[x])?;
    }
}
