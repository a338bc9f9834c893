//! Steps on a GPU. What changes from step to step lives in device memory, so that a recorded step
//! can be replayed, and nothing is read back to decide whether a step is made.

use std::ops::Range;

use super::rule::{AnyRule, DeviceStep};
use super::segment::segments;
use crate::cuda::clip::{
    self as cuda, GOOD, LOSS_SCALE, LR, NORM, SEGMENT_WORDS, SKIPPED, STEP_WORDS, Step,
};
use crate::params::Group;
use crate::{DType, Device, Params, Result, Shape, Tensor};

/// The loss scale that f16 begins with: just above f16's largest number, 65,504 (it is never stored
/// in f16). The first steps halve it where need be.
pub(super) const FIRST_SCALE: f64 = 65536.0;
/// Steps in a row without an infinite gradient after which it is doubled.
const GROWTH: u32 = 2000;

/// An optimizer's scalars (learning rate, loss scale, step count) in device memory.
#[derive(Clone)]
pub(super) struct OnDevice {
    /// `struct Step` of the kernels, word by word.
    step: Tensor,
    /// `struct Segment` of the kernels, likewise, and the same on the CPU to see whether it
    /// changed.
    segments: Tensor,
    known: Vec<u8>,
    longest: usize,
    growth: u32,
}

/// What the device knows of the steps made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Steps made.
    pub steps: u64,
    /// Steps that were skipped, as a gradient was not finite: weights and moments stayed as they
    /// were. BatchNorm's statistics did not: see [`step_flat`](crate::optim::Optimizer::step_flat).
    pub skipped: u64,
    /// What the loss is multiplied by for its gradients to stay within f16; 1 where it is not.
    pub loss_scale: f64,
    /// Steps made in a row, since the last one that was skipped and the last change of the loss
    /// scale.
    pub good: u64,
}

impl OnDevice {
    pub fn new(device: Device, progress: Progress, scaled: bool) -> Result<OnDevice> {
        let mut words = [0u32; STEP_WORDS];
        [words[0], words[1]] = [progress.steps as u32, (progress.steps >> 32) as u32];
        words[LOSS_SCALE] = (progress.loss_scale as f32).to_bits();
        words[GOOD] = progress.good as u32;
        words[SKIPPED] = progress.skipped as u32;
        let step = Tensor::from_vec(words.map(f32::from_bits).to_vec(), [STEP_WORDS])?
            .to_device(device)?;
        let segments = Tensor::full_on(device, [0], 0.0, DType::F32)?;
        Ok(OnDevice {
            step,
            segments,
            known: Vec::new(),
            longest: 0,
            growth: if scaled { GROWTH } else { 0 },
        })
    }

    pub fn device(&self) -> Device {
        self.step.device()
    }

    /// Whether it scales the loss.
    pub fn scales(&self) -> bool {
        self.growth > 0
    }

    /// Sets the learning rate of the steps to come.
    pub fn set_lr(&mut self, lr: f64) -> Result<()> {
        self.step
            .on_device_mut()?
            .part(LR, 1)
            .write(&(lr as f32).to_le_bytes())
    }

    /// A copy of the loss scale, for the backward pass to begin with.
    pub fn loss_scale(&self) -> Result<Tensor> {
        self.step.build_on_same_device([], DType::F32, |scale| {
            scale.copy(self.step.on_device().part(LOSS_SCALE, 1))
        })
    }

    /// Reads back how it went.
    pub fn progress(&self) -> Result<Progress> {
        let words: Vec<u32> = self
            .step
            .to_vec::<f32>()?
            .into_iter()
            .map(f32::to_bits)
            .collect();
        Ok(Progress {
            steps: u64::from(words[0]) | u64::from(words[1]) << 32,
            skipped: u64::from(words[SKIPPED]),
            loss_scale: f64::from(f32::from_bits(words[LOSS_SCALE])),
            good: u64::from(words[GOOD]),
        })
    }

    /// Copies the norm of the last step's gradients and the loss scale to the `i`-th pair of `out`.
    pub fn copy_numbers(&self, out: &mut Tensor, i: usize) -> Result<()> {
        let (mut out, step) = (out.on_device_mut()?, self.step.on_device());
        out.part(2 * i, 1).copy(step.part(NORM, 1))?;
        out.part(2 * i + 1, 1).copy(step.part(LOSS_SCALE, 1))
    }

    /// Makes a step with the learning rate that was set.
    pub fn make(
        &mut self,
        rule: &AnyRule,
        params: &mut Params,
        gradients: &Tensor,
        moments: &mut [Tensor],
    ) -> Result<()> {
        self.set_segments(params)?;
        let (list, dw) = (self.segments.on_device(), gradients.on_device());
        let parts = Shape::from([cuda::parts(list, self.longest)]);
        let part = gradients.build_on_same_device(parts, DType::F64, |part| {
            cuda::sum_squares(dw, list, self.longest, part)
        })?;
        cuda::begin_step(
            &mut self.step.on_device_mut()?,
            part.on_device(),
            self.growth,
            rule.0.betas(),
        )?;
        let at = Step {
            dw,
            segments: list,
            longest: self.longest,
            step: self.step.on_device(),
        };
        let mut w = params.arena_mut().on_device_mut()?;
        let mut moments = moments
            .iter_mut()
            .map(Tensor::on_device_mut)
            .collect::<Result<Vec<_>>>()?;
        rule.0.launch(DeviceStep {
            w: &mut w,
            moments: &mut moments,
            at,
        })
    }

    /// Copies the arena's segments to the device where they changed.
    fn set_segments(&mut self, params: &Params) -> Result<()> {
        let list = segments(params);
        let bytes = packed(&list);
        if bytes != self.known {
            (self.segments, self.longest) = uploaded(&list, &bytes, params.device())?;
            self.known = bytes;
        }
        Ok(())
    }
}

/// Segments of the arena as `struct Segment`: start, length, learning rate scale, decay scale,
/// frozen.
fn packed(list: &[(Range<usize>, Group)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(list.len() * 4 * SEGMENT_WORDS);
    for (range, group) in list {
        bytes.extend((range.start as u64).to_le_bytes());
        bytes.extend((range.len() as u64).to_le_bytes());
        bytes.extend((group.lr_scale as f32).to_le_bytes());
        bytes.extend((group.decay_scale as f32).to_le_bytes());
        bytes.extend(u32::from(group.frozen).to_le_bytes());
        bytes.extend([0; 4]);
    }
    bytes
}

/// Segments in device memory, and the length of the longest.
fn uploaded(
    list: &[(Range<usize>, Group)],
    bytes: &[u8],
    device: Device,
) -> Result<(Tensor, usize)> {
    let words: Vec<f32> = bytes
        .chunks(4)
        .map(|w| f32::from_le_bytes([w[0], w[1], w[2], w[3]]))
        .collect();
    let longest = list.iter().map(|(range, _)| range.len()).max().unwrap_or(0);
    Ok((
        Tensor::from_slice(&words, [words.len()])?.to_device(device)?,
        longest,
    ))
}

/// The norm of gradients on a device, summed in f64.
pub(super) fn norm(params: &Params, gradients: &Tensor) -> Result<f64> {
    let list = segments(params);
    let (there, longest) = uploaded(&list, &packed(&list), gradients.device())?;
    let parts = Shape::from([cuda::parts(there.on_device(), longest)]);
    let part = gradients.build_on_same_device(parts, DType::F64, |part| {
        cuda::sum_squares(gradients.on_device(), there.on_device(), longest, part)
    })?;
    Ok(part.to_vec::<f64>()?.iter().sum::<f64>().sqrt())
}
