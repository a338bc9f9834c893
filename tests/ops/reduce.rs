use proptest::prelude::*;
use wavemix::gradcheck::{adjoint_check, gradcheck};
use wavemix::{DType, Result, Rng, Tensor, Var};

use crate::helpers::{assert_error, assert_errors, on_threads};

#[test]
fn sums_over_any_axes() {
    let x = Var::from(Tensor::from_vec((0..24).map(f64::from).collect(), [2, 3, 4]).unwrap());
    let y = x.sum([0, 2]).unwrap();
    assert_eq!(
        (y.shape().to_string(), y.value().to_vec::<f64>().unwrap()),
        ("[3]".into(), vec![60.0, 92.0, 124.0])
    );
    assert_eq!(x.sum_keep(1).unwrap().shape().to_string(), "[2, 1, 4]");
    assert_eq!(x.sum_all().unwrap().value().item().unwrap(), 276.0);
    assert_error(
        x.sum([1, 1]),
        "sum: axes expects different axes below 3 for [2, 3, 4], got [1, 1] (reduce.rs:",
    );
}

proptest! {
    #[test]
    fn sum_is_the_adjoint_of_repetition(dims in prop::collection::vec(1usize..6, 1..5), chosen in any::<[bool; 5]>(), keep: bool) {
        let axes: Vec<usize> = (0..dims.len()).filter(|&a| chosen[a]).collect();
        adjoint_check(|x| if keep { x.sum_keep(&axes) } else { x.sum(&axes) }, &dims)?;
    }
}

fn constant(values: &[f64], shape: impl Into<wavemix::Shape>) -> Var {
    Tensor::from_slice(values, shape).unwrap().into()
}

#[test]
fn means_and_variances() {
    let x = constant(&[1.0, 2.0, 4.0, 9.0, 0.0, 2.0], [2, 3]);
    let values = |y: Result<Var>| y.unwrap().value().to_vec::<f64>().unwrap();
    assert_eq!(values(x.mean(0)), [5.0, 1.0, 3.0]);
    assert_eq!(values(x.mean_all()), [3.0]);
    assert_eq!(values(x.var(0, false)), [16.0, 1.0, 1.0]);
    assert_eq!(values(x.var(0, true)), [32.0, 2.0, 2.0]);
    assert_eq!(values(x.std(0, false)), [4.0, 1.0, 1.0]);
    assert_eq!(x.var_keep(1, true).unwrap().shape().to_string(), "[2, 1]");
    // E[x^2] - E[x]^2 would lose all digits here.
    let far = Var::from(Tensor::from_vec(vec![10_000.0f32, 10_001.0, 10_002.0], [3]).unwrap());
    assert!((far.var(0, true).unwrap().value().item().unwrap() - 1.0).abs() < 1e-5);
}

#[test]
fn extremes() {
    let x = constant(&[1.0, 7.0, 4.0, 7.0, 0.0, 0.0], [2, 3]);
    let values = |y: Result<Var>| y.unwrap().value().to_vec::<f64>().unwrap();
    assert_eq!(values(x.max(0)), [7.0, 7.0, 4.0]);
    assert_eq!(values(x.min_keep(1)), [1.0, 0.0]);
    let leaf = Var::leaf(x.value().clone());
    let gradients = leaf.max([0, 1]).unwrap().backward().unwrap();
    assert_eq!(
        gradients.of(&leaf).unwrap().to_vec::<f64>().unwrap(),
        [0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
        "the first of equals"
    );
    assert_eq!(
        x.value().argmax(1).unwrap().to_vec::<i64>().unwrap(),
        [1, 0]
    );
    assert_eq!(
        x.value().argmax(0).unwrap().to_vec::<i64>().unwrap(),
        [1, 0, 0]
    );
    let nan = constant(&[1.0, f64::NAN, 3.0, f64::NAN], [4]);
    assert!(nan.max(0).unwrap().value().item().unwrap().is_nan());
    assert!(nan.min(0).unwrap().value().item().unwrap().is_nan());
    assert_eq!(nan.value().argmax(0).unwrap().item().unwrap(), 1.0);
    assert_eq!(
        nan.value().topk(3).unwrap().1.to_vec::<i64>().unwrap(),
        [1, 3, 2]
    );
}

/// PyTorch 2.15's values, and the gradients for dy = 1, 2, ..
#[test]
fn norms_and_products_as_in_pytorch() {
    type Known<'a> = (fn(&Var) -> Result<Var>, &'a [f64], [f64; 6]);
    let cases: [Known; 3] = [
        (
            |x| x.prod(1),
            &[-1.0, 0.0],
            [-1.0, 0.5, -2.0, -6.0, 0.0, 0.0],
        ),
        (
            |x| x.norm(0),
            &[1.0, 3.605551275463989, 1.118033988749895],
            [
                1.0,
                -1.1094003924504583,
                1.3416407864998738,
                0.0,
                1.6641005886756874,
                -2.6832815729997477,
            ],
        ),
        (
            |x| x.norm(..),
            &[3.905124837953327],
            [
                0.25607375986579195,
                -0.5121475197315839,
                0.12803687993289598,
                0.0,
                0.7682212795973759,
                -0.25607375986579195,
            ],
        ),
    ];
    for (f, want, dx) in cases {
        let x = Tensor::from_slice(&[1.0, -2.0, 0.5, 0.0, 3.0, -1.0], [2, 3]).unwrap();
        let x = Var::leaf(x);
        let y = f(&x).unwrap();
        let near = |got: Vec<f64>, want: &[f64]| {
            assert_eq!(got.len(), want.len());
            let off = |(got, want): (&f64, &f64)| (got - want).abs();
            assert!(
                got.iter().zip(want).map(off).all(|off| off < 1e-15),
                "{got:?}, not {want:?}"
            );
        };
        near(y.value().to_vec().unwrap(), want);
        let dy = Tensor::arange(1.0, 1.0, want.len(), DType::F64);
        let gradients = y
            .backward_from(dy.reshape(y.shape()).unwrap(), &[])
            .unwrap();
        near(gradients.of(&x).unwrap().to_vec().unwrap(), &dx);
    }
    let x = constant(&[1.0, -2.0, 0.5, 0.0, 3.0, -1.0], [2, 3]);
    let least = |axis| x.value().argmin(axis).unwrap().to_vec::<i64>().unwrap();
    assert_eq!((least(0), least(1)), (vec![1, 0, 1], vec![1, 2]));
}

#[test]
fn products_of_nothing_are_one() {
    let empty = Var::leaf(Tensor::zeros([0, 3], DType::F32));
    let y = empty.prod(0).unwrap();
    assert_eq!(y.value().to_vec::<f32>().unwrap(), [1.0; 3]);
    let gradients = y.sum_all().unwrap().backward().unwrap();
    assert_eq!(gradients.of(&empty).unwrap().shape()[..], [0, 3]);
    assert_eq!(empty.prod_keep(1).unwrap().shape()[..], [0, 1]);
    assert_eq!(empty.norm(..).unwrap().value().item().unwrap(), 0.0);
}

#[test]
fn errors() {
    let (x, empty) = (
        constant(&[1.0, 2.0], [1, 2]),
        Var::from(Tensor::zeros([3, 0], DType::F64)),
    );
    let cases: [(Result<Var>, &str); 10] = [
        (
            empty.mean(1),
            "mean: x expects at least 1 to reduce, got 0 in axes [1] of [3, 0]",
        ),
        (
            empty.max([0, 1]),
            "max: x expects at least 1 to reduce, got 0 in axes [0, 1] of [3, 0]",
        ),
        (
            x.var(0, true),
            "var: x expects at least 2 to reduce, got 1 in axes [0] of [1, 2]",
        ),
        (
            x.min(2),
            "min: axes expects different axes below 2 for [1, 2], got [2]",
        ),
        (
            x.value().argmax(2).map(Var::from),
            "argmax: axis expects below 2 for [1, 2], got 2",
        ),
        (
            empty.value().argmax(1).map(Var::from),
            "argmax: tensor expects a length above 0 in axis 1, got [3, 0]",
        ),
        (
            x.value().argmin(2).map(Var::from),
            "argmin: axis expects below 2 for [1, 2], got 2",
        ),
        (
            x.prod([0, 0]),
            "prod: axes expects different axes below 2 for [1, 2], got [0, 0]",
        ),
        (
            x.norm(2),
            "norm: axes expects different axes below 2 for [1, 2], got [2]",
        ),
        (
            x.value().topk(3).map(|(y, _)| y.into()),
            "topk: k expects at most the length of the last axis of [1, 2], got 3",
        ),
    ];
    assert_errors(cases, "reduce.rs");
}

#[test]
fn threads_do_not_change_the_bits() {
    let x = Var::from(Tensor::normal(
        [70, 41, 33],
        0.0,
        1.0,
        DType::F32,
        &Rng::new(2),
    ));
    let run = |threads| {
        let all = || {
            let parts = [
                x.var([0, 1], true),
                x.mean([1, 2]),
                x.max(1),
                x.mean_all(),
                x.prod([0, 2]),
                x.norm(1),
            ];
            let (values, at) = x.value().topk(3).unwrap();
            let mut out: Vec<f32> = parts
                .into_iter()
                .flat_map(|y| y.unwrap().value().to_vec::<f32>().unwrap())
                .collect();
            out.extend(values.to_vec::<f32>().unwrap());
            out.extend(at.cast(DType::F32).unwrap().to_vec::<f32>().unwrap());
            out
        };
        on_threads(threads, all)
    };
    assert!(run(1) == run(2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn gradients(dims in prop::collection::vec(2usize..5, 1..5), chosen in any::<[bool; 5]>(), keep: bool, unbiased: bool, seed: u64) {
        let mut axes: Vec<usize> = (0..dims.len()).filter(|&a| chosen[a]).collect();
        if axes.is_empty() {
            axes.push(0);
        }
        adjoint_check(|x| if keep { x.mean_keep(&axes) } else { x.mean(&axes) }, &dims)?;
        let shape = wavemix::Shape::new(&dims).unwrap();
        let x = Tensor::normal(shape, 0.0, 1.0, DType::F64, &Rng::new(seed));
        gradcheck(|v| if keep { v[0].var_keep(&axes, unbiased) } else { v[0].var(&axes, unbiased) }, std::slice::from_ref(&x))?;
        gradcheck(|v| if keep { v[0].norm_keep(&axes) } else { v[0].norm(&axes) }, std::slice::from_ref(&x))?;
        // Near 1, so that products of many stay there, and with no, one or several zeros.
        let near_1 = |x: &f64| if x.abs() < 0.3 { 0.0 } else { 1.0 + 0.1 * x };
        let factors = Tensor::from_vec(x.as_slice::<f64>()?.iter().map(near_1).collect(), shape)?;
        gradcheck(|v| if keep { v[0].prod_keep(&axes) } else { v[0].prod(&axes) }, &[factors])?;
        // Numbers at least 0.1 apart, in a random order.
        let order: Vec<f64> = Rng::new(seed).permutation(shape.elements()).into_iter().map(|i| i as f64 * 0.1).collect();
        let apart = Tensor::from_vec(order, shape).unwrap();
        gradcheck(|v| if keep { v[0].max_keep(&axes) } else { v[0].max(&axes) }, std::slice::from_ref(&apart))?;
        gradcheck(|v| if keep { v[0].min_keep(&axes) } else { v[0].min(&axes) }, std::slice::from_ref(&apart))?;
    }

    #[test]
    fn largest_of_rows(rows in 1usize..4, length in 1usize..70, k in 0usize..70, seed: u64) {
        // Few different values, so that there are ties.
        let x = Tensor::uniform([rows, length], 0.0, 9.0, DType::F64, &Rng::new(seed)).cast(DType::I64).unwrap();
        let k = k.min(length);
        let (values, at) = x.topk(k).unwrap();
        let first = x.argmax(1).unwrap();
        for r in 0..rows {
            let row = &x.as_slice::<i64>().unwrap()[r * length..][..length];
            let mut order: Vec<usize> = (0..length).collect();
            order.sort_by_key(|&i| (-row[i], i));
            prop_assert_eq!(first.as_slice::<i64>().unwrap()[r], order[0] as i64);
            let places: Vec<i64> = order[..k].iter().map(|&i| i as i64).collect();
            prop_assert_eq!(&at.as_slice::<i64>().unwrap()[r * k..][..k], &places[..]);
            let sorted: Vec<i64> = order[..k].iter().map(|&i| row[i]).collect();
            prop_assert_eq!(&values.as_slice::<i64>().unwrap()[r * k..][..k], &sorted[..]);
        }
    }
}
