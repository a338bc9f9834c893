//! What is looked at before it is trusted: batches before the first step.

use crate::models::{Config, Model};
use crate::storage::shapes_only;
use crate::train::Splits;
use crate::{DType, Error, Params, Pass, Precision, Result, Rng, Tensor};

impl Splits {
    /// That the model can be trained with batches of the sizes that an epoch has. A last batch of a single image joins the one
    /// before where BatchNorm would find a single value a channel in it.
    ///
    /// # Errors
    /// Whatever an op or BatchNorm has against the shapes: said now, not at the end of the first epoch.
    pub(super) fn fit_batches(&mut self, model: &Model, params: &Params) -> Result<()> {
        let [h, w, c] = self.train.size();
        let attempt = |images: usize| attempt_step(model, params, [images, h, w, c]);
        let sizes = self.train.batch_sizes();
        if sizes.contains(&1) && attempt(1).is_err() {
            self.train = self.train.clone().joining_a_single_image();
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

/// The forward pass of a training step on images `[n, h, w, c]`, on shapes alone, which takes no time. The parameters are on
/// the CPU.
pub(super) fn attempt_step(model: &Model, params: &Params, images: [usize; 4]) -> Result<()> {
    let pass = Pass::train(params, Rng::new(0)).in_precision(Precision::F32)?;
    shapes_only(|| model.forward(&pass, &Tensor::zeros(images, DType::F32).into())).map(drop)
}

/// The smallest batch that a model can be trained with: 2 where BatchNorm has maps of one pixel.
pub(super) fn least_batch(config: &Config, [h, w]: [usize; 2]) -> Result<usize> {
    let (model, params) = config.build(DType::F32, &Rng::new(0))?;
    let alone = attempt_step(&model, &params, [1, h, w, config.channels]);
    alone.map(|()| 1).or_else(|_| attempt_step(&model, &params, [2, h, w, config.channels]).map(|()| 2))
}
