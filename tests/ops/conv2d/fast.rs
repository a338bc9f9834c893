//! Fast paths against the plain one: Winograd, fused GELU and dropout, bf16.

use super::*;

/// f32 takes fewer multiplications than the definition has; f64, on the same numbers, never does.
/// Both directions, all gradients, odd sizes, more and fewer images than a task takes, channels
/// that fill no whole panel, and so few that they stay in registers. (`src/cpu/conv/tests.rs`
/// checks that Winograd's algorithm is chosen for such layers, and its errors in the mean.)
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
        // y, dx and dw.
        let run = |dtype, operand: &dyn Fn(&[usize], u64) -> Tensor| {
            let operand = |shape: &[usize], seed| operand(shape, seed).cast(dtype).unwrap();
            let (x, w) = (
                Var::leaf(operand(&shape, 1)),
                Var::leaf(operand(&weight, 2)),
            );
            let b = Var::from(operand(&[weight[if transposed { 3 } else { 0 }]], 4));
            let y = if transposed {
                conv_transpose2d(&x, &w, Some(&b), window)
            } else {
                conv2d(&x, &w, Some(&b), window)
            }
            .unwrap();
            let gradients = y.backward_from(operand(&y.shape()[..], 3), &[]).unwrap();
            [
                y.value(),
                gradients.of(&x).unwrap(),
                gradients.of(&w).unwrap(),
            ]
            .map(|t| t.cast(DType::F64).unwrap().to_vec::<f64>().unwrap())
        };
        let normal = |shape: &[usize], seed| draw(shape, DType::F32, seed);
        let one = |shape: &[usize], _| Tensor::ones(Shape::new(shape).unwrap(), DType::F32);
        let (got, want) = (run(DType::F32, &normal), run(DType::F64, &normal));
        // Of ones, each sum is the number of its terms.
        let counts = run(DType::F64, &one);
        for (i, name) in ["y", "dx", "dw"].into_iter().enumerate() {
            // Partial sums are about sqrt(terms), and as many roundings of those add up like a
            // random walk; Winograd's transforms add a handful to each. At the border it sums
            // zeros of the padding too, so all outputs have the terms of one inside.
            let terms = counts[i].iter().copied().fold(0.0, f64::max);
            let bound = 2.0 * f64::from(f32::EPSILON) * terms;
            for (got, want) in got[i].iter().zip(&want[i]) {
                assert!(
                    (got - want).abs() <= bound,
                    "{name} of {shape:?}, {weight:?}: {got} {want}"
                );
            }
        }
    }
}

/// What keeps x alone gives the bits of its two parts, in the backward pass too, and so it does
/// without dropout: also where GELU is made a piece at a time, by a kernel of one pixel, in
/// products of few and many terms, rows and columns.
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
    let rng = Rng::new(6);
    for (x, weight, p) in [
        ([2, 5, 4, 6], [3, 1, 1, 6], 0.25),
        ([2, 3, 3, 32], [3, 1, 1, 32], 0.5),
    ] {
        let inputs = [&x[..], &weight, &[3]].map(|shape| draw(shape, DType::F64, 4));
        let dropout = || Dropout { p, rng: Some(&rng) };
        gradcheck(
            |v| gelu_dropout_conv2d(&v[0], &v[1], Some(&v[2]), Window::default(), dropout()),
            &inputs,
        )
        .unwrap();
    }
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
