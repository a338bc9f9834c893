//! Matrix products, batched.

mod dft;
mod einsum;

pub use einsum::einsum;

use crate::autograd::Backward;
use crate::autograd::trace::{Attributes, Op};
use crate::cpu::binary::steps;
use crate::cpu::matmul::{self as cpu, Batch};
use crate::cuda::matmul as cuda;
use crate::tensor::shape::flops;
use crate::{Error, Result, Shape, Tensor, Var};

impl Var {
    /// The matrix product with `other`; see [`matmul_with`].
    #[track_caller]
    pub fn matmul(&self, other: &Var) -> Result<Var> {
        matmul_with(self, other, false, false)
    }
}

/// y = a b for matrices along the last two axes; an operand whose `transpose` is set is taken
/// transposed, at no cost.
///
/// **Shapes**: a [.., m, k] (or [.., k, m] where transposed), b [.., k, n] (or [.., n, k]), y [..,
/// m, n]; the dimensions before broadcast as NumPy's.
/// **Backward**: da = dy b^T, db = a^T dy, each summed over the axes it was repeated along.
/// **Saves**: b where a is differentiated, a where b is. **Errors**: fewer than two dimensions,
/// k's that differ, batches that do not broadcast, dtypes.
/// **Source**: `torch.matmul`.
#[track_caller]
pub fn matmul_with(a: &Var, b: &Var, transpose_a: bool, transpose_b: bool) -> Result<Var> {
    let transposed = [transpose_a, transpose_b];
    let (batch, shape) = plan(a.value(), b.value(), transposed)?;
    let [m, k, n] = batch.size;
    let (va, vb) = (a.value(), b.value());
    let tf32 = a.tf32() || b.tf32();
    let y = on_device!("matmul", va in [f32, f64, bf16] => shape;
        forward(&batch, @va, @vb, +tf32))?;
    let op = Op::with_flops("matmul", flops(&[batch.shape.elements(), m, k, n]))
        .with_attributes(Attributes::Transposed(transposed));
    // Each operand serves the other's gradient.
    let kept = |x: &Var, other: &Var| other.requires_grad().then(|| x.value().clone());
    let shapes = [*a.shape(), *b.shape()];
    Ok(Var::record(op, &[a, b], y, || Matmul {
        kept: [kept(a, b), kept(b, a)],
        shapes,
        transposed,
        tf32,
    }))
}

/// y = a b.
struct Matmul {
    /// a and b, where the other one's gradient needs them.
    kept: [Option<Tensor>; 2],
    shapes: [Shape; 2],
    transposed: [bool; 2],
    tf32: bool,
}

impl Backward for Matmul {
    /// da = dy b^T, db = a^T dy; for a transposed operand the transposes of these. Why: where a
    /// moves by v, y moves by v b, and the loss by the sum of dy * (v b), which is that of
    /// (dy b^T) * v, with * elementwise. (Both are the sum of dy[i, j] v[i, p] b[p, j].)
    fn backward(self: Box<Self>, dy: Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let ([shape_a, shape_b], [ta, tb]) = (self.shapes, self.transposed);
        let operand = |x: Tensor| Var::from(x).with_tf32(self.tf32);
        let dy = operand(dy);
        // A sum over no products. Before it is summed over the batch it could be larger than
        // memory.
        let nothing = |x: &Var| x.value().elements() == 0 || dy.value().elements() == 0;
        let zeros = |shape| Tensor::full_on(dy.value().device(), shape, 0.0, dy.dtype());
        let product_for_a = |b: Var| {
            if ta {
                matmul_with(&b, &dy, tb, true)
            } else {
                matmul_with(&dy, &b, false, !tb)
            }
        };
        let product_for_b = |a: Var| match (ta, tb) {
            // One matrix b for a whole batch: its gradient is one product over all rows of the
            // batch.
            (false, false) if shape_b.len() == 2 => {
                matmul_with(&flat(&a)?, &flat(&dy)?, true, false)
            }
            (false, true) if shape_b.len() == 2 => {
                matmul_with(&flat(&dy)?, &flat(&a)?, true, false)
            }
            (_, false) => matmul_with(&a, &dy, !ta, false),
            (_, true) => matmul_with(&dy, &a, true, ta),
        };
        let [a, b] = self.kept.map(|x| x.map(operand));
        let gradient_of_a = |b: Var| {
            if nothing(&b) {
                zeros(shape_a)
            } else {
                product_for_a(b)?.value().sum_to(&shape_a)
            }
        };
        let gradient_of_b = |a: Var| {
            if nothing(&a) {
                zeros(shape_b)
            } else {
                product_for_b(a)?.value().sum_to(&shape_b)
            }
        };
        let da = b.filter(|_| wanted[0]).map(gradient_of_a).transpose()?;
        let db = a.filter(|_| wanted[1]).map(gradient_of_b).transpose()?;
        Ok(vec![da, db])
    }

    fn saves(&self) -> Vec<&Tensor> {
        self.kept.iter().flatten().collect()
    }
}

/// All axes but the last as one.
fn flat(x: &Var) -> Result<Var> {
    let columns = x.shape().last().copied().unwrap_or(1);
    let rows = x.shape()[..x.shape().len() - 1].iter().product();
    Ok(Var::from(x.value().reshape([rows, columns])?).with_tf32(x.tf32()))
}

/// How the matrices of a and b meet, and the shape of y.
#[track_caller]
fn plan(a: &Tensor, b: &Tensor, transposed: [bool; 2]) -> Result<(Batch, Shape)> {
    let ([batch_a, batch_b], [m, k, n]) = sizes(a, b, transposed)?;
    let Some(shape) = batch_a.broadcast(&batch_b) else {
        let expected = format!("a batch that broadcasts with {batch_a}");
        return Err(Error::operand("matmul", "b", expected, b.shape()));
    };
    let whole = [&shape[..], &[m, n]].concat();
    let whole = Tensor::checked_shape("matmul", a.device(), &whole, a.dtype())?;
    // One b for all: the rows of the whole batch make one matrix.
    let (shape, steps, m) = if batch_b.is_empty() && !transposed[0] {
        let one = Shape::from([]);
        (one, [one, one], shape.elements() * m)
    } else {
        let steps = [&batch_a, &batch_b].map(|own| steps(own, &shape));
        (shape, steps, m)
    };
    let batch = Batch {
        shape,
        steps,
        size: [m, k, n],
        transposed,
    };
    Ok((batch, whole))
}

/// The batch that each operand is of, and m, k and n of its matrices.
#[track_caller]
fn sizes(a: &Tensor, b: &Tensor, transposed: [bool; 2]) -> Result<([Shape; 2], [usize; 3])> {
    crate::ops::same_float("matmul", ("a", a), ("b", b))?;
    for (name, x) in [("a", a), ("b", b)] {
        if x.shape().len() < 2 {
            let expected = "two dimensions or more";
            return Err(Error::operand("matmul", name, expected, x.shape()));
        }
    }
    let split = |x: &Tensor, transposed: bool| -> Result<(Shape, usize, usize)> {
        let (batch, matrix) = x.shape().split_at(x.shape().len() - 2);
        Ok((
            Shape::new(batch)?,
            matrix[usize::from(transposed)],
            matrix[usize::from(!transposed)],
        ))
    };
    let ((batch_a, m, k), (batch_b, own, n)) = (split(a, transposed[0])?, split(b, transposed[1])?);
    if own != k {
        let expected = if transposed[1] {
            format!("[.., n, k = {k}]")
        } else {
            format!("[.., k = {k}, n]")
        };
        return Err(Error::operand("matmul", "b", expected, b.shape()));
    }
    Ok(([batch_a, batch_b], [m, k, n]))
}
