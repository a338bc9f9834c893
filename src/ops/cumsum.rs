//! Sums of all elements up to each.

use crate::autograd::Backward;
use crate::cpu::cumsum as cpu;
use crate::cuda::cumsum as cuda;
use crate::ops::shape::check_axis;
use crate::{Result, Tensor, Var};

impl Var {
    /// y_i = x_0 + x_1 + .. + x_i along `axis`. On the CPU it is summed in f64.
    ///
    /// **Shapes**: any with that axis, y as x. **Backward**: dx_i = dy_i + dy_(i+1) + .., the sums
    /// from the other end. **Saves**: nothing.
    /// **Errors**: an axis that is out of range. **Source**: `torch.cumsum`.
    #[track_caller]
    pub fn cumsum(&self, axis: usize) -> Result<Var> {
        super::float("cumsum", ("x", self.value()))?;
        check_axis("cumsum", self.shape(), axis)?;
        if let Some(wide) = super::as_f32(self)? {
            return wide.cumsum(axis)?.cast(self.dtype());
        }
        let last = self.shape().len() - 1;
        if axis != last {
            let rows = self.transpose(axis, last)?;
            return rows.cumsum(last)?.transpose(axis, last);
        }
        let y = sums_of_rows(self.value(), false)?;
        Ok(Var::record("cumsum", &[self], y, || CumulativeSum))
    }
}

/// The sums along the last axis, from its end on where `reverse` is set.
fn sums_of_rows(x: &Tensor, reverse: bool) -> Result<Tensor> {
    let length = x.shape().last().copied().unwrap_or(1);
    on_device!("cumsum", x in [f32, f64] => x.shape(); forward(@x, length, reverse))
}

struct CumulativeSum;

impl Backward for CumulativeSum {
    /// dx_i = dy_i + dy_(i+1) + ..
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(sums_of_rows(&dy, true)?)])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![]
    }
}
