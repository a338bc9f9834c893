//! Batch normalisation: each channel brought to mean 0 and variance 1, then scaled and shifted.

use crate::autograd::Backward;
use crate::cpu::batch_norm::{self as cpu, Moments};
use crate::cuda::batch_norm as cuda;
use crate::{DType, Device, Element, Error, Result, Tensor, Var};

/// What [`batch_norm`] saw in a batch, for the running statistics.
#[derive(Clone)]
pub struct BatchStats {
    /// The mean of each channel, `[c]`.
    pub mean: Tensor,
    /// The biased variance of each channel, `[c]`: squared deviations over `count`. Running
    /// statistics want the unbiased one, which is this times `count / (count - 1)`.
    pub var: Tensor,
    /// How many numbers of each channel there were.
    pub count: usize,
}

impl BatchStats {
    /// From the moments of an x of this type. They are of x's type too, beside an x of 16 bits f32.
    pub(crate) fn of(moments: &Moments, dtype: DType) -> Result<BatchStats> {
        let dtype = if dtype == DType::BF16 {
            DType::F32
        } else {
            dtype
        };
        let (mean, var) = (
            channel_tensor(dtype, &moments.mean)?,
            channel_tensor(dtype, &moments.variance())?,
        );
        Ok(BatchStats {
            mean,
            var,
            count: moments.count,
        })
    }
}

/// Normalises each channel by the mean and variance of this very batch: what training does.
///
/// ```text
/// xhat = (x - mean) / sqrt(var + eps)      y = gamma xhat + beta
/// ```
///
/// **Shapes**: x and y `[.., c]`, gamma and beta `[c]`; mean and (biased) variance are over all
/// axes but the last.
/// **Backward**: with N numbers a channel, dbeta = sum dy, dgamma = sum dy xhat, dx = gamma / std
/// (dy - dbeta / N - xhat dgamma / N). Where var + eps is 0, 1 / std counts as 0: y is beta, dx and
/// dgamma are 0.
/// **Saves**: x, and mean and 1 / std of each channel.
/// **Errors**: gamma or beta not `[c]`, dtypes that differ, fewer than two numbers a channel.
/// **Source**: Ioffe and Szegedy (arXiv 1502.03167), algorithm 1; `torch.nn.functional.batch_norm`.
#[track_caller]
pub fn batch_norm(x: &Var, gamma: &Var, beta: &Var, eps: f64) -> Result<(Var, BatchStats)> {
    train([x, gamma, beta], None, eps, None)
}

/// [`batch_norm`] of x, and a residual added to it: how a block ends. The same numbers as from the
/// two ops, with one pass over memory less.
///
/// **Shapes**: both maps `[.., c]`. **Backward**: as for `batch_norm`, and dresidual = dy.
/// **Saves**: y and the residual, which the ops before and after it mostly keep anyway: xhat = (y -
/// residual - beta) / gamma. Where that would lose digits, in 16 bits or where some channel's |y| +
/// 2 |beta| is more than 256 |gamma|, and on a GPU, x as `batch_norm` does.
/// **Errors**: those of `batch_norm`; a residual of another shape or dtype than x.
/// **Source**: for x from y, Rota Bulo, Porzi and Kontschieder (arXiv 1712.02616).
#[track_caller]
pub fn batch_norm_add(
    [x, residual]: [&Var; 2],
    gamma: &Var,
    beta: &Var,
    eps: f64,
) -> Result<(Var, BatchStats)> {
    train([x, gamma, beta], Some(residual), eps, None)
}

/// [`batch_norm_add`] of an x whose statistics are known, as
/// [`conv_transpose2d_with_stats`](crate::ops::conv_transpose2d_with_stats) gives them: x is read
/// once less. They are trusted to be x's own: the gradient goes to x through them too, as that of
/// `batch_norm_add` does. A GPU takes its own.
///
/// **Errors**: those of `batch_norm_add`; statistics that are not `[c]`, or not of as many numbers
/// a channel as x has.
#[track_caller]
pub fn batch_norm_add_of(
    [x, residual]: [&Var; 2],
    gamma: &Var,
    beta: &Var,
    eps: f64,
    stats: BatchStats,
) -> Result<(Var, BatchStats)> {
    train([x, gamma, beta], Some(residual), eps, Some(stats))
}

#[track_caller]
fn train(
    [x, gamma, beta]: [&Var; 3],
    residual: Option<&Var>,
    eps: f64,
    stats: Option<BatchStats>,
) -> Result<(Var, BatchStats)> {
    check_residual("batch_norm_add", x, residual)?;
    let c = channels(
        "batch_norm",
        x,
        [("gamma", gamma.value()), ("beta", beta.value())],
    )?;
    let [gamma, beta] = &crate::ops::one_type(gamma, beta)?;
    let inputs = [x, gamma, beta];
    if x.value().elements() < 2 * c {
        return Err(Error::operand(
            "batch_norm",
            "x",
            "more than one value per channel when training",
            x.shape(),
        ));
    }
    let fits = |stats: &BatchStats| {
        stats.count == x.value().elements() / c
            && [&stats.mean, &stats.var]
                .iter()
                .all(|vector| **vector.shape() == [c])
    };
    if let Some(stats) = stats.as_ref().filter(|stats| !fits(stats)) {
        let expected = format!(
            "mean and variance [c = {c}] of {} numbers each",
            x.value().elements() / c
        );
        let got = format!(
            "{} and {} of {}",
            stats.mean.shape(),
            stats.var.shape(),
            stats.count
        );
        return Err(Error::operand("batch_norm", "stats", expected, got));
    }
    if x.value().device() != Device::Cpu {
        let (y, stats) = on_device::train(inputs, eps)?;
        return Ok((plus(y, residual)?, stats));
    }
    let (stats, mean, var) = match stats {
        Some(stats) => {
            let [mean, var] = [channel_vec(&stats.mean)?, channel_vec(&stats.var)?];
            (stats, mean, var)
        }
        None => {
            let moments = match x.value().is_absent() {
                true => Moments::standard(x.value().elements() / c, c),
                false => {
                    dispatch_dtype!("batch_norm", x.dtype(), T in [f32, f64, bf16] => Moments::of::<T>(x.value().data(), c))
                }
            };
            let var = moments.variance();
            (BatchStats::of(&moments, x.dtype())?, moments.mean, var)
        }
    };
    let y = apply(
        inputs,
        residual,
        (mean, inverse_std(&var, eps)),
        Some(stats.count),
    )?;
    Ok((y, stats))
}

/// Normalises each channel by a given mean and variance: what evaluation does. Otherwise as
/// [`batch_norm`].
///
/// **Backward**: dbeta = sum dy, dgamma = sum dy xhat, dx = gamma / std dy. **Saves**: x, mean and
/// 1 / std.
/// **Errors**: gamma, beta, mean or variance not `[c]`, dtypes that differ.
#[track_caller]
pub fn batch_norm_eval(
    x: &Var,
    gamma: &Var,
    beta: &Var,
    running_mean: &Tensor,
    running_var: &Tensor,
    eps: f64,
) -> Result<Var> {
    evaluate([x, gamma, beta], None, [running_mean, running_var], eps)
}

/// [`batch_norm_eval`] of x, and a residual added to it, as [`batch_norm_add`] does; `running` are
/// mean and variance.
#[track_caller]
pub fn batch_norm_eval_add(
    [x, residual]: [&Var; 2],
    gamma: &Var,
    beta: &Var,
    running: [&Tensor; 2],
    eps: f64,
) -> Result<Var> {
    evaluate([x, gamma, beta], Some(residual), running, eps)
}

#[track_caller]
fn evaluate(
    [x, gamma, beta]: [&Var; 3],
    residual: Option<&Var>,
    running: [&Tensor; 2],
    eps: f64,
) -> Result<Var> {
    check_residual("batch_norm_eval_add", x, residual)?;
    let vectors = [
        ("gamma", gamma.value()),
        ("beta", beta.value()),
        ("running_mean", running[0]),
        ("running_var", running[1]),
    ];
    channels("batch_norm_eval", x, vectors)?;
    let [gamma, beta] = &crate::ops::one_type(gamma, beta)?;
    let inputs = [x, gamma, beta];
    if x.value().device() != Device::Cpu {
        return plus(
            on_device::apply(
                "batch_norm_eval",
                inputs,
                running.map(Tensor::clone),
                eps,
                true,
            )?,
            residual,
        );
    }
    let inv_std = inverse_std(&channel_vec(running[1])?, eps);
    apply(inputs, residual, (channel_vec(running[0])?, inv_std), None)
}

fn apply(
    [x, gamma, beta]: [&Var; 3],
    residual: Option<&Var>,
    (mean, inv_std): (Vec<f64>, Vec<f64>),
    count: Option<usize>,
) -> Result<Var> {
    let op = match (count, residual) {
        (Some(_), None) => "batch_norm",
        (Some(_), Some(_)) => "batch_norm_add",
        (None, None) => "batch_norm_eval",
        (None, Some(_)) => "batch_norm_eval_add",
    };
    let scale = product(&channel_vec(gamma.value())?, &inv_std);
    let shift = channel_vec(beta.value())?;
    let (from, other) = (x.value(), residual.map(Var::value));
    // The largest |y| of each channel, where x may be recomputed from y.
    let mut largest = Vec::new();
    let y = dispatch_dtype!(op, x.dtype(), T in [f32, f64, bf16] => Tensor::build(*x.shape(), |y: &mut [T]| match other {
        Some(residual) if count.is_some() && T::DTYPE != DType::BF16 => {
            largest = cpu::normalise_add_largest([from.data(), residual.data()], [&mean, &scale, &shift], y);
        }
        Some(residual) => cpu::normalise_add([from.data(), residual.data()], [&mean, &scale, &shift], y),
        None => cpu::normalise(from.data(), [&mean, &scale, &shift], y),
    }));
    let inputs: Vec<&Var> = [x, gamma, beta].into_iter().chain(residual).collect();
    let factor = channel_vec(gamma.value())?;
    let exact = x.dtype() != DType::BF16 && invertible(&largest, &factor, &shift);
    let kept = match other {
        Some(residual) if count.is_some() && exact => Kept {
            inverse: factor.iter().map(|gamma| 1.0 / gamma).collect(),
            x: y.clone(),
            residual: Some(residual.clone()),
            about: shift,
        },
        _ => Kept {
            x: x.value().clone(),
            residual: None,
            about: mean,
            inverse: inv_std,
        },
    };
    Ok(Var::record(op, &inputs, y, || BatchNorm {
        kept,
        gamma: gamma.value().clone(),
        scale,
        count,
    }))
}

/// How large y may be beside gamma, and so beside the spread of y that comes from x, for xhat to be
/// recomputed from y.
///
/// With u half a unit in the last place of 1, a sum or product that is rounded is off by u times
/// itself. On the way to y those are twice gamma xhat, gamma xhat + beta and y; on the way back
/// gamma xhat + beta and twice gamma xhat:
///
/// ```text
/// error of xhat <= u ((|y| + 2 |beta|) / |gamma| + 6 |xhat|)
/// ```
///
/// The last term is that of x and its mean too. The first is 2^-16 of the spread of xhat, 1, at
/// most with this limit in f32. In training it is about 40 for the largest y of the papers' models,
/// so that they save nothing but y.
const LARGEST_RATIO: f64 = 256.0;

/// Whether xhat = (y - residual - beta) / gamma is exact enough in every channel, of which
/// `largest` is the largest |y|. Where that is infinite or not a number it is not: xhat is finite
/// then, and the difference of y and residual is not.
fn invertible(largest: &[f64], gamma: &[f64], beta: &[f64]) -> bool {
    largest
        .iter()
        .zip(gamma)
        .zip(beta)
        .all(|((y, gamma), beta)| y + 2.0 * beta.abs() < LARGEST_RATIO * gamma.abs())
}

/// What xhat = (x - about) inverse is made of on the way back, with x - residual for x where there
/// is one: x, mean and 1 / std, or y, beta and 1 / gamma.
struct Kept {
    x: Tensor,
    residual: Option<Tensor>,
    about: Vec<f64>,
    inverse: Vec<f64>,
}

struct BatchNorm {
    kept: Kept,
    gamma: Tensor,
    /// gamma / std of each channel.
    scale: Vec<f64>,
    /// Numbers a channel where mean and variance depend on x, none where they were given.
    count: Option<usize>,
}

impl Backward for BatchNorm {
    /// Where mean and std depend on x, moving x along 1 or along xhat changes nothing: dx has those
    /// two directions taken out of dy.
    fn backward(self: Box<Self>, dy: Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let BatchNorm {
            kept:
                Kept {
                    mut x,
                    residual,
                    about,
                    inverse,
                },
            gamma,
            scale,
            count,
        } = *self;
        let [mut dgamma, mut dbeta] = [vec![0.0; about.len()], vec![0.0; about.len()]];
        let residual = residual.as_ref();
        if count.is_some() || wanted[1] || wanted[2] {
            [dgamma, dbeta] = dispatch_dtype!("batch_norm", x.dtype(), T in [f32, f64, bf16] => {
                cpu::gradient_sums::<T>(x.data(), residual.map(Tensor::data), dy.data(), &about)
            });
            dgamma = product(&dgamma, &inverse);
        }
        if wanted[0] {
            let share = count.map_or(0.0, |n| 1.0 / n as f64);
            let pull: Vec<f64> = dbeta.iter().map(|d| d * share).collect();
            let slope: Vec<f64> = dgamma
                .iter()
                .zip(&inverse)
                .map(|(d, inverse)| d * share * inverse)
                .collect();
            dispatch_dtype!("batch_norm", x.dtype(), T in [f32, f64, bf16] => {
                let coefficients = [&about[..], &scale, &pull, &slope];
                cpu::backward_input::<T>(dy.data(), residual.map(Tensor::data), coefficients, x.data_mut());
            });
        }
        let vector = |wanted: bool, v| wanted.then(|| channel_tensor(gamma.dtype(), v)).transpose();
        let mut gradients = vec![
            wanted[0].then_some(x),
            vector(wanted[1], &dgamma)?,
            vector(wanted[2], &dbeta)?,
        ];
        // Of the residual, where there is one.
        gradients.extend(wanted.get(3).map(|wanted| wanted.then_some(dy)));
        Ok(gradients)
    }

    fn saves(&self) -> Vec<&Tensor> {
        self.kept.residual.iter().chain([&self.kept.x]).collect()
    }
}

/// The number of channels of x, once all vectors are found to have as many numbers of x's dtype.
#[track_caller]
fn channels<const N: usize>(
    op: &'static str,
    x: &Var,
    vectors: [(&'static str, &Tensor); N],
) -> Result<usize> {
    let c = x.shape().last().copied().unwrap_or(0);
    if c == 0 {
        return Err(Error::operand(
            op,
            "x",
            "[.., c] with at least one channel",
            x.shape(),
        ));
    }
    for (name, vector) in vectors {
        crate::ops::same_float_or_f32(op, x.value(), (name, vector))?;
        if **vector.shape() != [c] {
            return Err(Error::operand(
                op,
                name,
                format!("[c = {c}]"),
                vector.shape(),
            ));
        }
    }
    Ok(c)
}

/// That a residual is of x's shape and type.
#[track_caller]
fn check_residual(op: &'static str, x: &Var, residual: Option<&Var>) -> Result<()> {
    let Some(residual) = residual else {
        return Ok(());
    };
    crate::ops::same_float(op, ("x", x.value()), ("residual", residual.value()))?;
    if residual.shape() != x.shape() {
        return Err(Error::operand(
            op,
            "residual",
            format!("the shape of x, {}", x.shape()),
            residual.shape(),
        ));
    }
    Ok(())
}

fn plus(y: Var, residual: Option<&Var>) -> Result<Var> {
    if let Some(residual) = residual {
        &y + residual
    } else {
        Ok(y)
    }
}

/// 1 / sqrt(var + eps), and 0 where that sum is 0: equal elements have no spread to be divided by,
/// and 0 times infinity is not a number.
fn inverse_std(var: &[f64], eps: f64) -> Vec<f64> {
    var.iter()
        .map(|var| {
            if var + eps == 0.0 {
                0.0
            } else {
                1.0 / (var + eps).sqrt()
            }
        })
        .collect()
}

fn product(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a * b).collect()
}

fn channel_vec(x: &Tensor) -> Result<Vec<f64>> {
    let x = x.to_device(Device::Cpu)?;
    Ok(dispatch_dtype!(x.dtype(), T in any => x.data::<T>().iter().map(|&x| x.to_f64()).collect()))
}

fn channel_tensor(dtype: DType, values: &[f64]) -> Result<Tensor> {
    Tensor::from_slice(values, [values.len()])?.cast(dtype)
}

/// The same on a GPU, where statistics are tensors of f32 and nothing is read back.
mod on_device {
    use super::*;

    pub fn train(inputs @ [x, gamma, _]: [&Var; 3], eps: f64) -> Result<(Var, BatchStats)> {
        let (from, c) = (x.value(), gamma.value().elements());
        let mut mean = Tensor::full_on(from.device(), [c], 0.0, DType::F32)?;
        let var = from.build_on_same_device([c], DType::F32, |var| {
            cuda::moments(from.on_device(), &mut mean.on_device_mut()?, var)
        })?;
        let stats = BatchStats {
            mean,
            var,
            count: from.elements() / c,
        };
        let y = apply(
            "batch_norm",
            inputs,
            [stats.mean.clone(), stats.var.clone()],
            eps,
            false,
        )?;
        Ok((y, stats))
    }

    pub fn apply(
        op: &'static str,
        [x, gamma, beta]: [&Var; 3],
        moments: [Tensor; 2],
        eps: f64,
        given: bool,
    ) -> Result<Var> {
        let from = x.value();
        let y = from.build_on_same_device(x.shape(), x.dtype(), |y| {
            let vectors = [gamma.value(), beta.value()].map(Tensor::on_device);
            cuda::normalise(
                from.on_device(),
                moments.each_ref().map(Tensor::on_device),
                vectors,
                eps,
                y,
            )
        })?;
        Ok(Var::record(op, &[x, gamma, beta], y, || {
            BatchNormOnDevice {
                x: from.clone(),
                gamma: gamma.value().clone(),
                moments,
                eps,
                given,
            }
        }))
    }

    struct BatchNormOnDevice {
        x: Tensor,
        gamma: Tensor,
        /// Mean and variance of each channel.
        moments: [Tensor; 2],
        eps: f64,
        /// Whether they do not depend on x.
        given: bool,
    }

    impl Backward for BatchNormOnDevice {
        /// As on the processor.
        fn backward(self: Box<Self>, dy: Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
            let BatchNormOnDevice {
                x,
                gamma,
                moments,
                eps,
                given,
            } = *self;
            let (moments, pair) = (
                moments.each_ref().map(Tensor::on_device),
                [&x, &dy].map(Tensor::on_device),
            );
            let mut sums = None;
            if !given || wanted[1] || wanted[2] {
                let mut dgamma = Tensor::full_on(x.device(), gamma.shape(), 0.0, DType::F32)?;
                let dbeta = x.build_on_same_device(gamma.shape(), DType::F32, |dbeta| {
                    cuda::gradient_sums(pair, moments, eps, &mut dgamma.on_device_mut()?, dbeta)
                })?;
                sums = Some([dgamma, dbeta]);
            }
            let dx = || {
                let sums = sums
                    .as_ref()
                    .filter(|_| !given)
                    .map(|sums| sums.each_ref().map(Tensor::on_device));
                x.build_on_same_device(x.shape(), x.dtype(), |dx| {
                    cuda::backward_input(pair, moments, (gamma.on_device(), eps), sums, dx)
                })
            };
            let dx = wanted[0].then(dx).transpose()?;
            let vector = |i: usize| match &sums {
                Some(sums) if wanted[i + 1] => sums[i].cast(gamma.dtype()).map(Some),
                _ => Ok(None),
            };
            Ok(vec![dx, vector(0)?, vector(1)?])
        }

        fn saves(&self) -> Vec<&Tensor> {
            vec![&self.x]
        }
    }
}
