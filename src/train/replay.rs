//! Steps on a GPU: warmed up, captured, and replayed; and their losses, fetched some at a time.

use crate::cuda::{Capture, CapturedGraph};
use crate::data::{Batch, HostToDevice};
use crate::optim::Optimizer;
use crate::train::config::Config;
use crate::{DType, Device, Result, Tensor};

/// Losses that are fetched from a GPU together: waiting for each would leave the device idle
/// between steps.
pub(super) const LOSSES: usize = 32;

/// How far the capture of a step has come.
pub(super) enum Replay {
    /// This many full batches were done one launch after the other. The first finds all that lasts
    /// a place in memory.
    Begun(usize),
    /// One more was done from memory of its own.
    WarmedUp(Capture, Inputs),
    /// It was captured, and is replayed from then on.
    Recorded(Recorded),
    /// Steps are not captured: on the CPU, with clipping, or where capturing failed.
    Never,
}

impl Replay {
    pub fn begin(config: &Config) -> Replay {
        // The norm that clipping asks for is read on the CPU, which no captured step does.
        if config.device == Device::Cpu || config.max_norm.is_some() {
            Replay::Never
        } else {
            Replay::Begun(0)
        }
    }
}

/// A captured step.
pub(super) struct Recorded {
    pub recording: CapturedGraph,
    pub inputs: Inputs,
    /// Its loss, which each replay writes.
    pub loss: Tensor,
}

/// Where a captured step reads its batch, and how the next one comes there.
pub(super) struct Inputs {
    pub batch: Batch,
    pub feed: HostToDevice,
}

/// Losses of steps whose values are not known here yet.
#[derive(Default)]
pub(super) struct Losses {
    /// One number each, on the device.
    pub values: Option<Tensor>,
    /// The images of each.
    pub images: Vec<usize>,
    /// For TensorBoard, of each the norm of its gradients and the loss scale, on the device.
    numbers: Option<Tensor>,
    /// Of each that norm before clipping, where it was clipped.
    norms: Vec<Option<f64>>,
}

impl Losses {
    /// Images whose losses are not known yet.
    pub fn images(&self) -> usize {
        self.images.iter().sum()
    }

    pub fn push(&mut self, loss: &Tensor, images: usize) -> Result<()> {
        let values = match &mut self.values {
            Some(values) => values,
            empty => empty.insert(Tensor::full_on(loss.device(), [LOSSES], 0.0, DType::F32)?),
        };
        values
            .on_device_mut()?
            .part(self.images.len(), 1)
            .copy(loss.on_device())?;
        self.images.push(images);
        Ok(())
    }

    /// Keeps what TensorBoard is told of the step that was just pushed.
    pub fn push_numbers(&mut self, optimizer: &Optimizer, norm: Option<f64>) -> Result<()> {
        let numbers = match &mut self.numbers {
            Some(numbers) => numbers,
            empty => {
                let zeros = Tensor::full_on(optimizer.device(), [2 * LOSSES], 0.0, DType::F32)?;
                empty.insert(zeros)
            }
        };
        optimizer.copy_numbers(numbers, self.norms.len())?;
        self.norms.push(norm);
        Ok(())
    }

    /// What was kept, a norm and a loss scale each.
    pub fn take_numbers(&mut self) -> Result<Vec<[f64; 2]>> {
        let norms = std::mem::take(&mut self.norms);
        let Some(numbers) = self.numbers.as_ref().filter(|_| !norms.is_empty()) else {
            return Ok(Vec::new());
        };
        let numbers = numbers.to_vec::<f32>()?;
        let pair = |(pair, norm): (&[f32], Option<f64>)| {
            [norm.unwrap_or(f64::from(pair[0])), f64::from(pair[1])]
        };
        Ok(numbers.chunks(2).zip(norms).map(pair).collect())
    }
}
