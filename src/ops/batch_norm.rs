//! Batch normalisation: each channel brought to mean 0 and variance 1, then scaled and shifted.

use crate::autograd::Backward;
use crate::autograd::trace::{Attributes, Op};
use crate::cpu::batch_norm::{self as cpu, Moments};
use crate::cuda::batch_norm as cuda;
use crate::{DType, Device, Error, Result, Tensor, Var};

/// The mean and variance of each channel of a batch, for the running statistics.
#[derive(Clone)]
pub struct BatchStats {
    /// The mean of each channel, `[c]`.
    pub mean: Tensor,
    /// The biased variance of each channel, `[c]`: squared deviations over `count`, by which the
    /// batch itself is brought to variance 1. Running statistics estimate the variance of all data,
    /// of which this is `(count - 1) / count` on average: they take it times `count / (count - 1)`.
    pub var: Tensor,
    /// How many elements of each channel there were.
    pub count: usize,
}

impl BatchStats {
    /// From the moments of an x of this type.
    pub(crate) fn of(moments: &Moments, dtype: DType) -> Result<BatchStats> {
        let vector = |values: &[f64]| Tensor::from_slice(values, [values.len()]);
        let moments = (
            vector(&moments.mean)?,
            vector(&moments.variance())?,
            moments.count,
        );
        BatchStats::rounded(moments, dtype)
    }

    /// Mean and variance rounded to the type that they have for an x of `dtype`: f64 for f64, else
    /// f32.
    fn rounded((mean, var, count): (Tensor, Tensor, usize), dtype: DType) -> Result<BatchStats> {
        let dtype = match dtype {
            DType::F64 => DType::F64,
            _ => DType::F32,
        };
        let (mean, var) = (mean.cast(dtype)?, var.cast(dtype)?);
        Ok(BatchStats { mean, var, count })
    }
}

/// By which mean and variance [`batch_norm`] normalises.
#[derive(Clone, Default)]
pub enum Statistics<'a> {
    /// Those of this very batch: what training does.
    #[default]
    Batch,
    /// Those of this batch too, but measured by the op that made x, as
    /// [`conv_transpose2d_with_stats`](crate::ops::conv_transpose2d_with_stats) does: x is read
    /// once less. Nothing checks that they are x's, and the gradient is computed as if they were.
    Known(BatchStats),
    /// Mean and variance that do not depend on x, each `[c]`: what evaluation does. With these y
    /// is a scale and a shift of each channel, gamma / std and beta - mean gamma / std, which could
    /// be folded into the weight and the bias of a convolution before it. This crate does not:
    /// evaluation makes a pass of its own over x, and the weights stay those of PyTorch's files.
    Given(&'a Tensor, &'a Tensor),
}

/// Settings of [`batch_norm`]; the default is what training does, with PyTorch's eps.
#[derive(Clone)]
pub struct BatchNormOptions<'a> {
    /// Added to the variance, to keep it away from 0.
    pub eps: f64,
    /// Added to y, in the same pass over memory: how a block ends.
    pub residual: Option<&'a Var>,
    /// By which mean and variance x is normalised.
    pub statistics: Statistics<'a>,
}

impl Default for BatchNormOptions<'_> {
    fn default() -> Self {
        BatchNormOptions {
            eps: 1e-5,
            residual: None,
            statistics: Statistics::Batch,
        }
    }
}

/// Normalises each channel, and returns what it normalised by too.
///
/// ```text
/// xhat = (x - mean) / sqrt(var + eps)      y = gamma xhat + beta (+ residual)
/// ```
///
/// **Shapes**: x, y and a residual `[.., c]`, gamma and beta `[c]`; mean and (biased) variance are
/// over all axes but the last.
/// **Backward**: with N elements a channel, dbeta = sum dy, dgamma = sum dy xhat, dx = gamma / std
/// (dy - dbeta / N - xhat dgamma / N), or gamma / std dy where the statistics are given; dresidual
/// = dy. Where var + eps is 0, 1 / std counts as 0: y is beta, dx and dgamma are 0.
/// **Saves**: x, gamma, and mean and variance of each channel. With a residual and the batch's own
/// statistics, on the CPU, y, the residual and beta instead of x: xhat = (y - residual - beta) /
/// gamma. The op before made the residual and the op after reads y, so that both are mostly in
/// memory anyway, while x would be kept for this op alone. Where that would lose digits x itself is
/// saved: in 16 bits, and where in some channel the largest |y| + 2 |beta| is 256 |gamma| or more,
/// so wherever a gamma is 0.
/// **Errors**: gamma, beta, mean or variance not `[c]`, dtypes that differ, a residual of another
/// shape or dtype than x, fewer than two elements a channel in training, known statistics of
/// another count.
/// **Source**: Ioffe and Szegedy (arXiv 1502.03167), algorithm 1; `torch.nn.functional.batch_norm`;
/// for x from y, Rota Bulo, Porzi and Kontschieder, "In-Place Activated BatchNorm" (arXiv
/// 1712.02616), of which only this inversion is used: no activation is part of the op.
#[track_caller]
pub fn batch_norm(
    x: &Var,
    gamma: &Var,
    beta: &Var,
    options: BatchNormOptions,
) -> Result<(Var, BatchStats)> {
    let c = check(x, gamma, beta, &options)?;
    let [gamma, beta] = &crate::ops::one_type(gamma, beta)?;
    let (from, other) = (x.value(), options.residual.map(Var::value));
    let count = from.elements() / c;
    let given = match options.statistics {
        Statistics::Given(mean, var) => Some([mean, var]),
        _ => None,
    };
    let own = given.is_none();
    let [mean, var] = match &options.statistics {
        Statistics::Batch => moments(from, c)?,
        Statistics::Known(BatchStats { mean, var, .. }) => {
            [as_statistics(mean)?, as_statistics(var)?]
        }
        Statistics::Given(mean, var) => [as_statistics(mean)?, as_statistics(var)?],
    };
    let stats = match options.statistics {
        Statistics::Known(stats) => stats,
        _ => BatchStats::rounded((mean.clone(), var.clone(), count), x.dtype())?,
    };
    let forward = Forward {
        x: from,
        residual: other,
        statistics: [&mean, &var],
        vectors: [gamma.value(), beta.value()],
        eps: options.eps,
    };
    let (y, invertible) = forward.run(own)?;
    let inputs: Vec<&Var> = [x, gamma, beta]
        .into_iter()
        .chain(options.residual)
        .collect();
    let (saved, from_y) = match other {
        Some(residual) if invertible => {
            let beta = beta.value().clone();
            (y.clone(), Some([residual.clone(), beta]))
        }
        _ => (from.clone(), None),
    };
    let op = Op::from("batch_norm").with_attributes(Attributes::Normalisation(options.eps, given));
    let y = Var::record(op, &inputs, y, || BatchNorm {
        saved,
        from_y,
        mean,
        var,
        gamma: gamma.value().clone(),
        eps: options.eps,
        count: own.then_some(count),
    });
    Ok((y, stats))
}

/// Mean and biased variance of each channel.
fn moments(x: &Tensor, c: usize) -> Result<[Tensor; 2]> {
    let mut mean = Tensor::full_on(x.device(), [c], 0.0, statistics_type(x))?;
    let var = on_device!("batch_norm", x in [f32, f64, bf16] => [c], of statistics;
        moments(@x, => mean))?;
    Ok([mean, var])
}

/// The type that a device computes a channel's statistics in.
fn statistics_type(x: &Tensor) -> DType {
    match x.device() {
        Device::Cpu => DType::F64,
        Device::Cuda(_) => DType::F32,
    }
}

fn as_statistics(x: &Tensor) -> Result<Tensor> {
    x.cast(statistics_type(x))
}

struct Forward<'a> {
    x: &'a Tensor,
    residual: Option<&'a Tensor>,
    statistics: [&'a Tensor; 2],
    vectors: [&'a Tensor; 2],
    eps: f64,
}

impl Forward<'_> {
    /// y, and whether the backward pass may recompute xhat from it: never where the statistics are
    /// not x's own.
    fn run(self, own: bool) -> Result<(Tensor, bool)> {
        let Forward {
            x,
            residual,
            statistics: [mean, var],
            vectors: [gamma, beta],
            eps,
        } = self;
        // A kernel takes gamma and beta as they are.
        let [gamma, beta] = &match x.device() {
            Device::Cpu => [as_statistics(gamma)?, as_statistics(beta)?],
            Device::Cuda(_) => [gamma.clone(), beta.clone()],
        };
        let (Device::Cpu, Some(other), true, DType::F32 | DType::F64) =
            (x.device(), residual, own, x.dtype())
        else {
            let y = on_device!("batch_norm", x in [f32, f64, bf16] => x.shape();
                normalise(@x, ?residual, @{mean, var, gamma, beta} as Coefficients, eps))?;
            return Ok((y, false));
        };
        // The largest |y| of each channel: only the CPU saves y for x.
        let mut largest = Vec::new();
        let y = dispatch_dtype!("batch_norm", x.dtype(), T in [f32, f64] => {
            Tensor::build(*x.shape(), |y: &mut [T]| {
                let [mean, var, gamma, beta] = [mean, var, gamma, beta].map(Tensor::data);
                let coefficients = cpu::Coefficients { mean, var, gamma, beta };
                largest = cpu::normalise_largest([x.data(), other.data()], coefficients, eps, y);
            })
        });
        // Where only shapes are computed there is nothing to find.
        let exact = largest.is_empty() || invertible(&largest, gamma.data(), beta.data());
        Ok((y, exact))
    }
}

/// How large |y| + 2 |beta| may be, as a multiple of |gamma|, for xhat to be recomputed from y. (As
/// xhat has variance 1, |gamma| is how far x spreads y.)
///
/// With u half a unit in the last place of 1, a sum or product that is rounded is off by u times
/// itself at most. Rounded are these results; beside each, how large it is, in y's units:
///
/// ```text
/// forward    x - mean              |gamma xhat|
///            times gamma / std     |gamma xhat|
///            + beta                |gamma xhat| + |beta|
///            + residual            |y|
/// backward   - residual            |gamma xhat| + |beta|
///            - beta                |gamma xhat|
///            / gamma               |gamma xhat|
/// ```
///
/// Together, over |gamma|:
///
/// ```text
/// error of xhat <= u ((|y| + 2 |beta|) / |gamma| + 6 |xhat|)
/// ```
///
/// With a saved x there would be 2 u |xhat|: the difference and the product are rounded. Not
/// counted is the rounding of the coefficients (mean, gamma / std, beta), which x would suffer
/// alike. In f32 u is 2^-24, so this limit keeps the first term below 2^-16, and the spread of xhat
/// is 1. In training the papers' models the ratio stays below about 40, so y is saved. At a ratio
/// of 40 xhat would be off by 16 % in bf16, where u is 2^-8: with 16 bits x is always saved. With
/// statistics of another batch the spread of xhat can be anything, and the bound says nothing.
const LARGEST_RATIO: f64 = 256.0;

/// Whether xhat = (y - residual - beta) / gamma is exact enough in every channel, of which
/// `largest` is the largest |y|. An infinite or not-a-number |y| counts as inexact: xhat is finite
/// there, y - residual is not.
fn invertible(largest: &[f64], gamma: &[f64], beta: &[f64]) -> bool {
    largest
        .iter()
        .zip(gamma)
        .zip(beta)
        .all(|((y, gamma), beta)| y + 2.0 * beta.abs() < LARGEST_RATIO * gamma.abs())
}

struct BatchNorm {
    /// x, or y where that gives xhat too.
    saved: Tensor,
    /// Residual and beta, where xhat is recomputed from y.
    from_y: Option<[Tensor; 2]>,
    /// Mean and variance of each channel, f64 on the CPU and f32 on a GPU.
    mean: Tensor,
    var: Tensor,
    gamma: Tensor,
    eps: f64,
    /// Elements a channel where mean and variance depend on x, none where they were given.
    count: Option<usize>,
}

impl Backward for BatchNorm {
    /// Why two terms are subtracted from dy: x moves xhat = (x - mean) / s, s = sqrt(var + eps), by
    /// itself, through the mean and through s. Let x move by a small v:
    ///
    /// ```text
    /// d mean = mean(v)
    /// d var  = 2 mean((x - mean) (v - mean(v))) = 2 mean((x - mean) v)     deviations sum to 0
    /// d s    = d var / (2 s) = mean(xhat v)
    /// d xhat = (v - d mean) / s - (x - mean) / s^2 d s                     the quotient rule
    ///        = (v - mean(v) - xhat mean(xhat v)) / s
    /// ```
    ///
    /// As a matrix this has the entries (\[i = j\] - 1 / N - xhat_i xhat_j / N) / s, the same with
    /// i and j exchanged. So a vector-Jacobian product is the same formula with gamma dy for v.
    /// Gamma is a factor of all of it; the means that are left, of dy and of xhat dy, are dbeta / N
    /// and dgamma / N. Check: a shift of x, v = 1, changes no xhat, and with eps = 0 nor does a
    /// stretch, v = xhat.
    fn backward(self: Box<Self>, dy: Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let gamma_type = self.gamma.dtype();
        let sums = (self.count.is_some() || wanted[1] || wanted[2])
            .then(|| self.gradient_sums(&dy))
            .transpose()?;
        let vector = |i: usize| match &sums {
            Some(sums) if wanted[i + 1] => sums[i].cast(gamma_type).map(Some),
            _ => Ok(None),
        };
        let (dgamma, dbeta) = (vector(0)?, vector(1)?);
        let dx = wanted[0].then(|| self.backward_input(&dy, sums.as_ref()));
        let mut gradients = vec![dx.transpose()?, dgamma, dbeta];
        // Of the residual, where there is one.
        gradients.extend(wanted.get(3).map(|wanted| wanted.then_some(dy)));
        Ok(gradients)
    }

    fn saves(&self) -> Vec<&Tensor> {
        let from_y = self.from_y.iter().flatten();
        from_y
            .chain([&self.saved, &self.mean, &self.var, &self.gamma])
            .collect()
    }
}

// The CPU may hold y for x, takes f64 coefficients and writes dx over x. A GPU does none of this:
// its kernels read x, as nobody has measured there what saving y would spare.
impl BatchNorm {
    /// dgamma and dbeta, in the statistics' type.
    fn gradient_sums(&self, dy: &Tensor) -> Result<[Tensor; 2]> {
        let BatchNorm {
            saved: x,
            mean,
            var,
            ..
        } = self;
        if x.device() != Device::Cpu {
            let [pair, statistics] = [[x, dy], [mean, var]].map(|two| two.map(Tensor::on_device));
            let mut dgamma = Tensor::full_on(x.device(), mean.shape(), 0.0, DType::F32)?;
            let dbeta = x.build_on_same_device(mean.shape(), DType::F32, |dbeta| {
                cuda::gradient_sums(
                    pair,
                    statistics,
                    self.eps,
                    &mut dgamma.on_device_mut()?,
                    dbeta,
                )
            })?;
            return Ok([dgamma, dbeta]);
        }
        let (residual, [center, inverse]) = self.coefficients()?;
        let [sums, dbeta] = dispatch_dtype!("batch_norm", x.dtype(), T in [f32, f64, bf16] => {
            cpu::gradient_sums::<T>(x.data(), residual.map(Tensor::data), dy.data(), &center)
        });
        let vector = |v: Vec<f64>| Tensor::from_vec(v, mean.shape());
        Ok([vector(product(&sums, &inverse))?, vector(dbeta)?])
    }

    /// dx, from the sums of [`BatchNorm::gradient_sums`].
    fn backward_input(mut self, dy: &Tensor, sums: Option<&[Tensor; 2]>) -> Result<Tensor> {
        if self.saved.device() != Device::Cpu {
            let BatchNorm {
                saved: x,
                mean,
                var,
                ..
            } = &self;
            let [pair, statistics] = [[x, dy], [mean, var]].map(|two| two.map(Tensor::on_device));
            let sums = sums.filter(|_| self.count.is_some());
            let sums = sums.map(|sums| sums.each_ref().map(Tensor::on_device));
            let gamma = (self.gamma.on_device(), self.eps);
            return x.build_on_same_device(x.shape(), x.dtype(), |dx| {
                cuda::backward_input(pair, statistics, gamma, sums, dx)
            });
        }
        let (residual, [center, inverse]) = self.coefficients()?;
        let share = self.count.map_or(0.0, |n| 1.0 / n as f64);
        let scaled = |sum: &Tensor| sum.data::<f64>().iter().map(|d| d * share).collect();
        let [xhat_term, mean_dy]: [Vec<f64>; 2] = match sums {
            Some(sums) => sums.each_ref().map(scaled),
            None => [0.0; 2].map(|zero| vec![zero; center.len()]),
        };
        let xhat_term = product(&xhat_term, &inverse);
        let inv_std = cpu::inverse_std(self.var.data(), self.eps);
        let scale = product(&channel_vec(&self.gamma)?, &inv_std);
        // A handle of its own: dx is written over self.saved.
        let residual = residual.cloned();
        let residual = residual.as_ref();
        dispatch_dtype!("batch_norm", self.saved.dtype(), T in [f32, f64, bf16] => {
            let of = cpu::InputGradient { center: &center, scale: &scale, mean_dy: &mean_dy, xhat_term: &xhat_term };
            let residual = residual.map(Tensor::data);
            cpu::backward_input::<T>(dy.data(), residual, of, self.saved.data_mut());
        });
        Ok(self.saved)
    }

    /// What xhat is made of on the CPU, xhat = (saved - residual - center) inverse:
    ///
    /// | saved | residual | center | inverse |
    /// |---|---|---|---|
    /// | x | none | mean | 1 / std |
    /// | y | the op's | beta | 1 / gamma |
    fn coefficients(&self) -> Result<(Option<&Tensor>, [Vec<f64>; 2])> {
        match &self.from_y {
            Some([residual, beta]) => {
                let inverse = channel_vec(&self.gamma)?
                    .iter()
                    .map(|gamma| 1.0 / gamma)
                    .collect();
                Ok((Some(residual), [channel_vec(beta)?, inverse]))
            }
            None => {
                let inv_std = cpu::inverse_std(self.var.data(), self.eps);
                Ok((None, [self.mean.data().to_vec(), inv_std]))
            }
        }
    }
}

/// The number of channels of x, once all operands are found to be of its size and type.
#[track_caller]
fn check(x: &Var, gamma: &Var, beta: &Var, options: &BatchNormOptions) -> Result<usize> {
    let c = x.shape().last().copied().unwrap_or(0);
    if c == 0 {
        let expected = "[.., c] with at least one channel";
        return Err(Error::operand("batch_norm", "x", expected, x.shape()));
    }
    let mut vectors = vec![("gamma", gamma.value()), ("beta", beta.value())];
    if let Statistics::Given(mean, var) = options.statistics {
        vectors.extend([("mean", mean), ("var", var)]);
    }
    for (name, vector) in vectors {
        crate::ops::same_float_or_f32("batch_norm", x.value(), (name, vector))?;
        if **vector.shape() != [c] {
            let expected = format!("[c = {c}]");
            return Err(Error::operand("batch_norm", name, expected, vector.shape()));
        }
    }
    if let Some(residual) = options.residual {
        let (x, residual) = (("x", x.value()), ("residual", residual.value()));
        crate::ops::same_float("batch_norm", x, residual)?;
        if residual.1.shape() != x.1.shape() {
            let expected = format!("the shape of x, {}", x.1.shape());
            return Err(Error::operand(
                "batch_norm",
                "residual",
                expected,
                residual.1.shape(),
            ));
        }
    }
    let elements = x.value().elements();
    // Of shapes alone, one image stands for each of a batch.
    let trains = !matches!(options.statistics, Statistics::Given(..)) && !x.value().is_absent();
    if trains && elements < 2 * c {
        let expected = "more than one value per channel when training";
        return Err(Error::operand("batch_norm", "x", expected, x.shape()));
    }
    if let Statistics::Known(stats) = &options.statistics {
        check_stats(stats, elements / c, c)?;
    }
    Ok(c)
}

/// Checks that statistics are those of an x with so many elements a channel.
#[track_caller]
fn check_stats(
    BatchStats { mean, var, count }: &BatchStats,
    elements: usize,
    c: usize,
) -> Result<()> {
    let fits = |vector: &Tensor| **vector.shape() == [c];
    if *count == elements && fits(mean) && fits(var) {
        return Ok(());
    }
    let expected = format!("mean and variance [c = {c}] of {elements} numbers each");
    let got = format!("{} and {} of {count}", mean.shape(), var.shape());
    Err(Error::operand("batch_norm", "stats", expected, got))
}

fn product(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a * b).collect()
}

/// The elements of a vector on the CPU.
fn channel_vec(x: &Tensor) -> Result<Vec<f64>> {
    x.cast(DType::F64)?.to_vec()
}
