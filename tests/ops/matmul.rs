use proptest::prelude::*;
use wavemix::gradcheck::{adjoint_check, gradcheck};
use wavemix::ops::matmul_with;
use wavemix::{DType, Rng, Shape, Tensor, Var};

use crate::helpers::{assert_error, on_threads};

fn draw(shape: &[usize], dtype: DType, seed: u64) -> Tensor {
    Tensor::normal(Shape::new(shape).unwrap(), 0.0, 1.0, dtype, &Rng::new(seed))
}

/// The definition, for matrices.
fn naive(a: &[f64], b: &[f64], [m, k, n]: [usize; 3]) -> Vec<f64> {
    let at = |i: usize, j: usize| (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum();
    (0..m * n).map(|e| at(e / n, e % n)).collect()
}

#[test]
fn products_of_a_batch() {
    let x = |values: &[f64], shape: &[usize]| {
        Var::from(Tensor::from_slice(values, Shape::new(shape).unwrap()).unwrap())
    };
    let a = x(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], &[2, 2, 2]);
    let b = x(&[1.0, 0.0, 2.0, 1.0], &[2, 2]);
    let y = a.matmul(&b).unwrap();
    assert_eq!(y.shape().to_string(), "[2, 2, 2]");
    assert_eq!(
        y.value().to_vec::<f64>().unwrap(),
        [5.0, 2.0, 11.0, 4.0, 17.0, 6.0, 23.0, 8.0]
    );
    let y = matmul_with(&b, &a, true, true).unwrap();
    assert_eq!(
        y.value().to_vec::<f64>().unwrap(),
        [5.0, 11.0, 2.0, 4.0, 17.0, 23.0, 6.0, 8.0]
    );
    let y = a
        .matmul(&b.value().reshape([1, 1, 2, 2]).unwrap().into())
        .unwrap();
    assert_eq!(y.shape().to_string(), "[1, 2, 2, 2]");
}

#[test]
fn nothing_times_nothing() {
    let zero = |shape: &[usize]| Var::from(Tensor::zeros(Shape::new(shape).unwrap(), DType::F32));
    assert_eq!(
        zero(&[2, 0])
            .matmul(&zero(&[0, 3]))
            .unwrap()
            .value()
            .to_vec::<f32>()
            .unwrap(),
        [0.0; 6]
    );
    assert_eq!(
        zero(&[5, 0, 2])
            .matmul(&zero(&[5, 2, 3]))
            .unwrap()
            .shape()
            .to_string(),
        "[5, 0, 3]"
    );
}

#[test]
fn errors() {
    let x = |shape: &[usize], dtype| Var::from(Tensor::zeros(Shape::new(shape).unwrap(), dtype));
    let error = |a: &Var, b: &Var| a.matmul(b).err().unwrap().to_string();
    let a = x(&[2, 3], DType::F64);
    assert!(
        error(&a, &x(&[2, 3], DType::F64))
            .starts_with("matmul: b expects [.., k = 3, n], got [2, 3] (matmul.rs:")
    );
    assert!(
        error(&x(&[3], DType::F64), &a)
            .starts_with("matmul: a expects two dimensions or more, got [3] (matmul.rs:")
    );
    assert!(
        error(&a, &x(&[3, 1], DType::F32))
            .starts_with("matmul: b expects the dtype of a, f64, got f32 (matmul.rs:")
    );
    let (a, b) = (x(&[2, 1, 3], DType::F32), x(&[4, 3, 1], DType::F32));
    assert!(
        error(&x(&[3, 1, 3], DType::F32), &b)
            .starts_with("matmul: b expects a batch that broadcasts with [3], got [4, 3, 1]")
    );
    assert_error(
        matmul_with(&a, &b, false, true),
        "matmul: b expects [.., n, k = 3], got [4, 3, 1]",
    );
}

/// Sizes on every path: one block, blocks of rows, blocks of terms. Rows and columns so far apart
/// that they are copied first; whole numbers, so that every order of additions gives the same.
#[test]
fn far_apart_rows_are_found() {
    let (m, k, n) = (150, 1037, 131);
    let numbers = |count: usize, step: usize| {
        (0..count)
            .map(|i| (i * step % 7) as f64 - 3.0)
            .collect::<Vec<_>>()
    };
    let (a, b) = (numbers(m * k, 7919), numbers(k * n, 104_729));
    let want = naive(&a, &b, [m, k, n]);
    let transposed = |x: &[f64], rows: usize, columns: usize| {
        (0..rows * columns)
            .map(|e| x[e % rows * columns + e / rows])
            .collect::<Vec<_>>()
    };
    for (dtype, [left, right]) in
        [DType::F32, DType::F64, DType::BF16]
            .into_iter()
            .flat_map(|dtype| {
                [[false, false], [true, false], [false, true], [true, true]]
                    .map(|transposed| (dtype, transposed))
            })
    {
        let matrix = |x: &[f64], [rows, columns]: [usize; 2], turned: bool| {
            let x = if turned {
                transposed(x, rows, columns)
            } else {
                x.to_vec()
            };
            let shape = if turned {
                [columns, rows]
            } else {
                [rows, columns]
            };
            Var::from(
                Tensor::from_slice(&x, Shape::new(&shape).unwrap())
                    .unwrap()
                    .cast(dtype)
                    .unwrap(),
            )
        };
        let y = matmul_with(
            &matrix(&a, [m, k], left),
            &matrix(&b, [k, n], right),
            left,
            right,
        )
        .unwrap();
        let want: Vec<f64> = Tensor::from_slice(&want, [m * n])
            .unwrap()
            .cast(dtype)
            .unwrap()
            .cast(DType::F64)
            .unwrap()
            .to_vec()
            .unwrap();
        assert!(
            y.value().cast(DType::F64).unwrap().to_vec::<f64>().unwrap() == want,
            "{dtype:?}, {left} {right}"
        );
    }
}

#[test]
fn large_ones_are_right_and_the_same_on_any_number_of_threads() {
    for size @ [m, k, n] in [[300, 70, 90], [33, 9000, 17], [7, 5, 3], [1, 4096, 300]] {
        let (a, b) = (draw(&[m, k], DType::F64, 1), draw(&[k, n], DType::F64, 2));
        let want = naive(a.as_slice().unwrap(), b.as_slice().unwrap(), size);
        let (a32, b32) = (
            Var::from(a.cast(DType::F32).unwrap()),
            Var::from(b.cast(DType::F32).unwrap()),
        );
        let on = |threads: usize| {
            on_threads(threads, || {
                (
                    a32.matmul(&b32).unwrap().into_value(),
                    Var::from(&a).matmul(&Var::from(&b)).unwrap().into_value(),
                )
            })
        };
        let ((y32, y), (y32_two, y_two)) = (on(1), on(2));
        assert_eq!(
            y32.as_slice::<f32>().unwrap(),
            y32_two.as_slice::<f32>().unwrap(),
            "{size:?}"
        );
        assert_eq!(
            y.as_slice::<f64>().unwrap(),
            y_two.as_slice::<f64>().unwrap(),
            "{size:?}"
        );
        // Partial sums are about sqrt(k), and k roundings of those add up like a random walk.
        let scale = 2.0 * k as f64;
        for ((y32, y), want) in y32
            .to_vec::<f32>()
            .unwrap()
            .into_iter()
            .zip(y.to_vec::<f64>().unwrap())
            .zip(want)
        {
            assert!(
                (f64::from(y32) - want).abs() <= f64::from(f32::EPSILON) * scale,
                "{size:?}: {y32} {want}"
            );
            assert!(
                (y - want).abs() <= f64::EPSILON * scale,
                "{size:?}: {y} {want}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn gradients(size in any::<[u8; 5]>(), ones in any::<[bool; 4]>(), ranks in (0usize..3, 0usize..3), ta: bool, tb: bool, seed: u64) {
        let [m, k, n, p, q] = size.map(|d| 1 + usize::from(d) % 5);
        let shape = |rows, cols, transposed: bool, rank: usize, ones: &[bool]| {
            let batch = [if ones[0] { 1 } else { p }, if ones[1] { 1 } else { q }];
            let matrix = if transposed { [cols, rows] } else { [rows, cols] };
            [&batch[2 - rank..], &matrix[..]].concat()
        };
        let (sa, sb) = (shape(m, k, ta, ranks.0, &ones[..2]), shape(k, n, tb, ranks.1, &ones[2..]));
        let (a, b) = (draw(&sa, DType::F64, seed), draw(&sb, DType::F64, !seed));
        gradcheck(|v| matmul_with(&v[0], &v[1], ta, tb), &[a.clone(), b.clone()])?;
        adjoint_check(|x| matmul_with(x, &Var::from(&b), ta, tb), &sa)?;
        adjoint_check(|x| matmul_with(&Var::from(&a), x, ta, tb), &sb)?;
    }
}
