//! One matrix applied to the last axis.

use crate::autograd::Backward;
use crate::autograd::trace::Op;
use crate::cpu::linear as cpu;
use crate::cuda::linear as cuda;
use crate::tensor::shape::flops;
use crate::{Error, Result, Shape, Tensor, Var};

/// y = x w^T + b, along the last axis.
///
/// **Shapes**: x [.., c_in], weight [c_out, c_in], bias `[c_out]`, y `[.., c_out]`.
/// **Backward**: dx = dy w, dw = dy^T x, db = the sum of dy over all rows.
/// **Saves**: x and the weight. **Errors**: shapes other than these, dtypes that differ, a y that
/// does not fit in memory.
/// **Source**: `torch.nn.functional.linear`.
#[track_caller]
pub fn linear(x: &Var, weight: &Var, bias: Option<&Var>) -> Result<Var> {
    crate::ops::same_float("linear", ("x", x.value()), ("weight", weight.value()))?;
    let Some((&c_in, before)) = x.shape().split_last() else {
        return Err(Error::operand("linear", "x", "[.., c_in]", x.shape()));
    };
    let &[c_out, own] = &weight.shape()[..] else {
        return Err(Error::operand(
            "linear",
            "weight",
            "[c_out, c_in]",
            weight.shape(),
        ));
    };
    if own != c_in {
        return Err(Error::operand(
            "linear",
            "weight",
            format!("[c_out, c_in = {c_in}] for x [.., c_in] = {}", x.shape()),
            weight.shape(),
        ));
    }
    check_bias("linear", x, bias, c_out)?;
    let rows: usize = before.iter().product();
    let shape = Tensor::checked_shape(
        "linear",
        x.value().device(),
        &x.shape().with(before.len(), c_out),
        x.dtype(),
    )?;
    let tf32 = x.tf32() || weight.tf32();
    let y = product(
        "linear",
        x.value(),
        weight.value(),
        bias.map(Var::value),
        tf32,
        shape,
    )?;
    let op = Op::with_flops("linear", flops(&[rows, c_in, c_out]));
    let mut inputs = vec![x, weight];
    inputs.extend(bias);
    Ok(Var::record(op, &inputs, y, || Linear {
        x: x.value().clone(),
        weight: weight.value().clone(),
        tf32,
    }))
}

/// y = x w^T + b, of this shape; w may have axes of length 1 between its two.
pub(super) fn product(
    op: &'static str,
    x: &Tensor,
    w: &Tensor,
    b: Option<&Tensor>,
    tf32: bool,
    shape: Shape,
) -> Result<Tensor> {
    let size = [w.shape()[0], w.shape()[w.shape().len() - 1]];
    on_device!(op, x in [f32, f64, bf16] => shape; forward(@x, @w, ?b, size, +tf32))
}

/// y = x w^T + b.
pub(super) struct Linear {
    pub x: Tensor,
    pub weight: Tensor,
    pub tf32: bool,
}

impl Backward for Linear {
    /// dx = dy w, dw = dy^T x, db = sum of dy over the rows.
    fn backward(self: Box<Self>, dy: Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let Linear { x, weight, tf32 } = *self;
        let size = [
            dy.shape()[dy.shape().len() - 1],
            x.shape()[x.shape().len() - 1],
        ];
        let mut out = vec![None; wanted.len()];
        let dw = || {
            on_device!("linear", dy in [f32, f64, bf16] => weight.shape(), of compute;
                backward_weight(@dy, @x, size, +tf32))
        };
        out[1] = wanted[1].then(dw).transpose()?;
        // dx comes where x was, if nothing else needs that.
        let shape = *x.shape();
        drop(x);
        let dx = || {
            on_device!("linear", dy in [f32, f64, bf16] => shape;
                backward_input(@dy, @weight, size, +tf32))
        };
        out[0] = wanted[0].then(dx).transpose()?;
        if wanted.get(2) == Some(&true) {
            out[2] = Some(dy.sum_of_rows(size[0])?);
        }
        Ok(out)
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.x, &self.weight]
    }
}

/// A bias, where there is one, is [c_out] in the dtype of x.
#[track_caller]
pub(crate) fn check_bias(
    op: &'static str,
    x: &Var,
    bias: Option<&Var>,
    c_out: usize,
) -> Result<()> {
    let Some(bias) = bias else { return Ok(()) };
    crate::ops::same_float(op, ("x", x.value()), ("bias", bias.value()))?;
    if bias.shape()[..] != [c_out] {
        return Err(Error::operand(
            op,
            "bias",
            format!("[c_out = {c_out}]"),
            bias.shape(),
        ));
    }
    Ok(())
}
