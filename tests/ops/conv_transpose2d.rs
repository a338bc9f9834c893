use proptest::prelude::*;
use wavemix::gradcheck::{adjoint_check, gradcheck};
use wavemix::ops::conv_transpose2d;
use wavemix::{DType, Tensor, Var, Window};

use crate::conv2d::{Case, cases, check_layer, draw, half, with, zeros};

use crate::helpers::{assert_starts, message};

/// The definition: each input pixel adds its kernel's image to the output.
fn naive(x: &Tensor, w: &Tensor, size: [usize; 2], window: &Window) -> Vec<f64> {
    let (&[n, h, wide, c], &[_, kh, kw, share]) = (&x.shape()[..], &w.shape()[..]) else {
        panic!()
    };
    let (x, w) = (x.as_slice::<f64>().unwrap(), w.as_slice::<f64>().unwrap());
    let c_out = share * window.groups;
    let mut y = vec![0.0; n * size[0] * size[1] * c_out];
    for (at, x) in x.iter().enumerate() {
        let (k, j, i, image) = (at % c, at / c % wide, at / c / wide % h, at / c / wide / h);
        let group = k / (c / window.groups);
        for (ky, kx, o) in (0..kh * kw * share).map(|e| (e / share / kw, e / share % kw, e % share))
        {
            let row =
                (i * window.stride[0] + ky * window.dilation[0]).wrapping_sub(window.padding[0]);
            let column =
                (j * window.stride[1] + kx * window.dilation[1]).wrapping_sub(window.padding[1]);
            if row < size[0] && column < size[1] {
                let to = ((image * size[0] + row) * size[1] + column) * c_out + group * share + o;
                y[to] += x * w[((k * kh + ky) * kw + kx) * share + o];
            }
        }
    }
    y
}

#[test]
fn a_hand_made_one() {
    let x = Var::from(Tensor::from_vec(vec![1.0f64, 2.0, 3.0, 4.0], [1, 2, 2, 1]).unwrap());
    let w = Var::from(Tensor::from_vec(vec![1.0f64, 10.0, 100.0, 1000.0], [1, 2, 2, 1]).unwrap());
    let values = |window| {
        let y = conv_transpose2d(&x, &w, None, window).unwrap();
        (
            y.shape()[1..3].to_vec(),
            y.into_value().to_vec::<f64>().unwrap(),
        )
    };
    let (size, y) = values(Window::default());
    assert_eq!(
        (size, y),
        (
            vec![3, 3],
            vec![
                1.0, 12.0, 20.0, 103.0, 1234.0, 2040.0, 300.0, 3400.0, 4000.0
            ]
        )
    );
    let (size, y) = values(Window {
        stride: [3, 1],
        output_padding: [1, 0],
        padding: [0, 1],
        ..Window::default()
    });
    assert_eq!(
        (size, y),
        (vec![6, 1], vec![12.0, 1200.0, 0.0, 34.0, 3400.0, 0.0])
    );
}

#[test]
fn errors() {
    let (x, plain) = (zeros, Window::default());
    let error =
        |x: &Var, w: &Var, b: &Var, window| message(conv_transpose2d(x, w, Some(b), window));
    let (input, w, b) = (x(&[1, 4, 4, 6]), x(&[6, 3, 3, 8]), x(&[8]));
    let starts = |message: String, start: &str| {
        assert_starts(
            &message,
            &format!("conv_transpose2d: {start} (conv_transpose2d.rs:"),
        );
    };
    starts(
        error(&x(&[4, 4, 6]), &w, &b, plain),
        "x expects [n, h, w, c_in], got [4, 4, 6]",
    );
    starts(
        error(&input, &x(&[6, 8]), &b, plain),
        "weight expects [c_in, kh, kw, c_out / groups], got [6, 8]",
    );
    starts(
        error(&input, &x(&[5, 3, 3, 8]), &b, plain),
        "weight expects [c_in = 6, kh, kw, c_out / groups] for x [n, h, w, c_in] = [1, 4, 4, 6], got [5, 3, 3, 8]",
    );
    starts(
        error(&input, &w, &b, with(|w| w.groups = 4)),
        "x expects a multiple of 4 groups as c_in, got [1, 4, 4, 6]",
    );
    starts(
        error(&input, &w, &b, with(|w| w.groups = 2)),
        "bias expects [c_out = 16], got [8]",
    );
    let extra = |output_padding| Window {
        stride: [2, 2],
        output_padding,
        ..plain
    };
    starts(
        error(&input, &w, &b, extra([0, 2])),
        "output_padding expects less than stride or dilation, 2, got 2",
    );
    starts(
        error(&x(&[1, 4, 0, 6]), &w, &b, plain),
        "x expects at least one of the columns, got 0",
    );
    starts(
        error(&input, &w, &b, with(|w| w.padding = [3, 0])),
        "padding expects less than half of the output's 6 rows, got 3",
    );
    // Each wraps to what would fit.
    for far in [
        with(|w| w.stride = [usize::MAX, 1]),
        with(|w| w.stride = [1 << 62, 1]),
        with(|w| w.dilation = [1 << 63, 1]),
        with(|w| w.padding = [1 << 63, 0]),
    ] {
        assert_starts(
            &error(&input, &w, &b, far),
            "conv_transpose2d: window expects padding, dilation and stride whose sizes fit in an isize, got Window",
        );
    }
}

/// Layers as the models have them, in f32 against f64's definition, on one thread and on two.
#[test]
fn sizes_of_the_models() {
    let double = half();
    for (shape, weight, window) in [
        ([3, 14, 14, 40], [40, 4, 4, 72], double),
        ([5, 7, 6, 64], [64, 4, 4, 48], double),
        (
            [2, 9, 8, 48],
            [48, 3, 3, 64],
            Window {
                padding: [1, 1],
                ..Window::default()
            },
        ),
        (
            [65, 3, 3, 16],
            [16, 4, 4, 16],
            Window {
                output_padding: [1, 0],
                ..double
            },
        ),
        (
            [1, 33, 33, 5],
            [5, 2, 2, 9],
            Window {
                stride: [3, 3],
                ..Window::default()
            },
        ),
    ] {
        let (x, w) = (draw(&shape, DType::F64, 1), draw(&weight, DType::F64, 2));
        check_layer(
            conv_transpose2d,
            naive,
            [&x, &w],
            window,
            weight[..3].iter().product(),
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_window(case in cases(), size in [1usize..5, 1usize..5], more in [0usize..3, 0usize..3], bias: bool, seed: u64) {
        let Case { mut window, kernel, channels: [a, b] } = case;
        for i in 0..2 {
            window.output_padding[i] = more[i].min(window.stride[i].max(window.dilation[i]) - 1);
            let whole = (size[i] - 1) * window.stride[i] + window.dilation[i] * (kernel[i] - 1) + 1 + window.output_padding[i];
            window.padding[i] = window.padding[i].min((whole - 1) / 2);
        }
        let (shape, weight) = ([2, size[0], size[1], a * window.groups], [a * window.groups, kernel[0], kernel[1], b]);
        let mut inputs = vec![draw(&shape, DType::F64, seed), draw(&weight, DType::F64, !seed)];
        let (x, w) = (Var::from(&inputs[0]), Var::from(&inputs[1]));
        let y = conv_transpose2d(&x, &w, None, window)?;
        let want = naive(&inputs[0], &inputs[1], [y.shape()[1], y.shape()[2]], &window);
        for (y, want) in y.value().as_slice::<f64>()?.iter().zip(&want) {
            prop_assert!((y - want).abs() <= 1e-13, "{y} {want}");
        }
        adjoint_check(|x| conv_transpose2d(x, &w, None, window), &shape)?;
        adjoint_check(|w| conv_transpose2d(&x, w, None, window), &weight)?;
        inputs.extend(bias.then(|| draw(&[b * window.groups], DType::F64, seed ^ 1)));
        gradcheck(|v| conv_transpose2d(&v[0], &v[1], v.get(2), window), &inputs)?;
    }
}
