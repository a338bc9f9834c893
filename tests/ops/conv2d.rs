use proptest::prelude::*;
use wavemix::gradcheck::{adjoint_check, gradcheck};
use wavemix::ops::{
    Dropout, conv_transpose2d, conv_transpose2d_with_stats, conv2d, gelu_dropout_conv2d, linear,
};
use wavemix::{DType, Rng, Shape, Tensor, Var, Window};

use crate::helpers::{assert_starts, message, on_threads};

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

#[test]
fn errors() {
    let (x, plain) = (zeros, Window::default());
    let error = |x: &Var, w: &Var, b: &Var, window| message(conv2d(x, w, Some(b), window));
    let (input, w, b) = (x(&[1, 4, 4, 6]), x(&[8, 3, 3, 6]), x(&[8]));
    let starts = |message: String, start: &str| {
        assert!(
            message.starts_with(&format!("conv2d: {start} (conv2d.rs:")),
            "{message}"
        )
    };
    starts(
        error(&x(&[4, 4, 6]), &w, &b, plain),
        "x expects [n, h, w, c_in], got [4, 4, 6]",
    );
    starts(
        error(&input, &x(&[8, 6]), &b, plain),
        "weight expects [c_out, kh, kw, c_in / groups], got [8, 6]",
    );
    starts(
        error(&input, &x(&[8, 3, 3, 5]), &b, plain),
        "weight expects [c_out, kh, kw, c_in = 6], got [8, 3, 3, 5]",
    );
    let grouped = |groups| Window { groups, ..plain };
    starts(
        error(&input, &w, &b, grouped(2)),
        "weight expects [c_out, kh, kw, c_in / groups = 6 / 2], got [8, 3, 3, 6]",
    );
    starts(
        error(&input, &x(&[8, 3, 3, 2]), &b, grouped(3)),
        "weight expects a multiple of 3 groups as c_out, got [8, 3, 3, 2]",
    );
    starts(
        error(&input, &w, &b, grouped(0)),
        "groups expects 1 or more, got 0",
    );
    starts(
        error(&input, &w, &x(&[9]), plain),
        "bias expects [c_out = 8], got [9]",
    );
    starts(
        error(
            &input,
            &w,
            &b,
            Window {
                stride: [1, 0],
                ..plain
            },
        ),
        "stride expects 1 or more, got [1, 0]",
    );
    starts(
        error(
            &input,
            &w,
            &b,
            Window {
                dilation: [0, 1],
                ..plain
            },
        ),
        "dilation expects 1 or more, got [0, 1]",
    );
    starts(
        error(
            &input,
            &w,
            &b,
            Window {
                output_padding: [1, 0],
                ..plain
            },
        ),
        "output_padding expects [0, 0], got [1, 0]",
    );
    let far = Window {
        dilation: [1, 2],
        ..plain
    };
    starts(
        error(&input, &w, &b, far),
        "x expects at least 5 columns with the padding of 2 x 0, got 4",
    );
    assert_starts(
        &error(
            &input,
            &w,
            &b,
            Window {
                padding: [usize::MAX, 0],
                ..plain
            },
        ),
        "conv2d: window expects sizes that an address can count, got Window",
    );
    let w64 = Var::from(Tensor::zeros([8, 3, 3, 6], DType::F64));
    starts(
        error(&input, &w64, &b, plain),
        "weight expects the dtype of x, f32, got f64",
    );
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

/// f32 takes fewer multiplications than the definition has; f64 never does. Both directions, all
/// gradients, odd sizes, more and fewer images than a task takes, channels that fill no whole
/// panel, and so few that they stay in registers.
#[test]
fn fewer_multiplications_give_the_same() {
    let (same, half) = (same(), half());
    let wide = Window {
        padding: [0, 1],
        ..Window::default()
    };
    let longer = Window {
        output_padding: [1, 0],
        ..half
    };
    let cases = [
        (false, [5, 28, 27, 64], [48, 3, 3, 64], same),
        (false, [3, 13, 14, 48], [64, 2, 2, 48], wide),
        (false, [6, 12, 16, 32], [80, 4, 4, 32], half),
        (true, [5, 7, 6, 64], [64, 4, 4, 48], half),
        (true, [1, 28, 28, 32], [32, 4, 4, 144], longer),
        (true, [2, 9, 8, 48], [48, 3, 3, 64], same),
        (true, [5, 7, 6, 16], [16, 4, 4, 16], half),
        (true, [1, 28, 28, 32], [32, 4, 4, 48], longer),
        (false, [6, 12, 17, 32], [16, 4, 4, 32], half),
        (false, [3, 13, 14, 16], [32, 2, 2, 16], wide),
    ];
    for (transposed, shape, weight, window) in cases {
        let on = |dtype| {
            let [x, w] = [draw(&shape, DType::F64, 1), draw(&weight, DType::F64, 2)]
                .map(|t| Var::leaf(t.cast(dtype).unwrap()));
            let b = Var::from(
                draw(&[weight[if transposed { 3 } else { 0 }]], DType::F64, 4)
                    .cast(dtype)
                    .unwrap(),
            );
            let y = if transposed {
                conv_transpose2d(&x, &w, Some(&b), window)
            } else {
                conv2d(&x, &w, Some(&b), window)
            }
            .unwrap();
            let gradients = y
                .backward_from(
                    draw(&y.shape()[..], DType::F64, 3).cast(dtype).unwrap(),
                    &[],
                )
                .unwrap();
            [
                y.value(),
                gradients.of(&x).unwrap(),
                gradients.of(&w).unwrap(),
            ]
            .map(|t| t.cast(DType::F64).unwrap().to_vec::<f64>().unwrap())
        };
        let ([got, want], taps) = ([on(DType::F32), on(DType::F64)], weight[1] * weight[2]);
        let [ends, pixels] = [
            weight[0] + weight[3],
            want[0].len() / weight[if transposed { 3 } else { 0 }],
        ];
        for (name, got, want, terms) in [
            ("y", &got[0], &want[0], taps * ends),
            ("dx", &got[1], &want[1], taps * ends),
            ("dw", &got[2], &want[2], pixels),
        ] {
            // As above: sums of so many products, rounded on the way. A scheme adds a handful of
            // roundings to each.
            let bound = 2.0 * f64::from(f32::EPSILON) * terms as f64;
            for (got, want) in got.iter().zip(want) {
                assert!(
                    (got - want).abs() <= bound,
                    "{name} of {shape:?}, {weight:?}: {got} {want}"
                );
            }
        }
    }
}

/// What keeps x alone gives the bits of its two parts, in the backward pass too, and so it does without
/// dropout: also where GELU is made a piece at a time, by a kernel of one pixel, in products of few
/// and many terms, rows and columns.
#[test]
fn gelu_dropout_made_again_is_the_same() {
    let cases: [([usize; 4], [usize; 4], DType); 9] = [
        ([2, 5, 4, 6], [3, 3, 3, 6], DType::F32),
        ([2, 5, 4, 32], [5, 1, 1, 32], DType::F32),
        ([3, 50, 50, 32], [16, 1, 1, 32], DType::F32),
        ([3, 50, 50, 32], [16, 1, 1, 32], DType::BF16),
        ([3, 50, 50, 16], [8, 1, 1, 16], DType::F32),
        ([2, 50, 49, 48], [40, 1, 1, 48], DType::BF16),
        ([1, 7, 9, 256], [128, 1, 1, 256], DType::F32),
        ([1, 2, 5, 4096], [3, 1, 1, 4096], DType::F32),
        // Rows that begin within a block of random bits.
        ([1, 30, 7, 7], [3, 1, 1, 7], DType::F32),
    ];
    for (shape, weight, dtype) in cases {
        let inputs = [&shape[..], &weight, &weight[..1]].map(|shape| draw(shape, DType::F64, 4));
        for (p, rng) in [
            (0.5, Some(Rng::new(5))),
            (0.25, Some(Rng::new(5))),
            (0.25, None),
            (0.0, Some(Rng::new(5))),
        ] {
            let run = |composed: bool| {
                let [x, w, b] = inputs.each_ref().map(|t| Var::leaf(t.cast(dtype).unwrap()));
                let (window, dropout) = (
                    Window {
                        padding: [weight[1] / 2; 2],
                        ..Window::default()
                    },
                    Dropout {
                        p,
                        rng: rng.as_ref(),
                    },
                );
                let y = match composed {
                    true => conv2d(
                        &x.gelu_dropout(dropout.p, dropout.rng).unwrap(),
                        &w,
                        Some(&b),
                        window,
                    ),
                    false => gelu_dropout_conv2d(&x, &w, Some(&b), window, dropout),
                };
                let y = y.unwrap();
                let gradients = y.backward_from(y.value().clone(), &[]).unwrap();
                [
                    y.value(),
                    gradients.of(&x).unwrap(),
                    gradients.of(&w).unwrap(),
                    gradients.of(&b).unwrap(),
                ]
                .map(|t| t.cast(DType::F32).unwrap().to_vec::<f32>().unwrap())
            };
            assert_eq!(run(true), run(false), "{shape:?}, {weight:?}, {dtype}, {p}");
        }
    }
    let (rng, inputs) = (
        Rng::new(6),
        [&[2, 5, 4, 6][..], &[3, 1, 1, 6], &[3]].map(|shape| draw(shape, DType::F64, 4)),
    );
    gradcheck(
        |v| {
            gelu_dropout_conv2d(
                &v[0],
                &v[1],
                Some(&v[2]),
                Window::default(),
                Dropout {
                    p: 0.25,
                    rng: Some(&rng),
                },
            )
        },
        &inputs,
    )
    .unwrap();
    let inputs = [&[2, 3, 3, 32][..], &[3, 1, 1, 32], &[3]].map(|shape| draw(shape, DType::F64, 4));
    gradcheck(
        |v| {
            gelu_dropout_conv2d(
                &v[0],
                &v[1],
                Some(&v[2]),
                Window::default(),
                Dropout {
                    p: 0.5,
                    rng: Some(&rng),
                },
            )
        },
        &inputs,
    )
    .unwrap();
}

/// Products of bf16 are exact in f32 and summed there: against f64 on the same numbers, y and dx
/// are off by their own rounding to bf16 and the sums' roundings to f32, dw, which is f32, by the
/// latter alone.
fn check_bf16(name: &str, shapes: [&[usize]; 2], f: impl Fn(&Var, &Var) -> Var) {
    let inputs = [1, 2].map(|seed| {
        draw(shapes[seed - 1], DType::F64, seed as u64)
            .cast(DType::BF16)
            .unwrap()
    });
    let on = |dtype| {
        let [x, w] = inputs.each_ref().map(|t| Var::leaf(t.cast(dtype).unwrap()));
        let y = f(&x, &w);
        let dy = draw(&y.shape()[..], DType::F64, 3)
            .cast(DType::BF16)
            .unwrap()
            .cast(dtype)
            .unwrap();
        let gradients = y.backward_from(dy, &[]).unwrap();
        let all = [
            y.value(),
            gradients.of(&x).unwrap(),
            gradients.of(&w).unwrap(),
        ];
        all.map(|t| {
            (
                t.dtype(),
                t.cast(DType::F64).unwrap().to_vec::<f64>().unwrap(),
            )
        })
    };
    let (got, want) = (on(DType::BF16), on(DType::F64));
    assert_eq!([got[0].0, got[1].0], [DType::BF16; 2], "{name}");
    // More terms than any of the sums have.
    let terms = shapes[0]
        .iter()
        .product::<usize>()
        .max(shapes[1].iter().product()) as f64;
    for (what, ((dtype, got), (_, want))) in ["y", "dx", "dw"].iter().zip(got.iter().zip(&want)) {
        let rounding = if *dtype == DType::BF16 {
            1.0 / 256.0
        } else {
            0.0
        };
        for (got, want) in got.iter().zip(want) {
            let bound = want.abs() * rounding + f64::from(f32::EPSILON) * terms;
            assert!((got - want).abs() <= bound, "{name}: {what}: {got} {want}");
        }
    }
}

#[test]
fn products_of_bf16() {
    let (same, half) = (same(), half());
    let far = Window {
        dilation: [9000, 1],
        padding: [9000, 0],
        ..Window::default()
    };
    for (shape, weight, window) in [
        ([2, 9, 7, 3], [16, 3, 3, 3], same),
        ([3, 8, 8, 32], [40, 4, 4, 32], half),
        ([5, 7, 5, 48], [33, 1, 1, 48], Window::default()),
        ([1, 5, 5, 7], [2, 1, 1, 7], Window::default()),
        ([2, 6, 5, 10], [6, 3, 3, 5], Window { groups: 2, ..same }),
        ([2, 6, 5, 9], [9, 3, 3, 1], Window { groups: 9, ..same }),
        ([1, 3, 4, 2], [3, 2, 1, 2], far),
    ] {
        check_bf16("conv2d", [&shape, &weight], |x, w| {
            conv2d(x, w, None, window).unwrap()
        });
    }
    for (shape, weight, window) in [
        ([3, 7, 7, 32], [32, 4, 4, 64], half),
        (
            [2, 3, 5, 5],
            [5, 3, 3, 9],
            Window {
                stride: [3, 2],
                ..Window::default()
            },
        ),
        ([1, 6, 6, 6], [6, 3, 3, 1], Window { groups: 6, ..half }),
    ] {
        check_bf16("conv_transpose2d", [&shape, &weight], |x, w| {
            conv_transpose2d(x, w, None, window).unwrap()
        });
    }
    check_bf16("linear", [&[65, 47], &[10, 47]], |x, w| {
        linear(x, w, None).unwrap()
    });
    check_bf16("linear with one output", [&[65, 47], &[1, 47]], |x, w| {
        linear(x, w, None).unwrap()
    });
    check_bf16("linear of many rows", [&[9001, 6], &[34, 6]], |x, w| {
        linear(x, w, None).unwrap()
    });
    check_bf16("matmul", [&[3, 20, 31], &[31, 40]], |x, w| {
        x.matmul(w).unwrap()
    });
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
