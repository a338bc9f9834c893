//! `Dataset`: samples by their numbers, wherever they come from.

use std::sync::Arc;

use super::preparation::Preparation;
use crate::{DType, Device, Error, Result, Shape, Tensor};

/// One sample: what a model is given, and what it should answer.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The input: an image `[h, w, c]` of bytes or floats, or whatever the model takes.
    pub input: Tensor,
    /// The target: a class as an i64 `[]`, a class for each pixel as i64 `[h, w]`, values to
    /// predict as floats.
    pub target: Tensor,
}

/// The shapes and types of a sample.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Form {
    pub input: (Shape, DType),
    pub target: (Shape, DType),
}

impl Form {
    pub fn of(sample: &Sample) -> Form {
        let form = |x: &Tensor| (*x.shape(), x.dtype());
        Form {
            input: form(&sample.input),
            target: form(&sample.target),
        }
    }
}

/// A set of samples, numbered from 0: in memory, or read when they are asked for.
///
/// A [`Loader`](crate::data::Loader) makes batches of any of them, and asks on its own threads.
///
/// ```
/// use wavemix::data::{Dataset, Sample};
/// use wavemix::prelude::*;
///
/// /// Points of a parabola.
/// struct Parabola;
///
/// impl Dataset for Parabola {
///     fn len(&self) -> usize {
///         100
///     }
///
///     fn sample(&self, index: usize) -> Result<Sample> {
///         let x = index as f32 / 50.0 - 1.0;
///         Ok(Sample {
///             input: Tensor::from_vec(vec![x], 1)?,
///             target: Tensor::from_vec(vec![x * x], 1)?,
///         })
///     }
/// }
///
/// for batch in Loader::new(Parabola, 32)?.epoch(&Rng::new(0), 0, 0)? {
///     let batch = batch?;
///     assert_eq!(batch.inputs.shape(), batch.targets.shape());
/// }
/// # Ok::<(), wavemix::Error>(())
/// ```
#[doc(alias = "torch.utils.data.Dataset")]
pub trait Dataset: Send + Sync {
    /// Number of samples.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sample number `index`, which is below [`Dataset::len`]. All samples have inputs of one shape
    /// and type, and targets of one shape and type.
    ///
    /// # Errors
    /// A sample that cannot be read; the message names it.
    fn sample(&self, index: usize) -> Result<Sample>;

    /// What it is, for messages.
    fn name(&self) -> &str {
        "the data set"
    }

    /// The names of its classes, where targets are classes.
    fn classes(&self) -> &[String] {
        &[]
    }

    /// The target of what has no class, such as a pixel that is not to be judged: a loss's
    /// `ignore_index`. A random crop fills label maps with it where it reaches beyond the image.
    fn ignore_index(&self) -> Option<i64> {
        None
    }

    /// How its images are made of pictures of any size, where they are: weight files say it, so that
    /// other pictures are read likewise.
    fn preparation(&self) -> Option<Preparation> {
        None
    }

    /// What it is, in one line, so that a run that goes on can tell whether it goes on with the
    /// same samples. Unless you write one, it knows the name and the number of samples alone.
    fn fingerprint(&self) -> String {
        format!("{}: {} samples", self.name(), self.len())
    }

    /// Whether it can be used at all: asked once, by [`Loader::new`](crate::data::Loader::new).
    ///
    /// # Errors
    /// What is wrong with it.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

impl<D: Dataset + ?Sized> Dataset for Arc<D> {
    fn len(&self) -> usize {
        (**self).len()
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        (**self).sample(index)
    }

    fn name(&self) -> &str {
        (**self).name()
    }

    fn classes(&self) -> &[String] {
        (**self).classes()
    }

    fn ignore_index(&self) -> Option<i64> {
        (**self).ignore_index()
    }

    fn preparation(&self) -> Option<Preparation> {
        (**self).preparation()
    }

    fn fingerprint(&self) -> String {
        (**self).fingerprint()
    }

    fn check(&self) -> Result<()> {
        (**self).check()
    }
}

/// Samples that are the rows of two tensors in memory.
///
/// ```
/// use wavemix::data::TensorDataset;
/// use wavemix::prelude::*;
/// let x = Tensor::normal([10, 3], 0.0, 1.0, DType::F32, &Rng::new(0));
/// let y = Tensor::zeros([10, 1], DType::F32);
/// let loader = Loader::new(TensorDataset::new(x, y)?, 4)?;
/// assert_eq!(loader.batches(), 3);
/// # Ok::<(), wavemix::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TensorDataset {
    inputs: Tensor,
    targets: Tensor,
}

impl TensorDataset {
    /// A set of n samples, of inputs `[n, ..]` and targets `[n, ..]`.
    ///
    /// # Errors
    /// Tensors without a first axis, or with different ones; those of a GPU.
    #[track_caller]
    pub fn new(inputs: Tensor, targets: Tensor) -> Result<TensorDataset> {
        let rows = |x: &Tensor| x.shape().first().copied();
        if rows(&inputs).is_none() || rows(&inputs) != rows(&targets) {
            return Err(Error::operand(
                "TensorDataset",
                "targets",
                format!("as many rows as inputs, {}", inputs.shape()),
                targets.shape(),
            ));
        }
        Ok(TensorDataset {
            inputs: inputs.to_device(Device::Cpu)?,
            targets: targets.to_device(Device::Cpu)?,
        })
    }
}

impl Dataset for TensorDataset {
    fn len(&self) -> usize {
        self.inputs.shape()[0]
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        let row = |x: &Tensor| x.rows(index..index + 1)?.reshape(&x.shape()[1..]);
        Ok(Sample {
            input: row(&self.inputs)?,
            target: row(&self.targets)?,
        })
    }

    /// Shapes and types, and a hash of the elements.
    fn fingerprint(&self) -> String {
        let say = |x: &Tensor| {
            let hash = hash(x.as_bytes().chunks(8).map(|chunk| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                u64::from_le_bytes(word)
            }));
            format!("{} of {}, {hash:016x}", x.shape(), x.dtype())
        };
        format!(
            "inputs {}; targets {}",
            say(&self.inputs),
            say(&self.targets)
        )
    }
}

/// Samples whose content a fingerprint looks at, where reading all would take long.
const LOOKED_AT: usize = 16;

/// A hash of the content of some of `count` samples, spread evenly, as `read` gives it. What cannot
/// be read counts as empty: that is told where it is wanted as a sample.
pub(super) fn hash_contents(count: usize, read: impl Fn(usize) -> Result<Vec<u8>>) -> u64 {
    let step = count.div_ceil(LOOKED_AT).max(1);
    hash((0..count).step_by(step).flat_map(|i| {
        let content = read(i).unwrap_or_default();
        let length = content.len() as u64;
        content.into_iter().map(u64::from).chain([length])
    }))
}

/// 64 bits of these words, FNV-1a: against accidents.
pub(super) fn hash(words: impl Iterator<Item = u64>) -> u64 {
    words.fold(0xcbf2_9ce4_8422_2325, |hash, word| {
        (hash ^ word).wrapping_mul(0x100_0000_01b3)
    })
}
