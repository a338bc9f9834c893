//! Batch normalisation. Statistics are f32, whatever the type of x is.

use super::runtime::launch::{Columns, together};
use super::{Scratch, Slice, SliceMut, Source};
use crate::{DType, Result};

pub(super) static SOURCE: Source =
    Source::new("batch_norm", include_str!("../../kernels/batch_norm.cu"));

/// Mean and biased variance of each channel of x `[rows, c]`: the moments of each block's rows,
/// then their merge.
pub(crate) fn moments(x: Slice, mean: &mut SliceMut, var: &mut SliceMut) -> Result<()> {
    let c = mean.as_slice().elements;
    let rows = x.elements / c;
    let plan = Columns::summing(rows, c, together(c, &[x]));
    let mut part = x.gpu.scratch(plan.splits * 3 * c, DType::F32)?;
    let launch = x
        .gpu
        .kernel(&SOURCE, "batch_norm_stats", x.dtype)?
        .arg(x)
        .arg(&mut part.write());
    launch
        .sizes([rows, c, plan.v, plan.span])?
        .blocks(plan.grid())
        .moves(x.bytes())
        .launch()?;
    let launch = x
        .gpu
        .kernel(&SOURCE, "batch_norm_finish", x.dtype)?
        .arg(part.read())
        .arg(mean)
        .arg(var);
    launch
        .sizes([plan.splits, c])?
        .blocks([c.div_ceil(8), 1, 1])
        .launch()
}

/// What x is normalised by: vectors of one number a channel.
#[derive(Clone, Copy)]
pub(crate) struct Coefficients<'a> {
    pub mean: Slice<'a>,
    pub var: Slice<'a>,
    pub gamma: Slice<'a>,
    pub beta: Slice<'a>,
}

/// y = gamma (x - mean) / sqrt(var + eps) + beta + residual.
pub(crate) fn normalise(
    x: Slice,
    residual: Option<Slice>,
    coefficients: Coefficients,
    eps: f64,
    y: &mut SliceMut,
) -> Result<()> {
    let Coefficients {
        mean,
        var,
        gamma,
        beta,
    } = coefficients;
    let (c, rows) = (mean.elements, x.elements / mean.elements);
    let plan = Columns::passing(
        rows,
        c,
        together(c, &[x, residual.unwrap_or(x), y.as_slice()]),
    );
    let launch = x
        .gpu
        .kernel(&SOURCE, "batch_norm", x.dtype)?
        .arg(x)
        .arg(residual)
        .arg(y)
        .arg(mean)
        .arg(var);
    let launch = launch
        .arg(gamma)
        .arg(beta)
        .arg(are_f32(gamma))
        .arg(eps as f32);
    launch
        .sizes([rows, c, plan.v, plan.span])?
        .blocks(plan.grid())
        .moves((2 + usize::from(residual.is_some())) * x.bytes())
        .launch()
}

/// dgamma and dbeta, in f32.
pub(crate) fn gradient_sums(
    [x, dy]: [Slice; 2],
    [mean, var]: [Slice; 2],
    eps: f64,
    dgamma: &mut SliceMut,
    dbeta: &mut SliceMut,
) -> Result<()> {
    let (c, rows) = (mean.elements, x.elements / mean.elements);
    if rows == 0 {
        return dgamma.fill(0.0).and_then(|()| dbeta.fill(0.0));
    }
    let (part, splits) = partial_sums((&SOURCE, "batch_norm_sums"), [x, dy, mean], c)?;
    let launch = x
        .gpu
        .kernel(&SOURCE, "batch_norm_finish_sums", x.dtype)?
        .arg(part.read())
        .arg(var)
        .arg(eps as f32);
    launch
        .arg(dgamma)
        .arg(dbeta)
        .sizes([splits, c])?
        .blocks([c.div_ceil(8), 1, 1])
        .launch()
}

/// Two sums a channel of x and dy `[rows, c]` by blocks of rows, `[splits, 2, c]`, and the number
/// of splits. The kernel takes statistics too.
pub(super) fn partial_sums(
    (source, name): (&'static Source, &'static str),
    [x, dy, statistics]: [Slice; 3],
    c: usize,
) -> Result<(Scratch, usize)> {
    let rows = x.elements / c;
    let plan = Columns::summing(rows, c, together(c, &[x, dy]));
    let mut part = x.gpu.scratch(plan.splits * 2 * c, DType::F32)?;
    let launch = x
        .gpu
        .kernel(source, name, x.dtype)?
        .arg(x)
        .arg(dy)
        .arg(statistics)
        .arg(&mut part.write());
    launch
        .sizes([rows, c, plan.v, plan.span])?
        .blocks(plan.grid())
        .moves(2 * x.bytes())
        .launch()?;
    Ok((part, plan.splits))
}

/// dx. `sums` are dgamma and dbeta if mean and variance depend on x; none if they are constants.
pub(crate) fn backward_input(
    [x, dy]: [Slice; 2],
    [mean, var]: [Slice; 2],
    (gamma, eps): (Slice, f64),
    sums: Option<[Slice; 2]>,
    dx: &mut SliceMut,
) -> Result<()> {
    let (c, rows) = (mean.elements, x.elements / mean.elements);
    let plan = Columns::passing(rows, c, together(c, &[x, dy, dx.as_slice()]));
    let share = if sums.is_some() {
        1.0 / rows as f32
    } else {
        0.0
    };
    let [dgamma, dbeta] = [0, 1].map(|i| sums.map(|sums| sums[i]));
    let launch = x
        .gpu
        .kernel(&SOURCE, "batch_norm_backward", x.dtype)?
        .arg(x)
        .arg(dy)
        .arg(dx)
        .arg(mean)
        .arg(var);
    let launch = launch
        .arg(gamma)
        .arg(are_f32(gamma))
        .arg(eps as f32)
        .arg(dgamma)
        .arg(dbeta)
        .arg(share);
    launch
        .sizes([rows, c, plan.v, plan.span])?
        .blocks(plan.grid())
        .moves(3 * x.bytes())
        .launch()
}

/// 1 if gamma and beta are f32, 0 if they have the type of x: the argument `wide` of kernels.
pub(super) fn are_f32(gamma: Slice) -> i32 {
    i32::from(gamma.dtype == DType::F32)
}
