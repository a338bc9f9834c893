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
mod schedule;
mod sgd;
mod state;

use std::collections::BTreeMap;
use std::ops::Range;

use crate::params::Group;
use crate::{Error, Gradients, Params, Result, Tensor};

pub use adamw::Adam;
pub use clip::{clip_norm, clip_value, finite_norm, norm, scale};
pub use ema::Ema;
pub use lion::Lion;
pub use method::Method;
pub use schedule::Schedule;
pub use sgd::Sgd;

/// A [`Method`] with its memory: the number of steps made, and the moments of each weight.
#[derive(Clone)]
pub struct Optimizer {
    method: Method,
    steps: u64,
    moments: Vec<Tensor>,
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
        let zeros = |_| Tensor::full_on(params.arena().device(), params.arena().shape(), 0.0, params.dtype());
        Ok(Optimizer { method, steps: 0, moments: method.moments().iter().map(zeros).collect::<Result<_>>()? })
    }

    /// The method and its settings.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Number of steps made.
    pub fn steps(&self) -> u64 {
        self.steps
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
        self.steps += 1;
        let segments = segments(params);
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

    /// All it remembers, for a checkpoint: `step`, and `MOMENT.NAME` for each moment of each parameter.
    pub fn state(&self, params: &Params) -> Vec<(String, Tensor)> {
        let mut named = vec![("step".to_owned(), Tensor::scalar(self.steps as i64))];
        for (kind, moment) in self.method.moments().iter().zip(&self.moments) {
            named.extend(state::by_name(&format!("{kind}."), params, moment));
        }
        named
    }

    /// Puts back what [`Optimizer::state`] gave, bit for bit. Nothing changes where it does not fit.
    ///
    /// # Errors
    /// Where a name is missing or unknown, or a shape or dtype is another.
    pub fn load_state(&mut self, params: &Params, state: &BTreeMap<String, Tensor>) -> Result<()> {
        let mut reader = state::Reader::new("optimizer", state);
        let steps = reader.counter("step")?;
        let kinds = self.method.moments();
        let moments = kinds.iter().map(|kind| reader.flat(&format!("{kind}."), params)).collect::<Result<_>>()?;
        reader.finish()?;
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
    if (gradients.shape(), gradients.dtype()) != (arena.shape(), arena.dtype()) {
        let expected = format!("{} of {}, as Params::flatten gives", arena.shape(), arena.dtype());
        return Err(Error::operand(op, "gradients", expected, format!("{} of {}", gradients.shape(), gradients.dtype())));
    }
    Ok(())
}
