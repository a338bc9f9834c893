//! A run's events for TensorBoard: what `tell` writes to.

use std::time::Instant;

use crate::io::tensorboard::EventFile;

/// The events of a run.
pub(super) struct Board {
    pub events: EventFile,
    /// When the last step that is written was over, or the epoch began.
    pub since: Instant,
}

/// What is written of one step, besides the learning rate.
pub(super) struct StepNumbers {
    /// Steps done with this one.
    pub step: u64,
    pub loss: f64,
    /// The norm of its gradients, before they were clipped.
    pub gradient_norm: Option<f64>,
    /// Where the loss is scaled, what by after this step: half as much where it was skipped.
    pub loss_scale: Option<f64>,
}
