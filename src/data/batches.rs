//! Batches of a data set, prepared one or two ahead on a thread of their own, so that the model never waits for them.
//!
//! What a batch holds is a function of the seed, the epoch and its number: neither threads nor an interruption change it.

use super::{Augment, Dataset};
use crate::{Error, Result, Rng, Shape, Tensor};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

/// Batches that are ready while the model works on another one.
const AHEAD: usize = 2;

/// Some images and what they show.
#[derive(Clone)]
pub struct Batch {
    /// `(pixel / 255 - mean) / std`, f32 `[n, height, width, channels]`.
    pub images: Tensor,
    /// Class indices, i64 `[n]`.
    pub labels: Tensor,
}

/// Makes batches of a data set.
///
/// ```
/// use std::sync::Arc;
/// use wavemix::{Rng, data::{Dataset, Loader}};
/// let set = Dataset::new("two dots", [1, 1, 1], vec![0, 255], vec![0, 1], vec!["black".into(), "white".into()])?;
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
    data: Arc<Dataset>,
    batch_size: usize,
    /// For each channel that a model sees, what each of the 256 bytes becomes.
    tables: Vec<[f32; 256]>,
    augment: Augment,
}

impl Loader {
    /// Batches of `batch_size` images (the last one of an epoch may be smaller), normalised by the `mean` and `std` of each
    /// channel, in units of 0..1.
    ///
    /// # Errors
    /// An empty set, a batch size of 0, constants for another number of channels, a deviation that is not above 0.
    pub fn new(data: Arc<Dataset>, batch_size: usize, mean: &[f32], std: &[f32]) -> Result<Self> {
        let (name, c) = (&data.name, data.size[2]);
        if data.is_empty() {
            return Err(Error::Argument(format!("{name}: no images to make batches of")));
        }
        if batch_size == 0 {
            return Err(Error::Argument("a batch needs at least one image".into()));
        }
        if mean.len() != c || std.len() != c {
            let (mean, std) = (mean.len(), std.len());
            return Err(Error::Argument(format!("{name}: {mean} means and {std} deviations for {c} channels")));
        }
        if let Some(bad) = std.iter().find(|&&s| !s.is_finite() || s <= 0.0) {
            return Err(Error::Argument(format!("{name}: a standard deviation must be above 0, got {bad}")));
        }
        let table = |(m, s): (&f32, &f32)| std::array::from_fn(|v| (v as f32 / 255.0 - m) / s);
        let tables = mean.iter().zip(std).map(table).collect();
        Ok(Loader { data, batch_size, tables, augment: Augment::default() })
    }

    /// The same with this many channels: those of the data, or any number made of one grey channel by repetition.
    ///
    /// # Errors
    /// Another number for data in colour.
    pub fn with_channels(mut self, channels: usize) -> Result<Self> {
        let (name, own) = (&self.data.name, self.data.size[2]);
        if channels == 0 || (channels != own && own != 1) {
            return Err(Error::Argument(format!("{name}: {own} channels cannot be made {channels}")));
        }
        self.tables.resize(channels, self.tables[0]);
        Ok(self)
    }

    /// The same with these random changes to the images of [`epoch`](Self::epoch).
    pub fn with_augment(self, augment: Augment) -> Self {
        Loader { augment, ..self }
    }

    /// The images it takes from.
    pub fn data(&self) -> &Dataset {
        &self.data
    }

    /// Height, width and channels of the images in a batch.
    pub fn size(&self) -> [usize; 3] {
        [self.data.size[0], self.data.size[1], self.tables.len()]
    }

    /// Number of batches in an epoch.
    pub fn batches(&self) -> usize {
        self.data.len().div_ceil(self.batch_size)
    }

    /// All images in a random order that depends on `rng`'s stream and `epoch` alone, without the first `start` batches
    /// (those that an interrupted epoch has had).
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
        let [h, w, c] = self.data.size;
        let wide = self.tables.len();
        let mut changed = vec![0; h * w * c];
        let images = Tensor::build(Shape::from([indices.len(), h, w, wide]), |out: &mut [f32]| {
            for (&i, out) in indices.iter().zip(out.chunks_exact_mut((h * w * wide).max(1))) {
                self.augment.change(self.data.image(i), self.data.size, &rng.child(i as u64), &mut changed);
                for (pixel, out) in changed.chunks_exact(c.max(1)).zip(out.chunks_exact_mut(wide)) {
                    // One grey value serves all channels; colours have one each.
                    for (channel, (out, table)) in out.iter_mut().zip(&self.tables).enumerate() {
                        *out = table[usize::from(pixel[channel.min(c - 1)])];
                    }
                }
            }
        });
        let labels = Tensor::build(Shape::from([indices.len()]), |out: &mut [i64]| {
            out.iter_mut().zip(indices).for_each(|(out, &i)| *out = i64::from(self.data.labels[i]));
        });
        Batch { images, labels }
    }
}

/// The batches of one epoch, as they come from the thread that prepares them. Dropped early, it stops that thread.
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
            for indices in order.chunks(loader.batch_size).skip(start) {
                if sender.send(loader.batch(indices, &rng)).is_err() {
                    break;
                }
            }
        };
        let thread = thread::Builder::new().name("batches".into()).spawn(work);
        let thread = thread.map_err(|e| Error::Device(format!("no thread to prepare batches on: {e}")))?;
        Ok(Batches { receiver: Some(receiver), thread: Some(thread), left })
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
            // The thread ended before its last batch, so it panicked; a silently shorter epoch would hide that.
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
