//! Products over any axes.

use super::extremes::{in_order, reduced_last};
use super::reduced_shapes;
use crate::autograd::Backward;
use crate::cpu::reduce as cpu;
use crate::cuda::reduce as cuda;
use crate::tensor::axes::Axes;
use crate::{Result, Tensor, Var};

impl Var {
    /// The product over `axes`, which go. The product of no elements is 1.
    ///
    /// **Shapes**: any. **Backward**: dx = dy times the product of all other elements: with no 0
    /// among them that is y dy / x; where one element is 0, the product of the others is its
    /// gradient, and the others have none; where several are, none has any. **Saves**: x.
    /// **Errors**: an axis that is out of range or named twice. **Source**: `torch.prod`.
    #[track_caller]
    pub fn prod(&self, axes: impl Into<Axes>) -> Result<Var> {
        self.prod_over_axes(&axes.into().of(self.shape().len()), false)
    }

    /// As [`Var::prod`], but `axes` stay with length 1 (PyTorch's `keepdim`).
    #[track_caller]
    pub fn prod_keep(&self, axes: impl Into<Axes>) -> Result<Var> {
        self.prod_over_axes(&axes.into().of(self.shape().len()), true)
    }

    #[track_caller]
    fn prod_over_axes(&self, axes: &[usize], keep: bool) -> Result<Var> {
        crate::ops::float("prod", ("x", self.value()))?;
        if let Some(wide) = crate::ops::as_f32(self)? {
            return wide.prod_over_axes(axes, keep)?.cast(self.dtype());
        }
        let (kept, dropped) = reduced_shapes("prod", self.shape(), axes)?;
        let shape = if keep { kept } else { dropped };
        let x = self.value();
        let shape = Tensor::checked_shape("prod", x.device(), &shape, x.dtype())?;
        let length = axes.iter().map(|&axis| x.shape()[axis]).product();
        let order = reduced_last(x.shape().len(), axes);
        let rows = x.permuted(&order)?;
        let y = on_device!("prod", rows in [f32, f64] => shape; product(@rows, length))?;
        Ok(Var::record("prod", &[self], y, || Product {
            x: x.clone(),
            length,
            order,
        }))
    }
}

struct Product {
    x: Tensor,
    /// How many elements are multiplied, and the order of axes that puts theirs last.
    length: usize,
    order: Vec<usize>,
}

impl Backward for Product {
    /// dx = dy times the product of all other elements.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let (rows, length) = (self.x.permuted(&self.order)?, self.length);
        let dx = on_device!("prod", rows in [f32, f64] => rows.shape();
            product_backward(@rows, @dy, length))?;
        Ok(vec![Some(in_order(&dx, &self.order)?)])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.x]
    }
}
