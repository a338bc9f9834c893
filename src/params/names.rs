//! Declaring weights and buffers: names and shapes, before any memory is taken.

use std::collections::HashMap;

use super::identity::Layout;
use super::{BufferId, Entry, FileLayout, Group, Init, ParamId};
use crate::tensor::scope;
use crate::{Error, Result, Rng, Shape};

/// Where a layer declares its weights, under a dotted prefix.
pub struct Names<'a> {
    plan: &'a mut Plan,
    prefix: String,
}

/// What has been declared so far.
#[derive(Default)]
pub(super) struct Plan {
    layout: Layout,
    pub entries: Vec<Entry>,
    pub ids: Vec<ParamId>,
    pub buffers: Vec<(String, Shape, Start)>,
    pub buffer_ids: Vec<BufferId>,
}

/// How a buffer begins.
#[derive(Clone, Copy)]
pub(super) enum Start {
    /// As 0, in i64: it counts.
    Counter,
    /// All elements the same.
    Filled(f64),
    /// With these elements, for its shape.
    Drawn(fn(&[usize], &Rng) -> Vec<f64>),
}

/// A parameter's offset in the arena is a multiple of so many elements. A GPU loads 16 bytes at a
/// time, from addresses that 16 divides; 16 elements are 32 bytes in 16 bits (8 would do), 64 in
/// f32. Elements between two parameters belong to none, and are 0 in weights, gradients and
/// moments: a norm on a GPU sums them too, and every rule runs over them. (Adam with an eps of 0
/// makes not-a-number of such a weight, as of every weight whose gradients are 0.)
const ALIGNMENT: usize = 16;

impl Plan {
    /// Where the outermost layer declares.
    pub fn names(&mut self) -> Names<'_> {
        Names {
            plan: self,
            prefix: String::new(),
        }
    }

    /// Sets each parameter's offset in the arena, a multiple of [`ALIGNMENT`]. Returns the number of
    /// each name, and the arena's length.
    pub fn place(&mut self) -> Result<(HashMap<String, usize>, usize)> {
        let (mut index, mut length) = (HashMap::new(), 0usize);
        for (i, entry) in self.entries.iter_mut().enumerate() {
            let name = &entry.name;
            if index.insert(name.clone(), i).is_some() {
                let what = format!("the parameter `{name}` is declared twice");
                return Err(Error::Argument(what));
            }
            if let Some(what) = entry.layout.misfit(&entry.shape) {
                return Err(Error::Argument(format!("the parameter `{name}`: {what}")));
            }
            let elements = Shape::new(&entry.shape)?.elements();
            let too_many = || {
                let what = format!("the parameters up to `{name}` are more than memory can hold");
                Error::Argument(what)
            };
            let offset = length.checked_next_multiple_of(ALIGNMENT);
            entry.offset = offset.ok_or_else(too_many)?;
            let end = entry.offset.checked_add(elements);
            length = end.ok_or_else(too_many)?;
        }
        Ok((index, length))
    }
}

impl Names<'_> {
    /// Declarations below `name`: inside `within("layers.3")`, `weight` is `layers.3.weight`.
    pub fn within(&mut self, name: &str) -> Names<'_> {
        let prefix = self.full(name);
        Names {
            plan: self.plan,
            prefix,
        }
    }

    /// The dotted name of `name` under the prefix.
    pub fn full(&self, name: &str) -> String {
        if self.prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.prefix)
        }
    }

    /// Names the layer that is being declared, for error messages, as
    /// [`Pass::enter`](crate::Pass::enter) does one that runs.
    pub fn enter(&self) -> scope::Entered {
        scope::enter(&*self.prefix)
    }

    /// Lets each parameter that is declared so far, under this prefix, begin as `rule` says.
    ///
    /// A model's own rule stands in one place that way, as in PyTorch's `init_weights`, and its
    /// layers keep theirs for others.
    pub fn begin(&mut self, rule: impl Fn(&Entry) -> Init) {
        let below = |entry: &&mut Entry| {
            let rest = entry.name.strip_prefix(&self.prefix);
            rest.is_some_and(|rest| self.prefix.is_empty() || rest.starts_with('.'))
        };
        for entry in self.plan.entries.iter_mut().filter(below) {
            entry.init = rule(entry);
        }
    }

    /// Declares a trained parameter.
    pub fn param(
        &mut self,
        name: &str,
        shape: impl Into<Shape>,
        init: Init,
        layout: FileLayout,
    ) -> ParamId {
        let (name, shape, plan) = (self.full(name), shape.into(), &mut *self.plan);
        let id = plan.layout.param(plan.entries.len(), &name, &shape);
        // Its offset is set once all are declared.
        plan.entries.push(Entry {
            name,
            shape,
            offset: 0,
            init,
            layout,
            group: Group::default(),
        });
        plan.ids.push(id);
        id
    }

    /// Declares a buffer of the parameters' dtype, filled with `value`.
    pub fn buffer(&mut self, name: &str, shape: impl Into<Shape>, value: f64) -> BufferId {
        self.any_buffer(name, shape.into(), Start::Filled(value))
    }

    /// Declares a buffer of the parameters' dtype that is drawn once: `draw` gives the elements of
    /// its shape. Random features are such a buffer.
    pub fn drawn_buffer(
        &mut self,
        name: &str,
        shape: impl Into<Shape>,
        draw: fn(&[usize], &Rng) -> Vec<f64>,
    ) -> BufferId {
        self.any_buffer(name, shape.into(), Start::Drawn(draw))
    }

    /// Declares a counter: a buffer of one i64, 0 at first.
    pub fn counter(&mut self, name: &str) -> BufferId {
        self.any_buffer(name, Shape::from([]), Start::Counter)
    }

    fn any_buffer(&mut self, name: &str, shape: Shape, start: Start) -> BufferId {
        let (name, plan) = (self.full(name), &mut *self.plan);
        let counter = matches!(start, Start::Counter);
        let id = plan
            .layout
            .buffer(plan.buffers.len(), &name, &shape, counter);
        plan.buffers.push((name, shape, start));
        plan.buffer_ids.push(id);
        id
    }
}
