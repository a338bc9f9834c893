//! Elementwise functions and reductions.

use super::*;

/// Functions of one number. With dy = 1 the gradient is the derivative.
pub fn functions() -> Vec<Case> {
    vec![
        one(
            "abs",
            |v| v[0].abs(),
            &[0.0, -0.0, NAN, -INF, INF],
            &[0.0, 0.0, 0.0, -1.0, 1.0],
        ),
        one("exp", |v| v[0].exp(), &[-INF, INF, NAN], &[0.0, INF, NAN]),
        one(
            "log",
            |v| v[0].log(),
            &[0.0, INF, -1.0, NAN],
            &[INF, 0.0, -1.0, NAN],
        ),
        one(
            "sqrt",
            |v| v[0].sqrt(),
            &[0.0, INF, -1.0, NAN],
            &[INF, 0.0, NAN, NAN],
        ),
        one(
            "sqrt of what is multiplied by 0",
            |v| v[0].sqrt(),
            &[0.0],
            &[NAN],
        )
        .dy(&[0.0]),
        one(
            "a norm of zeros, composed",
            |v| v[0].square()?.sum_all()?.sqrt(),
            &[0.0, 0.0],
            &[NAN, NAN],
        ),
        one("square", |v| v[0].square(), &[0.0, -INF], &[0.0, -INF]),
        one(
            "recip",
            |v| v[0].recip(),
            &[0.0, -0.0, INF, -INF],
            &[-INF, -INF, 0.0, 0.0],
        ),
        one(
            "powf(0)",
            |v| v[0].powf(0.0),
            &[0.0, INF, NAN],
            &[0.0, 0.0, 0.0],
        ),
        one(
            "powf(1/2)",
            |v| v[0].powf(0.5),
            &[0.0, INF, -1.0],
            &[INF, 0.0, NAN],
        ),
        one(
            "powf(1)",
            |v| v[0].powf(1.0),
            &[0.0, INF, NAN],
            &[1.0, 1.0, 1.0],
        ),
        one("powf(3/2)", |v| v[0].powf(1.5), &[0.0], &[0.0]),
        one("powf(2)", |v| v[0].powf(2.0), &[0.0, -INF], &[0.0, -INF]),
        one("powf(-1)", |v| v[0].powf(-1.0), &[0.0, INF], &[-INF, 0.0]),
        one("tanh", |v| v[0].tanh(), &[-INF, INF, NAN], &[0.0, 0.0, NAN]),
        one(
            "sigmoid",
            |v| v[0].sigmoid(),
            &[-INF, INF, NAN],
            &[0.0, 0.0, NAN],
        ),
        one(
            "relu",
            |v| v[0].relu(),
            &[0.0, -0.0, -INF, INF, NAN],
            &[0.0, 0.0, 0.0, 1.0, 1.0],
        )
        .y(&[0.0, 0.0, 0.0, INF, NAN]),
        one(
            "relu, infinite dy",
            |v| v[0].relu(),
            &[-1.0, 1.0],
            &[0.0, INF],
        )
        .dy(&[INF, INF]),
        one("silu", |v| v[0].silu(), &[-INF, INF, NAN], &[NAN, NAN, NAN]),
        // The limits, where PyTorch's formula has 0 times infinity.
        one("gelu", |v| v[0].gelu(), &[-INF, INF, NAN], &[0.0, 1.0, NAN]).y(&[0.0, INF, NAN]),
        one(
            "gelu_dropout",
            |v| v[0].gelu_dropout(0.0, None),
            &[-INF, INF, NAN],
            &[0.0, 1.0, NAN],
        )
        .y(&[0.0, INF, NAN]),
        one(
            "clamp",
            |v| v[0].clamp(-1.0, 1.0),
            &[-1.0, 1.0, NAN, INF, -INF],
            &[1.0, 1.0, 0.0, 0.0, 0.0],
        ),
        // As PyTorch 2.15's, in f64.
        one(
            "leaky_relu",
            |v| v[0].leaky_relu(0.5),
            &[-INF, 0.0, -0.0, INF, NAN],
            &[0.5, 0.5, 0.5, 1.0, 0.5],
        )
        .y(&[-INF, 0.0, -0.0, INF, NAN]),
        one(
            "elu",
            |v| v[0].elu(1.5),
            &[-INF, 0.0, -0.0, INF, NAN],
            &[0.0, 1.5, 1.5, 1.0, NAN],
        )
        .y(&[-1.5, 0.0, -0.0, INF, NAN]),
        one(
            "relu6",
            |v| v[0].relu6(),
            &[-INF, 0.0, 3.0, 6.0, INF, NAN],
            &[0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
        )
        .y(&[0.0, 0.0, 3.0, 6.0, 6.0, NAN]),
        one(
            "hardswish",
            |v| v[0].hardswish(),
            &[-3.0, 0.0, 3.0, INF, NAN],
            &[0.0, 0.5, 1.0, 1.0, NAN],
        )
        .y(&[0.0, 0.0, 3.0, INF, NAN]),
        one(
            "softplus",
            |v| v[0].softplus(),
            &[-INF, 0.0, INF, NAN],
            &[0.0, 0.5, 1.0, NAN],
        )
        .y(&[0.0, std::f64::consts::LN_2, INF, NAN]),
        one(
            "log1p",
            |v| v[0].log1p(),
            &[-1.0, 0.0, INF, NAN],
            &[INF, 1.0, 0.0, NAN],
        )
        .y(&[-INF, 0.0, INF, NAN]),
        one("log1p below -1", |v| v[0].log1p(), &[-2.0], &[-1.0]).y(&[NAN]),
        one(
            "sin",
            |v| v[0].sin(),
            &[-INF, 0.0, INF, NAN],
            &[NAN, 1.0, NAN, NAN],
        ),
        one(
            "cos",
            |v| v[0].cos(),
            &[-INF, 0.0, INF, NAN],
            &[NAN, 0.0, NAN, NAN],
        ),
        one("erf", |v| v[0].erf(), &[-INF, INF, NAN], &[0.0, 0.0, NAN]).y(&[-1.0, 1.0, NAN]),
        one(
            "clamp, infinite dy",
            |v| v[0].clamp(-1.0, 1.0),
            &[2.0, 0.5],
            &[0.0, INF],
        )
        .dy(&[INF, INF]),
        one(
            "dropout of all",
            |v| v[0].dropout(1.0, &wavemix::Rng::new(1)),
            &[INF, 1.0],
            &[0.0, 0.0],
        )
        .y(&[0.0, 0.0]),
    ]
}

pub fn of_two_operands() -> Vec<Case> {
    let (a, b) = ([NAN, 1.0, 1.0, 0.0], [0.0, NAN, 1.0, 1.0]);
    vec![
        two(
            "maximum",
            |v| v[0].maximum(&v[1]),
            [&a, &b],
            [&[1.0, 1.0, 0.5, 0.0], &[1.0, 1.0, 0.5, 1.0]],
        )
        .y(&[NAN, NAN, 1.0, 1.0]),
        two(
            "minimum",
            |v| v[0].minimum(&v[1]),
            [&a, &b],
            [&[1.0, 1.0, 0.5, 1.0], &[1.0, 1.0, 0.5, 0.0]],
        )
        .y(&[NAN, NAN, 1.0, 0.0]),
        two(
            "maximum, infinite dy",
            |v| v[0].maximum(&v[1]),
            [&[0.0, 1.0], &[1.0, 0.0]],
            [&[0.0, INF], &[INF, 0.0]],
        )
        .dy(&[INF, INF]),
        two(
            "minimum, infinite dy",
            |v| v[0].minimum(&v[1]),
            [&[0.0, 1.0], &[1.0, 0.0]],
            [&[INF, 0.0], &[0.0, INF]],
        )
        .dy(&[INF, INF]),
        two(
            "mul",
            |v| &v[0] * &v[1],
            [&[0.0, INF], &[INF, 0.0]],
            [&[INF, 0.0], &[0.0, INF]],
        ),
        two(
            "div",
            |v| &v[0] / &v[1],
            [&[0.0, 1.0, 1.0], &[0.0, 0.0, INF]],
            [&[INF, INF, 0.0], &[NAN, -INF, 0.0]],
        ),
        two(
            "div, dy of 0",
            |v| &v[0] / &v[1],
            [&[1.0], &[0.0]],
            [&[NAN], &[NAN]],
        )
        .dy(&[0.0]),
        one("x / x", |v| &v[0] / &v[0].clone(), &[0.0, 2.0], &[NAN, 0.0]),
        // b^2 overflows in f32, or vanishes; the quotient does not.
        two(
            "div, large",
            |v| &v[0] / &v[1],
            [&[2f64.powi(100)], &[2f64.powi(100)]],
            [&[2f64.powi(-100)], &[-2f64.powi(-100)]],
        ),
        two(
            "div, small",
            |v| &v[0] / &v[1],
            [&[2f64.powi(-100)], &[2f64.powi(-100)]],
            [&[2f64.powi(100)], &[-2f64.powi(100)]],
        ),
        two(
            "select",
            |v| select(&v[0].value().gt(v[1].value())?, &v[0], &v[1]),
            [&[NAN, 1.0], &[0.0, 0.0]],
            [&[0.0, INF], &[INF, 0.0]],
        )
        .dy(&[INF, INF]),
    ]
}

pub fn reductions() -> Vec<Case> {
    let half = 0.5f64.sqrt();
    vec![
        one(
            "std of equal elements",
            |v| v[0].std(0, true),
            &[3.0; 4],
            &[0.0; 4],
        )
        .y(&[0.0]),
        one(
            "biased std of equal elements",
            |v| v[0].std_keep(0, false),
            &[-3.0; 5],
            &[0.0; 5],
        )
        .y(&[0.0]),
        rows(
            "std of some rows",
            |v| v[0].std(1, true),
            &[3.0, 3.0, 1.0, 2.0],
            2,
            &[0.0, 0.0, -half, half],
        )
        .y(&[0.0, half]),
        one(
            "std with not-a-number",
            |v| v[0].std(0, true),
            &[NAN, 1.0],
            &[NAN, NAN],
        ),
        one(
            "var of equal elements",
            |v| v[0].var(0, true),
            &[3.0; 4],
            &[0.0; 4],
        ),
        // Where the elements are all 0, whose root has an infinite slope.
        one("norm of zeros", |v| v[0].norm(0), &[0.0, -0.0], &[0.0, 0.0]).y(&[0.0]),
        one(
            "norm, infinite",
            |v| v[0].norm(0),
            &[INF, 1.0, 0.0],
            &[NAN, 0.0, 0.0],
        )
        .y(&[INF]),
        one(
            "norm of not-a-number",
            |v| v[0].norm(0),
            &[NAN, 1.0],
            &[NAN, NAN],
        ),
        one(
            "prod with one 0",
            |v| v[0].prod(0),
            &[0.0, 2.0, 3.0],
            &[6.0, 0.0, 0.0],
        )
        .y(&[0.0]),
        one(
            "prod with -0",
            |v| v[0].prod(0),
            &[-0.0, 2.0, -1.0],
            &[-2.0, 0.0, 0.0],
        ),
        one(
            "prod with zeros",
            |v| v[0].prod(0),
            &[0.0, 0.0, 3.0],
            &[0.0; 3],
        )
        .y(&[0.0]),
        one(
            "prod with infinity",
            |v| v[0].prod(0),
            &[INF, 2.0, 3.0],
            &[NAN, INF, INF],
        )
        .y(&[INF]),
        // The last is 0 times infinity in PyTorch, not-a-number.
        one(
            "prod of infinity and 0",
            |v| v[0].prod(0),
            &[INF, 0.0, 3.0],
            &[0.0, INF, 0.0],
        )
        .y(&[NAN]),
        one(
            "prod of not-a-number",
            |v| v[0].prod(0),
            &[NAN, 2.0],
            &[NAN, NAN],
        ),
        one(
            "cumsum",
            |v| v[0].cumsum(0),
            &[1.0, NAN, INF, -INF],
            &[4.0, 3.0, 2.0, 1.0],
        )
        .y(&[1.0, NAN, NAN, NAN]),
        one(
            "cumsum of infinities",
            |v| v[0].cumsum(0),
            &[1.0, INF, -INF],
            &[3.0, 2.0, 1.0],
        )
        .y(&[1.0, INF, NAN]),
        one("max", |v| v[0].max(0), &[1.0, NAN, 3.0], &[0.0, 1.0, 0.0]),
        one(
            "max, infinite dy",
            |v| v[0].max(0),
            &[-INF, -INF],
            &[INF, 0.0],
        )
        .dy(&[INF]),
        one("min", |v| v[0].min(0), &[1.0, NAN, -INF], &[0.0, 1.0, 0.0]),
    ]
}
