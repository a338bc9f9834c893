//! Euclidean norms over any axes.

use super::extremes::reduced_last;
use super::{over_or_zero, reduced_shapes};
use crate::autograd::Backward;
use crate::cpu::reduce as cpu;
use crate::cuda::reduce as cuda;
use crate::tensor::axes::Axes;
use crate::{DType, Result, Tensor, Var};

impl Var {
    /// The Euclidean norm over `axes`, which go: the square root of the sum of x^2.
    ///
    /// Elements whose squares overflow, beyond 1.8e19 in f32, make it infinite.
    ///
    /// **Shapes**: any. **Backward**: dx = x dy / y, 0 where y is 0. **Saves**: x and y.
    /// **Errors**: an axis that is out of range or named twice.
    /// **Source**: `torch.linalg.vector_norm`.
    #[doc(alias = "vector_norm")]
    #[track_caller]
    pub fn norm(&self, axes: impl Into<Axes>) -> Result<Var> {
        self.norm_over_axes(&axes.into().of(self.shape().len()), false)
    }

    /// As [`Var::norm`], but `axes` stay with length 1 (PyTorch's `keepdim`).
    #[track_caller]
    pub fn norm_keep(&self, axes: impl Into<Axes>) -> Result<Var> {
        self.norm_over_axes(&axes.into().of(self.shape().len()), true)
    }

    #[track_caller]
    fn norm_over_axes(&self, axes: &[usize], keep: bool) -> Result<Var> {
        crate::ops::float("norm", ("x", self.value()))?;
        if matches!(self.dtype(), DType::BF16 | DType::F16) {
            let wide = self.cast(DType::F32)?;
            return wide.norm_over_axes(axes, keep)?.cast(self.dtype());
        }
        let (kept, dropped) = reduced_shapes("norm", self.shape(), axes)?;
        let x = self.value();
        let kept = Tensor::checked_shape("norm", x.device(), &kept, x.dtype())?;
        let length = axes.iter().map(|&axis| x.shape()[axis]).product();
        let rows = x.permuted(&reduced_last(x.shape().len(), axes))?;
        let norm = on_device!("norm", rows in [f32, f64] => kept; norm(@rows, length))?;
        let y = norm.reshape(if keep { kept } else { dropped })?;
        Ok(Var::record("norm", &[self], y, || Norm {
            x: x.clone(),
            norm,
        }))
    }
}

struct Norm {
    x: Tensor,
    /// y, with the reduced axes at length 1.
    norm: Tensor,
}

impl Backward for Norm {
    /// dx = x dy / y, 0 where y is 0.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let slope = over_or_zero(dy.reshape(self.norm.shape())?, self.norm)?;
        let dx = (&Var::from(self.x) * &slope)?;
        Ok(vec![Some(dx.into_value())])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.x, &self.norm]
    }
}
