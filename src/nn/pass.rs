//! `Pass`: what the layers of one forward pass take their parameters from.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use crate::autograd::trace;
use crate::params::{BufferId, ParamId, Updates};
use crate::{DType, Params, Precision, Result, Rng, Tensor, Var};

/// The context of one forward pass: the parameters, whether it trains, its precision and its random
/// numbers. Each layer's `forward` takes a reference to it; no layer stores it.
///
/// In a precision of 16 bits, [`Pass::var`] gives weights in that type: the arena is cast once, and
/// weights are views of the result. Ops that sum over a batch give a weight's gradient in f32,
/// others in 16 bits; [`Gradients::flatten`](crate::Gradients::flatten) makes all of them f32, as
/// the arena is, which the optimizer works on.
///
/// A training pass ends in [`Pass::into_updates`]: what BatchNorm measured, which
/// [`Optimizer::step`](crate::optim::Optimizer::step) asks for (`Updates::none()` leaves the
/// running statistics as they are). [`Optimizer::train_step`](crate::optim::Optimizer::train_step)
/// does all of it in one call.
///
/// ```
/// use wavemix::{DType, Params, Pass, Rng, params::{FileLayout, Group, Init}};
/// let (x, mut params) = Params::declare(DType::F32, &Rng::new(0), |names| {
///     Ok(names.param("x", [3], Init::Constant(2.0), FileLayout::Same))
/// })?;
/// let pass = Pass::train(&params, Rng::new(1));
/// let gradients = pass.var(x)?.square()?.sum_all()?.backward()?;
/// assert_eq!(gradients.of_param(&params, x).unwrap().to_vec::<f32>()?, [4.0; 3]);
/// // A frozen parameter is a constant.
/// params.set_groups(|_| Group { frozen: true, ..Group::default() });
/// assert!(!Pass::train(&params, Rng::new(1)).var(x)?.requires_grad());
/// # Ok::<(), wavemix::Error>(())
/// ```
pub struct Pass<'a> {
    params: &'a Params,
    precision: Precision,
    /// The arena in the precision's type, if that is not the arena's own.
    cast: Option<Tensor>,
    training: Option<Rng>,
    calls: AtomicU64,
    updates: Mutex<Updates>,
}

impl<'a> Pass<'a> {
    /// A pass that trains: parameters are differentiated, unless they are frozen; dropout drops,
    /// BatchNorm uses the batch's statistics. `rng` should be another one each step; child i of it
    /// serves the i-th random layer call.
    pub fn train(params: &'a Params, rng: Rng) -> Pass<'a> {
        Pass {
            params,
            precision: Precision::F32,
            cast: None,
            training: Some(rng),
            calls: AtomicU64::new(0),
            updates: Mutex::default(),
        }
    }

    /// A pass that evaluates: weights are constants, so there is no graph unless the input is a
    /// leaf; no dropout, BatchNorm by its running statistics.
    pub fn eval(params: &'a Params) -> Pass<'a> {
        Pass {
            params,
            precision: Precision::F32,
            cast: None,
            training: None,
            calls: AtomicU64::new(0),
            updates: Mutex::default(),
        }
    }

    /// The same pass in this precision. It applies to what is computed from this pass's weights,
    /// forward and backward; passes in other precisions may run at the same time, on other threads
    /// or on this one.
    ///
    /// # Errors
    /// Where the parameters' device does not compute in it.
    pub fn in_precision(mut self, precision: Precision) -> Result<Pass<'a>> {
        precision.check(self.params.device())?;
        self.precision = precision;
        // Parameters in f64 are there to be checked with, in f64.
        let wanted = precision.compute();
        self.cast = match self.params.dtype() {
            DType::F32 if wanted != DType::F32 => Some(self.params.arena().cast(wanted)?),
            _ => None,
        };
        Ok(self)
    }

    /// The same pass, starting with the updates of the buffers that an earlier pass left: for a
    /// batch that is taken in parts, with one step after all of them.
    ///
    /// # Errors
    /// Where the updates are of a model with another layout, dtype or device.
    #[track_caller]
    pub fn with_updates(mut self, updates: Updates) -> Result<Pass<'a>> {
        self.params.check_updates(&updates)?;
        self.updates = Mutex::new(updates);
        Ok(self)
    }

    /// A model's input as this pass computes with it.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn input(&self, x: &Var) -> Result<Var> {
        let x = match &self.cast {
            Some(arena) => x.cast(arena.dtype())?,
            None => x.clone(),
        };
        Ok(self.marked(x))
    }

    /// A model's output as losses take it: in the parameters' own type.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn output(&self, y: Var) -> Result<Var> {
        if self.cast.is_some() {
            y.cast(self.params.dtype())
        } else {
            Ok(y)
        }
    }

    /// Whether this pass trains.
    pub fn is_training(&self) -> bool {
        self.training.is_some()
    }

    /// A parameter: differentiated when training, a constant when it is frozen and when
    /// evaluating.
    ///
    /// # Errors
    /// Where `id` belongs to [`Params`] of another layout.
    #[track_caller]
    pub fn var(&self, id: ParamId) -> Result<Var> {
        self.var_of(self.arena(), id)
    }

    /// The array that parameters are views of.
    pub(crate) fn arena(&self) -> &Tensor {
        self.cast.as_ref().unwrap_or(self.params.arena())
    }

    /// A parameter that stays f32 in any precision, as BatchNorm's scale and shift do.
    ///
    /// # Errors
    /// Where `id` belongs to [`Params`] of another layout.
    #[track_caller]
    pub fn uncast(&self, id: ParamId) -> Result<Var> {
        self.var_of(self.params.arena(), id)
    }

    #[track_caller]
    fn var_of(&self, arena: &Tensor, id: ParamId) -> Result<Var> {
        let (value, entry) = (self.params.part(arena, id)?, self.params.entry(id)?);
        let trained = self.is_training() && !entry.group.frozen;
        Ok(self.marked(if trained {
            Var::param(value, self.params.key(id))
        } else {
            Var::from(value)
        }))
    }

    /// x, whose products round to TF32 if this pass computes in it.
    fn marked(&self, x: Var) -> Var {
        let tf32 = x.tf32() || self.precision == Precision::Tf32;
        x.with_tf32(tf32)
    }

    /// A buffer's value, with this pass's updates so far: a layer that runs twice starts from its
    /// own update.
    ///
    /// # Errors
    /// Where `id` belongs to [`Params`] of another layout.
    #[track_caller]
    pub fn buffer(&self, id: BufferId) -> Result<Tensor> {
        let own = self.params.buffer(id)?;
        Ok(self.lock().get(id).unwrap_or(own).clone())
    }

    /// A random stream, another one at each call; `None` when evaluating.
    pub fn rng(&self) -> Option<Rng> {
        let rng = self.training.as_ref()?;
        Some(rng.child(self.calls.fetch_add(1, Ordering::Relaxed)))
    }

    /// Sets a buffer's new value, which takes effect with the optimizer's step.
    ///
    /// # Errors
    /// Where `id` belongs to [`Params`] of another layout, or shape, dtype or device are not the
    /// buffer's.
    #[track_caller]
    pub fn update(&self, id: BufferId, value: Tensor) -> Result<()> {
        self.params.check_buffer(id, &value)?;
        self.lock().set(id, value);
        Ok(())
    }

    /// The buffers' new values, which the optimizer's step takes. Empty if the pass evaluates.
    pub fn into_updates(self) -> Updates {
        self.updates.into_inner().unwrap_or_else(|e| e.into_inner())
    }

    fn lock(&self) -> MutexGuard<'_, Updates> {
        self.updates.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Names the running layer for error messages: `let _layer = pass.enter("reduction");`.
    pub fn enter(&self, name: impl Into<String>) -> trace::Entered {
        trace::enter(name)
    }
}
