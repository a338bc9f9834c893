//! `Loader`: batches of any data set, prepared on threads of their own.

use std::ops::Range;
use std::sync::Arc;

use super::batches::{Batch, Batches};
use super::dataset::{Dataset, Form, Sample};
use super::normalise::{Constants, Normalisation};
use super::{Augment, collate};
use crate::{DType, Device, Error, Result, Rng, Shape};

/// Channels that a grey one is repeated to, at most: far more than any model here sees.
const MOST_CHANNELS: usize = 1 << 16;

/// Makes batches of a data set.
///
/// What a batch holds is a function of the seed, the epoch and its number: neither threads nor an
/// interruption change it.
///
/// ```
/// use wavemix::{Rng, data::{ImageSet, Loader}};
/// let set = ImageSet::new("two dots", [1, 1, 1], vec![0, 255], vec![0, 1], vec!["black".into(), "white".into()])?;
/// let loader = Loader::new(set, 64)?.normalised(&[0.5], &[0.5])?;
/// for epoch in 0..3 {
///     for batch in loader.epoch(&Rng::new(7), epoch, 0)? {
///         assert_eq!(batch?.inputs.shape()[..], [2, 1, 1, 1]);
///     }
/// }
/// # Ok::<(), wavemix::Error>(())
/// ```
#[derive(Clone)]
pub struct Loader {
    data: Arc<dyn Dataset>,
    batch_size: usize,
    workers: usize,
    /// What every sample looks like, as the first one does.
    form: Form,
    /// Channels that a model sees, where inputs are images.
    channels: usize,
    normalisation: Option<Normalisation>,
    augment: Augment,
    /// Whether batches hold the bytes themselves, to be normalised on their device.
    bytes: bool,
    /// Whether a last batch of one sample joins the one before.
    joining: bool,
}

impl Loader {
    /// Batches of `batch_size` samples (the last one of an epoch may be smaller), as they are.
    /// Data that are shared can be given as an `Arc`.
    ///
    /// # Errors
    /// A set that is empty, or that [`Dataset::check`] refuses; a first sample that cannot be read;
    /// a batch size of 0.
    pub fn new(data: impl Dataset + 'static, batch_size: usize) -> Result<Loader> {
        data.check()?;
        if data.is_empty() {
            return Err(Error::Argument(format!(
                "{}: no samples to make batches of",
                data.name()
            )));
        }
        if batch_size == 0 {
            return Err(Error::Argument("a batch needs at least one sample".into()));
        }
        let form = Form::of(&data.sample(0)?);
        Ok(Loader {
            data: Arc::new(data),
            batch_size,
            workers: 1,
            channels: form.input.0.last().copied().unwrap_or(1),
            form,
            normalisation: None,
            augment: Augment::default(),
            bytes: false,
            joining: false,
        })
    }

    /// The same with images normalised: f32, `(x - mean) / std` in each channel, the last axis,
    /// with `mean` and `std` in units of 0..1; bytes are divided by 255 first.
    ///
    /// # Errors
    /// Inputs that are neither bytes nor f32, constants for another number of channels, a deviation
    /// that is not above 0.
    pub fn normalised(mut self, mean: &[f32], std: &[f32]) -> Result<Loader> {
        let (name, (shape, dtype)) = (self.data.name(), self.form.input);
        if !matches!(dtype, DType::U8 | DType::F32) {
            return Err(Error::Argument(format!(
                "{name}: inputs of u8 and of f32 are normalised, not of {dtype}"
            )));
        }
        let channels = shape.last().copied().unwrap_or(1);
        self.normalisation = Some(Normalisation::new(name, channels, mean, std)?);
        Ok(self)
    }

    /// The same with this many channels: those of the data, or any number made of one grey channel
    /// by repetition.
    ///
    /// # Errors
    /// Another number for data in colour; images of more than 65,536 channels.
    pub fn with_channels(mut self, channels: usize) -> Result<Loader> {
        let (name, own) = (self.data.name(), self.form.input.0.last().map_or(1, |&c| c));
        if channels == 0 || (channels != own && own != 1) {
            return Err(Error::Argument(format!(
                "{name}: {own} channels cannot be made {channels}"
            )));
        }
        if channels > own.max(MOST_CHANNELS) {
            return Err(Error::Argument(format!(
                "{name}: at most {MOST_CHANNELS} channels are made of one, not {channels}"
            )));
        }
        self.channels = channels;
        Ok(self)
    }

    /// The same with these random changes to the images of [`epoch`](Self::epoch). A target that
    /// has a value for each pixel, `[h, w, ..]`, is changed alike; where a crop reaches beyond it
    /// an i64 becomes what the data set says that losses ignore ([`Dataset::ignore_index`]), or
    /// else -100, which PyTorch's do.
    pub fn with_augment(self, augment: Augment) -> Loader {
        Loader { augment, ..self }
    }

    /// The same with this many threads that prepare batches, for data whose samples take long to
    /// read; one unless set, 0 counts as one. Each is up to two batches ahead.
    #[doc(alias = "num_workers")]
    pub fn with_workers(self, workers: usize) -> Loader {
        Loader { workers, ..self }
    }

    /// The same, but with images as bytes, a quarter as many to move: [`Constants::normalised`]
    /// makes numbers of them.
    pub fn as_bytes(self) -> Loader {
        Loader {
            bytes: true,
            ..self
        }
    }

    /// The same, but a last batch of a single sample joins the one before it, which so has one more
    /// than the batch size: what BatchNorm asks for where a map has a single pixel, since one value
    /// has no variance. Other batches stay as they are; so does a set of one sample, and all
    /// batches of a batch size of 1.
    pub fn joining_a_single_sample(self) -> Loader {
        Loader {
            joining: true,
            ..self
        }
    }

    /// The same with batches of another size, which is not 0.
    pub(crate) fn with_batch_size(self, batch_size: usize) -> Loader {
        Loader { batch_size, ..self }
    }

    /// What makes numbers of its bytes, on `device`.
    ///
    /// # Errors
    /// A loader without [`Loader::normalised`]; those of a GPU.
    pub fn constants(&self, device: Device) -> Result<Constants> {
        let Some(normalisation) = &self.normalisation else {
            return Err(Error::Argument(format!(
                "{}: no mean and deviation were given to normalise with",
                self.data.name()
            )));
        };
        normalisation.constants(device, self.channels)
    }

    /// The samples it takes from.
    pub fn data(&self) -> &dyn Dataset {
        &*self.data
    }

    /// The shape of one input in a batch: of images, height, width and channels.
    pub fn input_shape(&self) -> Shape {
        let shape = self.form.input.0;
        match shape.len() {
            0 => shape,
            rank => shape.with(rank - 1, self.channels),
        }
    }

    /// The type of the inputs in a batch: f32 where images are normalised, else that of the samples.
    pub fn input_dtype(&self) -> DType {
        if self.normalisation.is_some() && !self.bytes {
            DType::F32
        } else {
            self.form.input.1
        }
    }

    /// Whether it makes f32 of bytes, which a device can do as well: see [`Loader::as_bytes`].
    pub(crate) fn normalises_bytes(&self) -> bool {
        self.form.input.1 == DType::U8 && self.input_dtype() == DType::F32
    }

    /// Mean and standard deviation of each channel, where images are normalised, in units of 0..1.
    pub fn normalisation(&self) -> Option<(&[f32], &[f32])> {
        self.normalisation.as_ref().map(Normalisation::statistics)
    }

    /// Samples in a batch. The last one of an epoch may have fewer.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// Number of batches in an epoch.
    pub fn batches(&self) -> usize {
        let (samples, size) = (self.data.len(), self.batch_size);
        let joins = self.joining && size > 1 && samples > size && samples % size == 1;
        samples.div_ceil(size) - usize::from(joins)
    }

    /// The sizes that batches of an epoch have: that of all but the last, and that of the last.
    pub fn batch_sizes(&self) -> Vec<usize> {
        let (last, others) = (self.batches() - 1, self.batch_size);
        let mut sizes = vec![self.data.len() - last * others];
        if last > 0 && sizes[0] != others {
            sizes.insert(0, others);
        }
        sizes
    }

    /// All samples in a random order that depends on `rng`'s stream and `epoch` alone, without the
    /// first `start` batches (those that an interrupted epoch has had).
    ///
    /// # Errors
    /// The system has no thread to give. A sample that cannot be read is the error of its batch.
    pub fn epoch(&self, rng: &Rng, epoch: u64, start: usize) -> Result<Batches> {
        let rng = rng.child(epoch);
        let order = rng.clone().permutation(self.data.len());
        self.start(order, start, rng)
    }

    /// All samples in their order and unchanged, for evaluation.
    ///
    /// # Errors
    /// As [`Loader::epoch`].
    pub fn in_order(&self) -> Result<Batches> {
        let plain = self.clone().with_augment(Augment::default());
        plain.start((0..self.data.len()).collect(), 0, Rng::new(0))
    }

    fn start(&self, order: Vec<usize>, start: usize, rng: Rng) -> Result<Batches> {
        let loader = self.clone();
        let make = move |i: usize| loader.batch(&order[loader.range(i)], &rng);
        Batches::start(start..self.batches(), self.workers.max(1), make)
    }

    /// Where batch `i` lies in the order of an epoch's samples.
    fn range(&self, i: usize) -> Range<usize> {
        let start = i * self.batch_size;
        start..if i + 1 == self.batches() {
            self.data.len()
        } else {
            start + self.batch_size
        }
    }

    /// The samples of these numbers as one batch.
    fn batch(&self, indices: &[usize], rng: &Rng) -> Result<Batch> {
        let samples: Vec<(usize, Sample)> = indices
            .iter()
            .map(|&i| Ok((i, self.sample(i)?)))
            .collect::<Result<_>>()?;
        let how = collate::Images {
            channels: self.channels,
            normalisation: self.normalisation.as_ref().filter(|_| !self.bytes),
            augment: &self.augment,
            no_class: self.data.ignore_index().unwrap_or(collate::NO_CLASS),
            rng,
        };
        Ok(Batch {
            inputs: collate::inputs(&samples, &self.form, &how)?,
            targets: collate::targets(&samples, &self.form, &how),
        })
    }

    /// A sample of the form that all have, on the CPU.
    fn sample(&self, i: usize) -> Result<Sample> {
        let name = self.data.name();
        let sample = self.data.sample(i);
        let mut sample =
            sample.map_err(|e| Error::Argument(format!("sample {i} of {name}: {e}")))?;
        let form = Form::of(&sample);
        if form != self.form {
            let say = |form: &Form| {
                let ((input, a), (target, b)) = (form.input, form.target);
                format!("input {input} of {a}, target {target} of {b}")
            };
            return Err(Error::Argument(format!(
                "{name}: sample {i} has {}; the first one {}",
                say(&form),
                say(&self.form)
            )));
        }
        for tensor in [&mut sample.input, &mut sample.target] {
            if tensor.device() != Device::Cpu {
                *tensor = tensor.to_device(Device::Cpu)?;
            }
        }
        Ok(sample)
    }
}
