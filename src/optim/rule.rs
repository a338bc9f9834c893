//! What an update rule is: one file each here, and yours.

use std::sync::Arc;

use crate::cuda::clip as cuda;
use crate::cuda::{Kernel, SliceMut, missing};
use crate::{Error, Float, Result};

/// An update rule with its settings: how a step changes each weight, from its gradient and from
/// what the rule remembers of it (its moments).
///
/// An [`Optimizer`](crate::optim::Optimizer) takes any rule. It keeps the moments, saves and loads
/// them, and cuts the weights into parts that threads work on at once; so a rule treats each weight
/// by itself, whatever its neighbours are. Some elements between two parameters belong to none
/// ([`Params::arena`](crate::Params::arena)): a rule is given their weight, gradient and moments,
/// all 0, and should leave them so.
///
/// ```
/// use wavemix::optim::{Rule, Step};
/// use wavemix::{Float, prelude::*};
///
/// /// Steps of one size, against the sign of the gradient.
/// struct SignSgd;
///
/// impl Rule for SignSgd {
///     fn name(&self) -> &str {
///         "sign_sgd"
///     }
///
///     fn update<T: Float>(&self, step: &Step, w: &mut [T], dw: &[T], _moments: &mut [&mut [T]]) {
///         let lr = T::from_f64(step.lr);
///         for (w, &dw) in w.iter_mut().zip(dw) {
///             if dw != T::ZERO {
///                 *w = *w - if dw > T::ZERO { lr } else { -lr };
///             }
///         }
///     }
/// }
///
/// let (x, mut params) = Params::declare(DType::F32, &Rng::new(0), |names| {
///     Ok(names.param("x", 2, Init::Constant(1.0), FileLayout::Same))
/// })?;
/// let mut optimizer = Optimizer::new(SignSgd, &params)?;
/// optimizer.train_step(&mut params, 0.25, |pass| pass.var(x)?.square()?.sum(..))?;
/// assert_eq!(params.get("x")?.to_vec::<f32>()?, [0.75, 0.75]);
/// # Ok::<(), wavemix::Error>(())
/// ```
pub trait Rule: Send + Sync + 'static {
    /// What it is called, in messages.
    fn name(&self) -> &str;

    /// The names of the moments that it keeps of each weight, all of them 0 at first. A checkpoint
    /// has them as `NAME.WEIGHT`.
    fn moments(&self) -> &[&'static str] {
        &[]
    }

    /// A learning rate to begin with.
    fn default_lr(&self) -> f64 {
        1e-3
    }

    /// The factors whose powers correct the moments of the first steps, as Adam's do; 0 where there
    /// are none. On a GPU, where steps are counted in device memory, 1 / (1 - beta1^t) and
    /// 1 / sqrt(1 - beta2^t) are ready for the kernel.
    fn betas(&self) -> (f64, f64) {
        (0.0, 0.0)
    }

    /// Whether each setting is in its range: asked once, before the first step.
    ///
    /// # Errors
    /// The first that is not; the message names it.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// One step on the CPU for some of the weights: `w` from their gradients `dw`. `moments` are
    /// those of the same weights, in the order of their names.
    fn update<T: Float>(&self, step: &Step, w: &mut [T], dw: &[T], moments: &mut [&mut [T]]);

    /// One step on a GPU, for all weights.
    ///
    /// # Errors
    /// Those of a GPU. A rule without a kernel for GPUs trains on the CPU alone: this is then an
    /// error that says so.
    fn launch(&self, step: DeviceStep) -> Result<()> {
        let _ = step;
        missing(self.name())
    }
}

/// What one step asks of a rule on the CPU.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The number of this step, from 1.
    pub number: u64,
    /// The learning rate, with the group's factor ([`Group::lr_scale`](crate::params::Group)) in
    /// it.
    pub lr: f64,
    /// The group's factor on the weight decay.
    pub decay_scale: f64,
}

/// The same on a GPU: the whole arena, its gradients and its moments, in device memory.
pub struct DeviceStep<'a, 'b> {
    pub(super) w: &'a mut SliceMut<'b>,
    pub(super) moments: &'a mut [SliceMut<'b>],
    pub(super) at: cuda::Step<'a>,
}

impl DeviceStep<'_, '_> {
    /// Launches the kernel of a rule of your own, which has these parameters:
    ///
    /// ```text
    /// KERNEL(name, float* w, const float* dw, float* moment, .., const Segment* segments, const Step* step, float setting, ..)
    /// ```
    ///
    /// with a pointer for each moment and a float for each setting. A block's segment of the arena
    /// is `segments[blockIdx.y]`, with the group's learning rate and decay scales, and whether it
    /// is frozen; `step` has the learning rate, what the gradients are to be multiplied by
    /// (`factor`), the corrections of [`Rule::betas`], and whether the step is to be skipped. Both
    /// are in `common.cuh`; `kernels/lion.cu` is a short example. Gradients, weights and moments
    /// are f32.
    ///
    /// # Errors
    /// Those of a GPU; a source that does not compile.
    pub fn run(self, kernel: &Kernel, settings: &[f64]) -> Result<()> {
        let settings: Vec<f32> = settings.iter().map(|&x| x as f32).collect();
        cuda::run(kernel, self.w, self.moments, self.at, &settings)
    }
}

/// A rule of any type, as an optimizer holds it. Made of a [`Rule`] or of a [`Method`](crate::optim::Method).
#[derive(Clone)]
pub struct AnyRule(pub(super) Arc<dyn DynRule>);

impl<R: Rule> From<R> for AnyRule {
    fn from(rule: R) -> AnyRule {
        AnyRule(Arc::new(rule))
    }
}

/// [`Rule`] without type parameters, so that rules of different types can be held alike.
pub(super) trait DynRule: Send + Sync {
    fn name(&self) -> &str;
    fn moments(&self) -> &[&'static str];
    fn betas(&self) -> (f64, f64);
    fn check(&self) -> Result<()>;
    fn update_f32(&self, step: &Step, w: &mut [f32], dw: &[f32], moments: &mut [&mut [f32]]);
    fn update_f64(&self, step: &Step, w: &mut [f64], dw: &[f64], moments: &mut [&mut [f64]]);
    fn launch(&self, step: DeviceStep) -> Result<()>;
}

impl<R: Rule> DynRule for R {
    fn name(&self) -> &str {
        Rule::name(self)
    }

    fn moments(&self) -> &[&'static str] {
        Rule::moments(self)
    }

    fn betas(&self) -> (f64, f64) {
        Rule::betas(self)
    }

    fn check(&self) -> Result<()> {
        Rule::check(self)
    }

    fn update_f32(&self, step: &Step, w: &mut [f32], dw: &[f32], moments: &mut [&mut [f32]]) {
        self.update(step, w, dw, moments)
    }

    fn update_f64(&self, step: &Step, w: &mut [f64], dw: &[f64], moments: &mut [&mut [f64]]) {
        self.update(step, w, dw, moments)
    }

    fn launch(&self, step: DeviceStep) -> Result<()> {
        Rule::launch(self, step)
    }
}

/// Checks settings of the rule `name`: what each is, its value, and whether that is in its range.
pub(super) fn check_settings(name: &str, settings: &[(&str, f64, bool)]) -> Result<()> {
    match settings.iter().find(|(_, _, fits)| !fits) {
        Some((what, got, _)) => Err(Error::Argument(format!(
            "{name}: {what} {got} is out of range"
        ))),
        None => Ok(()),
    }
}

/// Whether a factor of a running mean is in its range.
pub(super) fn is_factor(x: f64) -> bool {
    (0.0..1.0).contains(&x)
}

/// Whether a setting is a number from 0 on.
pub(super) fn is_at_least_0(x: f64) -> bool {
    x >= 0.0 && x.is_finite()
}
