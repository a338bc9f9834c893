//! Stochastic depth.

use proptest::prelude::*;
use wavemix::gradcheck::adjoint_check;
use wavemix::{DType, Rng, Tensor, Var};

use crate::helpers::assert_error;

#[test]
fn an_image_is_dropped_or_kept_whole() {
    let (n, p, rng) = (300, 0.3, Rng::new(11).child(3));
    let x = Tensor::normal([n, 2, 5], 0.0, 1.0, DType::F32, &Rng::new(2));
    let y = Var::from(&x).drop_path(p, &rng).unwrap();
    let coins = Var::from(Tensor::ones([n], DType::F32)).dropout(p, &rng);
    let coins = coins.unwrap().to_vec::<f32>().unwrap();
    let dropped = coins.iter().filter(|&&coin| coin == 0.0).count();
    // Five standard deviations of a binomial: 90 +- 40.
    assert!((50..=130).contains(&dropped), "{dropped} of {n} dropped");
    let (x, y) = (x.to_vec::<f32>().unwrap(), y.to_vec::<f32>().unwrap());
    for (i, (&x, &y)) in x.iter().zip(&y).enumerate() {
        assert_eq!(y, x * coins[i / 10], "element {i}");
    }
}

#[test]
fn ends_of_the_range() {
    let x = Var::leaf(Tensor::ones([3, 2], DType::F64));
    let none = x.drop_path(0.0, &Rng::new(1)).unwrap();
    assert_eq!(none.to_vec::<f64>().unwrap(), [1.0; 6]);
    let all = x.drop_path(1.0, &Rng::new(1)).unwrap();
    assert_eq!(all.to_vec::<f64>().unwrap(), [0.0; 6]);
    let gradients = all.sum(..).unwrap().backward().unwrap();
    assert_eq!(gradients.of(&x).unwrap().to_vec::<f64>().unwrap(), [0.0; 6]);
}

#[test]
fn errors() {
    assert_error(
        Var::from(Tensor::ones([2], DType::F32)).drop_path(1.5, &Rng::new(1)),
        "drop_path: p expects a probability in 0..=1, got 1.5",
    );
    assert_error(
        Var::from(Tensor::scalar(1.0)).drop_path(0.5, &Rng::new(1)),
        "drop_path: x expects [n, ..], got []",
    );
    assert_error(
        Var::from(Tensor::ones([2], DType::I64)).drop_path(0.5, &Rng::new(1)),
        "drop_path: x expects f32 or f64, got i64",
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn linear_with_its_adjoint(n in 0usize..9, image in prop::collection::vec(0usize..5, 0..3), p in 0.0f64..=1.0, seed: u64) {
        let shape = [&[n][..], &image].concat();
        adjoint_check(|x| x.drop_path(p, &Rng::new(seed)), &shape)?;
    }
}
