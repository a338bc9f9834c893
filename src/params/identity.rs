//! Which parameter is meant: identities of parameters and buffers, and new values of buffers on
//! their way back.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Shape, Tensor};

/// Names one parameter. Layers hold these instead of weights.
///
/// It belongs to the [`Params`](crate::Params) that declared it, and to every other whose
/// declarations up to it had the same names and shapes: the layers of one model serve two
/// checkpoints, a copy, or weights of another dtype.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParamId {
    pub(super) index: usize,
    layout: u64,
}

/// Names one buffer: elements that belong to a model but are not trained, such as BatchNorm's
/// running statistics. Belongs to the same [`Params`](crate::Params) as a [`ParamId`] declared at
/// its place would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferId {
    pub(super) index: usize,
    layout: u64,
}

/// The hash of all declarations so far: kinds, names and shapes, in order.
#[derive(Default)]
pub(super) struct Layout(DefaultHasher);

impl Layout {
    /// The identity of the parameter that is declared next, as number `index` of them.
    pub fn param(&mut self, index: usize, name: &str, shape: &Shape) -> ParamId {
        ParamId {
            index,
            layout: self.declare("param", name, shape),
        }
    }

    /// The identity of the buffer that is declared next, as number `index` of them.
    pub fn buffer(&mut self, index: usize, name: &str, shape: &Shape, counter: bool) -> BufferId {
        let kind = if counter { "counter" } else { "buffer" };
        BufferId {
            index,
            layout: self.declare(kind, name, shape),
        }
    }

    fn declare(&mut self, kind: &str, name: &str, shape: &Shape) -> u64 {
        (kind, name, shape).hash(&mut self.0);
        self.0.finish()
    }
}

/// Tells one [`Params`](crate::Params) from all others of its layout; a clone is another one.
pub(super) struct Owner(pub u64);

impl Owner {
    pub fn new() -> Owner {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Owner(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Clone for Owner {
    fn clone(&self) -> Owner {
        Owner::new()
    }
}

/// What gradients are filed under: two models of one layout may be part of one loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ParamKey {
    pub owner: u64,
    pub id: ParamId,
}

/// The new values of buffers that a training pass leaves, such as BatchNorm's running statistics.
/// They take effect in [`Optimizer::step`](crate::optim::Optimizer::step), which asks for them, or
/// in [`Params::apply`](crate::Params::apply).
#[must_use = "dropped, these leave BatchNorm's running statistics as they were: see Optimizer::step"]
#[derive(Clone, Debug, Default)]
pub struct Updates {
    pub(super) values: Vec<(BufferId, Tensor)>,
}

impl Updates {
    /// Nothing: for gradients that come from no training pass, or a model whose buffers are to stay
    /// as they are. BatchNorm's running statistics stay too, and evaluation normalises by them: by
    /// mean 0 and variance 1 where no step has changed them.
    pub fn none() -> Updates {
        Updates::default()
    }

    /// The number of buffers that get a new value.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether no buffer gets a new value.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The new value of a buffer, if there is one.
    pub(crate) fn get(&self, id: BufferId) -> Option<&Tensor> {
        self.values
            .iter()
            .find(|(known, _)| *known == id)
            .map(|(_, value)| value)
    }

    /// Sets a buffer's new value.
    pub(crate) fn set(&mut self, id: BufferId, value: Tensor) {
        match self.values.iter_mut().find(|(known, _)| *known == id) {
            Some((_, old)) => *old = value,
            None => self.values.push((id, value)),
        }
    }
}
