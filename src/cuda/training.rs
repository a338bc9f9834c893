//! The kernels that a training step launches.

use super::runtime::ahead::compile_ahead;
use super::{
    Source, adamw, batch_norm, binary, cast, clip, conv_transpose2d, conv2d, cross_entropy, dwt,
    gelu_dropout, linear, reduce, shape, unary,
};
use crate::{DType, Result};

/// Compiles the kernels of a training step of a WaveMix model, in f32 or with `dtype` of 16 bits,
/// that no earlier process has compiled: several files at once, on as many threads as there are
/// CPUs. Without this each is compiled at its first launch, one after the other. `begin` is told
/// before how many files those are, if there are any: on one CPU they take some ten seconds.
///
/// [`Trainer`](crate::train::Trainer) calls this before its first step; a loop of your own may.
/// Kernels of other ops are compiled at their first launch as ever.
///
/// # Errors
/// As [`usable`](super::usable). What does not compile is an error of the launch that needs it.
pub fn compile_for_training(ordinal: usize, dtype: DType, begin: impl FnOnce(usize)) -> Result<()> {
    // Those that take longest are first. Weights, loss and what a step sums up are f32.
    let stored = [
        &conv2d::SOURCE,
        &conv_transpose2d::SOURCE,
        &batch_norm::SOURCE,
        &gelu_dropout::SOURCE,
        &dwt::SOURCE,
        &linear::SOURCE,
        &binary::SOURCE,
        &cast::SOURCE,
        &reduce::SOURCE,
        &unary::SOURCE,
    ];
    let in_f32 = [
        &binary::SOURCE,
        &cast::SOURCE,
        &reduce::SOURCE,
        &unary::SOURCE,
        &shape::SOURCE,
        &adamw::SOURCE,
        &clip::SOURCE,
        &cross_entropy::SOURCE,
    ];
    let mut sources: Vec<(&Source, DType)> = stored.map(|source| (source, dtype)).into();
    for source in in_f32.map(|source| (source, DType::F32)) {
        if !sources
            .iter()
            .any(|(known, of)| std::ptr::eq(*known, source.0) && *of == source.1)
        {
            sources.push(source);
        }
    }
    compile_ahead(ordinal, &sources, begin)
}
