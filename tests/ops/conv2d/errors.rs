//! What is refused.

use super::*;

#[test]
fn errors() {
    let (x, plain) = (zeros, Window::default());
    let error = |x: &Var, w: &Var, b: &Var, window| message(conv2d(x, w, Some(b), window));
    let (input, w, b) = (x(&[1, 4, 4, 6]), x(&[8, 3, 3, 6]), x(&[8]));
    let starts = |message: String, start: &str| {
        assert_starts(&message, &format!("conv2d: {start} (errors.rs:"));
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
        "weight expects [c_out, kh, kw, c_in = 6] for x [n, h, w, c_in] = [1, 4, 4, 6], got [8, 3, 3, 5]",
    );
    let grouped = |groups| Window { groups, ..plain };
    starts(
        error(&input, &w, &b, grouped(2)),
        "weight expects [c_out, kh, kw, c_in / groups = 6 / 2] for x [n, h, w, c_in] = [1, 4, 4, 6], got [8, 3, 3, 6]",
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
        error(&input, &w, &b, with(|w| w.stride = [1, 0])),
        "stride expects 1 or more, got [1, 0]",
    );
    starts(
        error(&input, &w, &b, with(|w| w.dilation = [0, 1])),
        "dilation expects 1 or more, got [0, 1]",
    );
    starts(
        error(&input, &w, &b, with(|w| w.output_padding = [1, 0])),
        "output_padding expects [0, 0], got [1, 0]",
    );
    starts(
        error(&input, &w, &b, with(|w| w.dilation = [1, 2])),
        "x expects at least 5 columns with the padding of 2 x 0, got 4",
    );
    // Twice the padding, the rows with it, and the reach of a kernel of three wrap to what would
    // fit.
    for far in [
        with(|w| w.padding = [usize::MAX, 0]),
        with(|w| w.padding = [1 << 63, 0]),
        with(|w| w.padding = [1 << 62, 0]),
        with(|w| w.dilation = [1 << 63, 1]),
        with(|w| w.dilation = [usize::MAX, 1]),
    ] {
        assert_starts(
            &error(&input, &w, &b, far),
            "conv2d: window expects padding, dilation and stride whose sizes fit in an isize, got Window",
        );
    }
    let w64 = Var::from(Tensor::zeros([8, 3, 3, 6], DType::F64));
    starts(
        error(&input, &w64, &b, plain),
        "weight expects the dtype of x, f32, got f64",
    );
}
