#[path = "dropout/drop_path.rs"]
mod drop_path;

use proptest::prelude::*;
use wavemix::gradcheck::adjoint_check;
use wavemix::{DType, Rng, Shape, Tensor, Var};

use crate::helpers::{assert_error, on_threads};

#[test]
fn each_element_has_its_bits() {
    // Longer than a chunk, and no multiple of anything.
    let (n, rng) = (70_001, Rng::new(11).child(3).stream(5));
    let x = Tensor::normal([n], 0.0, 1.0, DType::F32, &Rng::new(2));
    // p, and the bits that its binary digits take.
    for (p, bits) in [
        (0.1, 16),
        (0.5, 1),
        (0.25, 2),
        (0.3125, 4),
        (0.99609375, 8),
        (0.9, 16),
        (1e-9, 1),
    ] {
        let y = Var::from(&x)
            .dropout(p, &rng)
            .unwrap()
            .value()
            .to_vec::<f32>()
            .unwrap();
        let (scale, drop) = ((1.0 / (1.0 - p)) as f32, (p * 65536.0).round() / 65536.0);
        for (i, (&y, &x)) in y.iter().zip(x.as_slice::<f32>().unwrap()).enumerate() {
            let at = i as u64 * bits;
            let drawn = rng.word(at / 32) >> (at % 32) & ((1 << bits) - 1);
            let kept = f64::from(drawn) / f64::from(1 << bits) >= drop;
            assert_eq!(y, if kept { x * scale } else { 0.0 }, "element {i}");
        }
        let kept = y.iter().filter(|&&y| y != 0.0).count() as f64 / n as f64;
        // Five standard deviations of a binomial.
        assert!(
            (kept - (1.0 - drop)).abs() <= 5.0 * (drop * (1.0 - drop) / n as f64).sqrt(),
            "{kept} kept at {p}"
        );
    }
}

#[test]
fn ends_of_the_range() {
    let x = Var::leaf(Tensor::from_vec(vec![1.0f32, f32::INFINITY, -3.0], [3]).unwrap());
    assert_eq!(
        x.dropout(0.0, &Rng::new(1))
            .unwrap()
            .value()
            .to_vec::<f32>()
            .unwrap(),
        [1.0, f32::INFINITY, -3.0]
    );
    let nothing = x.dropout(1.0, &Rng::new(1)).unwrap();
    assert_eq!(nothing.value().to_vec::<f32>().unwrap(), [0.0; 3]);
    let gradients = nothing
        .backward_from(Tensor::ones([3], DType::F32), &[])
        .unwrap();
    assert_eq!(gradients.of(&x).unwrap().to_vec::<f32>().unwrap(), [0.0; 3]);
}

#[test]
fn two_threads_give_the_bits_of_one() {
    let x = Var::from(Tensor::normal(
        [200, 501],
        0.0,
        1.0,
        DType::F32,
        &Rng::new(1),
    ));
    let run = |threads| {
        on_threads(threads, || {
            x.dropout(0.5, &Rng::new(7))
                .unwrap()
                .value()
                .to_vec::<f32>()
                .unwrap()
        })
    };
    assert!(run(1) == run(2));
}

#[test]
fn errors() {
    for p in [-0.1, 1.1, f64::NAN] {
        let e = Var::from(Tensor::ones([2], DType::F32))
            .dropout(p, &Rng::new(1))
            .err()
            .unwrap()
            .to_string();
        assert!(
            e.starts_with(&format!(
                "dropout: p expects a probability in 0..=1, got {p} (dropout.rs:"
            )),
            "{e}"
        );
    }
    assert_error(
        Var::from(Tensor::ones([2], DType::I64)).dropout(0.5, &Rng::new(1)),
        "dropout: x expects f32 or f64, got i64",
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn linear_with_its_adjoint(dims in prop::collection::vec(0usize..9, 0..4), p in 0.0f64..=1.0, seed: u64) {
        Shape::new(&dims)?;
        adjoint_check(|x| x.dropout(p, &Rng::new(seed)), &dims)?;
    }
}
