use proptest::prelude::*;
use wavemix::gradcheck::{adjoint_check, gradcheck};
use wavemix::ops::{
    Dropout, conv_transpose2d, conv_transpose2d_with_stats, conv2d, gelu_dropout_conv2d, linear,
};
use wavemix::{DType, Rng, Shape, Tensor, Var, Window};

use crate::helpers::{assert_starts, message, on_threads};

#[path = "conv2d/conv1d.rs"]
mod conv1d;
#[path = "conv2d/errors.rs"]
mod errors;
#[path = "conv2d/fast.rs"]
mod fast;

pub fn draw(shape: &[usize], dtype: DType, seed: u64) -> Tensor {
    Tensor::normal(Shape::new(shape).unwrap(), 0.0, 1.0, dtype, &Rng::new(seed))
}

/// A window, a kernel, and the channels of one group on either side.
#[derive(Clone, Debug)]
pub struct Case {
    pub window: Window,
    pub kernel: [usize; 2],
    pub channels: [usize; 2],
}

pub fn cases() -> impl Strategy<Value = Case> {
    let pair = |range: std::ops::Range<usize>| [range.clone(), range];
    let parts = (
        pair(1..4),
        pair(0..3),
        pair(1..3),
        1usize..4,
        pair(1..5),
        pair(1..4),
    );
    parts.prop_map(|(stride, padding, dilation, groups, kernel, channels)| {
        let window = Window {
            stride,
            padding,
            dilation,
            groups,
            ..Window::default()
        };
        // Every third case is depthwise: one channel a group.
        Case {
            window,
            kernel,
            channels: if groups == 3 { [1, 1] } else { channels },
        }
    })
}

/// The definition: the small image from the big one. Four loops over kernel and channel for each
/// output.
fn naive(x: &Tensor, w: &Tensor, size: [usize; 2], window: &Window) -> Vec<f64> {
    let (&[n, h, wide, c], &[c_out, kh, kw, own]) = (&x.shape()[..], &w.shape()[..]) else {
        panic!()
    };
    let (x, w) = (x.as_slice::<f64>().unwrap(), w.as_slice::<f64>().unwrap());
    let mut y = vec![0.0; n * size[0] * size[1] * c_out];
    for (at, y) in y.iter_mut().enumerate() {
        let (o, j, i, image) = (
            at % c_out,
            at / c_out % size[1],
            at / c_out / size[1] % size[0],
            at / c_out / size[1] / size[0],
        );
        let group = o / (c_out / window.groups);
        for (ky, kx, k) in (0..kh * kw * own).map(|e| (e / own / kw, e / own % kw, e % own)) {
            let row =
                (i * window.stride[0] + ky * window.dilation[0]).wrapping_sub(window.padding[0]);
            let column =
                (j * window.stride[1] + kx * window.dilation[1]).wrapping_sub(window.padding[1]);
            if row < h && column < wide {
                *y += x[((image * h + row) * wide + column) * c + group * own + k]
                    * w[((o * kh + ky) * kw + kx) * own + k];
            }
        }
    }
    y
}

/// The window of a 3x3 kernel that keeps the size.
fn same() -> Window {
    Window {
        padding: [1, 1],
        ..Window::default()
    }
}

/// The window of a 4x4 kernel that halves both sides, or doubles them transposed.
pub fn half() -> Window {
    Window {
        stride: [2, 2],
        ..same()
    }
}

/// A window that differs from the default by this.
pub fn with(change: fn(&mut Window)) -> Window {
    let mut window = Window::default();
    change(&mut window);
    window
}

/// [`conv2d`] or [`conv_transpose2d`].
pub type Convolution = fn(&Var, &Var, Option<&Var>, Window) -> wavemix::Result<Var>;

/// The definition of one of them: y of this size.
pub type Definition = fn(&Tensor, &Tensor, [usize; 2], &Window) -> Vec<f64>;

pub fn zeros(shape: &[usize]) -> Var {
    Var::from(Tensor::zeros(Shape::new(shape).unwrap(), DType::F32))
}

/// A layer as the models have them, in f32 against f64's definition, on one thread and on two.
/// `terms` products make an element of y at most.
pub fn check_layer(
    convolution: Convolution,
    definition: Definition,
    [x, w]: [&Tensor; 2],
    window: Window,
    terms: usize,
) {
    let inputs = [x, w].map(|t| t.cast(DType::F32).unwrap());
    let on = |threads: usize| {
        on_threads(threads, || {
            let [x, w] = inputs.clone().map(Var::leaf);
            let y = convolution(&x, &w, None, window).unwrap();
            let gradients = y.backward_from(y.value().clone(), &[]).unwrap();
            let results = [
                y.value(),
                gradients.of(&x).unwrap(),
                gradients.of(&w).unwrap(),
            ];
            results.map(|t| t.to_vec::<f32>().unwrap())
        })
    };
    let (shape, terms) = (x.shape(), terms as f64);
    let [one, two] = [on(1), on(2)];
    assert_eq!(one, two, "{shape:?}");
    let y = convolution(&Var::from(x), &Var::from(w), None, window).unwrap();
    let want = definition(x, w, [y.shape()[1], y.shape()[2]], &window);
    let y = y.value().as_slice::<f64>().unwrap();
    for ((&y, &y32), &want) in y.iter().zip(&one[0]).zip(&want) {
        // Partial sums are about sqrt(terms), and as many roundings of those add up like a random
        // walk.
        assert!(
            (y - want).abs() <= 2.0 * f64::EPSILON * terms,
            "{shape:?}: {y} {want}"
        );
        assert!(
            (f64::from(y32) - want).abs() <= 2.0 * f64::from(f32::EPSILON) * terms,
            "{shape:?}: {y32} {want}"
        );
    }
}

#[test]
fn a_hand_made_one() {
    let x = Var::from(
        Tensor::arange(1.0, 1.0, 9, DType::F32)
            .reshape([1, 3, 3, 1])
            .unwrap(),
    );
    let w = Var::from(Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], [1, 2, 2, 1]).unwrap());
    let b = Var::from(Tensor::from_vec(vec![100.0f32], [1]).unwrap());
    let y = conv2d(&x, &w, Some(&b), Window::default()).unwrap();
    assert_eq!(y.shape().to_string(), "[1, 2, 2, 1]");
    assert_eq!(
        y.value().to_vec::<f32>().unwrap(),
        [137.0, 147.0, 167.0, 177.0]
    );
    let empty = conv2d(
        &Var::from(Tensor::zeros([0, 3, 3, 1], DType::F32)),
        &w,
        Some(&b),
        Window::default(),
    )
    .unwrap();
    assert_eq!(empty.shape().to_string(), "[0, 2, 2, 1]");
}

/// Layers as the models have them, in f32 against f64's definition, on one thread and on two.
#[test]
fn sizes_of_the_models() {
    let (same, half) = (same(), half());
    let depthwise = Window { groups: 40, ..same };
    for (shape, weight, window) in [
        ([3, 28, 28, 3], [33, 3, 3, 3], same),
        ([2, 28, 28, 40], [70, 4, 4, 40], half),
        ([5, 14, 14, 48], [80, 1, 1, 48], Window::default()),
        ([1, 40, 40, 17], [8, 3, 3, 17], same),
        ([2, 30, 30, 40], [40, 3, 3, 1], depthwise),
    ] {
        let (x, w) = (draw(&shape, DType::F64, 1), draw(&weight, DType::F64, 2));
        check_layer(
            conv2d,
            naive,
            [&x, &w],
            window,
            weight[1..].iter().product(),
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_window(case in cases(), extra in [0usize..4, 0usize..4], n in 1usize..3, bias: bool, seed: u64) {
        let Case { window, kernel, channels: [a, b] } = case;
        let axis = |i: usize| (window.dilation[i] * (kernel[i] - 1) + 1 + extra[i]).saturating_sub(2 * window.padding[i]).max(1);
        let (shape, weight) = ([n, axis(0), axis(1), a * window.groups], [b * window.groups, kernel[0], kernel[1], a]);
        let mut inputs = vec![draw(&shape, DType::F64, seed), draw(&weight, DType::F64, !seed)];
        let (x, w) = (Var::from(&inputs[0]), Var::from(&inputs[1]));
        let y = conv2d(&x, &w, None, window)?;
        let want = naive(&inputs[0], &inputs[1], [y.shape()[1], y.shape()[2]], &window);
        for (y, want) in y.value().as_slice::<f64>()?.iter().zip(&want) {
            prop_assert!((y - want).abs() <= 1e-13, "{y} {want}");
        }
        adjoint_check(|x| conv2d(x, &w, None, window), &shape)?;
        adjoint_check(|w| conv2d(&x, w, None, window), &weight)?;
        inputs.extend(bias.then(|| draw(&[weight[0]], DType::F64, seed ^ 1)));
        gradcheck(|v| conv2d(&v[0], &v[1], v.get(2), window), &inputs)?;
    }

    /// <conv2d(x), y> = <x, conv_transpose2d(y)> with one weight and window, and the output padding
    /// that gives x's size.
    #[test]
    fn the_transposed_one_is_its_adjoint(case in cases(), extra in [0usize..6, 0usize..6], seed: u64) {
        let Case { window, kernel, channels: [a, b] } = case;
        let axis = |i: usize| (window.dilation[i] * (kernel[i] - 1) + 1 + extra[i]).saturating_sub(2 * window.padding[i]).max(1);
        let x = draw(&[2, axis(0), axis(1), a * window.groups], DType::F64, seed);
        let w = Var::from(draw(&[b * window.groups, kernel[0], kernel[1], a], DType::F64, !seed));
        let ax = conv2d(&Var::from(&x), &w, None, window)?;
        let rest = |i: usize| (axis(i) + 2 * window.padding[i] - window.dilation[i] * (kernel[i] - 1) - 1) % window.stride[i];
        let y = draw(ax.shape(), DType::F64, seed ^ 1);
        let aty = conv_transpose2d(&Var::from(&y), &w, None, Window { output_padding: [rest(0), rest(1)], ..window })?;
        prop_assert_eq!(aty.shape(), x.shape());
        let dot = |a: &Tensor, b: &Tensor| -> f64 {
            a.as_slice::<f64>().unwrap().iter().zip(b.as_slice::<f64>().unwrap()).map(|(a, b)| a * b).sum()
        };
        let (left, right) = (dot(ax.value(), &y), dot(&x, aty.value()));
        let size = dot(ax.value(), ax.value()).sqrt() * dot(&y, &y).sqrt();
        prop_assert!((left - right).abs() <= 1e-13 * size.max(1.0), "{left} {right}");
    }
}

/// Frames of such images would take gigabytes: these go pixel by pixel.
#[test]
fn windows_far_apart_and_far_outside() {
    let apart = Window {
        stride: [6000, 5000],
        padding: [6000, 5001],
        groups: 2,
        ..Window::default()
    };
    let dilated = Window {
        padding: [5000, 6000],
        dilation: [5000, 6000],
        groups: 2,
        ..Window::default()
    };
    let once = Window {
        stride: [usize::MAX, 1 << 40],
        padding: [0, 1],
        groups: 2,
        ..Window::default()
    };
    for (window, size) in [(apart, [3, 3]), (dilated, [4, 5]), (once, [1, 1])] {
        let (x, w) = (
            draw(&[2, 4, 5, 4], DType::F64, 1),
            draw(&[6, 3, 3, 2], DType::F64, 2),
        );
        let y = conv2d(&Var::from(&x), &Var::from(&w), None, window).unwrap();
        assert_eq!(**y.shape(), [2, size[0], size[1], 6]);
        let wanted = naive(&x, &w, size, &window);
        let near = y
            .value()
            .as_slice::<f64>()
            .unwrap()
            .iter()
            .zip(&wanted)
            .all(|(a, b)| (a - b).abs() < 1e-13);
        assert!(near && wanted.iter().any(|&y| y != 0.0), "{window:?}");
        adjoint_check(|x| conv2d(x, &Var::from(&w), None, window), x.shape()).unwrap();
        adjoint_check(|w| conv2d(&Var::from(&x), w, None, window), w.shape()).unwrap();
    }
}

/// Kernels over no channels may have any size, and images there are none of any stride.
#[test]
fn sizes_of_nothing_are_not_walked_through() {
    let leaf = |shape: [usize; 4]| Var::leaf(Tensor::ones(shape, DType::F32));
    let (x, weight, bias) = (
        leaf([1, 4, 2, 0]),
        leaf([2, 1 << 50, 1, 0]),
        Var::leaf(Tensor::full([2], 3.0, DType::F32)),
    );
    let window = Window {
        padding: [1 << 49, 0],
        ..Window::default()
    };
    let y = conv2d(&x, &weight, Some(&bias), window).unwrap();
    assert_eq!(
        (&y.shape()[..], y.value().to_vec::<f32>().unwrap()),
        (&[1, 5, 2, 2][..], vec![3.0; 20])
    );
    let gradients = y
        .backward_from(Tensor::ones(y.shape(), DType::F32), &[])
        .unwrap();
    assert_eq!(
        gradients.of(&bias).unwrap().to_vec::<f32>().unwrap(),
        [10.0; 2]
    );
    // Transposed, the padding leaves three rows.
    let (x, weight) = (leaf([1, 1, 2, 0]), leaf([0, (1 << 50) + 3, 1, 2]));
    let y = conv_transpose2d(&x, &weight, Some(&bias), window).unwrap();
    assert_eq!(
        (&y.shape()[..], y.value().to_vec::<f32>().unwrap()),
        (&[1, 3, 2, 2][..], vec![3.0; 12])
    );
    let gradients = y
        .backward_from(Tensor::ones(y.shape(), DType::F32), &[])
        .unwrap();
    assert_eq!(
        gradients.of(&bias).unwrap().to_vec::<f32>().unwrap(),
        [6.0; 2]
    );
    let (x, weight) = (leaf([0, 3, 3, 2]), leaf([2, 3, 3, 2]));
    let far = Window {
        stride: [1 << 50, 1],
        ..Window::default()
    };
    let y = conv_transpose2d(&x, &weight, None, far).unwrap();
    assert_eq!(y.shape()[..], [0, (1 << 51) + 3, 5, 2]);
    let gradients = y
        .backward_from(Tensor::ones(y.shape(), DType::F32), &[])
        .unwrap();
    assert_eq!(
        gradients.of(&weight).unwrap().to_vec::<f32>().unwrap(),
        [0.0; 36]
    );
}

/// With no output channels x has a gradient, of zeros, and the weight may have any size there too.
#[test]
fn gradients_over_no_channels_are_zeros() {
    let leaf = |shape: [usize; 4]| Var::leaf(Tensor::ones(shape, DType::F32));
    let window = Window {
        padding: [1 << 49, 0],
        ..Window::default()
    };
    let (x, long, none) = (
        leaf([1, 4, 2, 3]),
        leaf([0, 1 << 50, 1, 3]),
        leaf([3, 1, 1 << 54, 0]),
    );
    let cases: [(&str, wavemix::Result<Var>); 3] = [
        ("conv2d", conv2d(&x, &long, None, window)),
        (
            "conv_transpose2d",
            conv_transpose2d(&x, &none, None, Window::default()),
        ),
        (
            "conv_transpose2d_with_stats",
            conv_transpose2d_with_stats(&x, &none, None, Window::default()).map(|(y, _)| y),
        ),
    ];
    for (name, y) in cases {
        let y = y.unwrap();
        assert_eq!(y.shape()[3], 0, "{name}");
        let dy = Tensor::ones(y.shape(), DType::F32);
        let gradients = y.backward_from(dy, &[]).unwrap();
        let dx = gradients.of(&x).unwrap().to_vec::<f32>().unwrap();
        assert_eq!(dx, [0.0; 24], "{name}");
    }
}
