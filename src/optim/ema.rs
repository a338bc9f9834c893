//! A running mean of the weights.

use std::collections::BTreeMap;

use super::state;
use crate::cpu::ema as cpu;
use crate::cuda::ema as cuda;
use crate::{DType, Device, Error, Params, Result, Tensor};

/// An exponential moving average of weights and buffers: it smooths the noise of single steps, and
/// often tests better than the weights themselves.
///
/// ```text
/// mean = d mean + (1 - d) w          d = min(decay, (1 + t) / (10 + t)), t = updates before this one
/// ```
///
/// The smaller d at the beginning lets the random weights of the start be forgotten soon, also in
/// short runs. Counters (integer buffers) are copied.
///
/// **Source**: Polyak, Juditsky, "Acceleration of stochastic approximation by averaging" (1992);
/// `tf.train.ExponentialMovingAverage` for the choice of d.
#[derive(Clone)]
pub struct Ema {
    decay: f64,
    updates: u64,
    arena: Tensor,
    buffers: Vec<(String, Tensor)>,
}

impl Ema {
    /// The mean of these weights alone, so far. `decay` is typically 0.99 to 0.9999: the mean looks
    /// back over about 1 / (1 - decay) updates.
    ///
    /// # Errors
    /// Where `decay` is not in [0, 1).
    pub fn new(params: &Params, decay: f64) -> Result<Ema> {
        if !(0.0..1.0).contains(&decay) {
            return Err(Error::Argument(format!(
                "the decay of a moving average must be in [0, 1), got {decay}"
            )));
        }
        Ok(Ema {
            decay,
            updates: 0,
            arena: params.arena().clone(),
            buffers: params.buffers().to_vec(),
        })
    }

    /// Number of updates so far.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Takes in the weights as they are now: to be called after each step.
    ///
    /// # Errors
    /// Where the parameters are not those it was made for.
    pub fn update(&mut self, params: &Params) -> Result<()> {
        self.check(params)?;
        let t = self.updates as f64;
        let keep = self.decay.min((1.0 + t) / (10.0 + t));
        if params.device() != Device::Cpu {
            self.update_on_device(params, keep)?;
            self.updates += 1;
            return Ok(());
        }
        dispatch_dtype!("ema", params.dtype(), T in [f32, f64] => cpu::update(self.arena.data_mut::<T>(), params.arena().data(), keep));
        for ((_, mean), (_, value)) in self.buffers.iter_mut().zip(params.buffers()) {
            match value.dtype() {
                DType::F32 => cpu::update(mean.data_mut::<f32>(), value.data(), keep),
                DType::F64 => cpu::update(mean.data_mut::<f64>(), value.data(), keep),
                _ => *mean = value.clone(),
            }
        }
        self.updates += 1;
        Ok(())
    }

    fn update_on_device(&mut self, params: &Params, keep: f64) -> Result<()> {
        let keep = Tensor::from_vec(vec![keep as f32, (1.0 - keep) as f32], [2])?
            .to_device(params.device())?;
        cuda::update(
            &mut self.arena.on_device_mut()?,
            params.arena().on_device(),
            keep.on_device(),
        )?;
        for ((_, mean), (_, value)) in self.buffers.iter_mut().zip(params.buffers()) {
            match value.dtype() {
                DType::F32 => cuda::update(
                    &mut mean.on_device_mut()?,
                    value.on_device(),
                    keep.on_device(),
                )?,
                _ => *mean = value.clone(),
            }
        }
        Ok(())
    }

    /// Overwrites weights and buffers by their means.
    ///
    /// # Errors
    /// Where the parameters are not those it was made for.
    pub fn copy_to(&self, params: &mut Params) -> Result<()> {
        self.check(params)?;
        self.buffers
            .iter()
            .try_for_each(|(name, mean)| params.set(name, mean))?;
        *params.arena_mut() = self.arena.clone();
        Ok(())
    }

    /// Exchanges weights and buffers with their means: to evaluate the mean, and once more to train
    /// on.
    ///
    /// # Errors
    /// Where the parameters are not those it was made for.
    pub fn swap(&mut self, params: &mut Params) -> Result<()> {
        let weights = (params.arena().clone(), params.buffers().to_vec());
        self.copy_to(params)?;
        (self.arena, self.buffers) = weights;
        Ok(())
    }

    /// All it remembers, for a checkpoint: `step`, and `mean.NAME` for each parameter and buffer.
    ///
    /// # Errors
    /// Where the parameters are not those it was made for; those of a GPU.
    pub fn state(&self, params: &Params) -> Result<Vec<(String, Tensor)>> {
        self.check(params)?;
        let mut named = vec![("step".to_owned(), Tensor::scalar(self.updates as i64))];
        named.extend(state::by_name(
            "mean.",
            params,
            &self.arena.to_device(Device::Cpu)?,
        ));
        for (name, mean) in &self.buffers {
            named.push((format!("mean.{name}"), mean.to_device(Device::Cpu)?));
        }
        Ok(named)
    }

    /// Puts back what [`Ema::state`] gave, bit for bit. Nothing changes where it does not fit.
    ///
    /// # Errors
    /// Where a name is missing or unknown, or a shape or dtype is another.
    pub fn load_state(&mut self, params: &Params, state: &BTreeMap<String, Tensor>) -> Result<()> {
        self.check(params)?;
        let mut reader = state::Reader::new("moving average", state);
        let (updates, arena) = (reader.counter("step")?, reader.flat("mean.", params)?);
        let mut buffers = self.buffers.clone();
        for (name, mean) in &mut buffers {
            *mean = reader
                .tensor(format!("mean.{name}"), mean.shape(), mean.dtype())?
                .to_device(mean.device())?;
        }
        reader.finish()?;
        (self.updates, self.arena, self.buffers) = (updates, arena, buffers);
        Ok(())
    }

    fn check(&self, params: &Params) -> Result<()> {
        let facts = |x: &Tensor| (*x.shape(), x.dtype(), x.device());
        let same = self.buffers.len() == params.buffers().len()
            && self
                .buffers
                .iter()
                .zip(params.buffers())
                .all(|(a, b)| a.0 == b.0 && facts(&a.1) == facts(&b.1));
        if !same || facts(&self.arena) != facts(params.arena()) {
            return Err(Error::Argument(
                "the moving average was made for other parameters".into(),
            ));
        }
        Ok(())
    }
}
