use proptest::prelude::*;
use wavemix::gradcheck::gradcheck;
use wavemix::{DType, Result, Rng, Shape, Tensor, Var};

use crate::helpers::{assert_errors, on_threads};

const INF: f64 = f64::INFINITY;

/// As PyTorch 2.15's `torch.sort(x, stable=True)`.
#[test]
fn as_in_pytorch() {
    let x = [3.0, f64::NAN, -0.0, 0.0, 1.0, INF, -INF, f64::NAN, 1.0];
    let (up, down) = ([6i64, 2, 3, 4, 8, 0, 5, 1, 7], [1, 7, 5, 0, 4, 8, 2, 3, 6]);
    for dtype in [DType::F64, DType::F32, DType::BF16, DType::F16] {
        let x = Tensor::from_slice(&x, [9]).unwrap().cast(dtype).unwrap();
        for (descending, want) in [(false, up), (true, down)] {
            let (y, at) = Var::from(&x).sort(0, descending).unwrap();
            assert_eq!(at.to_vec::<i64>().unwrap(), want, "{dtype}");
            let exact = |t: &Tensor| t.cast(DType::F64).unwrap().to_vec::<f64>().unwrap();
            let (x, y) = (exact(&x), exact(y.value()));
            let same = |(y, &i): (f64, &i64)| y.to_bits() == x[i as usize].to_bits();
            assert!(y.into_iter().zip(&want).all(same), "{dtype}");
        }
    }
    let x = Tensor::from_vec(vec![3i64, i64::MAX, i64::MIN, i64::MAX - 1], [4]).unwrap();
    let order = |descending| x.argsort(0, descending).unwrap().to_vec::<i64>().unwrap();
    assert_eq!(
        (order(false), order(true)),
        (vec![2, 0, 3, 1], vec![1, 3, 0, 2])
    );
}

#[test]
fn gradients_go_to_where_elements_were() {
    let x = Var::leaf(Tensor::from_slice(&[2.0, 1.0, 3.0, 0.0, 5.0, 4.0], [2, 3]).unwrap());
    let dy = || Tensor::from_slice(&[10.0, 20.0, 30.0, 40.0, 50.0, 60.0], [2, 3]).unwrap();
    let of = |y: Result<(Var, Tensor)>, dy: Tensor| {
        let gradients = y.unwrap().0.backward_from(dy, &[]).unwrap();
        gradients.of(&x).unwrap().to_vec::<f64>().unwrap()
    };
    assert_eq!(
        of(x.sort(1, false), dy()),
        [20.0, 10.0, 30.0, 40.0, 60.0, 50.0]
    );
    assert_eq!(
        of(x.sort(0, true), dy()),
        [10.0, 50.0, 60.0, 40.0, 20.0, 30.0]
    );
    let two = Tensor::from_slice(&[10.0, 20.0, 40.0, 50.0], [2, 2]).unwrap();
    assert_eq!(of(x.topk(2), two), [20.0, 0.0, 10.0, 0.0, 40.0, 50.0]);
}

#[test]
fn long_rows_and_two_threads() {
    for (dims, dtype) in [
        ([2, 100_003], DType::F32),
        ([2, 70_001], DType::F64),
        ([500, 300], DType::BF16),
    ] {
        // Of 16 bits many are equal.
        let x = Tensor::normal(dims, 0.0, 1.0, dtype, &Rng::new(5));
        let run = |threads| {
            on_threads(threads, || {
                x.argsort(1, false).unwrap().to_vec::<i64>().unwrap()
            })
        };
        let at = run(1);
        assert!(at == run(2), "{dtype}");
        let values = x.cast(DType::F64).unwrap().to_vec::<f64>().unwrap();
        for (row, at) in values.chunks(dims[1]).zip(at.chunks(dims[1])) {
            let key = |&i: &i64| (row[i as usize], i);
            assert!(at.is_sorted_by_key(key), "{dtype}");
            let mut all = at.to_vec();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..dims[1] as i64), "{dtype}: each once");
        }
    }
}

#[test]
fn errors() {
    let x = Var::from(Tensor::zeros([2, 3], DType::F32));
    let cases = [
        (
            x.sort(2, false),
            "sort: axis expects below 2 for [2, 3], got 2",
        ),
        (
            x.topk(4),
            "topk: k expects at most the length of the last axis of [2, 3], got 4",
        ),
        (
            x.value().argsort(7, true).map(|at| (x.clone(), at)),
            "argsort: axis expects below 2 for [2, 3], got 7",
        ),
    ];
    assert_errors(cases, "sort.rs");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn as_a_stable_sort_by_comparisons(dims in prop::collection::vec(1usize..7, 1..4), axis in 0usize..3, descending: bool, dtype in 0usize..4, seed: u64) {
        // Few different values, so that there are ties.
        let dtype = [DType::F32, DType::F64, DType::U8, DType::I64][dtype];
        let axis = axis.min(dims.len() - 1);
        let x = Tensor::uniform(Shape::new(&dims)?, 0.0, 4.0, DType::F64, &Rng::new(seed)).cast(DType::U8)?.cast(dtype)?;
        let (y, at) = Var::from(&x).sort(axis, descending)?;
        prop_assert_eq!(&x.argsort(axis, descending)?.to_vec::<i64>()?, &at.to_vec::<i64>()?);
        // Rows along the axis, each as one.
        let rows = |t: &Tensor| {
            let last = dims.len() - 1;
            let t = Var::from(t.cast(DType::F64)?).transpose(axis, last)?;
            t.to_vec::<f64>()
        };
        let (x, y, at) = (rows(&x)?, rows(y.value())?, rows(&at)?);
        let length = dims[axis];
        for ((x, y), at) in x.chunks(length).zip(y.chunks(length)).zip(at.chunks(length)) {
            let mut want: Vec<usize> = (0..length).collect();
            want.sort_by(|&a, &b| if descending { x[b].total_cmp(&x[a]) } else { x[a].total_cmp(&x[b]) });
            prop_assert!(at.iter().map(|&i| i as usize).eq(want.iter().copied()));
            prop_assert!(y.iter().copied().eq(want.iter().map(|&i| x[i])));
        }
    }

    #[test]
    fn gradients(dims in prop::collection::vec(1usize..6, 1..4), axis in 0usize..3, descending: bool, k in 0usize..6, seed: u64) {
        let axis = axis.min(dims.len() - 1);
        let shape = Shape::new(&dims)?;
        // Numbers at least 0.1 apart, in a random order.
        let apart = Rng::new(seed).permutation(shape.elements()).into_iter().map(|i| i as f64 * 0.1).collect();
        let apart = [Tensor::from_vec(apart, shape)?];
        gradcheck(|v| Ok(v[0].sort(axis, descending)?.0), &apart)?;
        let k = k.min(dims[dims.len() - 1]);
        gradcheck(|v| Ok(v[0].topk(k)?.0), &apart)?;
    }
}
