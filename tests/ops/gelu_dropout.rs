use proptest::prelude::*;
use wavemix::autograd::trace::{Attributes, Event, Watcher, watch};
use wavemix::gradcheck::gradcheck;
use wavemix::ops::{Dropout, gelu_dropout_conv2d};
use wavemix::{DType, Rng, Shape, Tensor, Var, Window};

use crate::helpers::{assert_error, on_threads};

/// Value and gradient of the fused op and of its definition.
fn both(x: &Tensor, p: f64, rng: &Rng) -> [(Vec<f32>, Vec<f32>); 2] {
    [true, false].map(|fused| {
        let x = Var::leaf(x.clone());
        let y = if fused {
            x.gelu_dropout(p, Some(rng))
        } else {
            x.gelu().and_then(|y| y.dropout(p, rng))
        }
        .unwrap();
        let dy = Tensor::normal(x.shape(), 0.0, 1.0, DType::F32, &Rng::new(9));
        let gradients = y.backward_from(dy, &[]).unwrap();
        (
            y.value().to_vec().unwrap(),
            gradients.of(&x).unwrap().to_vec().unwrap(),
        )
    })
}

#[test]
fn fused_is_composed() {
    let x = Tensor::normal([70, 701], 0.0, 2.0, DType::F32, &Rng::new(4));
    for p in [0.0, 0.3, 0.5, 1.0] {
        let [fused, composed] = both(&x, p, &Rng::new(5).child(1));
        assert!(
            fused.0 == composed.0,
            "the same operations in the same order, p = {p}"
        );
        // The gradient is scaled before or after it is multiplied: two roundings of numbers below
        // 1.13 |dy| / (1 - p).
        let scale = if p < 1.0 { 5.0 / (1.0 - p as f32) } else { 1.0 };
        assert!(
            fused
                .1
                .iter()
                .zip(&composed.1)
                .all(|(a, b)| (a - b).abs() <= 4.0 * f32::EPSILON * scale),
            "p = {p}"
        );
    }
}

#[test]
fn evaluation_is_gelu_alone() {
    let x = Var::from(Tensor::normal([33], 0.0, 2.0, DType::F32, &Rng::new(4)));
    let values = |y: Var| y.value().to_vec::<f32>().unwrap();
    assert_eq!(
        values(x.gelu_dropout(0.5, None).unwrap()),
        values(x.gelu().unwrap())
    );
}

#[test]
fn two_threads_give_the_bits_of_one() {
    let x = Tensor::normal([200, 501], 0.0, 1.0, DType::F32, &Rng::new(1));
    let run = |threads| on_threads(threads, || both(&x, 0.5, &Rng::new(3)));
    assert!(run(1) == run(2));
}

#[test]
fn errors() {
    assert_error(
        Var::from(Tensor::ones([2], DType::F32)).gelu_dropout(2.0, None),
        "gelu_dropout: p expects a probability in 0..=1, got 2 (gelu_dropout.rs:",
    );
    assert_error(
        Var::from(Tensor::ones([2], DType::I64)).gelu_dropout(0.5, Some(&Rng::new(1))),
        "gelu_dropout: x expects f32 or f64, got i64",
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn gradient(dims in prop::collection::vec(0usize..6, 0..4), p in 0.0f64..0.95, seed: u64) {
        let x = Tensor::normal(Shape::new(&dims)?, 0.0, 1.5, DType::F64, &Rng::new(seed));
        gradcheck(|v| v[0].gelu_dropout(p, Some(&Rng::new(seed ^ 1))), &[x])?;
    }
}

/// What is told of each op: its name, its operations, whether it says which window it was given.
#[derive(Default)]
struct Told(Vec<(&'static str, u64, bool)>);

impl Watcher for Told {
    fn forward(&mut self, event: Event<'_>) {
        let window = matches!(event.attributes, Attributes::Window(..));
        self.0.push((event.op, event.flops, window));
    }
}

/// Recorded or not, with dropout and without. Its parts are told too, without the products: whoever
/// adds up what all ops tell counts these once.
#[test]
fn the_fused_convolution_counts_its_products_once() {
    let (rng, x) = (Rng::new(3), Tensor::ones([2, 4, 5, 3], DType::F32));
    let weight = Var::from(Tensor::ones([7, 2, 2, 3], DType::F32));
    let flops = 2 * (2 * 3 * 4) * (2 * 2 * 3) * 7;
    for (x, rng, first) in [
        (Var::leaf(x.clone()), None, "gelu"),
        (Var::leaf(x.clone()), Some(&rng), "gelu_dropout"),
        (Var::from(x), Some(&rng), "gelu_dropout"),
    ] {
        let dropout = Dropout { p: 0.25, rng };
        let (Told(told), y) = watch(Told::default(), || {
            gelu_dropout_conv2d(&x, &weight, None, Window::default(), dropout)
        });
        assert_eq!(y.unwrap().shape()[..], [2, 3, 4, 7]);
        let want = [
            (first, 0, false),
            ("gelu_dropout_conv2d", flops, false),
            ("conv2d", 0, true),
        ];
        assert_eq!(told, want);
    }
}
