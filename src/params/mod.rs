//! Named weights in one arena.
//!
//! A model first declares its weights: names, shapes, how each begins. Then all are allocated at
//! once, one after the other in the order of their declaration (in this crate's models that of the
//! forward pass). So an optimizer updates one long array, a checkpoint is a map of names, and a
//! gradient norm is one loop.

mod entry;
mod identity;
mod layout;
mod names;
pub mod precision;

use std::collections::HashMap;

use crate::tensor::memory::is_shapes_only;
use crate::{DType, Device, Error, Result, Rng, Shape, Tensor};

use identity::Owner;
use names::{Plan, Start};

pub use entry::{Entry, Group, Init};
pub(crate) use identity::ParamKey;
pub use identity::{BufferId, ParamId, Updates};
pub use layout::FileLayout;
pub use names::Names;

/// All parameters and buffers of a model.
///
/// ```
/// use wavemix::{DType, Params, Rng, params::{FileLayout, Init}};
/// let (weight, params) = Params::declare(DType::F32, &Rng::new(0), |names| {
///     Ok(names.within("head").param("weight", [10, 64], Init::Uniform(0.125), FileLayout::Same))
/// })?;
/// assert_eq!((params.count(), params.get("head.weight")?.shape().to_string()), (640, "[10, 64]".into()));
/// assert_eq!(params.entry(weight)?.name, "head.weight");
/// # Ok::<(), wavemix::Error>(())
/// ```
#[derive(Clone)]
pub struct Params {
    owner: Owner,
    entries: Vec<Entry>,
    ids: Vec<ParamId>,
    index: HashMap<String, usize>,
    arena: Tensor,
    buffers: Vec<(String, Tensor)>,
    buffer_ids: Vec<BufferId>,
}

impl Params {
    /// Lets `build` declare a model's weights, then allocates and initialises them: parameter i
    /// from child i of `rng`, drawn buffers from children counted down from the last.
    ///
    /// # Errors
    /// Those of `build`; a name declared twice; a shape that its [`FileLayout`] or a drawn buffer's
    /// elements do not fit; a dtype other than f32 or f64; more elements than memory can hold.
    pub fn declare<M>(
        dtype: DType,
        rng: &Rng,
        build: impl FnOnce(&mut Names) -> Result<M>,
    ) -> Result<(M, Params)> {
        let mut plan = Plan::default();
        let model = build(&mut plan.names())?;
        let (index, length) = plan.place()?;
        let arena = Tensor::full_on(Device::Cpu, Shape::new(&[length])?, 0.0, dtype)?;
        let mut buffers = Vec::new();
        for (i, (name, shape, start)) in plan.buffers.into_iter().enumerate() {
            if index.contains_key(&name) || buffers.iter().any(|(known, _)| *known == name) {
                return Err(Error::Argument(format!(
                    "the buffer `{name}` is declared twice"
                )));
            }
            let value = match start {
                Start::Counter => Tensor::scalar(0i64),
                Start::Filled(value) => {
                    Tensor::full_on(Device::Cpu, Shape::new(&shape)?, value, dtype)?
                }
                Start::Drawn(_) if is_shapes_only() => {
                    Tensor::full_on(Device::Cpu, shape, 0.0, dtype)?
                }
                Start::Drawn(draw) => {
                    // Parameters count up from child 0.
                    let elements = draw(&shape, &rng.child(u64::MAX - i as u64));
                    Tensor::from_vec(elements, shape)?.cast(dtype)?
                }
            };
            buffers.push((name, value));
        }
        let mut params = Params {
            owner: Owner::new(),
            index,
            arena,
            entries: plan.entries,
            ids: plan.ids,
            buffers,
            buffer_ids: plan.buffer_ids,
        };
        params.initialise(rng)?;
        Ok((model, params))
    }

    /// Draws the first value of each parameter, number i from child i of `rng`.
    fn initialise(&mut self, rng: &Rng) -> Result<()> {
        let dtype = self.dtype();
        for i in 0..self.entries.len() {
            let (Entry { shape, init, .. }, rng) = (&self.entries[i], rng.child(i as u64));
            let value = match *init {
                Init::Uniform(bound) => Tensor::uniform(shape, -bound, bound, dtype, &rng),
                Init::Normal(std) => Tensor::normal(shape, 0.0, std, dtype, &rng),
                Init::TruncatedNormal(std) => Tensor::truncated_normal(shape, std, dtype, &rng),
                Init::Constant(value) => Tensor::full(shape, value, dtype),
            };
            self.write(i, &value)?;
        }
        Ok(())
    }

    /// Number of trained numbers: what papers print as a model's size. The elements between
    /// parameters in the arena ([`Params::arena`]) are not among them.
    pub fn count(&self) -> usize {
        self.entries
            .iter()
            .map(|entry| entry.shape.elements())
            .sum()
    }

    /// f32 for training, f64 for checking.
    pub fn dtype(&self) -> DType {
        self.arena.dtype()
    }

    /// All parameters, in the arena's order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// One parameter's entry.
    ///
    /// # Errors
    /// Where `id` belongs to `Params` of another layout.
    #[track_caller]
    pub fn entry(&self, id: ParamId) -> Result<&Entry> {
        match self.ids.get(id.index) {
            Some(own) if *own == id => Ok(&self.entries[id.index]),
            _ => Err(self.foreign("ParamId", id.index, self.ids.len())),
        }
    }

    /// The identity of the parameter of that name.
    ///
    /// # Errors
    /// Where there is none of that name.
    pub fn id(&self, name: &str) -> Result<ParamId> {
        let none = || Error::Argument(format!("no parameter is named `{name}`"));
        self.index.get(name).map(|&i| self.ids[i]).ok_or_else(none)
    }

    /// Tells these parameters from a copy of them.
    pub(crate) fn owner(&self) -> u64 {
        self.owner.0
    }

    /// What gradients of one of these parameters are filed under.
    pub(crate) fn key(&self, id: ParamId) -> ParamKey {
        ParamKey {
            owner: self.owner.0,
            id,
        }
    }

    #[track_caller]
    fn foreign(&self, kind: &'static str, index: usize, count: usize) -> Error {
        let got = format!("number {} of a model with another layout", index + 1);
        Error::operand(
            "params",
            kind,
            format!("one of the {count} that this layout has"),
            got,
        )
    }

    /// Sets what optimizers do with each parameter, by name.
    pub fn set_groups(&mut self, group: impl Fn(&str) -> Group) {
        for entry in &mut self.entries {
            entry.group = group(&entry.name);
        }
    }

    /// Whether a parameter or buffer has this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.index.contains_key(name) || self.buffers.iter().any(|(known, _)| known == name)
    }

    /// A parameter's or buffer's value. It stays what it is when the parameter is trained further.
    ///
    /// # Errors
    /// Where there is none of that name.
    pub fn get(&self, name: &str) -> Result<Tensor> {
        if let Some(&i) = self.index.get(name) {
            return Ok(self.value(i));
        }
        let buffer = self.buffers.iter().find(|(n, _)| n == name);
        buffer
            .map(|(_, value)| value.clone())
            .ok_or_else(|| Error::Argument(format!("no parameter or buffer is named `{name}`")))
    }

    /// Overwrites a parameter or buffer.
    ///
    /// # Errors
    /// Where there is none of that name, or its shape or dtype is another.
    #[track_caller]
    pub fn set(&mut self, name: &str, value: &Tensor) -> Result<()> {
        // The old value is let go at once: it shares the arena, and a shared arena is copied when
        // written to.
        let (shape, dtype) = self.get(name).map(|old| (*old.shape(), old.dtype()))?;
        if (&shape, dtype) != (value.shape(), value.dtype()) {
            let expected = format!("{shape} of {dtype} for `{name}`");
            return Err(Error::operand(
                "set",
                "value",
                expected,
                format!("{} of {}", value.shape(), value.dtype()),
            ));
        }
        match self.index.get(name) {
            Some(&i) => self.write(i, value)?,
            None => {
                for (_, old) in self.buffers.iter_mut().filter(|(n, _)| n == name) {
                    *old = value.to_device(old.device())?;
                }
            }
        }
        Ok(())
    }

    /// A parameter's part of an array like the arena: the arena itself, or what was made of it.
    #[track_caller]
    pub(crate) fn part(&self, arena: &Tensor, id: ParamId) -> Result<Tensor> {
        self.entry(id)
            .map(|entry| arena.view(entry.offset, entry.shape))
    }

    /// All buffers with their names, in the order of declaration.
    pub fn buffers(&self) -> &[(String, Tensor)] {
        &self.buffers
    }

    /// A buffer's value.
    ///
    /// # Errors
    /// Where `id` belongs to `Params` of another layout.
    #[track_caller]
    pub fn buffer(&self, id: BufferId) -> Result<&Tensor> {
        match self.buffer_ids.get(id.index) {
            Some(own) if *own == id => Ok(&self.buffers[id.index].1),
            _ => Err(self.foreign("BufferId", id.index, self.buffer_ids.len())),
        }
    }

    /// Checks that `value` can be a buffer's: shape, dtype and device stay what they are.
    #[track_caller]
    pub(crate) fn check_buffer(&self, id: BufferId, value: &Tensor) -> Result<()> {
        let old = self.buffer(id)?;
        let facts = |x: &Tensor| (*x.shape(), x.dtype(), x.device());
        if facts(old) != facts(value) {
            let say = |x: &Tensor| format!("{} of {} on {}", x.shape(), x.dtype(), x.device());
            let expected = format!("{} for `{}`", say(old), self.buffers[id.index].0);
            return Err(Error::operand("update", "buffer", expected, say(value)));
        }
        Ok(())
    }

    /// Checks that the updates are of these parameters' buffers.
    #[track_caller]
    pub(crate) fn check_updates(&self, updates: &Updates) -> Result<()> {
        // No closure: the caller's line is wanted.
        for (id, value) in &updates.values {
            self.check_buffer(*id, value)?;
        }
        Ok(())
    }

    /// Overwrites buffers by what a training pass made of them, without a step of an optimizer, as
    /// when BatchNorm's statistics are measured anew for averaged weights. On a GPU they keep their
    /// places in memory, by which a recorded step knows them.
    ///
    /// # Errors
    /// Updates of a model with another layout, dtype or device, of which nothing is applied; those
    /// of a GPU.
    #[track_caller]
    pub fn apply(&mut self, updates: Updates) -> Result<()> {
        self.check_updates(&updates)?;
        for (id, value) in updates.values {
            let buffer = &mut self.buffers[id.index].1;
            match value.device() {
                Device::Cpu => *buffer = value,
                Device::Cuda(_) => buffer.on_device_mut()?.copy(value.on_device())?,
            }
        }
        Ok(())
    }

    /// Checks that every parameter and buffer is finite. Weights that are not compute nothing but
    /// NaN, whatever they are given.
    ///
    /// # Errors
    /// [`Error::NonFinite`], naming the first parameter or buffer with a value that is infinite or
    /// NaN; those of a GPU.
    pub fn check_finite(&self) -> Result<()> {
        let arena = self.arena.to_device(Device::Cpu)?;
        let values = self
            .entries
            .iter()
            .map(|entry| (&entry.name, arena.view(entry.offset, entry.shape)));
        for (name, value) in values.chain(
            self.buffers
                .iter()
                .map(|(name, value)| (name, value.clone())),
        ) {
            if let Some(value) = value.first_non_finite()? {
                return Err(Error::NonFinite(format!("`{name}` holds {value}")));
            }
        }
        Ok(())
    }

    /// Where the parameters are.
    pub fn device(&self) -> Device {
        self.arena.device()
    }

    /// Moves parameters and buffers to a device. Counters, which only the program reads, stay on
    /// the CPU.
    ///
    /// # Errors
    /// Where the device cannot be used, or its memory is full.
    pub fn to_device(&mut self, device: Device) -> Result<()> {
        self.arena = self.arena.to_device(device)?;
        for (_, buffer) in self
            .buffers
            .iter_mut()
            .filter(|(_, buffer)| buffer.dtype() != DType::I64)
        {
            *buffer = buffer.to_device(device)?;
        }
        Ok(())
    }

    /// Counts a batch in every counter: what a replayed step does not do.
    pub(crate) fn count_batch(&mut self) {
        for (_, counter) in self
            .buffers
            .iter_mut()
            .filter(|(_, buffer)| buffer.dtype() == DType::I64)
        {
            counter
                .data_mut::<i64>()
                .iter_mut()
                .for_each(|count| *count += 1);
        }
    }

    /// All parameters as one array, in the order of [`Params::entries`], each at its
    /// [`Entry::offset`]. It may be longer than [`Params::count`]: a parameter begins at a multiple
    /// of 16 elements, so that a GPU can load several at once, and up to 15 elements before it
    /// belong to none and are 0 (not a number after a step of Adam with an eps of 0). An array laid
    /// out like it, such as a sum of gradients, has the shape `params.arena().shape()`, and zeros
    /// at those places.
    pub fn arena(&self) -> &Tensor {
        &self.arena
    }

    /// The arena, to write. Where a graph or a caller still shares it, it is copied first: their
    /// values stay.
    pub(crate) fn arena_mut(&mut self) -> &mut Tensor {
        &mut self.arena
    }

    fn value(&self, i: usize) -> Tensor {
        self.arena
            .view(self.entries[i].offset, self.entries[i].shape)
    }

    fn write(&mut self, i: usize, value: &Tensor) -> Result<()> {
        if self.arena.is_absent() {
            return Ok(());
        }
        let Entry { offset, shape, .. } = self.entries[i];
        if self.device() != Device::Cpu {
            let value = value.to_device(self.device())?;
            return self
                .arena
                .on_device_mut()?
                .part(offset, shape.elements())
                .copy(value.on_device());
        }
        let value = value.to_device(Device::Cpu)?;
        dispatch_dtype!("params", self.dtype(), T in [f32, f64] => {
            self.arena.data_mut::<T>()[offset..offset + shape.elements()].copy_from_slice(value.as_slice::<T>()?);
        });
        Ok(())
    }
}
