//! GELU and dropout in one, and the convolution that follows them: the second half of every MLP
//! here.

use crate::autograd::Backward;
use crate::autograd::trace::{self, Op};
use crate::cpu::gelu_dropout::{self as cpu, Hidden, in_pieces};
use crate::cuda::gelu_dropout as cuda;
use crate::ops::conv2d::{Conv2d, attributes, convolved};
use crate::ops::dropout::check;
use crate::tensor::window::{Geometry, Window};
use crate::{Device, Result, Rng, Stored, Tensor, Var};

impl Var {
    /// y = dropout(gelu(x)), as one op; without an `rng`, as in evaluation, gelu(x).
    ///
    /// The same values as [`gelu`](Var::gelu) and then [`dropout`](Var::dropout) with the same
    /// stream. On the CPU in bf16 they differ by up to 1e-5 and a rounding, as GELU is a shorter
    /// polynomial there. Fused it passes over memory once, and keeps no output of GELU alive:
    /// recomputing it costs less than reading it.
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
fn rule(x: Tensor, p: f64, rng: Option<Rng>) -> Box<dyn Backward> {
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
    /// dx = dropout(dy) gelu'(x): mask and GELU are recomputed.
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

/// The dropout of an op that fuses it: see [`Var::dropout`].
#[derive(Clone, Copy, Debug)]
pub struct Dropout<'a> {
    /// The probability of each element to become 0, in `0..=1`.
    pub p: f64,
    /// The stream of random numbers; without one, as in evaluation, all elements are kept.
    pub rng: Option<&'a Rng>,
}

/// y = the convolution of gelu_dropout(x), keeping x alone.
///
/// The same values as [`gelu_dropout`](Var::gelu_dropout) and then
/// [`conv2d`](crate::ops::conv2d). Composed they would keep x for the one and its GELU for the
/// other; here the backward pass recomputes GELU, which takes far less time than the products
/// around it. With a kernel of one pixel, the CPU recomputes it piece by piece within those
/// products: GELU's output while it is packed, and the gradient of x while the gradient of that
/// output is in the cache.
///
/// **Shapes**, **Errors**, **Source**: those of the parts. **Backward**: theirs, one after the
/// other.
/// **Saves**: x and the weight.
#[track_caller]
pub fn gelu_dropout_conv2d(
    x: &Var,
    weight: &Var,
    bias: Option<&Var>,
    window: Window,
    dropout: Dropout,
) -> Result<Var> {
    let Dropout { p, rng } = dropout;
    let hidden = x.detach().gelu_dropout(p, rng)?;
    let (y, geometry) = convolved(&hidden, weight, bias, window)?;
    let mut inputs = vec![x, weight];
    inputs.extend(bias);
    let rule = || GeluDropoutConv2d {
        geometry,
        x: x.value().clone(),
        weight: weight.value().clone(),
        tf32: x.tf32() || weight.tf32(),
        p,
        rng: rng.cloned(),
    };
    let op = Op::with_flops("gelu_dropout_conv2d", geometry.flops());
    let y = Var::record(op, &inputs, y, rule);
    // Of its parts GELU has been told, the convolution not yet: what knows no fused op, such as an
    // ONNX file, is made of these. The products are counted above; the time is the whole op's too.
    let part = Op::from("conv2d").with_attributes(attributes(weight, window));
    let operands = || {
        let mut operands = vec![hidden.value(), weight.value()];
        operands.extend(bias.map(Var::value));
        operands
    };
    trace::notify(part, operands, y.value(), None);
    Ok(y)
}

struct GeluDropoutConv2d {
    geometry: Geometry,
    x: Tensor,
    weight: Tensor,
    tf32: bool,
    p: f64,
    rng: Option<Rng>,
}

impl Backward for GeluDropoutConv2d {
    /// h = gelu_dropout(x) once more; dh, dw and db from the convolution of h, dx from dh.
    fn backward(self: Box<Self>, dy: Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        if self.x.device() == Device::Cpu
            && self.geometry.is_matrix()
            && in_pieces(self.geometry.big[2], self.p)
        {
            return self.backward_in_pieces(&dy, wanted);
        }
        let GeluDropoutConv2d {
            geometry,
            x,
            weight,
            tf32,
            p,
            rng,
        } = *self;
        let h = Var::from(&x).gelu_dropout(p, rng.as_ref())?.into_value();
        let mut out = Box::new(Conv2d {
            geometry,
            x: h,
            weight,
            tf32,
        })
        .backward(dy, wanted)?;
        if let Some(dh) = out[0].take() {
            out[0] = rule(x, p, rng).backward(dh, &[true])?.remove(0);
        }
        Ok(out)
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.x, &self.weight]
    }
}

impl GeluDropoutConv2d {
    /// The same with a kernel of one pixel, where h is an operand of one matrix product and dh the
    /// result of another: dw = dy^T h, dx = gelu_dropout'(x) (dy w), db = sum of dy.
    fn backward_in_pieces(&self, dy: &Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let GeluDropoutConv2d {
            geometry,
            x,
            weight,
            p,
            rng,
            ..
        } = self;
        let (dropout, mut out) = (
            rng.as_ref().filter(|_| *p > 0.0).map(|rng| (*p, rng)),
            vec![None; wanted.len()],
        );
        dispatch_dtype!("gelu_dropout_conv2d", dy.dtype(), T in [f32, f64, bf16] => {
            let hidden = Hidden { x: x.data::<T>(), size: [geometry.small[2], geometry.big[2]], dropout };
            out[1] = wanted[1].then(|| Tensor::build(*weight.shape(), |dw: &mut [<T as Stored>::Compute]| {
                hidden.backward_weight(dy.data(), dw);
            }));
            out[0] = wanted[0].then(|| Tensor::build(*x.shape(), |dx: &mut [T]| {
                hidden.backward_input(dy.data(), weight.data(), dx);
            }));
        });
        if wanted.get(2) == Some(&true) {
            out[2] = Some(dy.sum_of_rows(geometry.small[2])?);
        }
        Ok(out)
    }
}
