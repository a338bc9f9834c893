//! `Pass`: what one forward pass borrows.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::params::{BufferId, ParamId};
use crate::{DType, Device, Params, Precision, Result, Rng, Tensor, Var, trace};

/// What a forward pass borrows: the parameters, whether it trains, and its random numbers. Lent to each layer's
/// `forward`, never stored.
///
/// In a precision of 16 bits it lends weights as those: the arena is cast once, and weights are views of the result. Their
/// gradients still arrive as f32, and the arena stays f32 for the optimizer.
pub struct Pass<'a> {
    params: &'a Params,
    /// The arena in the precision's type, where that is another than the arena's own.
    cast: Option<Tensor>,
    training: Option<Rng>,
    calls: AtomicU64,
    updates: Mutex<Vec<(BufferId, Tensor)>>,
}

impl<'a> Pass<'a> {
    /// A pass that trains: parameters have a history, dropout drops, BatchNorm uses the batch's statistics. `rng` should
    /// be another one each step; child i of it serves the i-th random layer call.
    pub fn train(params: &'a Params, rng: Rng) -> Pass<'a> {
        Pass { params, cast: None, training: Some(rng), calls: AtomicU64::new(0), updates: Default::default() }
    }

    /// A pass that evaluates: no graph, no dropout, BatchNorm by its running statistics.
    pub fn eval(params: &'a Params) -> Pass<'a> {
        Pass { params, cast: None, training: None, calls: AtomicU64::new(0), updates: Default::default() }
    }

    /// The same pass in this precision.
    ///
    /// # Errors
    /// Where the parameters' device does not compute in it.
    pub fn in_precision(mut self, precision: Precision) -> Result<Pass<'a>> {
        let device = self.params.device();
        precision.check(device)?;
        if let Device::Cuda(ordinal) = device {
            crate::cuda::allow_tf32(ordinal, precision == Precision::Tf32)?;
        }
        // Parameters in f64 are there to be checked with, in f64.
        let wanted = precision.compute();
        self.cast = match self.params.dtype() {
            DType::F32 if wanted != DType::F32 => Some(self.params.arena().cast(wanted)?),
            _ => None,
        };
        Ok(self)
    }

    /// A model's input as this pass computes with it.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn input(&self, x: &Var) -> Result<Var> {
        match &self.cast {
            Some(arena) => x.cast(arena.dtype()),
            None => Ok(x.clone()),
        }
    }

    /// A model's output as losses take it: in the parameters' own type.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn output(&self, y: Var) -> Result<Var> {
        if self.cast.is_some() { y.cast(self.params.dtype()) } else { Ok(y) }
    }

    /// Whether this pass trains.
    pub fn is_training(&self) -> bool {
        self.training.is_some()
    }

    /// A parameter: the start of a history when training, a constant otherwise.
    pub fn var(&self, id: ParamId) -> Var {
        self.lend(self.arena(), id)
    }

    /// What parameters are lent from.
    pub(crate) fn arena(&self) -> &Tensor {
        self.cast.as_ref().unwrap_or(self.params.arena())
    }

    /// A parameter that stays f32 in any precision, as BatchNorm's scale and shift do.
    pub fn wide(&self, id: ParamId) -> Var {
        self.lend(self.params.arena(), id)
    }

    fn lend(&self, arena: &Tensor, id: ParamId) -> Var {
        let value = self.params.part(arena, id);
        if self.is_training() { Var::param(value, id) } else { Var::from(value) }
    }

    /// A buffer's value as of before this pass.
    pub fn buffer(&self, id: BufferId) -> &Tensor {
        self.params.buffer(id)
    }

    /// Random numbers for the layer that asks, other ones each time; `None` when evaluating.
    pub fn rng(&self) -> Option<Rng> {
        let rng = self.training.as_ref()?;
        Some(rng.child(self.calls.fetch_add(1, Ordering::Relaxed)))
    }

    /// Leaves a buffer's new value for [`Params::apply`], once the pass is over.
    pub fn update(&self, id: BufferId, value: Tensor) {
        self.updates.lock().unwrap_or_else(|e| e.into_inner()).push((id, value));
    }

    /// The buffers' new values, to be given to [`Params::apply`].
    pub fn into_updates(self) -> Vec<(BufferId, Tensor)> {
        self.updates.into_inner().unwrap_or_else(|e| e.into_inner())
    }

    /// Names the running layer for error messages: `let _layer = pass.enter("reduction");`.
    pub fn enter(&self, name: impl Into<String>) -> trace::Entered {
        trace::enter(name)
    }
}
