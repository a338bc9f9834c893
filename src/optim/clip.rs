//! What is done to gradients before a step: measured, scaled, clipped.
//!
//! All take gradients in the arena's layout, as [`Gradients::flatten`] gives them, and pass over
//! frozen parameters.

use super::segment::{like_arena, packed, segments};
use crate::cpu::clip as cpu;
use crate::cuda::clip as cuda;
use crate::{Device, Error, Params, Result, Tensor};

/// The Euclidean norm of all gradients as one vector, summed in f64 in a fixed order.
///
/// For f32 it is finite exactly where every gradient is: one pass that measures and checks.
///
/// # Errors
/// Where `gradients` is not laid out like the arena.
#[track_caller]
pub fn norm(params: &Params, gradients: &Tensor) -> Result<f64> {
    like_arena("norm", params, gradients)?;
    if gradients.device() != Device::Cpu {
        return super::on_device::norm(params, gradients);
    }
    let trained = segments(params)
        .into_iter()
        .filter(|(_, group)| !group.frozen);
    let squares: f64 = dispatch_dtype!("norm", gradients.dtype(), T in [f32, f64] => {
        trained.map(|(range, _)| cpu::sum_squares(&packed(params, &range, gradients.data::<T>()))).sum()
    });
    Ok(squares.sqrt())
}

/// As [`norm`], for gradients that must be finite.
///
/// # Errors
/// As [`norm`], and [`Error::NonFinite`] with the first parameter whose gradient is infinite or not
/// a number.
#[track_caller]
pub fn finite_norm(params: &Params, gradients: &Tensor) -> Result<f64> {
    let norm = norm(params, gradients)?;
    if norm.is_finite() {
        return Ok(norm);
    }
    let gradients = gradients.to_device(Device::Cpu)?;
    dispatch_dtype!("finite_norm", gradients.dtype(), T in [f32, f64] => {
        for entry in params.entries().iter().filter(|entry| !entry.group.frozen) {
            let dw = &gradients.data::<T>()[entry.offset..entry.offset + entry.shape.elements()];
            if let Some(i) = dw.iter().position(|x| !x.is_finite()) {
                let (name, count) = (&entry.name, dw.len());
                return Err(Error::NonFinite(format!("the gradient of `{name}` is {} at element {i} of {count}", dw[i])));
            }
        }
    });
    Err(Error::NonFinite(format!(
        "all gradients are finite, but so large that their norm is {norm}"
    )))
}

/// Shrinks the gradients to the norm `max` where theirs is larger, and gives the norm they had.
/// Gradients that are not finite stay as they are.
///
/// **Source**: `torch.nn.utils.clip_grad_norm_`, with its 1e-6 added to the norm that is divided
/// by.
///
/// # Errors
/// As [`norm`], and where `max` is not positive.
#[track_caller]
pub fn clip_norm(params: &Params, gradients: &mut Tensor, max: f64) -> Result<f64> {
    positive("the largest norm", max)?;
    let norm = norm(params, gradients)?;
    let factor = max / (norm + 1e-6);
    if norm.is_finite() && factor < 1.0 {
        scale(gradients, factor)?;
    }
    Ok(norm)
}

/// Moves each gradient into [-limit, limit]; not-a-number stays. **Source**:
/// `torch.nn.utils.clip_grad_value_`.
///
/// # Errors
/// Where `limit` is not positive, or the gradients are neither f32 nor f64.
#[track_caller]
pub fn clip_value(gradients: &mut Tensor, limit: f64) -> Result<()> {
    positive("the largest value", limit)?;
    if gradients.device() != Device::Cpu {
        return cuda::clamp(&mut gradients.on_device_mut()?, limit);
    }
    dispatch_dtype!("clip_value", gradients.dtype(), T in [f32, f64] => cpu::clamp(gradients.data_mut::<T>(), limit as T));
    Ok(())
}

/// Multiplies all gradients: by 1/k after [`Gradients::accumulate`](crate::Gradients::accumulate)
/// of k parts of a batch, or by the inverse of a loss scale.
///
/// # Errors
/// Where the gradients are neither f32 nor f64.
#[track_caller]
pub fn scale(gradients: &mut Tensor, factor: f64) -> Result<()> {
    if gradients.device() != Device::Cpu {
        return cuda::scale(&mut gradients.on_device_mut()?, factor);
    }
    dispatch_dtype!("scale", gradients.dtype(), T in [f32, f64] => cpu::scale(gradients.data_mut::<T>(), factor as T));
    Ok(())
}

fn positive(what: &str, got: f64) -> Result<()> {
    if got > 0.0 {
        Ok(())
    } else {
        Err(Error::Argument(format!(
            "{what} of a gradient must be positive, got {got}"
        )))
    }
}
