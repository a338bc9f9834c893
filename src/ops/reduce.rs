//! Sums, means and extremes over any axes.

use crate::autograd::Backward;
use crate::cpu::reduce as cpu;
use crate::{Error, Result, Shape, Tensor, Var};

impl Var {
    /// The sum over `axes`; they stay as axes of length 1 where `keep` is set, and go otherwise.
    ///
    /// **Shapes**: any. **Backward**: dx = dy, repeated along `axes`. **Saves**: nothing.
    /// **Errors**: an axis that is out of range or named twice. **Source**: `torch.sum`.
    #[track_caller]
    pub fn sum(&self, axes: &[usize], keep: bool) -> Result<Var> {
        let (kept, dropped) = reduced_shapes("sum", self.shape(), axes)?;
        let y = self.value().sum_over(axes)?;
        let y = y.reshape(if keep { kept } else { dropped })?;
        let shape = *self.shape();
        Ok(Var::record("sum", &[self], y, || Sum { shape, kept }))
    }

    /// The sum of all elements, a single number. Otherwise as [`Var::sum`].
    #[track_caller]
    pub fn sum_all(&self) -> Result<Var> {
        let axes: Vec<usize> = (0..self.shape().len()).collect();
        self.sum(&axes, false)
    }
}

struct Sum {
    shape: Shape,
    kept: Shape,
}

impl Backward for Sum {
    /// dx = dy, repeated.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(dy.reshape(self.kept)?.expand(&self.shape)?)])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![]
    }
}

/// The shape with `axes` at length 1, and without them.
#[track_caller]
pub(crate) fn reduced_shapes(op: &'static str, shape: &Shape, axes: &[usize]) -> Result<(Shape, Shape)> {
    let mut kept = *shape;
    for (i, &axis) in axes.iter().enumerate() {
        if axis >= shape.len() || axes[..i].contains(&axis) {
            let expected = format!("different axes below {} for {shape}", shape.len());
            return Err(Error::operand(op, "axes", expected, format!("{axes:?}")));
        }
        kept = kept.with(axis, 1);
    }
    let dropped: Vec<usize> = (0..shape.len()).filter(|axis| !axes.contains(axis)).map(|axis| shape[axis]).collect();
    Ok((kept, Shape::new(&dropped)?))
}

impl Tensor {
    /// The sum over `axes`, which stay with length 1: neighbouring axes are taken together, one group after the other.
    pub(crate) fn sum_over(&self, axes: &[usize]) -> Result<Tensor> {
        let mut x = self.clone();
        let mut axis = 0;
        while axis < self.shape().len() {
            let group = (axis..self.shape().len()).take_while(|a| axes.contains(a)).count();
            if group > 0 {
                let (outer, inner) = (x.shape()[..axis].iter().product(), x.shape()[axis + group..].iter().product());
                let shape = (axis..axis + group).fold(*x.shape(), |shape, a| shape.with(a, 1));
                x = each_float!("sum", x.dtype(), T => Tensor::build(shape, |y: &mut [T]| cpu::sum(x.data(), outer, inner, y)));
            }
            axis += group.max(1);
        }
        Ok(x)
    }

    /// Undoes broadcasting: the sum over all axes along which `shape` was repeated to make this tensor.
    pub(crate) fn sum_to(&self, shape: &Shape) -> Result<Tensor> {
        if self.shape() == shape {
            return Ok(self.clone());
        }
        let extra = self.shape().len() - shape.len();
        let repeated = |axis: usize| axis < extra || (shape[axis - extra] == 1 && self.shape()[axis] != 1);
        let axes: Vec<usize> = (0..self.shape().len()).filter(|&axis| repeated(axis)).collect();
        self.sum_over(&axes)?.reshape(shape)
    }
}
