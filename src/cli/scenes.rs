//! Pictures with a class for each pixel as the data of a run: a folder in Cityscapes' layout.

use std::sync::Arc;

use super::{Settings, splits};
use crate::data::{Dataset, Loader, Part, Source, Subset, VoidClass};
use crate::models::{ImageMeta, Task};
use crate::train::{Data, Loss};
use crate::{Result, Rng};

/// The share of the training scenes that is held out to choose the best weights on.
const HELD_OUT: f64 = 0.1;

/// The scenes of a folder.
pub(super) struct Scenes {
    train: Arc<dyn Dataset>,
    test: Arc<dyn Dataset>,
    /// Height and width that they are given in.
    size: [usize; 2],
    /// Mean and standard deviation of each channel, in units of 0..1.
    statistics: (Vec<f32>, Vec<f32>),
}

impl Scenes {
    /// Those in the folder of `--data`, of `--size` rows and twice as many columns; `None` where it
    /// has not the layout of Cityscapes. With the loss of the papers' scripts void is a class, as
    /// it is there.
    ///
    /// # Errors
    /// A folder of images without that of their maps, or the other way round; no images in it.
    pub fn find(settings: &Settings) -> Result<Option<Scenes>> {
        let (source, none) = (Source::Cityscapes, settings.source.is_some());
        let Some(dir) = settings.data.as_ref().filter(|_| !none) else {
            return Ok(None);
        };
        if source.locate(dir, Part::Both)?.is_none() {
            return Ok(None);
        }
        let size = [settings.size, 2 * settings.size];
        let set = source.open(dir, Some(size))?;
        let with_void = |data: Arc<dyn Dataset>| -> Arc<dyn Dataset> {
            match settings.loss {
                Some(Loss::PapersFocal) => Arc::new(VoidClass::new(data)),
                _ => data,
            }
        };
        Ok(Some(Scenes {
            train: with_void(set.train),
            test: with_void(set.test),
            size,
            statistics: (set.mean, set.std),
        }))
    }

    /// Height, width and channels of the images.
    pub fn image(&self) -> [usize; 3] {
        [self.size[0], self.size[1], 3]
    }

    /// What a model of them answers.
    pub fn task(&self) -> Task {
        let classes = self.train.classes().len();
        Task::Segment { classes }
    }

    /// The label of pixels that are not judged.
    pub fn ignored(&self) -> Option<i64> {
        self.train.ignore_index()
    }

    /// The batches, for a model of so many channels, and what weight files say of the images.
    ///
    /// # Errors
    /// Those of [`Loader::new`]; a first scene that cannot be read.
    pub fn load(self, settings: &Settings, channels: usize) -> Result<(Data, ImageMeta)> {
        let (mean, std) = &self.statistics;
        let loader = |data: Arc<dyn Dataset>, scenes: Vec<usize>| -> Result<Loader> {
            let loader = Loader::new(Subset::new(data, scenes)?, settings.batch_size)?;
            let loader = loader.normalised(mean, std)?.with_channels(channels)?;
            Ok(loader.with_workers(settings.threads))
        };
        let random = |stream: u64, n: usize| Rng::new(settings.seed).stream(stream).permutation(n);
        let mut train = random(4, self.train.len());
        train.truncate(settings.limit.unwrap_or(usize::MAX));
        let held_out = match settings.select_on_test || train.len() < 2 {
            true => 0,
            false => ((train.len() as f64 * HELD_OUT).round() as usize).max(1),
        };
        let mut validation = train.split_off(train.len() - held_out);
        train.sort_unstable();
        validation.sort_unstable();
        let images = ImageMeta {
            classes: self.train.classes().to_vec(),
            mean: mean.clone(),
            std: std.clone(),
            trained_on: self.train.name().to_owned(),
            data_set: Source::Cityscapes.to_string(),
            ..ImageMeta::default()
        };
        let validation = (!validation.is_empty()).then_some(validation);
        let validation = validation.map(|scenes| loader(self.train.clone(), scenes));
        let test = (0..self.test.len()).collect();
        let data = Data {
            validation: validation.transpose()?,
            train: loader(self.train.clone(), train)?.with_augment(splits::augment(settings)),
            test: Some(loader(self.test, test)?),
        };
        Ok((data, images))
    }

    /// Batches of the test scenes as they are, and what normalises them.
    ///
    /// # Errors
    /// Those of [`Scenes::load`].
    pub fn test(self, settings: &Settings) -> Result<(Loader, (Vec<f32>, Vec<f32>))> {
        let loader = Loader::new(self.test, settings.batch_size)?;
        Ok((loader.with_workers(settings.threads), self.statistics))
    }
}
