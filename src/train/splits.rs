//! The images of a run, in the parts that training needs.

use crate::cli::Settings;
use crate::data::{Augment, Constants, ImageSet, Loader, TrainTest};
use crate::models::{Config, ImageMeta, Model};
use crate::tensor::memory::shapes_only;
use crate::{DType, Device, Error, Module, Params, Pass, Precision, Result, Rng, Tensor, Var};

/// The share of the training images that is held out to choose the best weights on.
const VALIDATION: f64 = 0.1;

/// The images, in the parts that training needs.
pub(super) struct Splits {
    pub train: Loader,
    /// Height, width and channels of the images as they are in the data.
    pub image: [usize; 3],
    /// None where the best weights are chosen on the test set.
    pub validation: Option<Loader>,
    pub test: Loader,
    /// Normalises images on a GPU, which gets them as bytes; none on the CPU, where the loader
    /// normalises.
    pub constants: Option<Constants>,
    /// What weight files say of the images.
    pub card: ImageMeta,
    /// What checkpoints say of the images: names of parts, and what they are.
    pub fingerprints: Vec<(String, String)>,
}

impl Splits {
    /// A batch's images as a model takes them, in this type.
    pub fn pixels(&self, images: &Tensor, dtype: DType) -> Result<Var> {
        match &self.constants {
            Some(constants) => Ok(constants.normalised(images, dtype)?.into()),
            None => Ok(images.into()),
        }
    }

    pub fn new(pair: TrainTest, settings: &Settings, channels: usize) -> Result<Splits> {
        let (train, validation) = held_out(limited(pair.train, settings)?, settings)?;
        let loader = |data: ImageSet| {
            Loader::new(data, settings.batch_size)?
                .normalised(&pair.mean, &pair.std)?
                .with_channels(channels)
        };
        let card = ImageMeta {
            classes: pair.test.classes.clone(),
            mean: pair.mean.clone(),
            std: pair.std.clone(),
            trained_on: train.name.clone(),
            data_set: settings.source.to_string(),
            transposed: settings.source.is_transposed(),
        };
        let image = train.size;
        let mut train = loader(train)?.with_augment(augment(settings));
        let mut constants = None;
        if settings.device != Device::Cpu {
            constants = Some(train.constants(settings.device)?);
            train = train.as_bytes();
        }
        let mut splits = Splits {
            image,
            train,
            validation: validation.map(loader).transpose()?,
            test: loader(pair.test)?,
            constants,
            card,
            fingerprints: Vec::new(),
        };
        splits.take_fingerprints();
        Ok(splits)
    }

    /// Names of what a checkpoint keeps of the data, and what it keeps.
    pub fn take_fingerprints(&mut self) {
        let mut all = vec![("training set".to_owned(), self.train.data().fingerprint())];
        if let Some(validation) = &self.validation {
            all.push(("validation set".to_owned(), validation.data().fingerprint()));
        }
        all.push(("test set".to_owned(), self.test.data().fingerprint()));
        all.push((
            "normalisation".to_owned(),
            format!("means {:?}, deviations {:?}", self.card.mean, self.card.std),
        ));
        self.fingerprints = all;
    }

    /// That the model can be trained with batches of the sizes that an epoch has. A last batch of a
    /// single image joins the one before where BatchNorm would find a single value a channel in it.
    ///
    /// # Errors
    /// Whatever an op or BatchNorm has against the shapes: said now, not at the end of the first
    /// epoch.
    pub fn fit_batches(&mut self, model: &Model, params: &Params) -> Result<()> {
        let [h, w, _] = self.image;
        let c = model.config().channels;
        let attempt = |images: usize| attempt_step(model, params, [images, h, w, c]);
        let sizes = self.train.batch_sizes();
        if sizes.contains(&1) && attempt(1).is_err() {
            self.train = self.train.clone().joining_a_single_sample();
        }
        for size in self.train.batch_sizes() {
            attempt(size).map_err(|why| match attempt(2) {
                Ok(()) if size == 1 => Error::Argument(format!(
                    "{}: on images of {h}x{w} this model trains with batches of at least 2 images, by --batch-size and the number of images: {why}",
                    model.config()
                )),
                _ => why,
            })?;
        }
        Ok(())
    }
}

/// The training images that `--limit` leaves, drawn at random.
fn limited(train: ImageSet, settings: &Settings) -> Result<ImageSet> {
    match settings.limit {
        Some(limit) if limit < train.len() => {
            let order = Rng::new(settings.seed).stream(4).permutation(train.len());
            train.subset(&order[..limit])
        }
        _ => Ok(train),
    }
}

/// The images to train on, and those to choose the best weights on, where that is not done on the
/// test set.
fn held_out(train: ImageSet, settings: &Settings) -> Result<(ImageSet, Option<ImageSet>)> {
    let share = if settings.select_on_test {
        0.0
    } else {
        VALIDATION
    };
    let (train, validation) = train.split_stratified(share, &mut Rng::new(settings.seed).stream(3));
    if !validation.is_empty() {
        return Ok((train, Some(validation)));
    }
    if settings.select_on_test {
        return Ok((train, None));
    }
    let (name, n) = (&train.name, train.len());
    Err(Error::Argument(format!(
        "{name}: {n} images are too few to hold some of each class out for validation"
    )))
}

/// What `--augment` does to training images.
fn augment(settings: &Settings) -> Augment {
    if !settings.augment {
        return Augment::default();
    }
    Augment {
        flip: settings.mirrors,
        crop: if settings.mirrors { 4 } else { 2 },
        fill: Vec::new(),
    }
}

/// The forward pass of a training step on images `[n, h, w, c]`, on shapes alone, which takes no
/// time. The parameters are on the CPU.
pub(super) fn attempt_step(model: &Model, params: &Params, images: [usize; 4]) -> Result<()> {
    let pass = Pass::train(params, Rng::new(0)).in_precision(Precision::F32)?;
    shapes_only(|| model.forward(&pass, &Tensor::zeros(images, DType::F32).into())).map(drop)
}

/// The smallest batch that a model can be trained with: 2 where BatchNorm has maps of one pixel.
pub(super) fn least_batch(config: &Config, [h, w]: [usize; 2]) -> Result<usize> {
    let (model, params) = config.build(DType::F32, &Rng::new(0))?;
    let alone = attempt_step(&model, &params, [1, h, w, config.channels]);
    alone
        .map(|()| 1)
        .or_else(|_| attempt_step(&model, &params, [2, h, w, config.channels]).map(|()| 2))
}
