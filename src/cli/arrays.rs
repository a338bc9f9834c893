//! A user's own labelled images as the data of a run, where they are arrays: NumPy's files, or CSV
//! tables.

use super::{Settings, splits};
use crate::data::{ImageArrays, ImageSet, Loader, read_arrays};
use crate::models::ImageMeta;
use crate::train::Data;
use crate::{Error, Result, Rng};

/// The share of a class that is held out for a part that is not there.
const HELD_OUT: f64 = 0.1;

/// The parts of the images, and what normalises them.
pub(super) struct Arrays {
    parts: ImageArrays,
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Arrays {
    /// Those that `--data` names; `None` where it names something else.
    ///
    /// A part that is not there is drawn from the training images: the test first, then that for
    /// validation. Where the best weights are chosen on the test set, nothing is held out for
    /// validation.
    ///
    /// # Errors
    /// Files that are malformed; too few images to hold some out.
    pub fn find(settings: &Settings) -> Result<Option<Arrays>> {
        let (None, Some(path)) = (settings.source, &settings.data) else {
            return Ok(None);
        };
        if !path.try_exists().map_err(Error::io("read", path))? {
            return Ok(None);
        }
        let Some(mut parts) = read_arrays(path)? else {
            return Ok(None);
        };
        let hold_out = |train: &mut ImageSet, stream: u64, what: &str| {
            let mut random = Rng::new(settings.seed).stream(stream);
            let (kept, held_out) = train.split_stratified(HELD_OUT, &mut random);
            if held_out.is_empty() || kept.is_empty() {
                let (name, n) = (&train.name, train.len());
                let what = format!("{name}: {n} images are too few to hold some out for {what}");
                return Err(Error::Argument(what));
            }
            *train = kept;
            Ok(held_out)
        };
        if parts.test.is_none() {
            parts.test = Some(hold_out(&mut parts.train, 5, "the test")?);
        }
        if settings.select_on_test {
            parts.validation = None;
        } else if parts.validation.is_none() {
            parts.validation = Some(hold_out(&mut parts.train, 3, "validation")?);
        }
        let (mean, std) = parts.train.statistics();
        // Images of a single colour have no deviation.
        let std = std.iter().map(|std| std.max(1.0 / 255.0)).collect();
        Ok(Some(Arrays { parts, mean, std }))
    }

    /// Height, width and channels.
    pub fn image(&self) -> [usize; 3] {
        self.parts.train.size
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.parts.train.classes.len()
    }

    /// The batches, for a model of so many channels, and what weight files say of the images.
    ///
    /// # Errors
    /// Those of [`Loader::new`].
    pub fn load(self, settings: &Settings, channels: usize) -> Result<(Data, ImageMeta)> {
        let Arrays { parts, mean, std } = self;
        let loader = |set: ImageSet| {
            let loader = Loader::new(set, settings.batch_size)?;
            loader.normalised(&mean, &std)?.with_channels(channels)
        };
        let train = splits::limited(parts.train, settings)?;
        let images = ImageMeta {
            classes: train.classes.clone(),
            mean: mean.clone(),
            std: std.clone(),
            trained_on: train.name.clone(),
            ..ImageMeta::default()
        };
        let data = Data {
            train: loader(train)?.with_augment(splits::augment(settings)),
            validation: parts.validation.map(loader).transpose()?,
            test: parts.test.map(loader).transpose()?,
        };
        Ok((data, images))
    }

    /// Batches of the test images as they are; height, width and channels; and what normalises them.
    ///
    /// # Errors
    /// Those of [`Loader::new`].
    pub fn test(self, settings: &Settings) -> Result<(Loader, [usize; 3], (Vec<f32>, Vec<f32>))> {
        let (size, test) = (self.image(), self.parts.test.unwrap_or(self.parts.train));
        let loader = Loader::new(test, settings.batch_size)?;
        Ok((loader, size, (self.mean, self.std)))
    }
}
