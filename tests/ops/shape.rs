use proptest::prelude::*;
use wavemix::gradcheck::{adjoint_check, gradcheck};
use wavemix::ops::{concat, stack};
use wavemix::{DType, Device, Result, Rng, Shape, Tensor, Var};

use crate::helpers::{assert_error, assert_errors, on_threads};

/// 0, 1, 2 and so on in this shape.
pub fn counted(dims: &[usize]) -> Var {
    let shape = Shape::new(dims).unwrap();
    Tensor::arange(0.0, 1.0, shape.elements(), DType::F64)
        .reshape(shape)
        .unwrap()
        .into()
}

/// The tensor whose element at `index` is `source(index)`.
fn built(dims: &[usize], mut source: impl FnMut(&[usize]) -> f64) -> Vec<f64> {
    let strides = Shape::new(dims).unwrap().strides();
    let elements = dims.iter().product();
    (0..elements)
        .map(|i| {
            source(
                &dims
                    .iter()
                    .zip(strides.iter())
                    .map(|(d, s)| i / s % d)
                    .collect::<Vec<_>>(),
            )
        })
        .collect()
}

/// Element `index` of x.
fn at(x: &Var, index: &[usize]) -> f64 {
    let flat: usize = index
        .iter()
        .zip(x.shape().strides().iter())
        .map(|(i, s)| i * s)
        .sum();
    x.value().as_slice::<f64>().unwrap()[flat]
}

fn assert_is(y: Result<Var>, dims: &[usize], source: impl FnMut(&[usize]) -> f64) {
    let y = y.unwrap();
    assert_eq!(&y.shape()[..], dims);
    // Not assert_eq: large ones would be printed.
    assert!(
        y.value().to_vec::<f64>().unwrap() == built(dims, source),
        "a result of shape {dims:?}"
    );
}

fn replaced(index: &[usize], axis: usize, value: usize) -> Vec<usize> {
    let mut index = index.to_vec();
    index[axis] = value;
    index
}

#[test]
fn reshapes() {
    let x = counted(&[2, 3, 4]);
    assert_is(x.reshape([4, 6]), &[4, 6], |i| (i[0] * 6 + i[1]) as f64);
    assert_eq!(
        x.unsqueeze(3)
            .unwrap()
            .unsqueeze(0)
            .unwrap()
            .shape()
            .to_string(),
        "[1, 2, 3, 4, 1]"
    );
    assert_eq!(
        x.unsqueeze(1).unwrap().squeeze(1).unwrap().shape(),
        x.shape()
    );
}

#[test]
fn bytes_move_too() {
    let x = Var::from(Tensor::from_vec(vec![1u8, 2, 3, 4, 5, 6], [2, 3]).unwrap());
    assert_eq!(
        x.transpose(0, 1).unwrap().value().to_vec::<u8>().unwrap(),
        [1, 4, 2, 5, 3, 6]
    );
    assert_eq!(
        concat(&[&x, &x.flip(1).unwrap()], 1)
            .unwrap()
            .value()
            .to_vec::<u8>()
            .unwrap(),
        [1, 2, 3, 3, 2, 1, 4, 5, 6, 6, 5, 4]
    );
}

#[test]
fn large_ones_over_threads() {
    // Above the size from which work is split, with tiles cut off at the ends.
    let x = counted(&[3, 211, 117]);
    let run = |threads| {
        on_threads(threads, || {
            assert_is(x.permute(&[0, 2, 1]), &[3, 117, 211], |i| {
                at(&x, &[i[0], i[2], i[1]])
            });
            assert_is(x.permute(&[2, 1, 0]), &[117, 211, 3], |i| {
                at(&x, &[i[2], i[1], i[0]])
            });
            assert_is(x.flip(1), &[3, 211, 117], |i| {
                at(&x, &[i[0], 210 - i[1], i[2]])
            });
            assert_is(x.slice(2, 1..117), &[3, 211, 116], |i| {
                at(&x, &[i[0], i[1], i[2] + 1])
            });
            assert_is(concat(&[&x, &x], 2), &[3, 211, 234], |i| {
                at(&x, &[i[0], i[1], i[2] % 117])
            });
            assert_is(
                x.unsqueeze(1).unwrap().expand([3, 2, 211, 117]),
                &[3, 2, 211, 117],
                |i| at(&x, &[i[0], i[2], i[3]]),
            );
            assert_is(x.pad(&[(0, 0), (1, 0), (0, 2)]), &[3, 212, 119], |i| {
                if i[1] > 0 && i[2] < 117 {
                    at(&x, &[i[0], i[1] - 1, i[2]])
                } else {
                    0.0
                }
            });
        });
    };
    run(1);
    run(2);
}

#[test]
fn empty_ones() {
    let x = Var::from(Tensor::zeros([2, 0, 3], DType::F32));
    assert_eq!(
        x.permute(&[2, 1, 0]).unwrap().shape().to_string(),
        "[3, 0, 2]"
    );
    assert_eq!(
        x.pad(&[(0, 0), (1, 0), (0, 0)])
            .unwrap()
            .value()
            .to_vec::<f32>()
            .unwrap(),
        [0.0; 6]
    );
    assert_eq!(
        concat(&[&x, &x], 1).unwrap().shape().to_string(),
        "[2, 0, 3]"
    );
    assert_eq!(x.flip(1).unwrap().shape().to_string(), "[2, 0, 3]");
    assert_eq!(x.slice(0, 1..1).unwrap().shape().to_string(), "[0, 0, 3]");
    assert_eq!(
        x.expand([4, 2, 0, 3]).unwrap().shape().to_string(),
        "[4, 2, 0, 3]"
    );
}

#[test]
fn errors() {
    let x = counted(&[2, 3]);
    let cases: [(Result<Var>, &str); 22] = [
        (
            x.reshape([4]),
            "reshape: tensor expects 4 elements to make [4], got [2, 3]",
        ),
        (
            x.squeeze(1),
            "squeeze: axis expects an axis of length 1 of [2, 3], got 1",
        ),
        (
            x.unsqueeze(3),
            "unsqueeze: axis expects at most 2 for [2, 3], got 3",
        ),
        (
            x.permute(&[0, 0]),
            "permute: order expects each axis of [2, 3] once, got [0, 0]",
        ),
        (
            x.transpose(0, 2),
            "transpose: axis expects below 2 for [2, 3], got 2",
        ),
        (x.flip(2), "flip: axis expects below 2 for [2, 3], got 2"),
        (
            x.slice(1, 2..4),
            "slice: range expects a part of 0..3 for axis 1 of [2, 3], got 2..4",
        ),
        (
            x.split(&[1, 1], 1).map(|mut parts| parts.remove(0)),
            "split: lengths expects a sum of 3, got [1, 1]",
        ),
        (
            x.pad(&[(1, 1)]),
            "pad: around expects a pair for each axis of [2, 3], got [(1, 1)]",
        ),
        (
            x.expand([3, 3]),
            "expand: x expects a shape that repeats to [3, 3], got [2, 3]",
        ),
        (
            concat(&[], 0),
            "concat: parts expects at least one, got none",
        ),
        (
            concat(&[&x, &counted(&[2, 2])], 0),
            "concat: parts expects [2, 3] but for axis 0, got [2, 2]",
        ),
        (
            concat(&[&x, &Tensor::zeros([2, 3], DType::U8).into()], 0),
            "concat: parts expects one dtype, f64, got u8",
        ),
        (stack(&[], 0), "stack: parts expects at least one, got none"),
        (
            stack(&[&x], 3),
            "stack: axis expects at most 2 for [2, 3], got 3",
        ),
        (
            stack(&[&x, &counted(&[3, 2])], 0),
            "stack: parts expects one shape, [2, 3], got [3, 2]",
        ),
        (
            stack(&[&x, &Tensor::zeros([2, 3], DType::U8).into()], 0),
            "stack: parts expects one dtype, f64, got u8",
        ),
        (
            stack(&[&counted(&[1; 6])], 0),
            "stack: parts expects less than 6 dimensions, got [1, 1, 1, 1, 1, 1]",
        ),
        (
            x.chunk(0, 1).map(|mut parts| parts.remove(0)),
            "chunk: parts expects 1 to 65536 parts, got 0",
        ),
        (
            Var::from(Tensor::zeros([0, 65537], DType::F32))
                .unbind(1)
                .map(|mut parts| parts.remove(0)),
            "unbind: x expects 1 to 65536 parts, got 65537",
        ),
        (
            counted(&[3]).tril(0),
            "tril: x expects two dimensions or more, got [3]",
        ),
        (
            counted(&[3]).triu(0),
            "triu: x expects two dimensions or more, got [3]",
        ),
    ];
    assert_errors(cases, "shape.rs");
    assert!(
        x.pad(&[(usize::MAX, 0), (0, 0)])
            .err()
            .unwrap()
            .to_string()
            .starts_with("pad: result expects a shape that fits in memory")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn rearrangements(dims in prop::collection::vec(1usize..5, 1..5), seed: u64) {
        let mut rng = Rng::new(seed);
        let mut below = |n: usize| rng.permutation(n)[0];
        let (axis, rank) = (below(dims.len()), dims.len());
        let x = counted(&dims);
        let order = Rng::new(seed).stream(1).permutation(rank);
        let permuted: Vec<usize> = order.iter().map(|&a| dims[a]).collect();
        assert_is(x.permute(&order), &permuted, |i| at(&x, &(0..rank).map(|a| i[order.iter().position(|&o| o == a).unwrap()]).collect::<Vec<_>>()));
        assert_is(x.flip(axis), &dims, |i| at(&x, &replaced(i, axis, dims[axis] - 1 - i[axis])));
        let start = below(dims[axis]);
        let range = start..start + below(dims[axis] - start + 1);
        assert_is(x.slice(axis, range.clone()), &replaced(&dims, axis, range.len()), |i| at(&x, &replaced(i, axis, i[axis] + start)));
        let around: Vec<(usize, usize)> = dims.iter().map(|_| (below(3), below(3))).collect();
        let padded: Vec<usize> = dims.iter().zip(&around).map(|(d, (b, a))| b + d + a).collect();
        assert_is(x.pad(&around), &padded, |i| {
            let inner: Option<Vec<usize>> = (0..rank).map(|a| i[a].checked_sub(around[a].0).filter(|&i| i < dims[a])).collect();
            inner.map_or(0.0, |inner| at(&x, &inner))
        });
        let ones: Vec<usize> = dims.iter().map(|&d| if below(2) == 0 { d } else { 1 }).collect();
        let small = counted(&ones);
        let repeated = |i: &[usize]| at(&small, &i.iter().zip(&ones).map(|(&i, &one)| if one == 1 { 0 } else { i }).collect::<Vec<_>>());
        assert_is(small.expand(Shape::new(&dims).unwrap()), &dims, repeated);

        adjoint_check(|x| x.permute(&order), &dims)?;
        adjoint_check(|x| x.transpose(0, axis), &dims)?;
        adjoint_check(|x| x.flip(axis), &dims)?;
        adjoint_check(|x| x.slice(axis, range.clone()), &dims)?;
        adjoint_check(|x| x.pad(&around), &dims)?;
        adjoint_check(|x| x.expand(Shape::new(&dims).unwrap()), &ones)?;
        adjoint_check(|x| x.reshape([x.value().elements()]), &dims)?;
        adjoint_check(|x| x.unsqueeze(axis), &dims)?;
    }

    #[test]
    fn splitting_and_joining(dims in prop::collection::vec(1usize..5, 1..5), axis in 0usize..5, cut in 0usize..5, seed: u64) {
        let axis = axis % dims.len();
        let cut = cut.min(dims[axis]);
        let x = counted(&dims);
        let parts = x.split(&[cut, dims[axis] - cut], axis).unwrap();
        let joined = concat(&parts.iter().collect::<Vec<_>>(), axis).unwrap();
        prop_assert_eq!(joined.value().to_vec::<f64>().unwrap(), x.value().to_vec::<f64>().unwrap());
        let rng = Rng::new(seed);
        let draw = |length, stream| {
            let shape = Shape::new(&replaced(&dims, axis, length)).unwrap();
            Tensor::normal(shape, 0.0, 1.0, DType::F64, &rng.stream(stream))
        };
        gradcheck(|v| concat(&[&v[0], &v[1], &v[0]], axis), &[draw(cut, 0), draw(3, 1)])?;
    }
}

#[test]
fn chunks_are_as_long_as_pytorchs() {
    let lengths = |whole: usize, parts: usize| -> Vec<usize> {
        let chunks = counted(&[2, whole]).chunk(parts, 1).unwrap();
        chunks.iter().map(|chunk| chunk.shape()[1]).collect()
    };
    // [len(c) for c in torch.arange(n).chunk(k)]
    assert_eq!(lengths(6, 3), [2, 2, 2]);
    assert_eq!(lengths(5, 4), [2, 2, 1]);
    assert_eq!(lengths(7, 3), [3, 3, 1]);
    assert_eq!(lengths(3, 9), [1, 1, 1]);
    assert_eq!(lengths(0, 2), [0, 0]);
    assert_eq!(lengths(100_000, 2), [50_000, 50_000]);
}

#[test]
fn triangles_of_a_batch_over_threads() {
    let x = counted(&[3, 150, 211]);
    for threads in [1, 2] {
        on_threads(threads, || {
            for diagonal in [i64::MIN, -150, -149, -7, 0, 1, 60, 210, 211, i64::MAX] {
                let kept = |i: &[usize], lower: bool| {
                    let above = i128::from(i[2] as i64 - i[1] as i64) - i128::from(diagonal);
                    let kept = if lower { above <= 0 } else { above >= 0 };
                    if kept { at(&x, i) } else { 0.0 }
                };
                assert_is(x.tril(diagonal), &[3, 150, 211], |i| kept(i, true));
                assert_is(x.triu(diagonal), &[3, 150, 211], |i| kept(i, false));
            }
        });
    }
    // What is not kept is 0, not a product with 0.
    let nan = Var::from(Tensor::full([2, 2], f64::NAN, DType::F32));
    let y = nan.triu(1).unwrap().value().to_vec::<f32>().unwrap();
    assert!(y[1].is_nan() && [y[0], y[2], y[3]] == [0.0; 3]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn stacks_and_what_undoes_them(dims in prop::collection::vec(1usize..5, 1..5), axis in 0usize..5, count in 1usize..4, diagonal in -5i64..6, seed: u64) {
        let axis = axis % (dims.len() + 1);
        let rng = Rng::new(seed);
        let draw = |i: usize| Tensor::normal(Shape::new(&dims).unwrap(), 0.0, 1.0, DType::F64, &rng.stream(i as u64));
        let parts: Vec<Tensor> = (0..count).map(draw).collect();
        let vars: Vec<Var> = parts.iter().map(Var::from).collect();
        let y = stack(&vars.iter().collect::<Vec<_>>(), axis)?;
        let mut shape = dims.clone();
        shape.insert(axis, count);
        assert_is(Ok(y.clone()), &shape, |i| {
            let mut index = i.to_vec();
            let part = index.remove(axis);
            at(&vars[part], &index)
        });
        for (part, back) in parts.iter().zip(y.unbind(axis)?) {
            prop_assert_eq!(part.to_vec::<f64>()?, back.value().to_vec::<f64>()?);
        }
        gradcheck(|v| stack(&v.iter().collect::<Vec<_>>(), axis), &parts)?;
        adjoint_check(|x| Ok(x.unbind(axis)?.swap_remove(count / 2)), &shape)?;
        adjoint_check(|x| x.chunk(2, axis)?.pop().unwrap().tril(0), &[&shape[..], &[2]].concat())?;
        let matrices = [&dims[..], &[3]].concat();
        adjoint_check(|x| x.tril(diagonal), &matrices)?;
        adjoint_check(|x| x.triu(diagonal), &matrices)?;
    }
}

/// Counts that wrap: 3 x 7 x 29 x 36760123 x 823996703 is 5, and 2^63 x 2 is 0, modulo 2^64.
#[test]
fn impossible_shapes_are_errors() {
    let error = |outcome: Result<Tensor>| outcome.err().unwrap().to_string();
    let five = [3, 7, 29, 36760123, 823996703];
    let said = error(Tensor::from_vec(vec![1f32; 5], five));
    let expected = "from_vec: shape expects one that fits in memory, got [3, 7, 29, 36760123, 823996703] (shape.rs:";
    assert!(said.starts_with(expected), "{said}");
    let x = Tensor::zeros([5], DType::F32);
    assert!(
        error(x.reshape(five))
            .starts_with("reshape: shape expects one that fits in memory, got [3, 7, 29, ")
    );
    let empty = Tensor::zeros([0], DType::F32);
    assert!(
        error(empty.reshape([0, 1 << 63]))
            .starts_with("reshape: shape expects one that fits in memory, got [0, 9")
    );
    assert!(
        error(Tensor::from_vec(Vec::<f64>::new(), [1 << 63, 2]))
            .starts_with("from_vec: shape expects one that fits")
    );
    assert!(
        error(Tensor::full_on(Device::Cpu, [1 << 63, 2], 0.0, DType::U8))
            .starts_with("full_on: shape expects one")
    );
    let one = Var::from(Tensor::zeros([1, 1], DType::F32));
    assert!(
        one.expand([1 << 63, 2])
            .err()
            .unwrap()
            .to_string()
            .starts_with("expand: result expects a shape that fits in memory")
    );
    // Sixteen times 2^60 columns of nothing are 2^64.
    let long = Var::from(Tensor::zeros([0, (1 << 60) - 1], DType::F32));
    assert!(
        concat(&[&long; 17], 1)
            .err()
            .unwrap()
            .to_string()
            .starts_with("concat: result expects a shape that fits in memory")
    );
}

/// Functions that return no `Result` say at the caller's line what cannot be.
#[test]
fn creation_of_an_impossible_tensor_panics_at_its_caller() {
    let f64 = DType::F64;
    let creations: [&dyn Fn() -> Tensor; 7] = [
        &|| Tensor::zeros([1 << 63, 2], f64),
        &|| Tensor::ones([1 << 63, 2], f64),
        &|| Tensor::full([1 << 50], 1.0, f64),
        &|| Tensor::arange(0.0, 1.0, usize::MAX, f64),
        &|| Tensor::eye(1 << 32, f64),
        &|| Tensor::uniform([1 << 50], 0.0, 1.0, f64, &Rng::new(0)),
        &|| Tensor::normal([3, usize::MAX], 0.0, 1.0, f64, &Rng::new(0)),
    ];
    for (i, creation) in creations.iter().enumerate() {
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(creation)).unwrap_err();
        let said = panic.downcast_ref::<String>().unwrap();
        assert!(
            said.contains("expects a shape that fits in memory") && said.contains("(shape.rs:"),
            "{i}: {said}"
        );
    }
}

#[test]
fn a_scalar_has_no_rows_and_others_as_many_as_they_have() {
    assert_error(
        Tensor::scalar(1.0f32).rows(0..0),
        "rows: tensor expects one dimension or more, got [] (shape.rs:",
    );
    let x = Tensor::zeros([3, 2], DType::F32);
    for range in [2..4, 4..4, usize::MAX - 1..usize::MAX] {
        let expected = format!("rows: range expects a part of 0..3, got {range:?} (shape.rs:");
        assert_error(x.rows(range), &expected);
    }
}

#[test]
fn flatten_joins_the_axes_from_one_on() {
    let x = Var::from(Tensor::zeros([2, 3, 4, 5], DType::F32));
    for (first, want) in [
        (0, &[120][..]),
        (1, &[2, 60]),
        (2, &[2, 3, 20]),
        (3, &[2, 3, 4, 5]),
    ] {
        assert_eq!(&x.flatten(first).unwrap().shape()[..], want);
    }
    let error = x.flatten(4).unwrap_err().to_string();
    assert!(
        error.starts_with("flatten: axis expects below 4 for [2, 3, 4, 5], got 4"),
        "{error}"
    );
}

#[test]
fn sum_to_is_what_broadcasting_gives_back() {
    let x = counted(&[2, 3, 4]);
    for (shape, want) in [(vec![3, 1], vec![60.0, 92.0, 124.0]), (vec![], vec![276.0])] {
        let y = x.sum_to(&shape).unwrap();
        assert_eq!(
            (&y.shape()[..], y.to_vec::<f64>().unwrap()),
            (&shape[..], want)
        );
        adjoint_check(|x| x.sum_to(&shape), &[2, 3, 4]).unwrap();
    }
    assert_eq!(
        x.sum_to([2, 3, 4]).unwrap().to_vec::<f64>().unwrap(),
        x.to_vec::<f64>().unwrap()
    );
    let error = x.sum_to([2, 4]).unwrap_err().to_string();
    assert!(
        error.starts_with("sum_to: shape expects one that broadcasts to [2, 3, 4], got [2, 4]"),
        "{error}"
    );
}
