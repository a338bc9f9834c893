//! A whole training step in one call.

use super::{Optimizer, clip_norm};
use crate::{Params, Pass, Precision, Result, Rng, Tensor, Var};

/// What a training step takes besides the loss. Change what differs from [`StepOptions::new`]:
///
/// ```
/// use wavemix::{Precision, Rng, optim::StepOptions};
/// let options = StepOptions { precision: Precision::Bf16, ..StepOptions::new(1e-3, Rng::new(0).child(7)) };
/// assert_eq!((options.lr, options.max_norm), (1e-3, None));
/// ```
#[derive(Clone, Debug)]
pub struct StepOptions {
    /// The learning rate.
    pub lr: f64,
    /// Random numbers of this step's dropout: other ones each step, such as child number `step` of
    /// a seed's.
    pub rng: Rng,
    /// What forward and backward pass compute in. f16 wants [`Optimizer::with_loss_scaling`].
    pub precision: Precision,
    /// Gradients are shrunk to this norm where theirs is larger, as by [`clip_norm`].
    pub max_norm: Option<f64>,
}

impl StepOptions {
    /// A step in f32, without clipping.
    pub fn new(lr: f64, rng: Rng) -> StepOptions {
        StepOptions {
            lr,
            rng,
            precision: Precision::F32,
            max_norm: None,
        }
    }
}

impl Optimizer {
    /// One training step: runs `loss` with a training pass, then the backward pass, updates the
    /// weights, and gives BatchNorm's statistics to `params`. Returns the loss, on its device.
    ///
    /// The loss scale is taken care of. To look at gradients, to add up those of several passes, or
    /// to make one step of several losses, do the same by hand: [`Pass::train`],
    /// [`Var::backward_from`] with [`Optimizer::loss_scale`], [`Pass::into_updates`],
    /// [`Optimizer::step`].
    ///
    /// ```
    /// use wavemix::models::Config;
    /// use wavemix::ops::{CrossEntropyOptions, cross_entropy};
    /// use wavemix::optim::{Method, Optimizer, StepOptions};
    /// use wavemix::{DType, Module, Rng, Tensor};
    /// let config = Config { channels: 1, size: 8, ..Config::parse("WaveMixLite-8/1")? };
    /// let (model, mut params) = config.build(DType::F32, &Rng::new(1))?;
    /// let mut optimizer = Optimizer::new("adamw".parse::<Method>()?, &params)?;
    /// let (images, labels) = (Tensor::ones([2, 8, 8, 1], DType::F32), Tensor::from_vec(vec![3i64, 1], [2])?);
    /// let loss = optimizer.train_step(&mut params, StepOptions::new(1e-3, Rng::new(2)), |pass| {
    ///     let logits = model.forward(pass, &(&images).into())?;
    ///     cross_entropy(&logits, &labels, CrossEntropyOptions::default())
    /// })?;
    /// assert!(loss.item()?.is_finite());
    /// assert_eq!(params.get("layers.0.feedforward.5.num_batches_tracked")?.item()?, 1.0);
    /// # Ok::<(), wavemix::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of `loss`; a loss that is not a single number, or depends on no parameter that is
    /// trained; those of [`Optimizer::step`] and of [`clip_norm`]. Weights and statistics stay as
    /// they were then.
    #[track_caller]
    pub fn train_step<F>(
        &mut self,
        params: &mut Params,
        options: StepOptions,
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
        } = options;
        let pass = Pass::train(params, rng).in_precision(precision)?;
        let loss = loss(&pass)?;
        let mut gradients = loss
            .backward_from(self.loss_scale(&loss)?, &[])?
            .flatten(params)?;
        if let Some(max) = max_norm {
            clip_norm(params, &mut gradients, max * self.progress()?.loss_scale)?;
        }
        let updates = pass.into_updates();
        self.step_flat(params, &gradients, updates, lr)?;
        Ok(loss.into_value())
    }
}
