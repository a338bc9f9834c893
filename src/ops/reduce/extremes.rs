//! Extremes over any axes, and where they are.

use super::reduced_shapes;
use crate::autograd::Backward;
use crate::autograd::trace::{Attributes, Op};
use crate::cpu::reduce as cpu;
use crate::cuda::reduce as cuda;
use crate::tensor::axes::Axes;
use crate::{Error, Result, Shape, Tensor, Var};

/// Extremes.
impl Var {
    /// The largest element over `axes`, which go.
    ///
    /// Not-a-number counts as larger than all, and gets the gradient. **Shapes**: any with elements
    /// to reduce.
    /// **Backward**: dy goes to the first of the largest. **Saves**: where that is, one i64 a
    /// result.
    /// **Errors**: an axis that is out of range or named twice, the largest of none. **Source**:
    /// `torch.max` along an axis; `torch.amax` shares the gradient among equals.
    #[track_caller]
    pub fn max(&self, axes: impl Into<Axes>) -> Result<Var> {
        self.extreme("max", &axes.into().of(self.shape().len()), false)
    }

    /// As [`Var::max`], but `axes` stay with length 1 (PyTorch's `keepdim`).
    #[track_caller]
    pub fn max_keep(&self, axes: impl Into<Axes>) -> Result<Var> {
        self.extreme("max", &axes.into().of(self.shape().len()), true)
    }

    /// The smallest element over `axes`; otherwise as [`Var::max`].
    #[track_caller]
    pub fn min(&self, axes: impl Into<Axes>) -> Result<Var> {
        self.extreme("min", &axes.into().of(self.shape().len()), false)
    }

    /// As [`Var::min`], but `axes` stay with length 1 (PyTorch's `keepdim`).
    #[track_caller]
    pub fn min_keep(&self, axes: impl Into<Axes>) -> Result<Var> {
        self.extreme("min", &axes.into().of(self.shape().len()), true)
    }

    #[track_caller]
    fn extreme(&self, op: &'static str, axes: &[usize], keep: bool) -> Result<Var> {
        let length = self.reduced_count(op, axes, 1)?;
        let (kept, dropped) = reduced_shapes(op, self.shape(), axes)?;
        let order = reduced_last(self.shape().len(), axes);
        let rows = self.value().permuted(&order)?;
        let shape = if keep { kept } else { dropped };
        let at = rows.extreme_of_rows(length, shape, op == "max")?;
        let y = rows.picked(&at, length, 1)?;
        let op = Op::from(op).with_attributes(Attributes::Axes(axes));
        Ok(Var::record(op, &[self], y, || Extreme {
            at,
            shape: *rows.shape(),
            length,
            order,
        }))
    }
}

struct Extreme {
    at: Tensor,
    /// The shape with the reduced axes last, and the order that put them there.
    shape: Shape,
    length: usize,
    order: Vec<usize>,
}

impl Backward for Extreme {
    /// dx = dy at the extremes, 0 elsewhere.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let Extreme {
            at,
            shape,
            length,
            order,
        } = *self;
        let dx = on_device!("extreme", dy in any => shape; extreme_backward(@at, @dy, length))?;
        Ok(vec![Some(in_order(&dx, &order)?)])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.at]
    }
}

/// Which elements are the largest.
impl Tensor {
    /// Where along axis `axis` the largest element is, the first of equals: i64, without that axis.
    ///
    /// # Errors
    /// An axis that is out of range or of length 0.
    #[track_caller]
    pub fn argmax(&self, axis: usize) -> Result<Tensor> {
        self.where_extreme("argmax", axis)
    }

    /// Where along axis `axis` the smallest element is. Otherwise as [`Tensor::argmax`].
    #[track_caller]
    pub fn argmin(&self, axis: usize) -> Result<Tensor> {
        self.where_extreme("argmin", axis)
    }

    #[track_caller]
    fn where_extreme(&self, op: &'static str, axis: usize) -> Result<Tensor> {
        crate::ops::shape::check_axis(op, self.shape(), axis)?;
        let (_, dropped) = reduced_shapes(op, self.shape(), &[axis])?;
        if self.shape()[axis] == 0 {
            return Err(Error::operand(
                op,
                "tensor",
                format!("a length above 0 in axis {axis}"),
                self.shape(),
            ));
        }
        let rows = self.permuted(&reduced_last(self.shape().len(), &[axis]))?;
        rows.extreme_of_rows(self.shape()[axis], dropped, op == "argmax")
    }

    /// The `k` largest elements along the last axis, largest first and of equals the first, and
    /// where they are (i64).
    ///
    /// # Errors
    /// A single number, or fewer than `k` elements in the last axis.
    #[track_caller]
    pub fn topk(&self, k: usize) -> Result<(Tensor, Tensor)> {
        let Some(&length) = self.shape().last().filter(|&&length| k <= length) else {
            return Err(Error::operand(
                "topk",
                "k",
                format!("at most the length of the last axis of {}", self.shape()),
                k,
            ));
        };
        let shape = self.shape().with(self.shape().len() - 1, k);
        let at = on_device!("topk", self in any => shape, of i64; topk(@self, length, k))?;
        Ok((self.picked(&at, length, k)?, at))
    }

    /// Where the extreme of each row of `length` is, i64 of shape `shape`.
    fn extreme_of_rows(&self, length: usize, shape: Shape, largest: bool) -> Result<Tensor> {
        on_device!("extreme", self in any => shape, of i64; extreme(@self, length, largest))
    }

    /// The elements at `k` places of each row of `length`, in the shape of the places.
    pub(crate) fn picked(&self, at: &Tensor, length: usize, k: usize) -> Result<Tensor> {
        on_device!("pick", self in any => at.shape(); pick(@self, @at, length, k))
    }
}

/// The order of axes that puts the reduced ones last, each kind in its own order.
pub(super) fn reduced_last(rank: usize, axes: &[usize]) -> Vec<usize> {
    let (kept, reduced): (Vec<usize>, Vec<usize>) =
        (0..rank).partition(|axis| !axes.contains(axis));
    [kept, reduced].concat()
}

/// x with its axes back in order, where axis i is axis `order[i]`.
pub(super) fn in_order(x: &Tensor, order: &[usize]) -> Result<Tensor> {
    let mut inverse = vec![0; order.len()];
    for (i, &axis) in order.iter().enumerate() {
        inverse[axis] = i;
    }
    x.permuted(&inverse)
}
