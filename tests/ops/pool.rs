use proptest::prelude::*;
use wavemix::gradcheck::{adjoint_check, gradcheck};
use wavemix::ops::{avg_pool2d, max_pool2d};
use wavemix::{DType, Rng, Shape, Tensor, Var, Window};

fn counting(shape: [usize; 4]) -> Var {
    Tensor::arange(0.0, 1.0, shape.iter().product(), DType::F64)
        .reshape(shape)
        .unwrap()
        .into()
}

fn values(y: wavemix::Result<Var>) -> (String, Vec<f64>) {
    let y = y.unwrap();
    (y.shape().to_string(), y.value().to_vec().unwrap())
}

#[test]
fn values_of_small_ones() {
    let half = Window {
        stride: [2, 2],
        ..Window::default()
    };
    let x = counting([1, 4, 4, 1]);
    assert_eq!(
        values(max_pool2d(&x, [2, 2], half)),
        ("[1, 2, 2, 1]".into(), vec![5.0, 7.0, 13.0, 15.0])
    );
    assert_eq!(
        values(avg_pool2d(&x, [2, 2], half)),
        ("[1, 2, 2, 1]".into(), vec![2.5, 4.5, 10.5, 12.5])
    );
    let padded = Window {
        padding: [1, 1],
        ..half
    };
    let y = vec![0.0, 3.0, 3.0, 12.0, 30.0, 18.0, 12.0, 27.0, 15.0]
        .into_iter()
        .map(|sum| sum / 4.0)
        .collect();
    assert_eq!(
        values(avg_pool2d(&x, [2, 2], padded)),
        ("[1, 3, 3, 1]".into(), y)
    );
    let negative = (&x - &Tensor::scalar(100.0).into()).unwrap();
    assert_eq!(values(max_pool2d(&negative, [2, 2], padded)).1[0], -100.0);
    let x = counting([2, 2, 2, 2]);
    assert_eq!(
        values(x.global_avg_pool()),
        ("[2, 2]".into(), vec![3.0, 4.0, 11.0, 12.0])
    );
}

#[test]
fn a_tie_goes_to_the_first_and_not_a_number_comes_through() {
    let x = Var::leaf(Tensor::full([1, 2, 2, 1], 7.0, DType::F32));
    let y = max_pool2d(&x, [2, 2], Window::default()).unwrap();
    assert_eq!(
        y.sum_all()
            .unwrap()
            .backward()
            .unwrap()
            .of(&x)
            .unwrap()
            .to_vec::<f32>()
            .unwrap(),
        [1.0, 0.0, 0.0, 0.0]
    );
    let x = Var::from(Tensor::from_vec(vec![1.0, f64::NAN, 2.0, 3.0], [1, 2, 2, 1]).unwrap());
    assert!(values(max_pool2d(&x, [2, 2], Window::default())).1[0].is_nan());
}

/// The elements of a window may lie on both sides of an image: it has no largest then.
#[test]
fn a_maximum_of_padding_alone_is_an_error() {
    let mut refused = 0;
    for (h, kernel, padding, dilation, stride) in
        (0..300).map(|i| (i % 5, 1 + i / 5 % 4, i / 20 % 3, 1 + i / 60, 1 + i % 2))
    {
        let window = Window {
            padding: [0, padding],
            dilation: [1, dilation],
            stride: [1, stride],
            ..Window::default()
        };
        let x = counting([1, 1, h, 1]);
        match max_pool2d(&x, [1, kernel], window) {
            Ok(y) => assert!(
                y.value()
                    .to_vec::<f64>()
                    .unwrap()
                    .iter()
                    .all(|y| y.is_finite()),
                "{h} {kernel} {window:?}"
            ),
            Err(e)
                if e.to_string()
                    .starts_with("max_pool2d: window expects a window that meets the image's") =>
            {
                let taps = || (0..kernel).map(|tap| tap * dilation);
                assert!(
                    !taps().any(|tap| (padding..padding + h).contains(&tap)),
                    "{h} {kernel} {window:?}: {e}"
                );
                refused += 1;
            }
            Err(e) => assert!(avg_pool2d(&x, [1, kernel], window).is_err(), "{e}"),
        }
    }
    assert!(refused > 1);
    let far = Window {
        padding: [1, 0],
        dilation: [3, 1],
        ..Window::default()
    };
    let e = max_pool2d(&counting([1, 2, 4, 1]), [2, 1], far)
        .err()
        .unwrap()
        .to_string();
    let expected = "max_pool2d: window expects a window that meets the image's 2 rows, got Window { stride: [1, 1], padding: [1, 0], ";
    assert!(e.starts_with(expected), "{e}");
}

#[test]
fn errors() {
    let (x, plain) = (counting([1, 4, 4, 1]), Window::default());
    let message = |y: wavemix::Result<Var>| y.err().unwrap().to_string();
    let flat = Var::from(Tensor::zeros([4, 4], DType::F32));
    assert!(
        message(max_pool2d(&flat, [2, 2], plain))
            .starts_with("max_pool2d: x expects [n, h, w, c], got [4, 4] (pool.rs:")
    );
    assert!(
        message(flat.global_avg_pool())
            .starts_with("global_avg_pool: x expects [n, h, w, c], got [4, 4] (pool.rs:")
    );
    let none = Var::from(Tensor::zeros([1, 0, 4, 2], DType::F32));
    let expected =
        "global_avg_pool: x expects images of one pixel or more, got [1, 0, 4, 2] (pool.rs:";
    assert!(message(none.global_avg_pool()).starts_with(expected));
    let deep = Window {
        padding: [0, 2],
        ..plain
    };
    let expected =
        "avg_pool2d: padding expects at most half of the kernel, [2, 2], got [0, 2] (pool.rs:";
    assert!(message(avg_pool2d(&x, [2, 2], deep)).starts_with(expected));
    let grouped = Window { groups: 2, ..plain };
    let expected = "avg_pool2d: groups expects 1, as each channel is on its own, got 2 (pool.rs:";
    assert!(message(avg_pool2d(&x, [2, 2], grouped)).starts_with(expected));
    let expected =
        "max_pool2d: x expects at least 5 rows with the padding of 2 x 0, got 4 (pool.rs:";
    assert!(message(max_pool2d(&x, [5, 1], plain)).starts_with(expected));
    assert!(
        message(max_pool2d(&x, [0, 1], plain))
            .starts_with("max_pool2d: kernel expects 1 or more, got [0, 1] (pool.rs:")
    );
}

/// y and dx of max-pooling by its definition: each window's first largest element, or first that is
/// not a number, gets dy.
fn naive_maximum(
    x: &[f64],
    [n, h, w, c]: [usize; 4],
    kernel: usize,
    window: &Window,
    size: [usize; 2],
) -> [Vec<f64>; 2] {
    let (mut y, mut dx) = (Vec::new(), vec![0.0; x.len()]);
    for (image, i, j, k) in (0..n * size[0] * size[1] * c).map(|o| {
        (
            o / c / size[1] / size[0],
            o / c / size[1] % size[0],
            o / c % size[1],
            o % c,
        )
    }) {
        let mut largest: Option<usize> = None;
        for (ky, kx) in (0..kernel * kernel).map(|tap| (tap / kernel, tap % kernel)) {
            let row =
                (i * window.stride[0] + ky * window.dilation[0]).wrapping_sub(window.padding[0]);
            let column =
                (j * window.stride[1] + kx * window.dilation[1]).wrapping_sub(window.padding[1]);
            if row < h && column < w {
                let at = ((image * h + row) * w + column) * c + k;
                if largest.is_none_or(|largest| {
                    x[at] > x[largest] || (x[at].is_nan() && !x[largest].is_nan())
                }) {
                    largest = Some(at);
                }
            }
        }
        dx[largest.unwrap()] += (y.len() % 7) as f64;
        y.push(x[largest.unwrap()]);
    }
    [y, dx]
}

/// Sizes of models, over several tasks: few integers, so that there are ties and every sum is
/// exact.
#[test]
fn maxima_of_large_batches_follow_the_definition() {
    let window = |stride, padding, dilation| Window {
        stride: [stride; 2],
        padding: [padding; 2],
        dilation: [dilation; 2],
        ..Window::default()
    };
    for (shape, kernel, window) in [
        ([64, 28, 28, 6], 2, window(2, 0, 1)),
        ([9, 28, 28, 64], 2, window(2, 0, 1)),
        ([5, 56, 57, 16], 3, window(2, 1, 1)),
        ([33, 9, 14, 3], 3, window(1, 1, 1)),
        ([3, 20, 21, 5], 3, window(3, 1, 2)),
        ([2, 6, 5, 4], 11, window(1, 5, 1)),
        // More kernel elements than a byte can number.
        ([3, 40, 37, 5], 17, window(2, 8, 1)),
        ([2, 35, 40, 9], 17, window(1, 3, 2)),
    ] {
        let value = |i: usize| {
            if i.is_multiple_of(97) {
                f64::NAN
            } else {
                (i * 7919 % 11) as f64
            }
        };
        let values: Vec<f64> = (0..shape.iter().product()).map(value).collect();
        for dtype in [DType::F32, DType::F64, DType::BF16] {
            let x = Var::leaf(
                Tensor::from_vec(values.clone(), shape)
                    .unwrap()
                    .cast(dtype)
                    .unwrap(),
            );
            let y = max_pool2d(&x, [kernel; 2], window).unwrap();
            let dy: Vec<f64> = (0..y.value().elements()).map(|i| (i % 7) as f64).collect();
            let dy = Tensor::from_vec(dy, *y.shape())
                .unwrap()
                .cast(dtype)
                .unwrap();
            let gradients = y.backward_from(dy, &[]).unwrap();
            let [want_y, want_dx] = naive_maximum(
                &values,
                shape,
                kernel,
                &window,
                [y.shape()[1], y.shape()[2]],
            );
            let got = |t: &Tensor| t.cast(DType::F64).unwrap().to_vec::<f64>().unwrap();
            let same = |a: &[f64], b: &[f64]| {
                a.iter()
                    .zip(b)
                    .all(|(a, b)| a == b || (a.is_nan() && b.is_nan()))
            };
            assert!(
                same(&got(y.value()), &want_y),
                "y of {shape:?}, {window:?} in {dtype}"
            );
            assert!(
                same(&got(gradients.of(&x).unwrap()), &want_dx),
                "dx of {shape:?}, {window:?} in {dtype}"
            );
        }
    }
}

/// A kernel far larger than the image and its padding costs no more than the image.
#[test]
fn a_kernel_beyond_the_image() {
    let huge = 1usize << 20;
    let window = Window {
        padding: [huge / 2, 0],
        stride: [huge, 1],
        ..Window::default()
    };
    let x = counting([1, 4, 3, 1]);
    assert_eq!(
        values(max_pool2d(&x, [huge, 1], window)),
        ("[1, 1, 3, 1]".into(), vec![9.0, 10.0, 11.0])
    );
    let sums = [18.0, 22.0, 26.0].map(|sum| sum / huge as f64).to_vec();
    assert_eq!(
        values(avg_pool2d(&x, [huge, 1], window)),
        ("[1, 1, 3, 1]".into(), sums)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn gradients(kernel in [1usize..4, 1usize..4], stride in [1usize..4, 1usize..4], more in [0usize..4, 0usize..4], c in 1usize..4, pad: bool, seed: u64) {
        let padding = if pad { [kernel[0] / 2, kernel[1] / 2] } else { [0, 0] };
        let window = Window { stride, padding, ..Window::default() };
        let shape = [2, kernel[0] + more[0], kernel[1] + more[1], c];
        adjoint_check(|x| avg_pool2d(x, kernel, window), &shape)?;
        adjoint_check(|x| x.global_avg_pool(), &shape)?;
        // Different numbers far enough apart that no difference changes which is largest: a
        // shuffled ladder.
        let order = Tensor::uniform(Shape::new(&shape)?, 0.0, 1.0, DType::F64, &Rng::new(seed)).to_vec::<f64>()?;
        let mut ranks: Vec<usize> = (0..order.len()).collect();
        ranks.sort_by(|&a, &b| order[a].total_cmp(&order[b]));
        let mut ladder = vec![0.0; order.len()];
        ranks.iter().enumerate().for_each(|(rank, &at)| ladder[at] = rank as f64 * 0.1);
        gradcheck(|v| max_pool2d(&v[0], kernel, window), &[Tensor::from_vec(ladder, Shape::new(&shape)?)?])?;
    }
}

/// Most of a kernel may lie on the padding: the image's part of it is walked through, and no more.
/// The mean is over all of it.
#[test]
fn kernels_far_larger_than_the_image() {
    let area = 2f64.powi(40);
    for dtype in [DType::F32, DType::F64, DType::BF16] {
        let x = Var::leaf(counting([1, 4, 2, 1]).value().cast(dtype).unwrap());
        let window = Window {
            padding: [1 << 39, 0],
            ..Window::default()
        };
        let all = |y: &Tensor| y.cast(DType::F64).unwrap().to_vec::<f64>().unwrap();
        let y = max_pool2d(&x, [1 << 40, 1], window).unwrap();
        assert_eq!(
            (&y.shape()[..], all(y.value())),
            (&[1, 5, 2, 1][..], [6.0, 7.0].repeat(5))
        );
        let dx = y
            .backward_from(Tensor::ones(y.shape(), dtype), &[])
            .unwrap();
        assert_eq!(
            all(dx.of(&x).unwrap()),
            [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0, 5.0]
        );
        let y = avg_pool2d(&x, [1 << 40, 1], window).unwrap();
        assert_eq!(
            all(y.value()),
            [12.0 / area, 16.0 / area].repeat(5),
            "{dtype}"
        );
        let dx = y
            .backward_from(Tensor::ones(y.shape(), dtype), &[])
            .unwrap();
        assert_eq!(all(dx.of(&x).unwrap()), [5.0 / area; 8], "{dtype}");
    }
}

#[test]
fn pooling_by_a_number_tiles_the_image() {
    let x = counting([1, 5, 7, 1]);
    let window = Window {
        stride: [2, 2],
        ..Window::default()
    };
    for (short, long) in [
        (x.max_pool2d(2), max_pool2d(&x, [2, 2], window)),
        (x.avg_pool2d(2), avg_pool2d(&x, [2, 2], window)),
    ] {
        let (short, long) = (short.unwrap(), long.unwrap());
        assert_eq!(short.shape()[..], [1, 2, 3, 1]);
        assert_eq!(
            short.to_vec::<f64>().unwrap(),
            long.to_vec::<f64>().unwrap()
        );
    }
    assert_eq!(
        x.max_pool2d(2).unwrap().to_vec::<f64>().unwrap(),
        [8.0, 10.0, 12.0, 22.0, 24.0, 26.0]
    );
}
