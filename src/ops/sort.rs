//! Elements in order, and where they were.

use crate::autograd::Backward;
use crate::cpu::sort as cpu;
use crate::cuda::sort as cuda;
use crate::ops::shape::check_axis;
use crate::{Result, Shape, Tensor, Var};

impl Var {
    /// The elements along `axis` in ascending order, or in descending order, and where along it
    /// they were (i64).
    ///
    /// Equal elements keep their order. Not-a-number counts as larger than all: it comes last, in
    /// descending order first.
    ///
    /// **Shapes**: any with that axis, both results as x. **Backward**: each element's gradient goes
    /// to where it was. **Saves**: where that is, one i64 a result.
    /// **Errors**: an axis that is out of range. **Source**: `torch.sort` with `stable=True`.
    #[track_caller]
    pub fn sort(&self, axis: usize, descending: bool) -> Result<(Var, Tensor)> {
        check_axis("sort", self.shape(), axis)?;
        let last = self.shape().len() - 1;
        if axis != last {
            let (y, at) = self.transpose(axis, last)?.sort(last, descending)?;
            let at = Var::from(at).transpose(axis, last)?.into_value();
            return Ok((y.transpose(axis, last)?, at));
        }
        let at = self.value().argsort(axis, descending)?;
        let y = self
            .value()
            .picked(&at, self.shape()[last], self.shape()[last])?;
        Ok((recorded("sort", self, y, &at), at))
    }

    /// The `k` largest elements along the last axis, largest first, and where along it they were
    /// (i64). Of equal elements the first comes first; not-a-number comes before all.
    ///
    /// **Shapes**: x `[.., n]`, both results `[.., k]`. **Backward**: each element's gradient goes to
    /// where it was, 0 elsewhere. **Saves**: where that is, one i64 a result.
    /// **Errors**: a single number, or fewer than `k` elements in the last axis.
    /// **Source**: `torch.topk`.
    #[track_caller]
    pub fn topk(&self, k: usize) -> Result<(Var, Tensor)> {
        let (y, at) = self.value().topk(k)?;
        Ok((recorded("topk", self, y, &at), at))
    }
}

/// y, whose elements were at these places of x's rows.
#[track_caller]
fn recorded(op: &'static str, x: &Var, y: Tensor, at: &Tensor) -> Var {
    Var::record(op, &[x], y, || Placed {
        at: at.clone(),
        shape: *x.shape(),
    })
}

struct Placed {
    /// Where in its row each element was.
    at: Tensor,
    /// The shape of x.
    shape: Shape,
}

impl Backward for Placed {
    /// dx = dy at the places, 0 elsewhere.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let (at, shape) = (&self.at, self.shape);
        let sizes = [shape, *at.shape()].map(|shape| shape.last().copied().unwrap_or(1));
        let dx = on_device!("sort", dy in any => shape; place(@at, @dy, sizes))?;
        Ok(vec![Some(dx)])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.at]
    }
}

impl Tensor {
    /// Where along `axis` the elements are that [`Var::sort`] has, one after the other: i64, in the
    /// shape of this tensor.
    ///
    /// # Errors
    /// An axis that is out of range.
    #[track_caller]
    pub fn argsort(&self, axis: usize, descending: bool) -> Result<Tensor> {
        check_axis("argsort", self.shape(), axis)?;
        let last = self.shape().len() - 1;
        if axis != last {
            let mut order: Vec<usize> = (0..=last).collect();
            order.swap(axis, last);
            let at = self.permuted(&order)?.argsort(last, descending)?;
            return at.permuted(&order);
        }
        let length = self.shape()[last];
        on_device!("argsort", self in any => self.shape(), of i64;
            argsort(@self, length, descending))
    }
}
