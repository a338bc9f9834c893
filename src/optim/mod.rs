//! Optimizers: what turns gradients into better weights.
//!
//! All weights lie in one arena ([`Params::arena`]), all gradients in an array of the same layout ([`Params::flatten`]),
//! and so do an optimizer's moments. A step is therefore one pass over three or four long arrays, cut into segments only
//! where neighbouring parameters belong to different [`Group`]s.
//!
//! ```
//! use wavemix::optim::{Method, Optimizer};
//! use wavemix::{DType, Params, Rng, params::{FileLayout, Init}};
//! // Minimise the sum of squares of three numbers: the gradient of each is twice itself.
//! let (id, mut params) = Params::declare(DType::F32, &Rng::new(0), |names| {
//!     Ok(names.param("x", [3], Init::Uniform(1.0), FileLayout::Same))
//! })?;
//! let mut optimizer = Optimizer::new("adamw".parse::<Method>()?, &params)?;
//! for _ in 0..400 {
//!     let x = params.var(id);
//!     let gradients = (&x * &x)?.sum_all()?.backward()?;
//!     optimizer.step(&mut params, &gradients, 0.01)?;
//! }
//! assert!(params.get("x")?.to_vec::<f32>()?.iter().all(|x| x.abs() < 1e-3));
//! # Ok::<(), wavemix::Error>(())
//! ```

mod adamw;
mod clip;
mod ema;
mod lion;
mod method;
mod on_device;
mod schedule;
mod sgd;
mod state;

use std::collections::BTreeMap;
use std::ops::Range;

use crate::params::Group;
use crate::{Device, Error, Gradients, Params, Result, Tensor, Var};

use on_device::OnDevice;

pub use adamw::{Adam, AdamW};
pub use clip::{clip_norm, clip_value, finite_norm, norm, scale};
pub use ema::Ema;
pub use lion::Lion;
pub use method::Method;
pub use on_device::Progress;
pub use schedule::Schedule;
pub use sgd::Sgd;

/// A [`Method`] with its memory: the number of steps made, and the moments of each weight.
#[derive(Clone)]
pub struct Optimizer {
    method: Method,
    steps: u64,
    /// The learning rate of the step under way.
    lr: f64,
    moments: Vec<Tensor>,
    /// Its numbers where the weights are on a GPU.
    on_device: Option<OnDevice>,
}

/// What one step asks of a method, for one segment of the arena.
struct Step {
    /// The number of this step, from 1.
    number: u64,
    /// The learning rate, the group's scale included.
    lr: f64,
    /// The group's factor on the weight decay.
    decay_scale: f64,
}

impl Optimizer {
    /// An optimizer for these parameters, at step 0 with all moments 0.
    ///
    /// # Errors
    /// Where a setting of the method is out of its range, or there is no memory for the moments.
    pub fn new(method: Method, params: &Params) -> Result<Optimizer> {
        method.check()?;
        let zeros = |_: &&str| Tensor::full_on(params.device(), params.arena().shape(), 0.0, params.dtype());
        let moments = method.moments().iter().map(zeros).collect::<Result<_>>()?;
        let begin = Progress { steps: 0, skipped: 0, loss_scale: 1.0, good: 0 };
        let on_device = match params.device() {
            Device::Cpu => None,
            gpu => Some(OnDevice::new(gpu, begin, false)?),
        };
        Ok(Optimizer { method, steps: 0, lr: 0.0, moments, on_device })
    }

    /// The same with the loss scaled, as f16 needs: by a factor that halves whenever a gradient becomes infinite, which
    /// leaves out the step, and doubles after 2,000 steps without. On the processor, which has no f16, nothing changes.
    ///
    /// **Source**: Micikevicius et al., "Mixed precision training" (ICLR 2018), section 3.2; `torch.amp.GradScaler`.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn with_loss_scaling(mut self) -> Result<Optimizer> {
        if let Some(numbers) = &self.on_device {
            let begin = Progress { loss_scale: on_device::FIRST_SCALE, ..numbers.progress()? };
            self.on_device = Some(OnDevice::new(self.device(), begin, true)?);
        }
        Ok(self)
    }

    /// What the backward pass is to begin with, on the loss's device: the loss scale.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn loss_scale(&self, loss: &Var) -> Result<Tensor> {
        match &self.on_device {
            Some(numbers) => numbers.loss_scale(),
            None => Tensor::full_on(loss.value().device(), [], 1.0, loss.dtype()),
        }
    }

    fn device(&self) -> Device {
        self.on_device.as_ref().map_or(Device::Cpu, OnDevice::device)
    }

    /// The method and its settings.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Number of steps made. On a GPU this waits for those that are under way.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn steps(&self) -> Result<u64> {
        Ok(self.progress()?.steps)
    }

    /// How the steps went. On a GPU this waits for those that are under way.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn progress(&self) -> Result<Progress> {
        match &self.on_device {
            Some(numbers) => numbers.progress(),
            None => Ok(Progress { steps: self.steps, skipped: 0, loss_scale: 1.0, good: 0 }),
        }
    }

    /// Makes one step with learning rate `lr`. A parameter that the loss does not depend on counts as having a gradient
    /// of 0: its weight decay and its moments go on, where PyTorch would pass over it.
    ///
    /// # Errors
    /// As [`Optimizer::step_flat`].
    #[track_caller]
    pub fn step(&mut self, params: &mut Params, gradients: &Gradients, lr: f64) -> Result<()> {
        let gradients = params.flatten(gradients)?;
        self.step_flat(params, &gradients, lr)
    }

    /// As [`Optimizer::step`], from gradients in the layout of the arena, as [`Params::flatten`] gives them.
    ///
    /// Parameters of a frozen group and their moments stay as they are. Whether the gradients are finite is not looked
    /// at here: see [`finite_norm`].
    ///
    /// # Errors
    /// Where the gradients' shape or dtype is not the arena's, the parameters are not those the optimizer was made for,
    /// or the learning rate is negative or not finite.
    #[track_caller]
    pub fn step_flat(&mut self, params: &mut Params, gradients: &Tensor, lr: f64) -> Result<()> {
        like_arena("step", params, gradients)?;
        if let Some(moment) = self.moments.iter().find(|moment| moment.shape() != params.arena().shape()) {
            let (got, made) = (params.count(), moment.elements());
            return Err(Error::Argument(format!("the optimizer was made for {made} parameters, not for {got}")));
        }
        if !(lr >= 0.0 && lr.is_finite()) {
            return Err(Error::Argument(format!("the learning rate must be finite and not negative, got {lr}")));
        }
        self.set_lr(lr)?;
        self.advance(params, gradients)
    }

    /// Sets the learning rate of the steps to come: where steps are replayed it is no part of them.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn set_lr(&mut self, lr: f64) -> Result<()> {
        self.lr = lr;
        self.on_device.as_mut().map_or(Ok(()), |numbers| numbers.set_lr(lr))
    }

    /// As [`Optimizer::step_flat`] with the learning rate that was set.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn advance(&mut self, params: &mut Params, gradients: &Tensor) -> Result<()> {
        if let Some(numbers) = &mut self.on_device {
            return numbers.make(&self.method, params, gradients, &mut self.moments);
        }
        self.steps += 1;
        let (segments, lr) = (segments(params), self.lr);
        each_float!("step", params.dtype(), T => {
            let (w, dw) = (params.arena_mut().data_mut::<T>(), gradients.data::<T>());
            let mut moments: Vec<&mut [T]> = self.moments.iter_mut().map(|moment| moment.data_mut::<T>()).collect();
            for (range, group) in segments.into_iter().filter(|(_, group)| !group.frozen) {
                let step = Step { number: self.steps, lr: lr * group.lr_scale, decay_scale: group.decay_scale };
                let moments = moments.iter_mut().map(|moment| &mut moment[range.clone()]).collect();
                self.method.update(&step, &mut w[range.clone()], &dw[range], moments);
            }
        });
        Ok(())
    }

    /// All it remembers, for a checkpoint: `step`, and `MOMENT.NAME` for each moment of each parameter; where the loss is
    /// scaled, `loss_scale`, `good_steps` and `skipped_steps`.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn state(&self, params: &Params) -> Result<Vec<(String, Tensor)>> {
        let Progress { steps, skipped, loss_scale, good } = self.progress()?;
        let mut named = vec![("step".to_owned(), Tensor::scalar(steps as i64))];
        if self.scales_loss() {
            let counts = [("loss_scale", loss_scale as i64), ("good_steps", good as i64), ("skipped_steps", skipped as i64)];
            named.extend(counts.map(|(name, count)| (name.to_owned(), Tensor::scalar(count))));
        }
        for (kind, moment) in self.method.moments().iter().zip(&self.moments) {
            named.extend(state::by_name(&format!("{kind}."), params, &moment.to_device(Device::Cpu)?));
        }
        Ok(named)
    }

    fn scales_loss(&self) -> bool {
        self.on_device.as_ref().is_some_and(OnDevice::scales)
    }

    /// Puts back what [`Optimizer::state`] gave, bit for bit. Nothing changes where it does not fit.
    ///
    /// # Errors
    /// Where a name is missing or unknown, or a shape or dtype is another.
    pub fn load_state(&mut self, params: &Params, state: &BTreeMap<String, Tensor>) -> Result<()> {
        let mut reader = state::Reader::new("optimizer", state);
        let steps = reader.counter("step")?;
        let mut progress = Progress { steps, skipped: 0, loss_scale: 1.0, good: 0 };
        if self.scales_loss() {
            progress.loss_scale = reader.counter("loss_scale")?.max(1) as f64;
            (progress.good, progress.skipped) = (reader.counter("good_steps")?, reader.counter("skipped_steps")?);
        }
        let kinds = self.method.moments();
        let moments = kinds.iter().map(|kind| reader.flat(&format!("{kind}."), params)).collect::<Result<_>>()?;
        reader.finish()?;
        if self.on_device.is_some() {
            self.on_device = Some(OnDevice::new(self.device(), progress, self.scales_loss())?);
        }
        (self.steps, self.moments) = (steps, moments);
        Ok(())
    }
}

/// The arena cut where the group changes: neighbours of one group are updated in one go.
fn segments(params: &Params) -> Vec<(Range<usize>, Group)> {
    let mut segments: Vec<(Range<usize>, Group)> = Vec::new();
    for entry in params.entries() {
        let end = entry.offset + entry.shape.elements();
        match segments.last_mut() {
            Some((range, group)) if *group == entry.group => range.end = end,
            _ => segments.push((entry.offset..end, entry.group)),
        }
    }
    segments
}

/// Checks that `gradients` is laid out like the arena.
#[track_caller]
fn like_arena(op: &'static str, params: &Params, gradients: &Tensor) -> Result<()> {
    let arena = params.arena();
    crate::ops::same_device(op, ("the parameters", arena), ("gradients", gradients))?;
    if (gradients.shape(), gradients.dtype()) != (arena.shape(), arena.dtype()) {
        let expected = format!("{} of {}, as Params::flatten gives", arena.shape(), arena.dtype());
        return Err(Error::operand(op, "gradients", expected, format!("{} of {}", gradients.shape(), gradients.dtype())));
    }
    Ok(())
}
