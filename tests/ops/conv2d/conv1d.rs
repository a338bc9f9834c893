//! Convolution along rows against its definition.

use proptest::prelude::*;
use wavemix::gradcheck::gradcheck;
use wavemix::ops::conv1d;
use wavemix::{DType, Var, Window1d};

use super::{draw, zeros};
use crate::helpers::assert_errors;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn rows(n in 1usize..3, kernel in 1usize..5, stride in 1usize..4, padding in 0usize..3, dilation in 1usize..3, groups in 1usize..3, own in (1usize..4, 1usize..4), more in 0usize..6, seed: u64) {
        let window = Window1d { stride, padding, dilation, groups };
        let length = (dilation * (kernel - 1) + 1).saturating_sub(2 * padding).max(1) + more;
        let (c_in, c_out) = (groups * own.0, groups * own.1);
        let inputs = [draw(&[n, length, c_in], DType::F64, seed), draw(&[c_out, kernel, own.0], DType::F64, 1), draw(&[c_out], DType::F64, 2)];
        let run = |v: &[Var]| conv1d(&v[0], &v[1], Some(&v[2]), window);
        let y = run(&inputs.each_ref().map(Var::from))?;
        let [x, w, b] = inputs.each_ref().map(|x| x.to_vec::<f64>().unwrap());
        let long = (length + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1;
        prop_assert_eq!(&y.shape()[..], &[n, long, c_out]);
        for (i, y) in y.to_vec::<f64>()?.into_iter().enumerate() {
            let (image, at, o) = (i / c_out / long, i / c_out % long, i % c_out);
            let mut want = b[o];
            for k in 0..kernel {
                let Some(from) = (at * stride + k * dilation).checked_sub(padding).filter(|&from| from < length) else { continue };
                for c in 0..own.0 {
                    want += x[(image * length + from) * c_in + o / own.1 * own.0 + c] * w[(o * kernel + k) * own.0 + c];
                }
            }
            prop_assert!((y - want).abs() < 1e-12, "{y} is not {want}");
        }
        gradcheck(run, &inputs)?;
        gradcheck(|v| conv1d(&v[0], &v[1], None, window), &inputs[..2])?;
    }
}

#[test]
fn errors() {
    let row = zeros;
    let one = Window1d::default();
    let half = Window1d { stride: 0, ..one };
    let cases = [
        (
            conv1d(&row(&[2, 5]), &row(&[4, 3, 2]), None, one),
            "conv1d: x expects [n, length, c_in], got [2, 5]",
        ),
        (
            conv1d(&row(&[2, 5, 2]), &row(&[4, 3]), None, one),
            "conv1d: weight expects [c_out, k, c_in / groups], got [4, 3]",
        ),
        (
            conv1d(&row(&[2, 5, 2]), &row(&[4, 3, 3]), None, one),
            "conv1d: weight expects [c_out, k, c_in = 2] for x [n, length, c_in] = [2, 5, 2], got [4, 3, 3]",
        ),
        (
            conv1d(&row(&[2, 5, 2]), &row(&[4, 3, 2]), None, half),
            "conv2d: stride expects 1 or more, got [1, 0]",
        ),
    ];
    assert_errors(cases, "conv1d.rs");
}
