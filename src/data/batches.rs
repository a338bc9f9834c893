//! Batches of a data set, prepared one or two ahead on a thread of their own, so that the model
//! never waits for them.
//!
//! What a batch holds is a function of the seed, the epoch and its number: neither threads nor an
//! interruption change it.

use super::{Augment, ImageSet};
use crate::{DType, Device, Error, Result, Rng, Shape, Tensor, Var};
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

/// Batches that are ready while the model works on another one.
const AHEAD: usize = 2;

/// Channels that a grey one is repeated to, at most: far more than any model here sees.
const MOST_CHANNELS: usize = 1 << 16;

/// Some images and what they show.
#[derive(Clone)]
pub struct Batch {
    /// `(pixel / 255 - mean) / std`, f32 `[n, height, width, channels]`; or the bytes, see
    /// [`Loader::as_bytes`].
    pub images: Tensor,
    /// Class indices, i64 `[n]`.
    pub labels: Tensor,
}

/// Makes batches of a data set.
///
/// ```
/// use std::sync::Arc;
/// use wavemix::{Rng, data::{ImageSet, Loader}};
/// let set = ImageSet::new("two dots", [1, 1, 1], vec![0, 255], vec![0, 1], vec!["black".into(), "white".into()])?;
/// let loader = Loader::new(Arc::new(set), 64, &[0.5], &[0.5])?;
/// for epoch in 0..3 {
///     for batch in loader.epoch(&Rng::new(7), epoch, 0)? {
///         assert_eq!(batch.images.shape()[..], [2, 1, 1, 1]);
///     }
/// }
/// # Ok::<(), wavemix::Error>(())
/// ```
#[derive(Clone)]
pub struct Loader {
    data: Arc<ImageSet>,
    batch_size: usize,
    /// Channels that a model sees.
    channels: usize,
    /// For each channel of the data, what each of its 256 bytes becomes.
    tables: Vec<[f32; 256]>,
    augment: Augment,
    /// Whether batches hold the bytes themselves.
    bytes: bool,
    /// Whether a last batch of one image joins the one before.
    joining: bool,
}

/// What makes numbers of an image's bytes: for each channel a factor and what is added.
pub struct Constants {
    scale: Tensor,
    shift: Tensor,
}

impl Constants {
    /// (byte / 255 - mean) / std, in this type, of images `[.., channels]` of bytes.
    ///
    /// # Errors
    /// Images on another device than the constants; those of a GPU.
    pub fn normalised(&self, images: &Tensor, dtype: DType) -> Result<Tensor> {
        if images.device() != Device::Cpu && images.device() == self.scale.device() {
            return images.build_on_same_device(images.shape(), dtype, |y| {
                crate::cuda::cast::images(
                    images.on_device(),
                    self.scale.on_device(),
                    self.shift.on_device(),
                    y,
                )
            });
        }
        let [scale, shift] = [&self.scale, &self.shift].map(Var::from);
        (&Var::from(images.cast(DType::F32)?) * &scale + &shift)?
            .into_value()
            .cast(dtype)
    }
}

impl Loader {
    /// Batches of `batch_size` images (the last one of an epoch may be smaller), normalised by the
    /// `mean` and `std` of each channel, in units of 0..1.
    ///
    /// # Errors
    /// A set that is empty or whose fields do not agree, a batch size of 0, constants for another
    /// number of channels, a deviation that is not above 0.
    pub fn new(data: Arc<ImageSet>, batch_size: usize, mean: &[f32], std: &[f32]) -> Result<Self> {
        data.check()?;
        let (name, c) = (&data.name, data.size[2]);
        if data.is_empty() {
            return Err(Error::Argument(format!(
                "{name}: no images to make batches of"
            )));
        }
        if batch_size == 0 {
            return Err(Error::Argument("a batch needs at least one image".into()));
        }
        if mean.len() != c || std.len() != c {
            let (mean, std) = (mean.len(), std.len());
            return Err(Error::Argument(format!(
                "{name}: {mean} means and {std} deviations for {c} channels"
            )));
        }
        if let Some(bad) = std.iter().find(|&&s| !s.is_finite() || s <= 0.0) {
            return Err(Error::Argument(format!(
                "{name}: a standard deviation must be above 0, got {bad}"
            )));
        }
        let table = |(m, s): (&f32, &f32)| std::array::from_fn(|v| (v as f32 / 255.0 - m) / s);
        let tables = mean.iter().zip(std).map(table).collect();
        Ok(Loader {
            channels: c,
            data,
            batch_size,
            tables,
            augment: Augment::default(),
            bytes: false,
            joining: false,
        })
    }

    /// The same with this many channels: those of the data, or any number made of one grey channel
    /// by repetition.
    ///
    /// # Errors
    /// Another number for data in colour; images of more than 65,536 channels.
    pub fn with_channels(mut self, channels: usize) -> Result<Self> {
        let (name, own) = (&self.data.name, self.data.size[2]);
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

    /// The same with these random changes to the images of [`epoch`](Self::epoch).
    pub fn with_augment(self, augment: Augment) -> Self {
        Loader { augment, ..self }
    }

    /// The same, but with images as bytes, a quarter as many to move: [`Constants::normalised`]
    /// makes numbers of them.
    pub fn as_bytes(self) -> Self {
        Loader {
            bytes: true,
            ..self
        }
    }

    /// The same, but a last batch of a single image joins the one before it, which so has one more
    /// than the batch size: what BatchNorm asks for where a map has a single pixel, since one value
    /// has no variance. Other batches stay as they are; so does a set of one image, and all batches
    /// of a batch size of 1.
    pub fn joining_a_single_image(self) -> Self {
        Loader {
            joining: true,
            ..self
        }
    }

    /// What makes numbers of its bytes, on `device`.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn constants(&self, device: Device) -> Result<Constants> {
        // The tables are straight lines: 0 is where they begin, 255 where they end.
        let tables =
            || (0..self.channels).map(|channel| &self.tables[channel.min(self.tables.len() - 1)]);
        let shift = tables().map(|table| table[0]).collect();
        let scale = tables()
            .map(|table| ((f64::from(table[255]) - f64::from(table[0])) / 255.0) as f32)
            .collect();
        let there = |values| Tensor::from_vec(values, [self.channels])?.to_device(device);
        Ok(Constants {
            scale: there(scale)?,
            shift: there(shift)?,
        })
    }

    /// The images it takes from.
    pub fn data(&self) -> &ImageSet {
        &self.data
    }

    /// Height, width and channels of the images in a batch.
    pub fn size(&self) -> [usize; 3] {
        [self.data.size[0], self.data.size[1], self.channels]
    }

    /// Number of batches in an epoch.
    pub fn batches(&self) -> usize {
        let (images, size) = (self.data.len(), self.batch_size);
        let joins = self.joining && size > 1 && images > size && images % size == 1;
        images.div_ceil(size) - usize::from(joins)
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

    /// Where batch `i` lies in the order of an epoch's images.
    fn range(&self, i: usize) -> Range<usize> {
        let start = i * self.batch_size;
        start..if i + 1 == self.batches() {
            self.data.len()
        } else {
            start + self.batch_size
        }
    }

    /// All images in a random order that depends on `rng`'s stream and `epoch` alone, without the
    /// first `start` batches (those that an interrupted epoch has had).
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn epoch(&self, rng: &Rng, epoch: u64, start: usize) -> Result<Batches> {
        let rng = rng.child(epoch);
        let order = rng.clone().permutation(self.data.len());
        Batches::start(self.clone(), order, start, rng)
    }

    /// All images in their order and unchanged, for evaluation.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn in_order(&self) -> Result<Batches> {
        let plain = self.clone().with_augment(Augment::default());
        Batches::start(plain, (0..self.data.len()).collect(), 0, Rng::new(0))
    }

    fn batch(&self, indices: &[usize], rng: &Rng) -> Batch {
        let [h, w, _] = self.data.size;
        let shape = Shape::from([indices.len(), h, w, self.channels]);
        let images = match self.bytes {
            true => Tensor::build(shape, |out: &mut [u8]| {
                self.fill(indices, rng, out, |_, byte| byte)
            }),
            false => Tensor::build(shape, |out: &mut [f32]| {
                let last = self.tables.len() - 1;
                self.fill(indices, rng, out, |channel, byte| {
                    self.tables[channel.min(last)][usize::from(byte)]
                });
            }),
        };
        let labels = Tensor::build(Shape::from([indices.len()]), |out: &mut [i64]| {
            out.iter_mut()
                .zip(indices)
                .for_each(|(out, &i)| *out = self.data.labels[i]);
        });
        Batch { images, labels }
    }
}

impl Loader {
    /// Writes the images one after the other, each byte as `number(channel, byte)`.
    fn fill<T>(
        &self,
        indices: &[usize],
        rng: &Rng,
        out: &mut [T],
        number: impl Fn(usize, u8) -> T,
    ) {
        let ([h, w, c], wide) = (self.data.size, self.channels);
        let mut changed = vec![0; h * w * c];
        for (&i, out) in indices
            .iter()
            .zip(out.chunks_exact_mut((h * w * wide).max(1)))
        {
            self.augment.change(
                self.data.image(i),
                self.data.size,
                &rng.child(i as u64),
                &mut changed,
            );
            for (pixel, out) in changed
                .chunks_exact(c.max(1))
                .zip(out.chunks_exact_mut(wide))
            {
                // One grey value serves all channels; colours have one each.
                out.iter_mut()
                    .enumerate()
                    .for_each(|(channel, out)| *out = number(channel, pixel[channel.min(c - 1)]));
            }
        }
    }
}

/// The batches of one epoch, as they come from the thread that prepares them. Dropped early, it
/// stops that thread.
pub struct Batches {
    /// Taken away on drop, which is how the thread learns that no one listens.
    receiver: Option<Receiver<Batch>>,
    thread: Option<JoinHandle<()>>,
    left: usize,
}

impl Batches {
    fn start(loader: Loader, order: Vec<usize>, start: usize, rng: Rng) -> Result<Self> {
        let left = loader.batches().saturating_sub(start);
        // The thread holds one batch that is done while it waits for room, the channel the others.
        let (sender, receiver) = sync_channel(AHEAD - 1);
        let work = move || {
            for i in start..loader.batches() {
                if sender
                    .send(loader.batch(&order[loader.range(i)], &rng))
                    .is_err()
                {
                    break;
                }
            }
        };
        let thread = thread::Builder::new().name("batches".into()).spawn(work);
        let thread =
            thread.map_err(|e| Error::Device(format!("no thread to prepare batches on: {e}")))?;
        Ok(Batches {
            receiver: Some(receiver),
            thread: Some(thread),
            left,
        })
    }
}

impl Iterator for Batches {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let received = self.receiver.as_ref()?.recv().ok();
        if received.is_none() {
            // The thread ended before its last batch, so it panicked; a silently shorter epoch
            // would hide that.
            if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
                resume_unwind(panic);
            }
        }
        received
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Batches {}

impl Drop for Batches {
    fn drop(&mut self) {
        self.receiver = None;
        // A panic in there has printed itself, and dropping must not be a second one.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
