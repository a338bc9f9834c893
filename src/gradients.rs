//! `Gradients`: what a backward pass returns. Nothing is hidden in the tensors, so there is nothing to zero.

use std::collections::BTreeMap;

use crate::params::ParamId;
use crate::{DType, Device, Error, Result, Tensor, Var};

/// The gradients of one loss, by leaf and by parameter.
#[derive(Default)]
pub struct Gradients {
    leaves: BTreeMap<u64, Tensor>,
    params: BTreeMap<ParamId, Tensor>,
}

impl Gradients {
    /// The gradient with respect to `var`: a leaf, or an intermediate value that was asked for. `None` where the loss
    /// does not depend on it.
    pub fn of(&self, var: &Var) -> Option<&Tensor> {
        self.leaves.get(&var.id()?)
    }

    /// The gradient with respect to a parameter. `None` where the loss does not depend on it.
    pub fn of_param(&self, param: ParamId) -> Option<&Tensor> {
        self.params.get(&param)
    }

    /// Adds those of another loss, for batches taken in parts. Leaves are told apart by identity.
    ///
    /// # Errors
    /// Where two gradients of one parameter differ in shape or dtype.
    pub fn accumulate(&mut self, other: Gradients) -> Result<()> {
        for (id, dy) in other.leaves {
            add_entry(&mut self.leaves, id, dy)?;
        }
        for (param, dy) in other.params {
            add_entry(&mut self.params, param, dy)?;
        }
        Ok(())
    }

    pub(crate) fn file(&mut self, id: u64, dy: Tensor) {
        self.leaves.insert(id, dy);
    }

    /// A weight may enter a graph several times; each time adds.
    pub(crate) fn file_param(&mut self, param: ParamId, dy: Tensor) -> Result<()> {
        add_entry(&mut self.params, param, dy)
    }
}

fn add_entry<K: Ord>(map: &mut BTreeMap<K, Tensor>, key: K, dy: Tensor) -> Result<()> {
    match map.get_mut(&key) {
        Some(sum) => add_into(sum, dy),
        None => {
            map.insert(key, dy);
            Ok(())
        }
    }
}

/// sum += dy, in place where nobody else shares its memory.
pub(crate) fn add_into(sum: &mut Tensor, mut dy: Tensor) -> Result<()> {
    if sum.device() != dy.device() {
        return Err(Error::Graph(format!("gradients to be added are on {} and on {}", sum.device(), dy.device())));
    }
    // Where one came as f32 and the other in 16 bits, the sum is f32.
    if sum.dtype() != dy.dtype() && dy.dtype() == DType::F32 {
        std::mem::swap(sum, &mut dy);
    }
    // Floating-point addition commutes, so either operand may be the one overwritten.
    if !sum.is_unique() && dy.is_unique() && sum.dtype() == dy.dtype() {
        std::mem::swap(sum, &mut dy);
    }
    if sum.device() != Device::Cpu {
        return crate::cuda::binary::add_assign(&mut sum.on_device_mut()?, dy.on_device());
    }
    let dy = dy.cast(sum.dtype())?;
    each_real!("gradient", sum.dtype(), T => crate::cpu::binary::add_assign::<T>(sum.data_mut(), dy.data()));
    Ok(())
}
