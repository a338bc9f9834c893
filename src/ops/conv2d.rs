//! Two-dimensional convolution; that along rows is in `conv2d/conv1d.rs`.

mod conv1d;

pub use conv1d::conv1d;

use crate::autograd::Backward;
use crate::autograd::trace::{Attributes, Op};
use crate::ops::linear::{self, Linear, check_bias};
use crate::tensor::window::{Geometry, Window};
use crate::{Error, Result, Shape, Tensor, Var};

// The functions of this op on both devices, by the same names: of these `on_device!` calls
// `cpu::forward` or `cuda::forward`. `ops/mod.rs` has the macro, and says what @, ? and + mean.
mod cpu {
    pub(super) use crate::cpu::conv::{backward_weight, forward, transposed as backward_input};
}

mod cuda {
    pub(super) use crate::cuda::conv_transpose2d::forward as backward_input;
    pub(super) use crate::cuda::conv2d::{backward_weight, forward};
}

/// y\[n, i, j, o\] = bias\[o\] + the sum over ky, kx, c of x[n, i stride - padding + ky dilation, j
/// stride - padding + kx dilation, c] weight[o, ky, kx, c], x being 0 outside.
///
/// **Shapes**: x [n, h, w, c_in], weight [c_out, kh, kw, c_in / groups], bias `[c_out]`, y [n, h',
/// w', c_out] with h' = (h + 2 padding - dilation (kh - 1) - 1) / stride + 1, rounded down. With
/// groups, channels are cut into `groups` equal runs, and outputs of a run see inputs of that run
/// only.
/// **Backward**: dx = the transposed convolution of dy by the same weight, dw = the sums of dy
/// times x over all pixels, db = the sum of dy over all pixels.
/// **Saves**: x and the weight. **Errors**: shapes, dtypes or window sizes that do not fit.
/// **Source**: `torch.nn.functional.conv2d`, in NHWC; the weight is OHWI where PyTorch's is OIHW.
/// Weight files are turned as they are read and written
/// ([`FileLayout::ChannelsFirst`](crate::params::FileLayout)); an array of your own you turn
/// yourself, by [`Var::permute`].
#[track_caller]
pub fn conv2d(x: &Var, weight: &Var, bias: Option<&Var>, window: Window) -> Result<Var> {
    let (y, geometry) = convolved(x, weight, bias, window)?;
    let op = Op::with_flops("conv2d", geometry.flops()).with_attributes(attributes(weight, window));
    let mut inputs = vec![x, weight];
    inputs.extend(bias);
    Ok(Var::record(op, &inputs, y, || Conv2d {
        geometry,
        x: x.value().clone(),
        weight: weight.value().clone(),
        tf32: x.tf32() || weight.tf32(),
    }))
}

/// What watchers are told of a convolution by this weight.
pub(super) fn attributes(weight: &Var, window: Window) -> Attributes<'static> {
    Attributes::Window([weight.shape()[1], weight.shape()[2]], window)
}

/// The value of [`conv2d`], of which no watcher is told, and what its loops run over.
///
/// # Errors
/// Those of [`conv2d`].
#[track_caller]
pub(super) fn convolved(
    x: &Var,
    weight: &Var,
    bias: Option<&Var>,
    window: Window,
) -> Result<(Tensor, Geometry)> {
    crate::ops::same_float("conv2d", ("x", x.value()), ("weight", weight.value()))?;
    let &[n, h, w, c_in] = &x.shape()[..] else {
        return Err(Error::operand("conv2d", "x", "[n, h, w, c_in]", x.shape()));
    };
    let &[c_out, kh, kw, own] = &weight.shape()[..] else {
        return Err(Error::operand(
            "conv2d",
            "weight",
            "[c_out, kh, kw, c_in / groups]",
            weight.shape(),
        ));
    };
    let [oh, ow] = window.output_size("conv2d", [h, w], [kh, kw])?;
    let groups = window.groups;
    if !c_in.is_multiple_of(groups) || own != c_in / groups {
        let expected = match groups {
            1 => format!("[c_out, kh, kw, c_in = {c_in}]"),
            _ => format!("[c_out, kh, kw, c_in / groups = {c_in} / {groups}]"),
        };
        // Which of the two is wrong only the caller knows: an image may have its channels first.
        let expected = format!("{expected} for x [n, h, w, c_in] = {}", x.shape());
        return Err(Error::operand("conv2d", "weight", expected, weight.shape()));
    }
    if !c_out.is_multiple_of(groups) {
        return Err(Error::operand(
            "conv2d",
            "weight",
            format!("a multiple of {groups} groups as c_out"),
            weight.shape(),
        ));
    }
    check_bias("conv2d", x, bias, c_out)?;
    let shape =
        Tensor::checked_shape("conv2d", x.value().device(), &[n, oh, ow, c_out], x.dtype())?;
    let geometry = Geometry::new(n, [h, w, c_in], [oh, ow, c_out], [kh, kw], window);
    let (from, w, b) = (x.value(), weight.value(), bias.map(Var::value));
    let tf32 = x.tf32() || weight.tf32();
    let y = if w.elements() == 0 {
        biases(from, b, shape)?
    } else if geometry.is_matrix() {
        linear::product("conv2d", from, w, b, tf32, shape)?
    } else {
        on_device!("conv2d", from in [f32, f64, bf16] => shape;
            forward(&geometry, @from, @w, ?b, +tf32))?
    };
    Ok((y, geometry))
}

/// The sum of no products, with c_in = 0: the bias at each pixel, or zeros. kh and kw may be huge
/// then, and must not be looped over.
pub(super) fn biases(x: &Tensor, bias: Option<&Tensor>, shape: Shape) -> Result<Tensor> {
    match bias {
        Some(bias) => bias.expand(&shape),
        None => Tensor::full_on(x.device(), shape, 0.0, x.dtype()),
    }
}

/// y = x convolved with the weight, plus bias.
pub(super) struct Conv2d {
    pub geometry: Geometry,
    pub x: Tensor,
    pub weight: Tensor,
    pub tf32: bool,
}

impl Backward for Conv2d {
    /// dx = the transposed convolution of dy by the weight, dw = sums of dy x (why: the head of
    /// `cpu::conv`), db = sum of dy.
    fn backward(self: Box<Self>, dy: Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let Conv2d {
            geometry: g,
            x,
            weight,
            tf32,
        } = *self;
        if g.is_matrix() {
            return Box::new(Linear { x, weight, tf32 }).backward(dy, wanted);
        }
        let mut out = vec![None; wanted.len()];
        let dw = || {
            on_device!("conv2d", dy in [f32, f64, bf16] => weight.shape(), of compute;
                backward_weight(&g, @dy, @x, +tf32))
        };
        out[1] = wanted[1].then(dw).transpose()?;
        // So that dx may reuse the buffer of x, if nothing else holds it.
        let shape = *x.shape();
        drop(x);
        let dx = || match weight.elements() {
            // As in the forward pass: a sum of no products, and a kernel of any size.
            0 => biases(&dy, None, shape),
            _ => on_device!("conv2d", dy in [f32, f64, bf16] => shape;
                backward_input(&g, @dy, @weight, None, +tf32)),
        };
        out[0] = wanted[0].then(dx).transpose()?;
        if wanted.get(2) == Some(&true) {
            out[2] = Some(dy.sum_of_rows(g.small[2])?);
        }
        Ok(out)
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.x, &self.weight]
    }
}
