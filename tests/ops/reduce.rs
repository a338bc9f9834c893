use proptest::prelude::*;
use wavemix::gradcheck::adjoint_check;
use wavemix::{Tensor, Var};

#[test]
fn sums_over_any_axes() {
    let x = Var::from(Tensor::from_vec((0..24).map(f64::from).collect(), [2, 3, 4]).unwrap());
    let y = x.sum(&[0, 2], false).unwrap();
    assert_eq!((y.shape().to_string(), y.value().to_vec::<f64>().unwrap()), ("[3]".into(), vec![60.0, 92.0, 124.0]));
    assert_eq!(x.sum(&[1], true).unwrap().shape().to_string(), "[2, 1, 4]");
    assert_eq!(x.sum_all().unwrap().value().item().unwrap(), 276.0);
    let error = x.sum(&[1, 1], false).err().unwrap().to_string();
    assert!(error.starts_with("sum: axes expects different axes below 3 for [2, 3, 4], got [1, 1] (reduce.rs:"), "{error}");
}

proptest! {
    #[test]
    fn sum_is_the_adjoint_of_repetition(dims in prop::collection::vec(1usize..6, 1..5), chosen in any::<[bool; 5]>(), keep: bool) {
        let axes: Vec<usize> = (0..dims.len()).filter(|&a| chosen[a]).collect();
        adjoint_check(|x| x.sum(&axes, keep), &dims)?;
    }
}
