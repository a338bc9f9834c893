//! `Gradients`: what a backward pass returns. Tensors hold no gradient, so there is none to reset
//! between steps, as PyTorch's `zero_grad` does.

use std::collections::BTreeMap;

use crate::params::{ParamId, ParamKey};
use crate::{DType, Device, Error, Params, Result, Tensor, Var};

/// The gradients of one loss, by leaf and by parameter.
#[derive(Default)]
pub struct Gradients {
    /// Of leaves and of kept intermediate values, by node.
    by_node: BTreeMap<u64, Tensor>,
    params: BTreeMap<ParamKey, Tensor>,
}

impl Gradients {
    /// The gradient with respect to `var`: a leaf, or an intermediate value that was asked for.
    /// `None` where the loss does not depend on it.
    pub fn of(&self, var: &Var) -> Option<&Tensor> {
        self.by_node.get(&var.id()?)
    }

    /// The gradient with respect to a parameter of these `params`, or of a copy of them. `None`
    /// where the loss does not depend on it, and where the parameter is frozen.
    pub fn of_param(&self, params: &Params, id: ParamId) -> Option<&Tensor> {
        let owner = self.owner(params)?;
        self.params.get(&ParamKey { owner, id })
    }

    /// The gradients of these parameters, in the order of their declaration.
    ///
    /// # Errors
    /// Where none is of these parameters, and they are of several other models (those of a single
    /// other one are taken for a copy's).
    #[track_caller]
    fn of_params(&self, params: &Params) -> Result<Vec<(ParamId, &Tensor)>> {
        let owner = self.owner(params);
        if owner.is_none() && !self.params.is_empty() {
            let got = "gradients of several other models";
            return Err(Error::operand(
                "flatten",
                "gradients",
                "gradients of these parameters, or of a copy of them",
                got,
            ));
        }
        Ok(self
            .params
            .iter()
            .filter(|(key, _)| Some(key.owner) == owner)
            .map(|(key, dw)| (key.id, dw))
            .collect())
    }

    /// Whose gradients are meant by those of `params`: its own; where there are none, those of the
    /// only `Params` there are, such as the copy that the loss was computed with.
    fn owner(&self, params: &Params) -> Option<u64> {
        let own = params.owner();
        let (first, last) = (
            self.params.first_key_value()?.0.owner,
            self.params.last_key_value()?.0.owner,
        );
        if self.params.keys().any(|key| key.owner == own) {
            Some(own)
        } else {
            (first == last).then_some(first)
        }
    }

    /// Adds those of another loss, for batches taken in parts. A leaf that is made anew for each
    /// part is another leaf, and its gradients are not added.
    ///
    /// # Errors
    /// Where two gradients of one parameter are on different devices.
    pub fn accumulate(&mut self, other: Gradients) -> Result<()> {
        for (id, dy) in other.by_node {
            add_entry(&mut self.by_node, id, dy)?;
        }
        for (param, dy) in other.params {
            add_entry(&mut self.params, param, dy)?;
        }
        Ok(())
    }

    /// The gradients of all of these parameters as one array like their arena; 0 where the loss
    /// does not depend on one.
    ///
    /// Where several models were part of the loss, these are the gradients of the one given.
    /// Gradients that were computed with a copy of these parameters, and with no others, are taken
    /// as theirs.
    ///
    /// # Errors
    /// Where the gradients are on another device; where none is of these parameters, and they are
    /// of several other models, or of one of another layout.
    #[track_caller]
    pub fn flatten(&self, params: &Params) -> Result<Tensor> {
        let mut given = Vec::new();
        for (id, dw) in self.of_params(params)? {
            given.push((params.entry(id)?, dw));
        }
        let (device, dtype) = (params.device(), params.dtype());
        let mut flat = Tensor::full_on(device, params.arena().shape(), 0.0, dtype)?;
        if device == Device::Cpu {
            dispatch_dtype!("flatten", dtype, T in [f32, f64] => {
                let out = flat.data_mut::<T>();
                for (entry, dw) in given {
                    let range = entry.offset..entry.offset + entry.shape.elements();
                    out[range].copy_from_slice(dw.cast(dtype)?.as_slice::<T>()?);
                }
            });
            return Ok(flat);
        }
        let pieces = given
            .into_iter()
            .map(|(entry, dw)| match dw.device() == device {
                true => Ok((dw.on_device(), entry.offset)),
                false => Err(Error::operand(
                    "flatten",
                    "gradients",
                    format!("gradients on {device}"),
                    dw.device(),
                )),
            });
        let pieces = pieces.collect::<Result<Vec<_>>>()?;
        crate::cuda::cast::gather(&pieces, &mut flat.on_device_mut()?)?;
        Ok(flat)
    }

    pub(crate) fn insert(&mut self, id: u64, dy: Tensor) {
        self.by_node.insert(id, dy);
    }

    /// A weight may enter a graph several times; each time adds.
    pub(crate) fn insert_param(&mut self, param: ParamKey, dy: Tensor) -> Result<()> {
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
        return Err(Error::Graph(format!(
            "gradients to be added are on {} and on {}",
            sum.device(),
            dy.device()
        )));
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
    if sum.dtype() == DType::F16 {
        // The CPU has no arithmetic of f16.
        let mut wide = sum.cast(DType::F32)?;
        add_into(&mut wide, dy.cast(DType::F32)?)?;
        *sum = wide.cast(DType::F16)?;
        return Ok(());
    }
    let dy = dy.cast(sum.dtype())?;
    dispatch_dtype!("gradient", sum.dtype(), T in [f32, f64, bf16] => crate::cpu::binary::add_assign::<T>(sum.data_mut(), dy.data()));
    Ok(())
}
