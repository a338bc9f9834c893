//! Published sets as data sets, whether they are held in memory or read on demand.

use std::path::Path;
use std::sync::Arc;

use super::dataset::Dataset;
use super::loader::Loader;
use super::sets::Format;
use super::source::Source;
use crate::{Error, Result};

/// Training and test samples of a published set, and the constants that normalise both.
#[derive(Clone)]
pub struct Datasets {
    /// Samples to learn from.
    pub train: Arc<dyn Dataset>,
    /// Samples to be judged by.
    pub test: Arc<dyn Dataset>,
    /// Mean of each channel, in units of 0..1.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, in units of 0..1.
    pub std: Vec<f32>,
}

impl Datasets {
    /// Batches of so many normalised samples: of the training set, and of the test set.
    ///
    /// # Errors
    /// Those of [`Loader::new`].
    pub fn loaders(self, batch_size: usize) -> Result<(Loader, Loader)> {
        let loader = |data| Loader::new(data, batch_size)?.normalised(&self.mean, &self.std);
        Ok((loader(self.train)?, loader(self.test)?))
    }
}

impl Source {
    /// Both parts of the set from `dir`, in memory as [`Source::load`] has them, or decoded sample
    /// by sample where it is too large for that: then from its folders, or from the official
    /// archives where these are zips or plain tars.
    ///
    /// A sample is a picture of bytes `[h, w, 3]` and its class, an i64 `[]`; of Cityscapes an image
    /// and the class of each pixel, i64 `[h, w]`, one of 19, or 255 where it is not to be judged: a
    /// loss's `ignore_index`. Memory holds the names and places of the files, some 130 bytes each;
    /// of ImageNet 64x64 also the arrays that its files hold compressed, at most 15.7 GB. Of these
    /// sets the published files were not at hand: they are read in the formats that their publishers
    /// describe.
    ///
    /// Pictures have `size` rows and columns, or those that the papers of WaveMix use, resized as
    /// Pillow does (bilinear, without aliasing), whatever their aspect. Sets in memory are not
    /// resized.
    ///
    /// ```no_run
    /// use wavemix::data::Source;
    /// let (train, test) = Source::TinyImageNet.open("/data", None)?.loaders(64)?;
    /// let train = train.with_workers(4);
    /// # Ok::<(), wavemix::Error>(())
    /// ```
    ///
    /// # Errors
    /// Nothing or not everything there, or a malformed file; another size for a set in memory, one
    /// of 0 or of more than 2^26 pixels for others. A picture that cannot be read is the error of its
    /// sample.
    pub fn open(self, dir: impl AsRef<Path>, size: Option<[usize; 2]>) -> Result<Datasets> {
        let dir = dir.as_ref();
        let Format::OnDemand(set) = self.spec().format else {
            let pair = self.load(dir)?;
            let [h, w, _] = pair.train.size;
            if let Some([to_h, to_w]) = size.filter(|size| *size != [h, w]) {
                let title = self.title();
                let what = format!("{title} holds images of {h}x{w}, not {to_h}x{to_w}");
                return Err(Error::Argument(what));
            }
            return Ok(Datasets {
                train: Arc::new(pair.train),
                test: Arc::new(pair.test),
                mean: pair.mean,
                std: pair.std,
            });
        };
        let found = set.find(&self.title(), dir)?;
        let roots = found.ok_or_else(|| set.missing(&self.title(), dir))?;
        let parts = (set.open)(&roots, size.unwrap_or(set.size))?;
        let (mean, std) = self.statistics();
        Ok(Datasets {
            train: parts.train,
            test: parts.test,
            mean,
            std,
        })
    }
}
