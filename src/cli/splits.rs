//! The images of a run, in the parts that training needs.

use std::sync::Arc;

use super::Settings;
use crate::data::{Augment, Dataset, Datasets, ImageSet, Loader, Subset, TrainTest};
use crate::models::ImageMeta;
use crate::train::Data;
use crate::{Error, Result, Rng};

/// The share of the training images that is held out to choose the best weights on.
const VALIDATION: f64 = 0.1;

/// The batches of a run for a model of so many channels, and what weight files say of the images.
pub(super) fn load(
    pair: TrainTest,
    settings: &Settings,
    channels: usize,
) -> Result<(Data, ImageMeta)> {
    let source = settings.source()?;
    let (train, validation) = held_out(limited(pair.train, settings)?, settings)?;
    let loader = |data: ImageSet| {
        Loader::new(data, settings.batch_size)?
            .normalised(&pair.mean, &pair.std)?
            .with_channels(channels)
    };
    let images = ImageMeta {
        classes: pair.test.classes.clone(),
        mean: pair.mean.clone(),
        std: pair.std.clone(),
        trained_on: train.name.clone(),
        data_set: source.to_string(),
        transposed: source.is_transposed(),
        preparation: None,
    };
    let data = Data {
        train: loader(train)?.with_augment(augment(settings)),
        validation: validation.map(loader).transpose()?,
        test: Some(loader(pair.test)?),
    };
    Ok((data, images))
}

/// The training images that `--limit` leaves, drawn at random.
pub(super) fn limited(train: ImageSet, settings: &Settings) -> Result<ImageSet> {
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

/// The same for a set that is read on demand. The images that are held out are drawn from all
/// classes alike: which class an image is of is known when it is read.
pub(super) fn load_on_demand(
    sets: Datasets,
    settings: &Settings,
    channels: usize,
) -> Result<(Data, ImageMeta)> {
    let (source, random) = (settings.source()?, |i| Rng::new(settings.seed).stream(i));
    let mut train: Vec<usize> = (0..sets.train.len()).collect();
    if let Some(limit) = settings.limit {
        train = random(4).permutation(train.len());
        train.truncate(limit);
    }
    let mut held_out = Vec::new();
    if !settings.select_on_test {
        let order = random(3).permutation(train.len());
        let share = (VALIDATION * train.len() as f64).ceil() as usize;
        held_out = order[..share].iter().map(|&i| train[i]).collect();
        train = order[share..].iter().map(|&i| train[i]).collect();
        held_out.sort_unstable();
    }
    train.sort_unstable();
    let part = |indices| Subset::new(sets.train.clone(), indices);
    let loader = |data: Arc<dyn Dataset>| {
        let loader = Loader::new(data, settings.batch_size)?;
        let loader = loader.normalised(&sets.mean, &sets.std)?;
        Ok::<_, Error>(
            loader
                .with_channels(channels)?
                .with_workers(settings.threads),
        )
    };
    let images = ImageMeta {
        classes: sets.test.classes().to_vec(),
        mean: sets.mean.clone(),
        std: sets.std.clone(),
        trained_on: sets.train.name().to_owned(),
        data_set: source.to_string(),
        transposed: false,
        preparation: sets.train.preparation(),
    };
    let validation = match held_out.is_empty() {
        true => None,
        false => Some(loader(Arc::new(part(held_out)?))?),
    };
    let data = Data {
        train: loader(Arc::new(part(train)?))?.with_augment(augment(settings)),
        validation,
        test: Some(loader(sets.test.clone())?),
    };
    Ok((data, images))
}

/// What `--augment` does to training images.
pub(super) fn augment(settings: &Settings) -> Augment {
    if !settings.augment {
        return Augment::default();
    }
    Augment {
        flip: settings.mirrors,
        crop: if settings.mirrors { 4 } else { 2 },
        fill: Vec::new(),
    }
}
