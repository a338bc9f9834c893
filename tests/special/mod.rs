//! Points where a formula meets 0 times infinity, infinity minus infinity or a number too large to
//! add to: values and gradients there, as mathematics has them or PyTorch 2.11 gives them. One
//! table for the CPU and for GPUs.

use wavemix::ops::{
    BatchNormOptions, CrossEntropyOptions, batch_norm, cross_entropy, focal_loss, layer_norm,
    select,
};
use wavemix::{DType, Device, Result, Shape, Tensor, Var};

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;
const LN_2: f64 = std::f64::consts::LN_2;

/// Elements, and the shape they are in.
type Operand = (Vec<f64>, Vec<usize>);

#[derive(Clone)]
pub struct Case {
    pub name: &'static str,
    run: fn(&[Var]) -> Result<Var>,
    inputs: Vec<Operand>,
    /// What y is, where that is in question too.
    y: Option<Vec<f64>>,
    /// The gradient of y; ones where it is not given.
    dy: Option<Vec<f64>>,
    /// The gradient of each input.
    want: Vec<Vec<f64>>,
}

impl Case {
    fn dy(self, dy: &[f64]) -> Case {
        Case {
            dy: Some(dy.to_vec()),
            ..self
        }
    }

    fn y(self, y: &[f64]) -> Case {
        Case {
            y: Some(y.to_vec()),
            ..self
        }
    }
}

/// Of one operand, a vector.
fn one(name: &'static str, run: fn(&[Var]) -> Result<Var>, x: &[f64], want: &[f64]) -> Case {
    of(
        name,
        run,
        vec![(x.to_vec(), vec![x.len()])],
        vec![want.to_vec()],
    )
}

/// Of two vectors.
fn two(
    name: &'static str,
    run: fn(&[Var]) -> Result<Var>,
    [a, b]: [&[f64]; 2],
    want: [&[f64]; 2],
) -> Case {
    let vector = |x: &[f64]| (x.to_vec(), vec![x.len()]);
    of(
        name,
        run,
        vec![vector(a), vector(b)],
        want.map(<[f64]>::to_vec).to_vec(),
    )
}

/// Of rows of `k` elements.
fn rows(
    name: &'static str,
    run: fn(&[Var]) -> Result<Var>,
    x: &[f64],
    k: usize,
    want: &[f64],
) -> Case {
    of(
        name,
        run,
        vec![(x.to_vec(), vec![x.len() / k, k])],
        vec![want.to_vec()],
    )
}

fn of(
    name: &'static str,
    run: fn(&[Var]) -> Result<Var>,
    inputs: Vec<Operand>,
    want: Vec<Vec<f64>>,
) -> Case {
    Case {
        name,
        run,
        inputs,
        y: None,
        dy: None,
        want,
    }
}

/// A label 0 for each row, where x is.
fn zeros(x: &Var) -> Result<Tensor> {
    Tensor::zeros([x.shape()[0]], DType::I64).to_device(x.value().device())
}

fn smoothed(x: &Var, label_smoothing: f64) -> Result<Var> {
    cross_entropy(
        x,
        &zeros(x)?,
        CrossEntropyOptions {
            label_smoothing,
            ignore_index: None,
        },
    )
}

/// Functions of one number. With dy = 1 the gradient is the derivative.
fn functions() -> Vec<Case> {
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

fn of_two_operands() -> Vec<Case> {
    let (a, b) = ([NAN, 1.0, 1.0, 0.0], [0.0, NAN, 1.0, 1.0]);
    vec![
        two(
            "maximum",
            |v| v[0].maximum(&v[1]),
            [&a, &b],
            [&[1.0, 1.0, 0.5, 0.0], &[1.0, 1.0, 0.5, 1.0]],
        ),
        two(
            "minimum",
            |v| v[0].minimum(&v[1]),
            [&a, &b],
            [&[1.0, 1.0, 0.5, 1.0], &[1.0, 1.0, 0.5, 0.0]],
        ),
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

fn reductions() -> Vec<Case> {
    let half = 0.5f64.sqrt();
    vec![
        one(
            "std of equal elements",
            |v| v[0].std(&[0], true, false),
            &[3.0; 4],
            &[0.0; 4],
        )
        .y(&[0.0]),
        one(
            "biased std of equal elements",
            |v| v[0].std(&[0], false, true),
            &[-3.0; 5],
            &[0.0; 5],
        )
        .y(&[0.0]),
        rows(
            "std of some rows",
            |v| v[0].std(&[1], true, false),
            &[3.0, 3.0, 1.0, 2.0],
            2,
            &[0.0, 0.0, -half, half],
        )
        .y(&[0.0, half]),
        one(
            "std with not-a-number",
            |v| v[0].std(&[0], true, false),
            &[NAN, 1.0],
            &[NAN, NAN],
        ),
        one(
            "var of equal elements",
            |v| v[0].var(&[0], true, false),
            &[3.0; 4],
            &[0.0; 4],
        ),
        one(
            "max",
            |v| v[0].max(&[0], false),
            &[1.0, NAN, 3.0],
            &[0.0, 1.0, 0.0],
        ),
        one(
            "max, infinite dy",
            |v| v[0].max(&[0], false),
            &[-INF, -INF],
            &[INF, 0.0],
        )
        .dy(&[INF]),
        one(
            "min",
            |v| v[0].min(&[0], false),
            &[1.0, NAN, -INF],
            &[0.0, 1.0, 0.0],
        ),
    ]
}

/// A channel or a row of equal elements, normalised without an eps, is beta, and has no gradient:
/// as in PyTorch's batch_norm.
fn norms() -> Vec<Case> {
    let vector = |x: f64, n: usize| (vec![x; n], vec![n]);
    let (column, row) = ((vec![3.0; 4], vec![4, 1]), (vec![3.0; 4], vec![1, 4]));
    let (gamma, beta) = (vector(2.0, 1), vector(1.0, 1));
    vec![
        of(
            "batch_norm",
            |v| {
                Ok(batch_norm(
                    &v[0],
                    &v[1],
                    &v[2],
                    BatchNormOptions {
                        eps: 0.0,
                        ..Default::default()
                    },
                )?
                .0)
            },
            vec![column.clone(), gamma.clone(), beta.clone()],
            vec![vec![0.0; 4], vec![0.0], vec![4.0]],
        )
        .y(&[1.0; 4]),
        of(
            "batch_norm_add",
            |v| {
                Ok(batch_norm(
                    &v[0],
                    &v[2],
                    &v[3],
                    BatchNormOptions {
                        eps: 0.0,
                        residual: Some(&v[1]),
                        ..Default::default()
                    },
                )?
                .0)
            },
            vec![column.clone(), column, gamma, beta],
            vec![vec![0.0; 4], vec![1.0; 4], vec![0.0], vec![4.0]],
        )
        .y(&[4.0; 4]),
        of(
            "layer_norm",
            |v| layer_norm(&v[0], &v[1], &v[2], 0.0),
            vec![row, vector(2.0, 4), vector(1.0, 4)],
            vec![vec![0.0; 4], vec![0.0; 4], vec![1.0; 4]],
        )
        .y(&[1.0; 4]),
    ]
}

/// What is added to a normalised map, here 2^power, changes neither dx nor dgamma.
fn large_residuals(power: i32) -> Vec<Case> {
    let (x, dy): ([f64; 4], _) = ([1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 0.0, -0.5]);
    let inv_std = 1.0 / 1.25f64.sqrt();
    let dgamma: f64 = x
        .iter()
        .zip(&dy)
        .map(|(x, dy)| dy * (x - 2.5) * inv_std)
        .sum();
    let dx =
        |(x, dy): (&f64, &f64)| (dy - 0.5 / 4.0 - (x - 2.5) * inv_std * dgamma / 4.0) * inv_std;
    let dx: Vec<f64> = x.iter().zip(&dy).map(dx).collect();
    let (x, residual, one, zero) = (
        (x.to_vec(), vec![4, 1]),
        (vec![2f64.powi(power); 4], vec![4, 1]),
        vec![1.0],
        vec![0.0],
    );
    let run: fn(&[Var]) -> Result<Var> = |v| {
        Ok(batch_norm(
            &v[0],
            &v[2],
            &v[3],
            BatchNormOptions {
                eps: 0.0,
                residual: Some(&v[1]),
                ..Default::default()
            },
        )?
        .0)
    };
    let (gamma, beta) = ((one, vec![1]), (zero, vec![1]));
    let want = vec![dx, dy.to_vec(), vec![dgamma], vec![0.5]];
    vec![
        of(
            "batch_norm_add, large residual",
            run,
            vec![x, residual, gamma, beta],
            want,
        )
        .dy(&dy),
    ]
}

fn probabilities() -> Vec<Case> {
    let masked = [0.0, -INF, 0.0];
    let cross: fn(&[Var]) -> Result<Var> = |v| smoothed(&v[0], 0.0);
    let focal: fn(&[Var]) -> Result<Var> = |v| focal_loss(&v[0], &zeros(&v[0])?, 2.0, None);
    let flat_focal: fn(&[Var]) -> Result<Var> = |v| focal_loss(&v[0], &zeros(&v[0])?, 0.5, None);
    vec![
        rows(
            "softmax, masked",
            |v| v[0].softmax(1),
            &masked,
            3,
            &[0.25, 0.0, -0.25],
        )
        .y(&[0.5, 0.0, 0.5])
        .dy(&[1.0, 0.0, 0.0]),
        rows(
            "log_softmax, masked",
            |v| v[0].log_softmax(1),
            &masked,
            3,
            &[0.5, 0.0, -0.5],
        )
        .y(&[-LN_2, -INF, -LN_2])
        .dy(&[1.0, 0.0, 0.0]),
        rows(
            "cross_entropy, another class masked",
            cross,
            &masked,
            3,
            &[-0.5, 0.0, 0.5],
        )
        .y(&[LN_2]),
        rows(
            "cross_entropy, the label masked",
            cross,
            &[-INF, 0.0, 0.0],
            3,
            &[-1.0, 0.5, 0.5],
        )
        .y(&[INF]),
        rows(
            "cross_entropy of not-a-number",
            cross,
            &[NAN, 0.0],
            2,
            &[NAN, NAN],
        )
        .y(&[NAN]),
        // (1 - p)^2 and its derivative times ln p: 1 and 0 as p tends to 0.
        rows(
            "focal_loss, the label masked",
            focal,
            &[-INF, 0.0, 0.0],
            3,
            &[-1.0, 0.5, 0.5],
        )
        .y(&[INF]),
        rows(
            "focal_loss, all others masked",
            focal,
            &[0.0, -INF],
            2,
            &[0.0, 0.0],
        )
        .y(&[0.0]),
        rows(
            "focal_loss with gamma 1/2, all others masked",
            flat_focal,
            &[0.0, -INF],
            2,
            &[0.0, 0.0],
        )
        .y(&[0.0]),
        rows(
            "focal_loss of not-a-number",
            focal,
            &[0.0, NAN],
            2,
            &[NAN, NAN],
        )
        .y(&[NAN]),
    ]
}

/// Equal logits of any size are equally likely, here at 2^v.
fn large_logits(power: i32) -> Vec<Case> {
    let v = 2f64.powi(power);
    let pair = [v, v];
    // (1 - p)^2 - 2 p (1 - p) ln p at p = 1/2.
    let w = 0.25 + 0.5 * LN_2;
    vec![
        rows("softmax", |v| v[0].softmax(1), &pair, 2, &[0.25, -0.25])
            .y(&[0.5, 0.5])
            .dy(&[1.0, 0.0]),
        rows(
            "log_softmax",
            |v| v[0].log_softmax(1),
            &pair,
            2,
            &[0.5, -0.5],
        )
        .y(&[-LN_2, -LN_2])
        .dy(&[1.0, 0.0]),
        rows(
            "cross_entropy",
            |v| smoothed(&v[0], 0.0),
            &pair,
            2,
            &[-0.5, 0.5],
        )
        .y(&[LN_2]),
        rows(
            "cross_entropy, negative",
            |v| smoothed(&v[0], 0.0),
            &[-v, -v],
            2,
            &[-0.5, 0.5],
        )
        .y(&[LN_2]),
        rows(
            "smoothed cross_entropy",
            |v| smoothed(&v[0], 0.25),
            &pair,
            2,
            &[-0.375, 0.375],
        )
        .y(&[LN_2]),
        rows(
            "focal_loss",
            |v| focal_loss(&v[0], &zeros(&v[0])?, 2.0, None),
            &pair,
            2,
            &[-0.5 * w, 0.5 * w],
        )
        .y(&[0.25 * LN_2]),
        rows(
            "cross_entropy of two rows",
            |v| smoothed(&v[0], 0.0),
            &[v, v, 0.0, 0.0],
            2,
            &[-0.25, 0.25, -0.25, 0.25],
        )
        .y(&[LN_2]),
    ]
}

/// A class that is less likely than can be told has its own logarithm still.
fn far_below(power: i32) -> Vec<Case> {
    let v = 2f64.powi(power);
    let run: fn(&[Var]) -> Result<Var> = |v| v[0].log_softmax(1);
    vec![
        rows("log_softmax, one far below", run, &[v, -v], 2, &[0.0, 0.0])
            .y(&[0.0, -2.0 * v])
            .dy(&[1.0, 0.0]),
    ]
}

/// Every case on this device in this type. Of 16-bit f16, whose largest number is 65504, those that
/// fit.
pub fn check(device: Device, dtype: DType) {
    let largest = if dtype == DType::F16 {
        65504.0
    } else {
        f64::MAX
    };
    let powers: &[i32] = if dtype == DType::F64 {
        &[0, 20, 30, 53, 60, 1000]
    } else {
        &[0, 10, 15, 20, 23, 27, 30, 100]
    };
    let parts = [
        functions(),
        of_two_operands(),
        reductions(),
        norms(),
        probabilities(),
    ];
    let large = powers.iter().flat_map(|&power| {
        let far = if power < 10 {
            vec![]
        } else {
            [far_below(power), large_residuals(power)].concat()
        };
        [large_logits(power), far].concat()
    });
    let mut wrong = Vec::new();
    for case in parts.into_iter().flatten().chain(large) {
        let fits =
            |x: &f64| !x.is_finite() || *x == 0.0 || (x.abs() < largest && x.abs() > 1.0 / largest);
        let numbers = case
            .inputs
            .iter()
            .map(|(x, _)| x)
            .chain(&case.want)
            .chain(&case.y);
        if numbers.flatten().all(fits) {
            wrong.extend(differences(&case, device, dtype));
        }
    }
    assert!(
        wrong.is_empty(),
        "{dtype} on {device}:\n{}",
        wrong.join("\n")
    );
}

/// A sentence for each result of a case that is not what it should be.
fn differences(case: &Case, device: Device, dtype: DType) -> Vec<String> {
    let there = |(x, shape): &Operand| {
        let x = Tensor::from_slice(x, Shape::new(shape).unwrap()).unwrap();
        Var::leaf(x.cast(dtype).unwrap().to_device(device).unwrap())
    };
    let inputs: Vec<Var> = case.inputs.iter().map(there).collect();
    let y = (case.run)(&inputs).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    let dy = case.dy.clone().unwrap_or(vec![1.0; y.value().elements()]);
    let dy = Tensor::from_vec(dy, y.shape())
        .unwrap()
        .cast(y.dtype())
        .unwrap()
        .to_device(device)
        .unwrap();
    let gradients = y.backward_from(dy, &[]).unwrap();
    // A few roundings of the type.
    let unit = match dtype {
        DType::F64 => 2f64.powi(-50),
        DType::BF16 => 2f64.powi(-7),
        DType::F16 => 2f64.powi(-9),
        _ => 2f64.powi(-21),
    };
    let same = |got: f64, want: f64, room: f64| {
        got == want || (got.is_nan() && want.is_nan()) || (got - want).abs() <= room
    };
    let mut wrong = Vec::new();
    let mut compare = |what: String, got: &Tensor, want: &[f64]| {
        let got = got
            .to_device(Device::Cpu)
            .unwrap()
            .cast(DType::F64)
            .unwrap()
            .to_vec::<f64>()
            .unwrap();
        let room = unit
            * want
                .iter()
                .filter(|x| x.is_finite())
                .fold(0.0, |size: f64, x| size.max(x.abs()));
        if got.len() != want.len()
            || !got
                .iter()
                .zip(want)
                .all(|(&got, &want)| same(got, want, room))
        {
            let x: Vec<&[f64]> = case.inputs.iter().map(|(x, _)| &x[..]).collect();
            wrong.push(format!(
                "{}, {what} at {x:?}: {got:?}, should be {want:?}",
                case.name
            ));
        }
    };
    if let Some(want) = &case.y {
        compare("y".into(), y.value(), want);
    }
    for (i, (x, want)) in inputs.iter().zip(&case.want).enumerate() {
        let zeros = || Tensor::zeros(x.shape(), DType::F64);
        compare(
            format!("gradient {i}"),
            gradients.of(x).unwrap_or(&zeros()),
            want,
        );
    }
    wrong
}
