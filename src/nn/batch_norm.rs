//! Batch normalisation, with the running statistics that evaluation uses.

use super::{EPS, check_channels};
use crate::ops::{BatchNormOptions, BatchStats, Statistics, batch_norm};
use crate::params::{BufferId, FileLayout, Init, Names, ParamId};
use crate::{Module, Pass, Result, Tensor, Var};

/// How far one batch moves the running statistics; PyTorch's default.
const MOMENTUM: f64 = 0.1;

/// Each channel shifted and scaled to mean 0 and variance 1, then by its own weight and bias.
///
/// Training uses the batch's statistics, and moves the running ones a tenth of the way to them (the
/// variance unbiased, as in PyTorch: see [`BatchStats::var`]); evaluation uses the running ones.
/// Weights that are frozen change nothing in this: see
/// [`Group::frozen`](crate::params::Group::frozen).
///
/// ```
/// use wavemix::{DType, Module, Params, Pass, Rng, Tensor, nn::BatchNorm};
/// let (norm, mut params) = Params::declare(DType::F64, &Rng::new(0), |names| {
///     Ok(BatchNorm::new(names, "norm", 1)?.with_eps(0.0).with_momentum(0.5))
/// })?;
/// let x = Tensor::from_vec(vec![1.0, 5.0, 1.0, 5.0], [4, 1])?;
/// let pass = Pass::train(&params, Rng::new(1));
/// assert_eq!(norm.forward(&pass, &x.into())?.to_vec::<f64>()?, [-1.0, 1.0, -1.0, 1.0]);
/// let updates = pass.into_updates();
/// params.apply(updates)?;
/// assert_eq!(params.get("norm.running_mean")?.item()?, 1.5);
/// # Ok::<(), wavemix::Error>(())
/// ```
#[doc(alias = "nn.BatchNorm2d")]
#[doc(alias = "nn.BatchNorm1d")]
pub struct BatchNorm {
    name: String,
    weight: ParamId,
    bias: ParamId,
    running_mean: BufferId,
    running_var: BufferId,
    batches: BufferId,
    eps: f64,
    momentum: f64,
}

impl BatchNorm {
    /// Declares `name.weight`, `name.bias` and the running statistics of `channels` channels.
    ///
    /// # Errors
    /// No channels, which [`batch_norm`] does not take.
    #[track_caller]
    pub fn new(names: &mut Names, name: &str, channels: usize) -> Result<BatchNorm> {
        let mut names = names.within(name);
        check_channels(&names, "batch_norm", channels)?;
        Ok(BatchNorm {
            name: name.to_owned(),
            weight: names.param("weight", [channels], Init::Constant(1.0), FileLayout::Same),
            bias: names.param("bias", [channels], Init::Constant(0.0), FileLayout::Same),
            running_mean: names.buffer("running_mean", [channels], 0.0),
            running_var: names.buffer("running_var", [channels], 1.0),
            batches: names.counter("num_batches_tracked"),
            eps: EPS,
            momentum: MOMENTUM,
        })
    }

    /// The same layer with another number added to the variance than 1e-5.
    #[must_use]
    pub fn with_eps(self, eps: f64) -> BatchNorm {
        BatchNorm { eps, ..self }
    }

    /// The same layer, whose running statistics each batch moves by this share of the way instead of
    /// a tenth: 0 leaves them as they are, 1 makes them those of the last batch.
    #[must_use]
    pub fn with_momentum(self, momentum: f64) -> BatchNorm {
        BatchNorm { momentum, ..self }
    }

    /// As [`Module::forward`], and `residual` added. `stats` are those of this x, where the op that
    /// made it measured them; evaluation does not look at them.
    ///
    /// # Errors
    /// Those of [`batch_norm`].
    #[track_caller]
    pub fn forward_add(
        &self,
        pass: &Pass,
        x: &Var,
        residual: &Var,
        stats: Option<BatchStats>,
    ) -> Result<Var> {
        self.run(pass, x, Some(residual), stats)
    }

    #[track_caller]
    fn run(
        &self,
        pass: &Pass,
        x: &Var,
        residual: Option<&Var>,
        stats: Option<BatchStats>,
    ) -> Result<Var> {
        let _layer = pass.enter(&*self.name);
        let (weight, bias) = (pass.uncast(self.weight)?, pass.uncast(self.bias)?);
        let (mean, var) = (
            pass.buffer(self.running_mean)?,
            pass.buffer(self.running_var)?,
        );
        let statistics = match stats {
            _ if !pass.is_training() => Statistics::Given(&mean, &var),
            Some(stats) => Statistics::Known(stats),
            None => Statistics::Batch,
        };
        let options = BatchNormOptions {
            eps: self.eps,
            residual,
            statistics,
        };
        let (y, batch) = batch_norm(x, &weight, &bias, options)?;
        if !pass.is_training() {
            return Ok(y);
        }
        let unbiased = batch.count as f64 / (batch.count as f64 - 1.0);
        let towards = |running, batch, scale| towards(running, batch, self.momentum, scale);
        pass.update(self.running_mean, towards(&mean, &batch.mean, 1.0)?)?;
        pass.update(self.running_var, towards(&var, &batch.var, unbiased)?)?;
        let batches = pass.buffer(self.batches)?;
        let counted = Tensor::build(*batches.shape(), |out: &mut [i64]| {
            out[0] = batches.data::<i64>()[0].saturating_add(1);
        });
        pass.update(self.batches, counted)?;
        Ok(y)
    }
}

impl Module for BatchNorm {
    /// `[.., channels]` to the same shape.
    ///
    /// # Errors
    /// Those of [`batch_norm`].
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        self.run(pass, x, None, None)
    }
}

/// (1 - momentum) running + momentum scale batch.
fn towards(running: &Tensor, batch: &Tensor, momentum: f64, scale: f64) -> Result<Tensor> {
    let kept = Var::from(running).mul_scalar(1.0 - momentum)?;
    Ok((&kept + &Var::from(batch).mul_scalar(momentum * scale)?)?.into_value())
}
