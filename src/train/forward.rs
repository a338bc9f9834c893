//! A model's outputs: of a batch, and of each batch of a set.

use crate::data::{Batch, Loader};
use crate::{DType, Device, Module, Params, Pass, Precision, Result, Var};

/// Gives the model's outputs for each batch of the samples, in order and without a graph, to
/// `body`.
pub(super) fn each_batch(
    model: &dyn Module,
    params: &Params,
    precision: Precision,
    samples: &Loader,
    body: &mut dyn FnMut(Var, &Batch) -> Result<()>,
) -> Result<()> {
    params.check_finite()?;
    // To a GPU images go as bytes, and become the numbers there that training made of them.
    let device = params.device();
    let there = (device != Device::Cpu && samples.normalises_bytes())
        .then(|| samples.constants(device))
        .transpose()?;
    let batches = if there.is_some() {
        samples.clone().as_bytes().in_order()?
    } else {
        samples.in_order()?
    };
    for batch in batches {
        let batch = batch?;
        let inputs = batch.inputs.to_device(device)?;
        let inputs = match &there {
            Some(constants) => constants.normalised(&inputs, precision.compute())?,
            None => inputs,
        };
        let pass = Pass::eval(params).in_precision(precision)?;
        body(outputs(model, &pass, inputs.into())?, &batch)?;
    }
    Ok(())
}

/// A model's outputs as losses take them, from inputs as the pass computes with them.
pub(super) fn outputs(model: &dyn Module, pass: &Pass, inputs: Var) -> Result<Var> {
    let inputs = match inputs.dtype() {
        DType::U8 | DType::I64 => inputs,
        _ => pass.input(&inputs)?,
    };
    pass.output(model.forward(pass, &inputs)?)
}
