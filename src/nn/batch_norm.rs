//! Batch normalisation, with the running statistics that evaluation uses.

use crate::ops::{BatchNormOptions, BatchStats, Statistics, batch_norm};
use crate::params::{BufferId, FileLayout, Init, Names, ParamId};
use crate::{Error, Module, Pass, Result, Tensor, Var};

/// Keeps the variance away from 0; PyTorch's default.
const EPS: f64 = 1e-5;

/// How far one batch moves the running statistics; PyTorch's default.
const MOMENTUM: f64 = 0.1;

/// Each channel shifted and scaled to mean 0 and variance 1, then by its own weight and bias.
///
/// Training uses the batch's statistics, and moves the running ones a tenth of the way to them (the
/// variance unbiased, as in PyTorch); evaluation uses the running ones. Weights that are frozen
/// change nothing in this: see [`Group::frozen`](crate::params::Group::frozen).
pub struct BatchNorm {
    name: String,
    weight: ParamId,
    bias: ParamId,
    running_mean: BufferId,
    running_var: BufferId,
    batches: BufferId,
}

impl BatchNorm {
    /// Declares `name.weight`, `name.bias` and the running statistics of `channels` channels.
    ///
    /// # Errors
    /// No channels, which [`batch_norm`] does not take.
    #[track_caller]
    pub fn new(names: &mut Names, name: &str, channels: usize) -> Result<BatchNorm> {
        let mut names = names.within(name);
        if channels == 0 {
            let _layer = names.enter();
            return Err(Error::operand("batch_norm", "channels", "1 or more", 0));
        }
        Ok(BatchNorm {
            name: name.to_owned(),
            weight: names.param("weight", [channels], Init::Constant(1.0), FileLayout::Same),
            bias: names.param("bias", [channels], Init::Constant(0.0), FileLayout::Same),
            running_mean: names.buffer("running_mean", [channels], 0.0),
            running_var: names.buffer("running_var", [channels], 1.0),
            batches: names.counter("num_batches_tracked"),
        })
    }

    /// As [`Module::forward`], and `residual` added. The statistics of this x may be given, where whoever made it
    /// took them.
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
        let (weight, bias) = (pass.wide(self.weight)?, pass.wide(self.bias)?);
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
            eps: EPS,
            residual,
            statistics,
        };
        let (y, batch) = batch_norm(x, &weight, &bias, options)?;
        if !pass.is_training() {
            return Ok(y);
        }
        let unbiased = batch.count as f64 / (batch.count as f64 - 1.0);
        pass.update(self.running_mean, towards(&mean, &batch.mean, 1.0)?)?;
        pass.update(self.running_var, towards(&var, &batch.var, unbiased)?)?;
        let batches = pass.buffer(self.batches)?.as_slice::<i64>()?[0];
        pass.update(self.batches, Tensor::scalar(batches.saturating_add(1)))?;
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
fn towards(running: &Tensor, batch: &Tensor, scale: f64) -> Result<Tensor> {
    let kept = Var::from(running).mul_scalar(1.0 - MOMENTUM)?;
    Ok((&kept + &Var::from(batch).mul_scalar(MOMENTUM * scale)?)?.into_value())
}
