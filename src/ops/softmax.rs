//! Softmax: numbers to probabilities.

use crate::autograd::Backward;
use crate::cpu::softmax as cpu;
use crate::cuda::softmax as cuda;
use crate::{Error, Result, Tensor, Var};

impl Var {
    /// y = e^x / sum of e^x along `axis`: positive numbers that add up to 1.
    ///
    /// **Shapes**: any with that axis, y as x. **Backward**: dx = y (dy - sum of dy y). **Saves**:
    /// y.
    /// **Errors**: an axis that is out of range or empty. **Source**: `torch.softmax`.
    #[track_caller]
    pub fn softmax(&self, axis: usize) -> Result<Var> {
        along("softmax", self, axis)
    }

    /// y = x - ln(sum of e^x) along `axis`: the logarithm of [`softmax`](Var::softmax), finite
    /// where that rounds to 0.
    ///
    /// **Shapes**: any with that axis, y as x. **Backward**: dx = dy - e^y sum of dy. **Saves**: y.
    /// **Errors**: an axis that is out of range or empty. **Source**: `torch.log_softmax`.
    #[track_caller]
    pub fn log_softmax(&self, axis: usize) -> Result<Var> {
        along("log_softmax", self, axis)
    }
}

#[track_caller]
fn along(op: &'static str, x: &Var, axis: usize) -> Result<Var> {
    if let Some(wide) = super::as_f32(x)? {
        return along(op, &wide, axis)?.cast(x.dtype());
    }
    let shape = x.shape();
    if axis >= shape.len() || shape[axis] == 0 {
        let expected = format!("one of the {} axes of {shape}, with elements", shape.len());
        return Err(Error::operand(op, "axis", expected, axis));
    }
    let last = shape.len() - 1;
    if axis != last {
        return along(op, &x.transpose(axis, last)?, last)?.transpose(axis, last);
    }
    let (k, log) = (shape[last], op == "log_softmax");
    let from = x.value();
    super::float(op, ("x", from))?;
    let y = on_device!(op, from in [f32, f64] => shape; forward(log, @from, k))?;
    Ok(Var::record(op, &[x], y.clone(), || Softmax { y, log }))
}

struct Softmax {
    y: Tensor,
    log: bool,
}

impl Backward for Softmax {
    /// dx = y (dy - sum of dy y), or for the logarithm dx = dy - e^y sum of dy.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let (shape, Softmax { y, log }) = (*dy.shape(), &*self);
        let k = shape[shape.len() - 1];
        let dx = on_device!("softmax", dy in [f32, f64] => shape; backward(*log, @y, @dy, k))?;
        Ok(vec![Some(dx)])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.y]
    }
}
