//! Two-dimensional transposed convolution: the adjoint of conv2d with the same weight and window.

use crate::autograd::Backward;
use crate::autograd::trace::{Attributes, Op};
use crate::cpu::conv::transposed_with_moments;
use crate::ops::batch_norm::BatchStats;
use crate::ops::conv2d::biases;
use crate::ops::linear::check_bias;
use crate::tensor::window::{Geometry, Window};
use crate::{Device, Error, Result, Shape, Tensor, Var};

// The functions of this op on both devices, by the same names. Its gradient with respect to x is
// conv2d's forward pass.
mod cpu {
    pub(super) use crate::cpu::conv::{
        backward_weight, forward as backward_input, transposed as forward,
    };
}

mod cuda {
    pub(super) use crate::cuda::conv_transpose2d::forward;
    pub(super) use crate::cuda::conv2d::{backward_weight, forward as backward_input};
}

/// y\[n, i', j', o\] = bias\[o\] + the sum over all i, j, ky, kx with i' = i stride - padding + ky
/// dilation, j' likewise, and over c, of x[n, i, j, c] weight[c, ky, kx, o].
///
/// **Shapes**: x [n, h, w, c_in], weight [c_in, kh, kw, c_out / groups], bias `[c_out]`, y [n, h',
/// w', c_out] with h' = (h - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1.
/// **Backward**: dx = the convolution of dy by the same weight, dw = the sums of x times dy over
/// all pixels, db = the sum of dy over all pixels.
/// **Saves**: x and the weight. **Errors**: shapes, dtypes or window sizes that do not fit.
/// **Source**: `torch.nn.functional.conv_transpose2d`, in NHWC.
#[track_caller]
pub fn conv_transpose2d(x: &Var, weight: &Var, bias: Option<&Var>, window: Window) -> Result<Var> {
    Ok(forward(x, weight, bias, window, false)?.0)
}

/// [`conv_transpose2d`], and the statistics of y's channels for
/// [`batch_norm`](crate::ops::batch_norm): each part of y is read for them while it
/// is in a cache. None on a GPU, and where y is empty or c_in is 0.
#[track_caller]
pub fn conv_transpose2d_with_stats(
    x: &Var,
    weight: &Var,
    bias: Option<&Var>,
    window: Window,
) -> Result<(Var, Option<BatchStats>)> {
    forward(x, weight, bias, window, true)
}

#[track_caller]
fn forward(
    x: &Var,
    weight: &Var,
    bias: Option<&Var>,
    window: Window,
    stats: bool,
) -> Result<(Var, Option<BatchStats>)> {
    let (geometry, shape) = check(x, weight, bias, window)?;
    let (from, w, b) = (x.value(), weight.value(), bias.map(Var::value));
    let tf32 = x.tf32() || weight.tf32();
    let mut moments = None;
    let y = if w.elements() == 0 {
        biases(from, b, shape)?
    } else if stats && from.device() == Device::Cpu && shape.elements() > 0 {
        // On a GPU a product's kernel makes no sums over the rows that it writes.
        dispatch_dtype!("conv_transpose2d", x.dtype(), T in [f32, f64, bf16] => Tensor::build(shape, |y: &mut [T]| {
            let (x, w, b) = (from.data(), w.data(), b.map(Tensor::data));
            moments = Some(transposed_with_moments(&geometry, x, w, b, y));
        }))
    } else {
        on_device!("conv_transpose2d", from in [f32, f64, bf16] => shape;
            forward(&geometry, @from, @w, ?b, +tf32))?
    };
    let kernel = [weight.shape()[1], weight.shape()[2]];
    let op = Op::with_flops("conv_transpose2d", geometry.flops())
        .with_attributes(Attributes::Window(kernel, window));
    let mut inputs = vec![x, weight];
    inputs.extend(bias);
    let rule = || ConvTranspose2d {
        geometry,
        x: x.value().clone(),
        weight: weight.value().clone(),
        tf32,
    };
    let stats = moments
        .map(|moments| BatchStats::of(&moments, x.dtype()))
        .transpose()?;
    Ok((Var::record(op, &inputs, y, rule), stats))
}

/// Which pixels meet which, and the shape of y, once all operands are found to fit.
#[track_caller]
fn check(x: &Var, weight: &Var, bias: Option<&Var>, window: Window) -> Result<(Geometry, Shape)> {
    crate::ops::same_float(
        "conv_transpose2d",
        ("x", x.value()),
        ("weight", weight.value()),
    )?;
    let &[n, h, w, c_in] = &x.shape()[..] else {
        return Err(Error::operand(
            "conv_transpose2d",
            "x",
            "[n, h, w, c_in]",
            x.shape(),
        ));
    };
    let &[own, kh, kw, share] = &weight.shape()[..] else {
        return Err(Error::operand(
            "conv_transpose2d",
            "weight",
            "[c_in, kh, kw, c_out / groups]",
            weight.shape(),
        ));
    };
    let [oh, ow] = window.transposed_size("conv_transpose2d", [h, w], [kh, kw])?;
    if own != c_in {
        let expected = format!(
            "[c_in = {c_in}, kh, kw, c_out / groups] for x [n, h, w, c_in] = {}",
            x.shape()
        );
        return Err(Error::operand(
            "conv_transpose2d",
            "weight",
            expected,
            weight.shape(),
        ));
    }
    if !c_in.is_multiple_of(window.groups) {
        let expected = format!("a multiple of {} groups as c_in", window.groups);
        return Err(Error::operand("conv_transpose2d", "x", expected, x.shape()));
    }
    let Some(c_out) = share.checked_mul(window.groups) else {
        return Err(Error::operand(
            "conv_transpose2d",
            "groups",
            "padding, dilation and stride whose sizes fit in an isize",
            window.groups,
        ));
    };
    check_bias("conv_transpose2d", x, bias, c_out)?;
    let shape = Tensor::checked_shape(
        "conv_transpose2d",
        x.value().device(),
        &[n, oh, ow, c_out],
        x.dtype(),
    )?;
    let geometry = Geometry::new(n, [oh, ow, c_out], [h, w, c_in], [kh, kw], window);
    Ok((geometry, shape))
}

/// y = x convolved with the weight, transposed, plus bias.
struct ConvTranspose2d {
    geometry: Geometry,
    x: Tensor,
    weight: Tensor,
    tf32: bool,
}

impl Backward for ConvTranspose2d {
    /// dx = dy convolved with the weight; dw = sums of x dy; db = sum of dy.
    fn backward(self: Box<Self>, dy: Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let ConvTranspose2d {
            geometry: g,
            x,
            weight,
            tf32,
        } = *self;
        let mut out = vec![None; wanted.len()];
        let dw = || {
            on_device!("conv_transpose2d", dy in [f32, f64, bf16] => weight.shape(), of compute;
                backward_weight(&g, @x, @dy, +tf32))
        };
        out[1] = wanted[1].then(dw).transpose()?;
        // So that dx may reuse the buffer of x, if nothing else holds it.
        let shape = *x.shape();
        drop(x);
        let dx = || match weight.elements() {
            // As in the forward pass: a sum of no products, and a kernel of any size.
            0 => biases(&dy, None, shape),
            _ => on_device!("conv_transpose2d", dy in [f32, f64, bf16] => shape;
                backward_input(&g, @dy, @weight, None, +tf32)),
        };
        out[0] = wanted[0].then(dx).transpose()?;
        if wanted.get(2) == Some(&true) {
            out[2] = Some(dy.sum_of_rows(g.big[2])?);
        }
        Ok(out)
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.x, &self.weight]
    }
}
