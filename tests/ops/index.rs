use proptest::prelude::*;
use wavemix::gradcheck::{adjoint_check, gradcheck};
use wavemix::ops::{embedding, one_hot};
use wavemix::{DType, Result, Rng, Shape, Tensor, Var};

use crate::helpers::{assert_errors, on_threads};
use crate::shape::counted;

fn indices(values: &[i64], shape: impl Into<Shape>) -> Tensor {
    Tensor::from_slice(values, shape).unwrap()
}

fn values(y: Result<Var>) -> (String, Vec<f64>) {
    let y = y.unwrap();
    (y.shape().to_string(), y.value().to_vec().unwrap())
}

#[test]
fn picks() {
    let x = counted(&[2, 3]);
    assert_eq!(
        values(x.gather(1, &indices(&[2, 0, 1, 1], [2, 2]))),
        ("[2, 2]".into(), vec![2.0, 0.0, 4.0, 4.0])
    );
    assert_eq!(
        values(x.gather(0, &indices(&[1, 0], [1, 2]))),
        ("[1, 2]".into(), vec![3.0, 1.0])
    );
    assert_eq!(
        values(x.index_select(1, &indices(&[2, 2], [2]))),
        ("[2, 2]".into(), vec![2.0, 2.0, 5.0, 5.0])
    );
    assert_eq!(
        values(x.index_select(0, &indices(&[], [0]))),
        ("[0, 3]".into(), vec![])
    );
    assert_eq!(
        values(embedding(&x, &indices(&[1, 0], [2, 1]))),
        ("[2, 1, 3]".into(), vec![3.0, 4.0, 5.0, 0.0, 1.0, 2.0])
    );
    let y = one_hot(&indices(&[2, 0], [2, 1]), 3, DType::F32).unwrap();
    assert_eq!(
        (y.shape().to_string(), y.to_vec::<f32>().unwrap()),
        ("[2, 1, 3]".into(), vec![0.0, 0.0, 1.0, 1.0, 0.0, 0.0])
    );
}

#[test]
fn sums_where_indices_say() {
    let x = counted(&[2, 3]);
    let ten = |dims: &[usize]| counted(dims).mul_scalar(10.0).unwrap();
    // torch.arange(6.).reshape(2, 3).scatter_add(1, torch.tensor([[2, 0, 2, 2], [1, 1, 0, 1]]),
    // 10 * torch.arange(8.).reshape(2, 4))
    let at = indices(&[2, 0, 2, 2, 1, 1, 0, 1], [2, 4]);
    assert_eq!(
        values(x.scatter_add(1, &at, &ten(&[2, 4]))),
        ("[2, 3]".into(), vec![10.0, 1.0, 52.0, 63.0, 164.0, 5.0])
    );
    // torch.arange(6.).reshape(2, 3).scatter_add(0, torch.tensor([[1, 0], [1, 1], [0, 1]]),
    // 10 * torch.arange(12.).reshape(3, 4))
    let at = indices(&[1, 0, 1, 1, 0, 1], [3, 2]);
    assert_eq!(
        values(x.scatter_add(0, &at, &ten(&[3, 4]))),
        ("[2, 3]".into(), vec![80.0, 11.0, 2.0, 43.0, 144.0, 5.0])
    );
}

/// More rows than one range has: each adds the same numbers in the same order as a loop over all
/// would.
#[test]
fn gradients_are_added_range_by_range() {
    let (rows, c, picked) = (9001, 20, 30_000);
    let rng = Rng::new(8);
    let wanted: Vec<i64> = (0..picked)
        .map(|i| i64::from(rng.word(i)) % rows as i64)
        .collect();
    let x = Var::leaf(Tensor::zeros([rows, c], DType::F32));
    let dy = Tensor::normal([wanted.len(), c], 0.0, 1.0, DType::F32, &rng.child(1));
    let mut expected = vec![0f32; rows * c];
    for (dy, &row) in dy.as_slice::<f32>().unwrap().chunks(c).zip(&wanted) {
        expected[row as usize * c..][..c]
            .iter_mut()
            .zip(dy)
            .for_each(|(sum, dy)| *sum += dy);
    }
    let whole: Vec<i64> = wanted.iter().flat_map(|&row| vec![row; c]).collect();
    for threads in [1, 2] {
        let of = |y: Result<Var>| {
            let gradients =
                on_threads(threads, || y.unwrap().backward_from(dy.clone(), &[])).unwrap();
            gradients.of(&x).unwrap().to_vec::<f32>().unwrap()
        };
        assert!(of(x.index_select(0, &indices(&wanted, [wanted.len()]))) == expected);
        assert!(of(x.gather(0, &indices(&whole, [wanted.len(), c]))) == expected);
    }
}

#[test]
fn errors() {
    let x = counted(&[2, 3]);
    let cases = [
        (
            x.gather(1, &indices(&[3], [1, 1])),
            "gather: indices expects numbers in 0..3, got 3",
        ),
        (
            x.gather(1, &indices(&[-1], [1, 1])),
            "gather: indices expects numbers in 0..3, got -1",
        ),
        (
            x.gather(1, &indices(&[0; 3], [3, 1])),
            "gather: indices expects a shape within [2, 3], but for axis 1, got [3, 1]",
        ),
        (
            x.gather(2, &indices(&[0], [1, 1])),
            "gather: axis expects below 2 for [2, 3], got 2",
        ),
        (
            x.scatter_add(1, &indices(&[3], [1, 1]), &x),
            "scatter_add: indices expects numbers in 0..3, got 3",
        ),
        (
            x.scatter_add(1, &indices(&[0; 3], [3, 1]), &counted(&[3, 1])),
            "scatter_add: indices expects a shape within [2, 3], but for axis 1, got [3, 1]",
        ),
        (
            x.scatter_add(1, &indices(&[0; 4], [1, 4]), &x),
            "scatter_add: source expects the shape of the indices, [1, 4], or a larger one, got [2, 3]",
        ),
        (
            x.scatter_add(0, &indices(&[0], [1, 1]), &counted(&[2])),
            "scatter_add: source expects the shape of the indices, [1, 1], or a larger one, got [2]",
        ),
        (
            x.scatter_add(
                0,
                &indices(&[0], [1, 1]),
                &Tensor::zeros([1, 1], DType::F32).into(),
            ),
            "scatter_add: source expects the dtype of x, f64, got f32",
        ),
        (
            x.index_select(0, &indices(&[2], [1])),
            "index_select: indices expects numbers in 0..2, got 2",
        ),
        (
            x.index_select(0, &indices(&[0], [1, 1])),
            "index_select: indices expects shape [m], got [1, 1]",
        ),
        (
            x.index_select(0, &Tensor::zeros([1], DType::F32)),
            "index_select: indices expects i64, got f32",
        ),
        (
            embedding(&counted(&[3]), &indices(&[0], [1])),
            "embedding: weight expects [rows, width], got [3]",
        ),
        (
            one_hot(&indices(&[4], [1]), 4, DType::F32).map(Var::from),
            "one_hot: labels expects numbers in 0..4, got 4",
        ),
    ];
    assert_errors(cases, "index.rs");
}

#[test]
fn threads_do_not_change_the_bits() {
    let x = Var::leaf(Tensor::normal(
        [40, 50, 30],
        0.0,
        1.0,
        DType::F32,
        &Rng::new(1),
    ));
    let all: Vec<i64> = (0..70).map(|i| i * i % 50).collect();
    let run = |threads| {
        on_threads(threads, || {
            let y = x.index_select(1, &indices(&all, [70])).unwrap();
            let gradients = y.backward_from(y.value().clone(), &[]).unwrap();
            gradients.of(&x).unwrap().to_vec::<f32>().unwrap()
        })
    };
    assert!(run(1) == run(2));
    let each: Vec<i64> = (0..40 * 50 * 30).map(|i| i * i % 50).collect();
    let run = |threads| {
        on_threads(threads, || {
            let each = indices(&each, [40, 50, 30]);
            let y = x.scatter_add(1, &each, &x).unwrap();
            let gradients = y.backward_from(y.value().clone(), &[]).unwrap();
            [y.value(), gradients.of(&x).unwrap()].map(|x| x.to_vec::<f32>().unwrap())
        })
    };
    assert!(run(1) == run(2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn picking_is_linear(dims in prop::collection::vec(1usize..5, 1..4), axis in 0usize..4, many in 0usize..7, less in any::<[bool; 4]>(), seed: u64) {
        let axis = axis % dims.len();
        let rng = Rng::new(seed);
        let draw = |shape: &Shape| Tensor::uniform(shape, 0.0, dims[axis] as f64, DType::F64, &rng).cast(DType::I64).unwrap();
        let rows = draw(&Shape::from([many]));
        adjoint_check(|x| x.index_select(axis, &rows), &dims)?;
        let shape = dims.iter().zip(&less).enumerate().map(|(a, (&d, &less))| if a == axis { many } else { d - usize::from(less) });
        let each = draw(&Shape::new(&shape.collect::<Vec<_>>()).unwrap());
        adjoint_check(|x| x.gather(axis, &each), &dims)?;
        let normal = |shape: &Shape, i| Tensor::normal(shape, 0.0, 1.0, DType::F64, &rng.stream(i));
        let longer: Vec<usize> = each.shape().iter().zip(&less).map(|(&m, &less)| m + usize::from(less)).collect();
        let operands = [normal(&Shape::new(&dims).unwrap(), 1), normal(&Shape::new(&longer).unwrap(), 2)];
        gradcheck(|v| v[0].scatter_add(axis, &each, &v[1]), &operands)?;

        let x = counted(&dims);
        let y = x.gather(axis, &each).unwrap();
        let (from, to) = (x.shape().strides(), y.shape().strides());
        for (i, (&value, &index)) in y.value().as_slice::<f64>().unwrap().iter().zip(each.as_slice::<i64>().unwrap()).enumerate() {
            let place = |a: usize| if a == axis { index as usize } else { i / to[a] % y.shape()[a] };
            prop_assert_eq!(value, (0..dims.len()).map(|a| place(a) * from[a]).sum::<usize>() as f64);
        }
    }
}
