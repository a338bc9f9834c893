//! Named weights in one arena.
//!
//! A model first declares its weights: names, shapes, how each begins. Then all are allocated at once, one after the
//! other in the order of the forward pass. So an optimizer updates one long array, a checkpoint is a map of names, and
//! a gradient norm is one loop.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{DType, Device, Error, Gradients, Result, Rng, Shape, Tensor, Var};

/// Names one parameter of one [`Params`]. Layers hold these instead of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParamId {
    owner: u64,
    index: usize,
}

/// Names one buffer: numbers that belong to a model but are not trained, such as BatchNorm's running statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferId {
    owner: u64,
    index: usize,
}

/// How a parameter begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Uniform in [-bound, bound).
    Uniform(f64),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// All elements the same.
    Constant(f64),
}

/// How a weight's axes are ordered in files, which follow PyTorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileLayout {
    /// As in memory.
    Same,
    /// A convolution's: `[a, kh, kw, b]` in memory, `[a, b, kh, kw]` in the file (OIHW, and IOHW for transposed ones).
    ChannelsFirst,
}

/// What an optimizer does with one parameter, relative to its own settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// Multiplies the learning rate.
    pub lr_scale: f64,
    /// Multiplies the weight decay.
    pub decay_scale: f64,
    /// Left as it is.
    pub frozen: bool,
}

impl Default for Group {
    fn default() -> Group {
        Group { lr_scale: 1.0, decay_scale: 1.0, frozen: false }
    }
}

/// One parameter's place in the arena.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its dotted name, `layers.3.reduction.weight`.
    pub name: String,
    /// Its shape in memory.
    pub shape: Shape,
    /// Where it starts in the arena, in elements.
    pub offset: usize,
    /// How it begins.
    pub init: Init,
    /// Its axes' order in files.
    pub layout: FileLayout,
    /// What optimizers do with it.
    pub group: Group,
}

/// Where a layer declares its weights, under a dotted prefix.
pub struct Names<'a> {
    plan: &'a mut Plan,
    prefix: String,
}

#[derive(Default)]
struct Plan {
    owner: u64,
    entries: Vec<Entry>,
    buffers: Vec<(String, Tensor)>,
    dtype: Option<DType>,
}

impl Names<'_> {
    /// Declarations below `name`: inside `within("layers.3")`, `weight` is `layers.3.weight`.
    pub fn within(&mut self, name: &str) -> Names<'_> {
        let prefix = self.full(name);
        Names { plan: self.plan, prefix }
    }

    /// The dotted name of `name` under the prefix.
    pub fn full(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.prefix) }
    }

    /// Declares a trained parameter.
    pub fn param(&mut self, name: &str, shape: impl Into<Shape>, init: Init, layout: FileLayout) -> ParamId {
        let (name, shape, index) = (self.full(name), shape.into(), self.plan.entries.len());
        self.plan.entries.push(Entry { name, shape, offset: 0, init, layout, group: Group::default() });
        ParamId { owner: self.plan.owner, index }
    }

    /// Declares a buffer of the parameters' dtype, filled with `value`.
    pub fn buffer(&mut self, name: &str, shape: impl Into<Shape>, value: f64) -> BufferId {
        let dtype = self.plan.dtype.unwrap_or(DType::F32);
        self.integer_or_float_buffer(name, Tensor::full(shape, value, dtype))
    }

    /// Declares a counter: a buffer of one i64, 0 at first.
    pub fn counter(&mut self, name: &str) -> BufferId {
        self.integer_or_float_buffer(name, Tensor::scalar(0i64))
    }

    fn integer_or_float_buffer(&mut self, name: &str, value: Tensor) -> BufferId {
        let (name, index) = (self.full(name), self.plan.buffers.len());
        self.plan.buffers.push((name, value));
        BufferId { owner: self.plan.owner, index }
    }
}

/// All parameters and buffers of a model.
///
/// ```
/// use wavemix::{DType, Params, Rng, params::{FileLayout, Init}};
/// let (weight, params) = Params::declare(DType::F32, &Rng::new(0), |names| {
///     Ok(names.within("head").param("weight", [10, 64], Init::Uniform(0.125), FileLayout::Same))
/// })?;
/// assert_eq!((params.count(), params.get("head.weight")?.shape().to_string()), (640, "[10, 64]".into()));
/// assert_eq!(params.entry(weight).name, "head.weight");
/// # Ok::<(), wavemix::Error>(())
/// ```
#[derive(Clone)]
pub struct Params {
    owner: u64,
    entries: Vec<Entry>,
    index: HashMap<String, usize>,
    arena: Tensor,
    buffers: Vec<(String, Tensor)>,
}

impl Params {
    /// Lets `build` declare a model's weights, then allocates and initialises them: parameter i from child i of `rng`.
    ///
    /// # Errors
    /// Those of `build`; a name declared twice; a dtype other than f32 or f64.
    pub fn declare<M>(dtype: DType, rng: &Rng, build: impl FnOnce(&mut Names) -> Result<M>) -> Result<(M, Params)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let owner = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut plan = Plan { owner, dtype: Some(dtype), ..Plan::default() };
        let model = build(&mut Names { plan: &mut plan, prefix: String::new() })?;
        let (mut index, mut count) = (HashMap::new(), 0usize);
        for (i, entry) in plan.entries.iter_mut().enumerate() {
            if index.insert(entry.name.clone(), i).is_some() {
                return Err(Error::Argument(format!("the parameter `{}` is declared twice", entry.name)));
            }
            let elements = Shape::new(&entry.shape)?.elements();
            entry.offset = count;
            count = count
                .checked_add(elements)
                .ok_or_else(|| Error::Argument(format!("the parameters up to `{}` are more than memory can hold", entry.name)))?;
        }
        let mut params = Params {
            owner,
            index,
            arena: Tensor::full_on(Device::Cpu, Shape::new(&[count])?, 0.0, dtype)?,
            entries: plan.entries,
            buffers: plan.buffers,
        };
        for i in 0..params.entries.len() {
            let (Entry { shape, init, .. }, rng) = (&params.entries[i], rng.child(i as u64));
            let value = match *init {
                Init::Uniform(bound) => Tensor::uniform(shape, -bound, bound, dtype, &rng),
                Init::Normal(std) => Tensor::normal(shape, 0.0, std, dtype, &rng),
                Init::Constant(value) => Tensor::full(shape, value, dtype),
            };
            params.write(i, &value)?;
        }
        Ok((model, params))
    }

    /// Number of trained numbers: what papers print as a model's size.
    pub fn count(&self) -> usize {
        self.arena.elements()
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
    /// # Panics
    /// Where `id` belongs to other `Params`.
    pub fn entry(&self, id: ParamId) -> &Entry {
        assert_eq!(id.owner, self.owner, "a ParamId belongs to the Params that declared it");
        &self.entries[id.index]
    }

    /// Sets what optimizers do with each parameter, by name.
    pub fn set_groups(&mut self, group: impl Fn(&str) -> Group) {
        for entry in &mut self.entries {
            entry.group = group(&entry.name);
        }
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
        buffer.map(|(_, value)| value.clone()).ok_or_else(|| Error::Argument(format!("no parameter or buffer is named `{name}`")))
    }

    /// Overwrites a parameter or buffer.
    ///
    /// # Errors
    /// Where there is none of that name, or its shape or dtype is another.
    #[track_caller]
    pub fn set(&mut self, name: &str, value: &Tensor) -> Result<()> {
        // The old value is let go at once: it shares the arena, and a shared arena is copied when written to.
        let (shape, dtype) = self.get(name).map(|old| (*old.shape(), old.dtype()))?;
        if (&shape, dtype) != (value.shape(), value.dtype()) {
            let expected = format!("{shape} of {dtype} for `{name}`");
            return Err(Error::operand("set", "value", expected, format!("{} of {}", value.shape(), value.dtype())));
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

    /// A parameter as the start of a history.
    pub fn var(&self, id: ParamId) -> Var {
        self.entry(id);
        Var::param(self.value(id.index), id)
    }

    /// A parameter as a constant.
    pub fn constant(&self, id: ParamId) -> Var {
        self.entry(id);
        Var::from(self.value(id.index))
    }

    /// A parameter's part of an array like the arena: the arena itself, or what was made of it.
    pub(crate) fn part(&self, arena: &Tensor, id: ParamId) -> Tensor {
        let entry = self.entry(id);
        arena.view(entry.offset, entry.shape)
    }

    /// All buffers with their names, in the order of declaration.
    pub fn buffers(&self) -> &[(String, Tensor)] {
        &self.buffers
    }

    /// A buffer's value.
    ///
    /// # Panics
    /// Where `id` belongs to other `Params`.
    pub fn buffer(&self, id: BufferId) -> &Tensor {
        assert_eq!(id.owner, self.owner, "a BufferId belongs to the Params that declared it");
        &self.buffers[id.index].1
    }

    /// Overwrites buffers by what a training pass made of them. On a GPU they keep their places in memory, by which a
    /// recorded step knows them.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn apply(&mut self, updates: Vec<(BufferId, Tensor)>) -> Result<()> {
        for (id, value) in updates {
            self.buffer(id);
            let buffer = &mut self.buffers[id.index].1;
            match value.device() {
                Device::Cpu => *buffer = value,
                Device::Cuda(_) => buffer.on_device_mut()?.copy(value.on_device())?,
            }
        }
        Ok(())
    }

    /// Checks that every parameter and buffer is finite. Weights that are not compute nothing but NaN, whatever they
    /// are given.
    ///
    /// # Errors
    /// [`Error::NonFinite`], naming the first parameter or buffer with a value that is infinite or NaN; those of a GPU.
    pub fn check_finite(&self) -> Result<()> {
        let arena = self.arena.to_device(Device::Cpu)?;
        let values = self.entries.iter().map(|entry| (&entry.name, arena.view(entry.offset, entry.shape)));
        for (name, value) in values.chain(self.buffers.iter().map(|(name, value)| (name, value.clone()))) {
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

    /// Moves parameters and buffers to a device. Counters, which only the program reads, stay on the processor.
    ///
    /// # Errors
    /// Where the device cannot be used, or its memory is full.
    pub fn to_device(&mut self, device: Device) -> Result<()> {
        self.arena = self.arena.to_device(device)?;
        for (_, buffer) in self.buffers.iter_mut().filter(|(_, buffer)| buffer.dtype() != DType::I64) {
            *buffer = buffer.to_device(device)?;
        }
        Ok(())
    }

    /// Counts a batch in every counter: what a replayed step does not do.
    pub(crate) fn count_batch(&mut self) {
        for (_, counter) in self.buffers.iter_mut().filter(|(_, buffer)| buffer.dtype() == DType::I64) {
            counter.data_mut::<i64>().iter_mut().for_each(|count| *count += 1);
        }
    }

    /// All parameters as one array, in the order of [`Params::entries`].
    pub fn arena(&self) -> &Tensor {
        &self.arena
    }

    /// The arena, to write. Where a graph or a caller still shares it, it is copied first: their values stay.
    pub(crate) fn arena_mut(&mut self) -> &mut Tensor {
        &mut self.arena
    }

    /// The gradients of all parameters as one array like the arena; 0 where the loss does not depend on one.
    ///
    /// # Errors
    /// Where the gradients are on another device.
    pub fn flatten(&self, gradients: &Gradients) -> Result<Tensor> {
        let mut flat = Tensor::full_on(self.device(), self.arena.shape(), 0.0, self.dtype())?;
        let given = self
            .entries
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| Some((entry, gradients.of_param(ParamId { owner: self.owner, index })?)));
        if self.device() == Device::Cpu {
            each_float!("flatten", self.dtype(), T => {
                let out = flat.data_mut::<T>();
                for (entry, dw) in given {
                    let dw = dw.cast(self.dtype())?;
                    out[entry.offset..entry.offset + entry.shape.elements()].copy_from_slice(dw.as_slice::<T>()?);
                }
            });
            return Ok(flat);
        }
        let pieces = given.map(|(entry, dw)| match dw.device() == self.device() {
            true => Ok((dw.on_device(), entry.offset)),
            false => Err(Error::operand("flatten", "gradients", format!("gradients on {}", self.device()), dw.device())),
        });
        let pieces = pieces.collect::<Result<Vec<_>>>()?;
        crate::cuda::cast::gather(&pieces, &mut flat.on_device_mut()?)?;
        Ok(flat)
    }

    fn value(&self, i: usize) -> Tensor {
        self.arena.view(self.entries[i].offset, self.entries[i].shape)
    }

    fn write(&mut self, i: usize, value: &Tensor) -> Result<()> {
        if self.arena.is_absent() {
            return Ok(());
        }
        let Entry { offset, shape, .. } = self.entries[i];
        if self.device() != Device::Cpu {
            let value = value.to_device(self.device())?;
            return self.arena.on_device_mut()?.part(offset, shape.elements()).copy(value.on_device());
        }
        let value = value.to_device(Device::Cpu)?;
        each_float!("params", self.dtype(), T => {
            self.arena.data_mut::<T>()[offset..offset + shape.elements()].copy_from_slice(value.as_slice::<T>()?);
        });
        Ok(())
    }
}
