//! Tensors as arguments of a user's CUDA kernel.

use crate::cuda::Call;
use crate::{Result, Tensor};

impl Call {
    /// A tensor to read: a pointer to its first element.
    ///
    /// # Errors
    /// One on another device.
    pub fn input(self, x: &Tensor) -> Result<Call> {
        self.check(x.device())?;
        Ok(self.read(x.on_device()))
    }

    /// A tensor to write, or to read and write: a pointer to its first element. One that shares its
    /// memory is copied first.
    ///
    /// # Errors
    /// One on another device; those of a GPU.
    pub fn output(self, y: &mut Tensor) -> Result<Call> {
        self.check(y.device())?;
        Ok(self.write(y.on_device_mut()?))
    }
}
