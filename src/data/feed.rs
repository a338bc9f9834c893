//! Batches on their way to a GPU, while it still computes on the last one.

use super::Batch;
use crate::cuda::{SliceMut, Staging};
use crate::{Device, Error, Result, Tensor};

/// Brings batches to the place on a GPU where a recorded step reads them.
///
/// Each travels while the GPU computes on the one before: from page-locked memory, of which there
/// is a batch's worth twice.
pub struct HostToDevice(Staging);

impl HostToDevice {
    /// A way to this device.
    ///
    /// # Errors
    /// The CPU, whose steps read batches where they are; a GPU that cannot be used.
    pub fn new(device: Device) -> Result<HostToDevice> {
        match device {
            Device::Cuda(ordinal) => Staging::new(ordinal).map(HostToDevice),
            Device::Cpu => Err(Error::Argument(
                "a feed leads to a GPU; steps on the cpu read batches where they are".into(),
            )),
        }
    }

    /// Overwrites a batch on the GPU by one on the CPU, which may be changed at once. Work
    /// that is asked for later finds the new batch; work that was asked for before has read the old
    /// one.
    ///
    /// # Errors
    /// Another shape, dtype or device; a place that another tensor shares, which would have to
    /// move; those of a GPU.
    pub fn send(&mut self, batch: &Batch, there: &mut Batch) -> Result<()> {
        let images = part("inputs", &batch.inputs, &mut there.inputs)?;
        let labels = part("targets", &batch.targets, &mut there.targets)?;
        self.0.copy(&mut [images, labels])
    }
}

fn part<'a>(
    name: &'static str,
    from: &'a Tensor,
    to: &'a mut Tensor,
) -> Result<(&'a [u8], SliceMut<'a>)> {
    let form = |x: &Tensor| format!("{} {:?} on {}", x.dtype(), x.shape(), x.device());
    if (from.shape(), from.dtype()) != (to.shape(), to.dtype())
        || from.device() != Device::Cpu
        || to.device() == Device::Cpu
    {
        let expected = format!("one form, on the cpu and on a GPU: for {}", form(to));
        return Err(Error::operand("feed", name, expected, form(from)));
    }
    if !to.is_unique() {
        return Err(Error::operand(
            "feed",
            name,
            "a place that no other tensor shares",
            form(to),
        ));
    }
    Ok((from.as_bytes(), to.on_device_mut()?))
}
