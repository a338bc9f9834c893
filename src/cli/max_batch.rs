//! The largest batches that a GPU has the memory to train with and to read, as the papers report
//! them.

use super::Settings;
use super::arrays::Arrays;
use super::folder::Pictures;
use super::scenes::Scenes;
use crate::console::{Stderr, Stdout};
use crate::cuda::Capture;
use crate::models::{Config, Task};
use crate::optim::Optimizer;
use crate::tensor::memory::shapes_only;
use crate::train::Loss;
use crate::{DType, Device, Error, Module, Params, Pass, Result, Rng, Tensor, cuda};

/// Where the search ends where nothing fills the memory.
const MOST: usize = 1 << 20;

/// What a batch is for.
#[derive(Clone, Copy)]
enum Use {
    Training,
    Inference,
}

/// Finds the largest batches by steps on random images, and says so on stdout.
///
/// # Errors
/// The CPU, whose memory is the system's to give; a device without the memory for one image.
pub(super) fn print(settings: &Settings) -> Result<()> {
    let Device::Cuda(ordinal) = settings.device else {
        return Err(Error::Argument(
            "--max-batch fills a GPU's memory; there is none, or --device cpu was asked for".into(),
        ));
    };
    let (image, task) = images(settings)?;
    let config = settings.fitted(image, task)?;
    let size = [image[0], image[1]];
    let largest = |purpose: Use, least: usize| {
        search(least, |batch| {
            match try_step(settings, &config, (size, batch), purpose) {
                Err(Error::OutOfMemory(why)) => {
                    cuda::release_free_memory(ordinal)?;
                    writeln!(Stderr, "batch {batch}: {why}");
                    Ok(false)
                }
                outcome => outcome.map(|()| true),
            }
        })
    };
    let training = largest(Use::Training, least_batch(&config, size)?)?;
    if training == 0 {
        return Err(Error::OutOfMemory(format!(
            "{config}: cuda:{ordinal} has not the memory to train with a single image"
        )));
    }
    let inference = largest(Use::Inference, training)?;
    let (precision, name) = (settings.precision, cuda::name(ordinal)?);
    writeln!(
        Stdout,
        "{config} on {}x{} in {precision}, {name}: at most {training} images a batch in training, \
         {inference} in inference",
        size[0], size[1]
    )
}

/// The largest batch that fits, or 0: doubled from the least one until it no longer fits, then halved
/// between what does and what does not, to within 2 %.
fn search(least: usize, mut fits: impl FnMut(usize) -> Result<bool>) -> Result<usize> {
    let (mut most, mut over) = (0, least);
    while over < MOST && fits(over)? {
        (most, over) = (over, 2 * over);
    }
    while over - most > (most / 50).max(1) {
        let middle = most + (over - most) / 2;
        if fits(middle)? {
            most = middle
        } else {
            over = middle
        }
    }
    Ok(most)
}

/// Height, width and channels of the images, and what is asked of them.
fn images(settings: &Settings) -> Result<([usize; 3], Task)> {
    if let Some(scenes) = Scenes::find(settings)? {
        return Ok((scenes.image(), scenes.task()));
    }
    if let Some(arrays) = Arrays::find(settings)? {
        let classes = arrays.classes();
        return Ok((arrays.image(), Task::Classify { classes }));
    }
    if settings.source.is_none() {
        let classes = Pictures::find(settings)?.classes();
        let image = [settings.size, settings.size, 3];
        return Ok((image, Task::Classify { classes }));
    }
    let pair = settings.load_data()?;
    let classes = pair.train.classes.len();
    Ok((pair.train.size, Task::Classify { classes }))
}

/// A training step one launch after the other, and one from memory of its own, as recording takes; or
/// a forward pass.
fn try_step(
    settings: &Settings,
    config: &Config,
    ([h, w], batch): ([usize; 2], usize),
    purpose: Use,
) -> Result<()> {
    let Device::Cuda(ordinal) = settings.device else {
        return Ok(());
    };
    cuda::release_free_memory(ordinal)?;
    let (model, mut params) = config.build(DType::F32, &Rng::new(settings.seed))?;
    params.to_device(settings.device)?;
    let (loss, places) = match config.task {
        Task::Classify { .. } => (Loss::CrossEntropy, vec![batch]),
        Task::Segment { .. } => (Loss::Focal, vec![batch, h, w]),
        Task::Upscale { .. } => {
            let what = "--max-batch trains models of classes";
            return Err(Error::Argument(what.into()));
        }
    };
    let loss = settings.loss.unwrap_or(loss);
    let images = Tensor::full_on(
        settings.device,
        [batch, h, w, config.channels],
        0.5,
        settings.precision.compute(),
    )?;
    if let Use::Inference = purpose {
        let pass = Pass::eval(&params).in_precision(settings.precision)?;
        model.forward(&pass, &images.into())?;
        return cuda::synchronize(ordinal);
    }
    let mut optimizer = Optimizer::new(settings.optimizer, &params)?;
    let labels = Tensor::full_on(settings.device, &places[..], 0.0, DType::I64)?;
    let mut step = |params: &mut Params| -> Result<()> {
        let pass = Pass::train(params, Rng::new(0)).in_precision(settings.precision)?;
        let logits = model.forward(&pass, &(&images).into())?;
        let loss = loss.of(&logits, &labels, None)?;
        let gradients = loss.backward()?.flatten(params)?;
        let statistics = pass.into_updates();
        optimizer.step_flat(params, &gradients, statistics, settings.lr)
    };
    step(&mut params)?;
    Capture::new(ordinal)?.warm_up(|| step(&mut params))?;
    cuda::synchronize(ordinal)
}

/// The smallest batch that a model can be trained with: 2 where BatchNorm has maps of one pixel. Tried
/// on shapes alone, which takes no time.
fn least_batch(config: &Config, [h, w]: [usize; 2]) -> Result<usize> {
    let attempt = |batch: usize| {
        let (model, params) = config.build(DType::F32, &Rng::new(0))?;
        let pass = Pass::train(&params, Rng::new(0));
        let images = Tensor::zeros([batch, h, w, config.channels], DType::F32);
        model.forward(&pass, &images.into()).map(|_| batch)
    };
    shapes_only(|| attempt(1).or_else(|_| attempt(2)))
}

#[cfg(test)]
mod tests {
    use super::search;

    /// To within 2 %, from whatever is tried first; 0 where that does not fit.
    #[test]
    fn what_fits_is_found() {
        for (limit, least) in [(1, 1), (2, 2), (99, 1), (768, 2), (2176, 768), (100_000, 1)] {
            let found = search(least, |batch| Ok(batch <= limit)).unwrap();
            let near = found <= limit && limit - found <= limit / 50;
            assert!(near, "{found} of {limit}");
        }
        assert_eq!(search(1, |_| Ok(false)).unwrap(), 0);
        assert!(search(1, |_| Err(crate::Error::Argument("broken".into()))).is_err());
    }
}
