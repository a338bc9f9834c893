//! Tests of the exercises of chapter 4.

use std::time::Instant;

use exercises::tensors::*;
use wavemix::{DType, Rng, Tensor, Var};

fn normal(shape: &[usize], seed: u64) -> Var {
    Var::leaf(Tensor::normal(shape, 0.0, 1.0, DType::F64, &Rng::new(seed)))
}

/// Whether two lists are equal but for rounding.
fn assert_close(got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() < 1e-12, "{got}, expected {want}");
    }
}

#[test]
fn exercise_1_what_was_copied_is_added() {
    let dy = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    assert_eq!(sum_to(&dy, [2, 3], [1, 3]), [5.0, 7.0, 9.0]);
    assert_eq!(sum_to(&dy, [2, 3], [2, 1]), [6.0, 15.0]);
    assert_eq!(sum_to(&dy, [2, 3], [1, 1]), [21.0]);
    assert_eq!(sum_to(&dy, [2, 3], [2, 3]), dy);
}

#[test]
fn exercise_2_products_have_the_librarys_gradients() {
    for [n, k, m] in [[1, 1, 1], [2, 3, 4], [5, 1, 2]] {
        let (a, b, dy) = (normal(&[n, k], 1), normal(&[k, m], 2), normal(&[n, m], 3));
        let gradients = a
            .matmul(&b)
            .unwrap()
            .backward_from(dy.value().clone(), &[])
            .unwrap();
        let numbers = |x: &Var| x.to_vec::<f64>().unwrap();
        let [da, db] = matmul_backward(&numbers(&dy), &numbers(&a), &numbers(&b), [n, k, m]);
        assert_close(&da, &gradients.of(&a).unwrap().to_vec::<f64>().unwrap());
        assert_close(&db, &gradients.of(&b).unwrap().to_vec::<f64>().unwrap());
    }
}

#[test]
fn exercise_3_softmax_has_the_librarys_gradient() {
    let (x, dy) = (normal(&[7], 4), normal(&[7], 5));
    let y = x.softmax(0).unwrap();
    let gradients = y.backward_from(dy.value().clone(), &[]).unwrap();
    let dx = softmax_backward(&y.to_vec::<f64>().unwrap(), &dy.to_vec::<f64>().unwrap());
    assert_close(&dx, &gradients.of(&x).unwrap().to_vec::<f64>().unwrap());
}

#[test]
fn exercise_3_softmax_of_a_million_needs_no_jacobian() {
    // A Jacobian of 10^12 elements would take minutes at best.
    let n = 1_000_000;
    let start = Instant::now();
    let dx = softmax_backward(&vec![1.0 / n as f64; n], &vec![1.0; n]);
    // Where all gradients are equal none has an effect: the sum of y is 1 whatever x is.
    assert!(dx.iter().all(|dx| dx.abs() < 1e-12));
    assert!(start.elapsed().as_secs() < 10);
}
