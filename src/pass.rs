//! `Pass`: what one forward pass borrows.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::params::{BufferId, ParamId};
use crate::{Params, Rng, Tensor, Var, trace};

/// What a forward pass borrows: the parameters, whether it trains, and its random numbers. Lent to each layer's
/// `forward`, never stored.
pub struct Pass<'a> {
    params: &'a Params,
    training: Option<Rng>,
    calls: AtomicU64,
    updates: Mutex<Vec<(BufferId, Tensor)>>,
}

impl<'a> Pass<'a> {
    /// A pass that trains: parameters have a history, dropout drops, BatchNorm uses the batch's statistics. `rng` should
    /// be another one each step; child i of it serves the i-th random layer call.
    pub fn train(params: &'a Params, rng: Rng) -> Pass<'a> {
        Pass { params, training: Some(rng), calls: AtomicU64::new(0), updates: Default::default() }
    }

    /// A pass that evaluates: no graph, no dropout, BatchNorm by its running statistics.
    pub fn eval(params: &'a Params) -> Pass<'a> {
        Pass { params, training: None, calls: AtomicU64::new(0), updates: Default::default() }
    }

    /// Whether this pass trains.
    pub fn is_training(&self) -> bool {
        self.training.is_some()
    }

    /// A parameter: the start of a history when training, a constant otherwise.
    pub fn var(&self, id: ParamId) -> Var {
        if self.is_training() { self.params.var(id) } else { self.params.constant(id) }
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
