//! GELU and dropout in one: what stands between the two layers of every MLP here.

use crate::autograd::Backward;
use crate::cpu::gelu_dropout as cpu;
use crate::cuda::gelu_dropout as cuda;
use crate::ops::dropout::check;
use crate::{Device, Result, Rng, Tensor, Var};

impl Var {
    /// y = dropout(gelu(x)), as one op; without an `rng`, as in evaluation, gelu(x).
    ///
    /// The same numbers as [`gelu`](Var::gelu) and then [`dropout`](Var::dropout) with the same
    /// stream; on the processor, in 16 bits, but for 1e-5 and a rounding: GELU is shorter there.
    /// Fused it passes over memory once, and keeps no output of GELU alive: computing it again
    /// costs less than reading it back.
    ///
    /// **Shapes**: any. **Backward**: dx = dropout(dy) (Phi(x) + x phi(x)), with the normal
    /// distribution's cumulative function Phi and density phi. **Saves**: x.
    /// **Errors**: p outside of `0..=1`; elements that are not floats.
    /// **Source**: those of its parts; WaveMix-Lite (arXiv 2205.14375), section 3.2.
    #[track_caller]
    pub fn gelu_dropout(&self, p: f64, rng: Option<&Rng>) -> Result<Var> {
        check("gelu_dropout", p)?;
        let Some(rng) = rng.filter(|_| p > 0.0) else {
            return self.gelu();
        };
        let x = self.value();
        super::float("gelu_dropout", ("x", x))?;
        let y = on_device!("gelu_dropout", x in [f32, f64, bf16] => x.shape();
            forward(p, rng, @x))?;
        Ok(Var::record("gelu_dropout", &[self], y, || GeluDropout {
            x: x.clone(),
            p,
            rng: rng.clone(),
        }))
    }
}

/// The rule of [`Var::gelu_dropout`] of x.
pub(crate) fn rule(x: Tensor, p: f64, rng: Option<Rng>) -> Box<dyn Backward> {
    match rng.filter(|_| p > 0.0) {
        Some(rng) => Box::new(GeluDropout { x, p, rng }),
        None => super::unary::gelu_rule(x),
    }
}

struct GeluDropout {
    x: Tensor,
    p: f64,
    rng: Rng,
}

impl Backward for GeluDropout {
    /// dx = dropout(dy) gelu'(x): mask and GELU are made again.
    fn backward(self: Box<Self>, mut dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let GeluDropout { x, p, rng } = *self;
        let dx = match x.device() {
            // In the buffer of dy: a step's largest gradient needs no second one.
            Device::Cpu => {
                dispatch_dtype!("gelu_dropout", x.dtype(), T in [f32, f64, bf16] => cpu::backward::<T>(p, &rng, x.data(), dy.data_mut()));
                dy
            }
            Device::Cuda(_) => x.build_on_same_device(x.shape(), x.dtype(), |dx| {
                cuda::backward(p, &rng, x.on_device(), dy.on_device(), dx)
            })?,
        };
        Ok(vec![Some(dx)])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.x]
    }
}
