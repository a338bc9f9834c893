//! One step of training, on the CPU or on a GPU, where it is captured and replayed.

use crate::autograd::trace::phase;
use crate::console::Stderr;
use crate::cuda::{self, Capture};
use crate::data::{Batch, HostToDevice};
use crate::optim::{clip_norm, norm};
use crate::train::board::StepNumbers;
use crate::train::forward::outputs;
use crate::train::replay::{Inputs, LOSSES, Recorded, Replay};
use crate::train::trainer::Trainer;
use crate::{Device, Error, Pass, Result, Rng, Tensor};

impl Trainer {
    /// One step: forward, backward, update. Its loss joins the epoch's sum, on a GPU some steps
    /// later.
    pub(super) fn step(&mut self, batch: &Batch) -> Result<()> {
        let (images, lr) = (batch.size(), self.lr(self.at.step));
        self.optimizer.set_lr(lr)?;
        if self.params.device() == Device::Cpu {
            let loss = self.work(batch, &self.step_rng())?.item()?;
            self.at.loss_sum += loss * images as f64;
            let of = StepNumbers {
                step: self.at.step + 1,
                loss,
                gradient_norm: self.gradient_norm,
                loss_scale: None,
            };
            self.board_steps(&[of], images)?;
        } else {
            let loss = self.replayed(batch)?;
            self.losses.push(&loss, images)?;
            if self.board.is_some() {
                self.losses
                    .push_numbers(&self.optimizer, self.gradient_norm)?;
            }
        }
        self.ema
            .as_mut()
            .map_or(Ok(()), |ema| ema.update(&self.params))?;
        self.at.step += 1;
        self.at.images += images;
        if self.losses.images.len() == LOSSES {
            self.settle(batch)
        } else {
            Ok(())
        }
    }

    /// From a batch to new weights, giving the loss. This is what a GPU records.
    fn work(&mut self, batch: &Batch, rng: &Rng) -> Result<Tensor> {
        phase("forward");
        let precision = self.config.precision;
        let pass = Pass::train(&self.params, rng.clone()).in_precision(precision)?;
        let inputs = self.data.inputs(&batch.inputs, precision.compute())?;
        let outputs = outputs(&*self.model, &pass, inputs)?;
        let loss = self.config.objective.of(&outputs, &batch.targets)?;
        if loss.value().device() == Device::Cpu && !loss.value().item()?.is_finite() {
            return Err(self.why_not_finite(batch, loss.value().item()?));
        }
        phase("backward");
        let gradients = loss.backward_from(self.optimizer.loss_scale(&loss)?, &[])?;
        phase("gather gradients");
        let mut gradients = gradients.flatten(&self.params)?;
        self.gradient_norm = self.clipped(&mut gradients)?;
        phase("optimizer");
        let statistics = pass.into_updates();
        self.optimizer
            .advance(&mut self.params, &gradients, statistics)?;
        Ok(loss.into_value())
    }

    /// Clips the gradients, where that is asked for, and gives the norm that they had, where that or
    /// TensorBoard makes it known here: a GPU, where nothing is clipped, tells it later.
    fn clipped(&self, gradients: &mut Tensor) -> Result<Option<f64>> {
        let Some(max) = self.config.max_norm else {
            let wanted = self.board.is_some() && gradients.device() == Device::Cpu;
            return wanted.then(|| norm(&self.params, gradients)).transpose();
        };
        let scale = self.optimizer.progress()?.loss_scale;
        let norm = clip_norm(&self.params, gradients, max * scale)?;
        Ok(Some(norm / scale))
    }

    /// The same on a GPU, with a batch from the CPU: done, warmed up, captured or replayed,
    /// as it is time to.
    fn replayed(&mut self, batch: &Batch) -> Result<Tensor> {
        let Device::Cuda(ordinal) = self.params.device() else {
            return self.work(batch, &self.step_rng());
        };
        let rng = self.step_rng();
        // What is replayed as a whole cannot be looked into.
        if batch.size() != self.data.train.batch_size() || self.looked_into() {
            return self.work(&self.uploaded(batch)?, &rng);
        }
        match std::mem::replace(&mut self.replay, Replay::Never) {
            Replay::Begun(0) => {
                self.replay = Replay::Begun(1);
                self.work(&self.uploaded(batch)?, &rng)
            }
            Replay::Begun(_) => self.warm_up(ordinal, batch, &rng),
            Replay::WarmedUp(capture, mut inputs) => {
                inputs.feed.send(batch, &mut inputs.batch)?;
                self.capture(capture, inputs, &rng)
            }
            Replay::Recorded(mut step) => {
                step.inputs.feed.send(batch, &mut step.inputs.batch)?;
                let loss = self.replay(step, &rng)?;
                self.params.count_batch();
                Ok(loss)
            }
            Replay::Never => self.work(&self.uploaded(batch)?, &rng),
        }
    }

    /// One step from memory of its own, which the captured ones will use.
    fn warm_up(&mut self, ordinal: usize, batch: &Batch, rng: &Rng) -> Result<Tensor> {
        let inputs = Inputs {
            batch: self.uploaded(batch)?,
            feed: HostToDevice::new(self.params.device())?,
        };
        let mut capture = Capture::new(ordinal)?;
        let loss = capture.warm_up(|| self.work(&inputs.batch, rng))?;
        self.replay = Replay::WarmedUp(capture, inputs);
        Ok(loss)
    }

    /// Captures the step and replays it once; where it cannot be captured, it is done without, and
    /// so are all that follow.
    fn capture(&mut self, capture: Capture, inputs: Inputs, rng: &Rng) -> Result<Tensor> {
        let before = self.params.arena().block();
        let why = match capture.capture(|| self.work(&inputs.batch, rng)) {
            Ok((recording, loss)) if self.params.arena().block() == before => {
                let step = Recorded {
                    recording,
                    inputs,
                    loss,
                };
                return self.replay(step, rng);
            }
            Ok(_) => "the weights moved in memory".into(),
            Err(why) => why.to_string(),
        };
        writeln!(
            Stderr,
            "steps are launched one kernel after the other, as they cannot be recorded: {why}"
        );
        self.work(&inputs.batch, rng)
    }

    /// Compiles the kernels of a step on a GPU, where no earlier run has.
    pub(super) fn compile_kernels(&self) -> Result<()> {
        let Device::Cuda(ordinal) = self.params.device() else {
            return Ok(());
        };
        cuda::compile_for_training(ordinal, self.config.precision.compute(), |files| {
            writeln!(
                Stderr,
                "compiling {files} files of kernels, once for this GPU"
            );
        })
    }

    /// Replays the step on the batch that its inputs hold.
    fn replay(&mut self, mut step: Recorded, rng: &Rng) -> Result<Tensor> {
        step.recording.replay(rng)?;
        self.replayed_steps += 1;
        let loss = step.loss.clone();
        self.replay = Replay::Recorded(step);
        Ok(loss)
    }

    /// Adds up the losses that were left on a GPU. One that is not finite is an error. In a
    /// precision that scales the loss it is left out, if there are others: a forward pass may
    /// overflow there now and then, and the device skips the step if its gradients are not finite
    /// either.
    pub(super) fn settle(&mut self, batch: &Batch) -> Result<()> {
        let Some(values) = &self.losses.values else {
            return Ok(());
        };
        let values = values.to_vec::<f32>()?;
        let images = std::mem::take(&mut self.losses.images);
        self.board_settled(&values, images.iter().sum())?;
        let (mut sum, mut counted, mut left_out) = (0.0, 0, 0);
        for (&loss, &n) in values.iter().zip(&images) {
            if loss.is_finite() {
                sum += f64::from(loss) * n as f64;
                counted += n;
            } else if self.config.precision.scales_loss() && images.len() > 1 {
                left_out += n;
            } else {
                return Err(self.why_not_finite(batch, f64::from(loss)));
            }
        }
        if counted == 0 && left_out > 0 {
            return Err(Error::NonFinite(
                "no loss of the last steps was finite, however small the loss scale".into(),
            ));
        }
        self.at.loss_sum += sum;
        self.at.images -= left_out;
        Ok(())
    }

    /// Tells TensorBoard of the steps whose losses came from a GPU.
    fn board_settled(&mut self, losses: &[f32], images: usize) -> Result<()> {
        let numbers = self.losses.take_numbers()?;
        let first = self.at.step + 1 - numbers.len() as u64;
        let scaled = self.config.precision.scales_loss();
        let of = |(i, &[norm, scale]): (usize, &[f64; 2])| StepNumbers {
            step: first + i as u64,
            loss: f64::from(losses[i]),
            gradient_norm: Some(norm),
            loss_scale: scaled.then_some(scale),
        };
        let steps: Vec<StepNumbers> = numbers.iter().enumerate().map(of).collect();
        self.board_steps(&steps, images)
    }

    /// The batch on the weights' device.
    pub(super) fn uploaded(&self, batch: &Batch) -> Result<Batch> {
        let device = self.params.device();
        Ok(Batch {
            inputs: batch.inputs.to_device(device)?,
            targets: batch.targets.to_device(device)?,
        })
    }

    /// Random numbers of the current step's dropout.
    pub(super) fn step_rng(&self) -> Rng {
        Rng::new(self.config.seed).stream(1).child(self.at.step)
    }
}
