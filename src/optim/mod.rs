//! Optimizers: what turns gradients into better weights.
//!
//! All weights lie in one arena ([`Params::arena`]), all gradients in an array of the same layout
//! ([`Gradients::flatten`]), and so do an optimizer's moments. A step is therefore one pass over
//! three or four long arrays, cut into segments only where neighbouring parameters belong to
//! different [`Group`](crate::params::Group)s.
//!
//! ```
//! use wavemix::optim::{AdamW, Optimizer};
//! use wavemix::{DType, Params, Rng, params::{FileLayout, Init}};
//! // Minimise the sum of squares of three elements: the gradient of each is twice itself.
//! let (id, mut params) = Params::declare(DType::F32, &Rng::new(0), |names| {
//!     Ok(names.param("x", [3], Init::Uniform(1.0), FileLayout::Same))
//! })?;
//! let mut optimizer = Optimizer::new(AdamW::default(), &params)?;
//! for _ in 0..400 {
//!     optimizer.train_step(&mut params, 0.01, |pass| pass.var(id)?.square()?.sum(..))?;
//! }
//! assert!(params.get("x")?.to_vec::<f32>()?.iter().all(|x| x.abs() < 1e-3));
//! # Ok::<(), wavemix::Error>(())
//! ```

mod adamw;
mod clip;
mod ema;
mod lion;
mod method;
mod on_cpu;
mod on_device;
mod rule;
mod schedule;
mod segment;
mod sgd;
mod state;
mod step;

use std::collections::BTreeMap;

use crate::params::Updates;
use crate::{DType, Device, Error, Gradients, Params, Result, Tensor, Var};

use on_device::OnDevice;
use segment::like_arena;

pub use adamw::{Adam, AdamW};
pub use clip::{clip_norm, clip_value, finite_norm, norm, scale};
pub use ema::Ema;
pub use lion::Lion;
pub use method::Method;
pub use on_device::Progress;
pub use rule::{AnyRule, DeviceStep, Rule, Step};
pub use schedule::Schedule;
pub use sgd::Sgd;
pub use step::StepOptions;

/// A [`Rule`] with its memory: the number of steps made, and the moments of each weight.
#[derive(Clone)]
pub struct Optimizer {
    rule: AnyRule,
    /// Steps made. On a GPU those asked for: the device alone knows how many of them it skipped
    /// ([`Progress`]).
    steps: u64,
    /// The learning rate of the step under way.
    lr: f64,
    /// What it was made for: the number of parameters, the arena's length, their dtype.
    count: usize,
    length: usize,
    dtype: DType,
    moments: Vec<Tensor>,
    /// Its scalars in device memory, where the weights are on a GPU.
    on_device: Option<OnDevice>,
}

impl Optimizer {
    /// An optimizer for these parameters, at step 0 with all moments 0: by a rule of this crate
    /// ([`AdamW`] and the like, or a [`Method`], which is chosen by name) or of your own.
    ///
    /// # Errors
    /// Where a setting of the rule is out of its range, or there is no memory for the moments.
    pub fn new(rule: impl Into<AnyRule>, params: &Params) -> Result<Optimizer> {
        Optimizer::with_rule(rule.into(), params)
    }

    fn with_rule(rule: AnyRule, params: &Params) -> Result<Optimizer> {
        rule.0.check()?;
        let names = rule.0.moments();
        if let Some(i) = (1..names.len()).find(|&i| names[..i].contains(&names[i])) {
            let (rule, name) = (rule.0.name(), names[i]);
            return Err(Error::Argument(format!(
                "{rule}: two of its moments are called `{name}`"
            )));
        }
        let zeros = |_: &&str| {
            Tensor::full_on(params.device(), params.arena().shape(), 0.0, params.dtype())
        };
        let moments = names.iter().map(zeros).collect::<Result<_>>()?;
        let begin = Progress {
            steps: 0,
            skipped: 0,
            loss_scale: 1.0,
            good: 0,
        };
        let on_device = match params.device() {
            Device::Cpu => None,
            gpu => Some(OnDevice::new(gpu, begin, false)?),
        };
        Ok(Optimizer {
            rule,
            steps: 0,
            lr: 0.0,
            count: params.count(),
            length: params.arena().elements(),
            dtype: params.dtype(),
            moments,
            on_device,
        })
    }

    /// The same with the loss scaled, as f16 needs: by a factor that halves whenever a step is
    /// skipped because a gradient is infinite or not a number (see [`Optimizer::step_flat`]), and
    /// doubles after 2,000 steps in a row without. A step then expects gradients times this factor,
    /// from a backward pass that begins with [`Optimizer::loss_scale`]. On the CPU, which has no
    /// f16, nothing changes.
    ///
    /// **Source**: Micikevicius et al., "Mixed precision training" (ICLR 2018), section 3.2;
    /// `torch.amp.GradScaler`.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn with_loss_scaling(mut self) -> Result<Optimizer> {
        if let Some(numbers) = &self.on_device {
            let begin = Progress {
                loss_scale: on_device::FIRST_SCALE,
                ..numbers.progress()?
            };
            self.on_device = Some(OnDevice::new(self.device(), begin, true)?);
        }
        Ok(self)
    }

    /// What the backward pass is to begin with, on the loss's device and of its shape: the loss
    /// scale.
    ///
    /// # Errors
    /// A loss that is not a single number; those of a GPU.
    #[track_caller]
    pub fn loss_scale(&self, loss: &Var) -> Result<Tensor> {
        if loss.value().elements() != 1 {
            return Err(Error::operand(
                "loss_scale",
                "loss",
                "a single number",
                loss.shape(),
            ));
        }
        match &self.on_device {
            Some(numbers) => numbers.loss_scale()?.reshape(loss.shape()),
            None => Tensor::full_on(loss.value().device(), loss.shape(), 1.0, loss.dtype()),
        }
    }

    pub(crate) fn device(&self) -> Device {
        self.on_device
            .as_ref()
            .map_or(Device::Cpu, OnDevice::device)
    }

    /// The name of its rule.
    pub fn rule_name(&self) -> &str {
        self.rule.0.name()
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
            None => Ok(Progress {
                steps: self.steps,
                skipped: 0,
                loss_scale: 1.0,
                good: 0,
            }),
        }
    }

    /// On a GPU, copies the norm of the last step's gradients, as the rule took them, and the loss
    /// scale to the `i`-th pair of `out` there, f32 `[2 n]`, without waiting for the step.
    pub(crate) fn copy_numbers(&self, out: &mut Tensor, i: usize) -> Result<()> {
        let numbers = self.on_device.as_ref();
        numbers.map_or(Ok(()), |numbers| numbers.copy_numbers(out, i))
    }

    /// Makes one step with learning rate `lr`, and gives BatchNorm's statistics of the training
    /// pass to `params`. A parameter that the loss does not depend on counts as having a gradient
    /// of 0: its weight decay and its moments go on, where PyTorch would pass over it. After
    /// [`Optimizer::with_loss_scaling`] gradients are expected times the loss scale, and divided by
    /// it here.
    ///
    /// Statistics that are forgotten do not compile:
    ///
    /// ```compile_fail,E0061
    /// # use wavemix::{Gradients, Params, Result, optim::Optimizer};
    /// # fn step(optimizer: &mut Optimizer, params: &mut Params, gradients: &Gradients) -> Result<()> {
    /// optimizer.step(params, gradients, 1e-3)
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Optimizer::step_flat`].
    #[track_caller]
    pub fn step(
        &mut self,
        params: &mut Params,
        gradients: &Gradients,
        updates: Updates,
        lr: f64,
    ) -> Result<()> {
        let gradients = gradients.flatten(params)?;
        self.step_flat(params, &gradients, updates, lr)
    }

    /// As [`Optimizer::step`], from gradients in the layout of the arena, as [`Gradients::flatten`]
    /// gives them: of the shape of [`Params::arena`], with 0 where no parameter lies.
    ///
    /// Parameters of a frozen group and their moments stay as they are.
    ///
    /// Gradients that are not finite are no error. On the CPU nothing looks at them, and they go
    /// into weights and moments: see [`finite_norm`]. A GPU skips such a step, with or without a
    /// loss scale: weights and moments stay, and [`Progress::skipped`] counts it. `updates` take
    /// effect all the same, as with PyTorch's `GradScaler`, where the forward pass has moved
    /// BatchNorm's running statistics before anything is known of gradients. (Where the forward
    /// pass itself overflowed these are no longer finite and stay so, there as here.)
    ///
    /// # Errors
    /// Where the gradients' shape or dtype is not the arena's, the parameters are not those the
    /// optimizer was made for, the updates are of other parameters, or the learning rate is
    /// negative or not finite. Nothing changes then.
    #[track_caller]
    pub fn step_flat(
        &mut self,
        params: &mut Params,
        gradients: &Tensor,
        updates: Updates,
        lr: f64,
    ) -> Result<()> {
        self.check_step(params, gradients, &updates)?;
        self.set_lr(lr)?;
        self.advance(params, gradients, updates)
    }

    /// Sets the learning rate of the steps to come: where steps are replayed it is no part of them.
    ///
    /// # Errors
    /// Where it is negative or not finite; those of a GPU.
    pub fn set_lr(&mut self, lr: f64) -> Result<()> {
        if !(lr >= 0.0 && lr.is_finite()) {
            return Err(Error::Argument(format!(
                "the learning rate must be finite and not negative, got {lr}"
            )));
        }
        self.lr = lr;
        self.on_device
            .as_mut()
            .map_or(Ok(()), |numbers| numbers.set_lr(lr))
    }

    /// As [`Optimizer::step_flat`] with the learning rate that was set.
    ///
    /// # Errors
    /// As [`Optimizer::step_flat`]; those of a GPU.
    #[track_caller]
    pub fn advance(
        &mut self,
        params: &mut Params,
        gradients: &Tensor,
        updates: Updates,
    ) -> Result<()> {
        self.check_step(params, gradients, &updates)?;
        self.update(params, gradients)?;
        params.apply(updates)
    }

    /// Checks all that a step is given, before anything changes.
    #[track_caller]
    fn check_step(&self, params: &Params, gradients: &Tensor, updates: &Updates) -> Result<()> {
        like_arena("step", params, gradients)?;
        self.check_params(params)?;
        params.check_updates(updates)
    }

    /// Checks that the parameters can be those that the optimizer was made for.
    #[track_caller]
    fn check_params(&self, params: &Params) -> Result<()> {
        let made = (self.count, self.dtype, self.device());
        let got = (params.count(), params.dtype(), params.device());
        let same_length = self.length == params.arena().elements();
        if made != got || !same_length {
            let say = |(count, dtype, device): (usize, DType, Device)| {
                format!("{count} parameters of {dtype} on {device}")
            };
            let shapes = if made == got { ", of other shapes" } else { "" };
            return Err(Error::operand(
                "optimizer",
                "params",
                format!("{}, as it was made for", say(made)),
                say(got) + shapes,
            ));
        }
        Ok(())
    }

    /// New weights and moments.
    fn update(&mut self, params: &mut Params, gradients: &Tensor) -> Result<()> {
        self.steps += 1;
        if let Some(numbers) = &mut self.on_device {
            return numbers.make(&self.rule, params, gradients, &mut self.moments);
        }
        let at = (self.steps, self.lr);
        on_cpu::make(&self.rule, at, params, gradients, &mut self.moments);
        Ok(())
    }

    /// All it remembers, for a checkpoint: `step`, and `MOMENT.NAME` for each moment of each
    /// parameter; where the loss is scaled, `loss_scale`, `good_steps` and `skipped_steps`.
    ///
    /// # Errors
    /// Where the parameters are not those the optimizer was made for; those of a GPU.
    #[track_caller]
    pub fn state(&self, params: &Params) -> Result<Vec<(String, Tensor)>> {
        self.check_params(params)?;
        let Progress {
            steps,
            skipped,
            loss_scale,
            good,
        } = self.progress()?;
        let mut named = vec![("step".to_owned(), Tensor::scalar(steps as i64))];
        if self.scales_loss() {
            let counts = [
                ("loss_scale", loss_scale as i64),
                ("good_steps", good as i64),
                ("skipped_steps", skipped as i64),
            ];
            named.extend(counts.map(|(name, count)| (name.to_owned(), Tensor::scalar(count))));
        }
        for (kind, moment) in self.rule.0.moments().iter().zip(&self.moments) {
            named.extend(state::by_name(
                &format!("{kind}."),
                params,
                &moment.to_device(Device::Cpu)?,
            ));
        }
        Ok(named)
    }

    fn scales_loss(&self) -> bool {
        self.on_device.as_ref().is_some_and(OnDevice::scales)
    }

    /// Puts back what [`Optimizer::state`] gave, bit for bit. Nothing changes where it does not
    /// fit.
    ///
    /// # Errors
    /// Where a name is missing or unknown, or a shape or dtype is another; where the parameters are
    /// not those the optimizer was made for.
    #[track_caller]
    pub fn load_state(&mut self, params: &Params, state: &BTreeMap<String, Tensor>) -> Result<()> {
        self.check_params(params)?;
        let mut reader = state::Reader::new("optimizer", state);
        let steps = reader.counter("step")?;
        let mut progress = Progress {
            steps,
            skipped: 0,
            loss_scale: 1.0,
            good: 0,
        };
        if self.scales_loss() {
            progress.loss_scale = reader.counter("loss_scale")?.max(1) as f64;
            (progress.good, progress.skipped) = (
                reader.counter("good_steps")?,
                reader.counter("skipped_steps")?,
            );
        }
        let kinds = self.rule.0.moments();
        let moments = kinds
            .iter()
            .map(|kind| reader.flat(&format!("{kind}."), params))
            .collect::<Result<_>>()?;
        reader.finish()?;
        if self.on_device.is_some() {
            self.on_device = Some(OnDevice::new(self.device(), progress, self.scales_loss())?);
        }
        (self.steps, self.moments) = (steps + progress.skipped, moments);
        Ok(())
    }
}
