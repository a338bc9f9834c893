//! A whole training step in one call.

use super::{Optimizer, clip_norm};
use crate::autograd::trace::phase;
use crate::{Params, Pass, Precision, Result, Rng, Tensor, Var};

/// What a training step takes besides the loss. A learning rate alone is enough; change what
/// differs from the defaults:
///
/// ```
/// use wavemix::{Precision, Rng, optim::StepOptions};
/// let options = StepOptions { precision: Precision::Bf16, ..StepOptions::from(1e-3) };
/// assert_eq!((options.lr, options.max_norm), (1e-3, None));
/// // With another seed:
/// let seeded = StepOptions::new(1e-3, Rng::new(42).child(7));
/// ```
#[derive(Clone, Debug)]
pub struct StepOptions {
    /// The learning rate.
    pub lr: f64,
    /// Random numbers of this step's dropout: other ones each step, such as child number `step` of
    /// a seed's. `None` takes child number n of seed 0, with n the number of steps before this one.
    pub rng: Option<Rng>,
    /// What forward and backward pass compute in. f16 wants [`Optimizer::with_loss_scaling`].
    pub precision: Precision,
    /// Gradients are shrunk to this norm where theirs is larger, as by [`clip_norm`].
    pub max_norm: Option<f64>,
}

impl StepOptions {
    /// A step in f32, without clipping, with random numbers of your own.
    pub fn new(lr: f64, rng: Rng) -> StepOptions {
        StepOptions {
            rng: Some(rng),
            ..StepOptions::from(lr)
        }
    }
}

impl From<f64> for StepOptions {
    /// A step with this learning rate in f32, without clipping.
    fn from(lr: f64) -> StepOptions {
        StepOptions {
            lr,
            rng: None,
            precision: Precision::F32,
            max_norm: None,
        }
    }
}

impl Optimizer {
    /// One training step: runs `loss` with a training pass, then the backward pass, updates the
    /// weights, and gives BatchNorm's statistics to `params`. Returns the loss, on its device.
    /// `options` is a learning rate, or [`StepOptions`].
    ///
    /// The loss scale is taken care of. To look at gradients, to add up those of several passes, or
    /// to make one step of several losses, do the same by hand: [`Pass::train`],
    /// [`Var::backward_from`] with [`Optimizer::loss_scale`], [`Pass::into_updates`],
    /// [`Optimizer::step`].
    ///
    /// ```
    /// use wavemix::models::Config;
    /// use wavemix::ops::{CrossEntropyOptions, cross_entropy};
    /// use wavemix::optim::{AdamW, Optimizer};
    /// use wavemix::{DType, Module, Rng, Tensor};
    /// let config = Config { channels: 1, size: 8, ..Config::parse("WaveMixLite-8/1")? };
    /// let (model, mut params) = config.build(DType::F32, &Rng::new(1))?;
    /// let mut optimizer = Optimizer::new(AdamW::default(), &params)?;
    /// let (images, labels) = (Tensor::ones([2, 8, 8, 1], DType::F32), Tensor::from_vec(vec![3i64, 1], [2])?);
    /// let loss = optimizer.train_step(&mut params, 1e-3, |pass| {
    ///     let logits = model.forward(pass, &(&images).into())?;
    ///     cross_entropy(&logits, &labels, CrossEntropyOptions::default())
    /// })?;
    /// assert!(loss.item()?.is_finite());
    /// assert_eq!(params.get("layers.0.feedforward.5.num_batches_tracked")?.item()?, 1.0);
    /// # Ok::<(), wavemix::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of `loss`; a loss that is not a single number, or was computed from constants alone;
    /// those of [`Optimizer::step`] and of [`clip_norm`]. After an error weights and statistics are
    /// what they were before the call, unless a GPU failed in the middle of the step. A loss or
    /// gradients that are not finite are no error: see [`Optimizer::step_flat`].
    #[track_caller]
    pub fn train_step<F>(
        &mut self,
        params: &mut Params,
        options: impl Into<StepOptions>,
        loss: F,
    ) -> Result<Tensor>
    where
        F: FnOnce(&Pass) -> Result<Var>,
    {
        let StepOptions {
            lr,
            rng,
            precision,
            max_norm,
        } = options.into();
        let rng = rng.unwrap_or_else(|| Rng::new(0).child(self.steps));
        phase("forward");
        let pass = Pass::train(params, rng).in_precision(precision)?;
        let loss = loss(&pass)?;
        phase("backward");
        let gradients = loss.backward_from(self.loss_scale(&loss)?, &[])?;
        phase("gather gradients");
        let mut gradients = gradients.flatten(params)?;
        if let Some(max) = max_norm {
            // The gradients are times the loss scale still. To read that waits for a GPU.
            clip_norm(params, &mut gradients, max * self.progress()?.loss_scale)?;
        }
        phase("optimizer");
        let updates = pass.into_updates();
        self.step_flat(params, &gradients, updates, lr)?;
        Ok(loss.into_value())
    }
}
