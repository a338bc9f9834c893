//! Picking elements, rows and classes by number.

use crate::autograd::Backward;
use crate::cpu::index as cpu;
use crate::cuda::index as cuda;
use crate::ops::shape::check_axis;
use crate::{DType, Device, Error, Result, Shape, Tensor, Var};

impl Var {
    /// One element of x for each index: `y[i, j, k] = x[indices[i, j, k], j, k]` for axis 0, and so
    /// on.
    ///
    /// **Shapes**: `indices`, i64, has x's rank, any length along `axis`, and elsewhere at most
    /// x's; y is of its shape.
    /// **Backward**: dx = dy added up where it was picked from, 0 elsewhere. **Saves**: the
    /// indices.
    /// **Errors**: indices of another dtype or rank, or out of range. **Source**: `torch.gather`.
    #[track_caller]
    pub fn gather(&self, axis: usize, indices: &Tensor) -> Result<Var> {
        let whole = *self.shape();
        check_axis("gather", &whole, axis)?;
        let fits = |(a, (&i, &x)): (usize, (&usize, &usize))| a == axis || i <= x;
        if indices.shape().len() != whole.len()
            || !indices
                .shape()
                .iter()
                .zip(whole.iter())
                .enumerate()
                .all(fits)
        {
            let expected = format!("a shape within {whole}, but for axis {axis}");
            return Err(Error::operand(
                "gather",
                "indices",
                expected,
                indices.shape(),
            ));
        }
        check_indices("gather", "indices", indices, whole[axis])?;
        // What lies beyond the indices along other axes is never picked.
        let used = indices.shape().with(axis, whole[axis]);
        let x = (0..used.len()).try_fold(self.value().clone(), |x, a| x.sliced(a, 0..used[a]))?;
        super::same_device("gather", ("x", &x), ("indices", indices))?;
        let sizes = [used[axis], indices.shape()[axis], inner(&used, axis)];
        let y = on_device!("gather", x in any => indices.shape(); gather(@x, @indices, sizes))?;
        Ok(Var::record("gather", &[self], y, || Gather {
            indices: indices.clone(),
            axis,
            used,
            whole,
        }))
    }

    /// Rows of x by number: along `axis`, element m of y is element `indices[m]` of x.
    ///
    /// **Shapes**: `indices` is i64 of shape `[m]`; y is x's shape with `axis` of length m.
    /// **Backward**: dx = the rows of dy added up where they were picked from, 0 elsewhere.
    /// **Saves**: the indices.
    /// **Errors**: indices of another dtype or rank, or out of range. **Source**:
    /// `torch.index_select`.
    #[track_caller]
    pub fn index_select(&self, axis: usize, indices: &Tensor) -> Result<Var> {
        let shape = *self.shape();
        check_axis("index_select", &shape, axis)?;
        if indices.shape().len() != 1 {
            return Err(Error::operand(
                "index_select",
                "indices",
                "shape [m]",
                indices.shape(),
            ));
        }
        check_indices("index_select", "indices", indices, shape[axis])?;
        let x = self.value();
        let chosen = Tensor::checked_shape(
            "index_select",
            x.device(),
            &shape.with(axis, indices.elements()),
            x.dtype(),
        )?;
        super::same_device("index_select", ("x", x), ("indices", indices))?;
        let sizes = [shape[axis], indices.elements(), inner(&shape, axis)];
        let y = on_device!("index_select", x in any => chosen; rows(@x, @indices, sizes))?;
        Ok(Var::record("index_select", &[self], y, || Rows {
            indices: indices.clone(),
            axis,
            shape,
        }))
    }
}

struct Gather {
    indices: Tensor,
    axis: usize,
    /// The part of x that indices can reach, and all of it.
    used: Shape,
    whole: Shape,
}

impl Backward for Gather {
    /// dx[indices[i]] += dy[i].
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let Gather {
            indices,
            axis,
            used,
            ..
        } = &*self;
        let (given, dy) = (dy.dtype(), summands(dy)?);
        let sizes = [used[*axis], indices.shape()[*axis], inner(used, *axis)];
        let dx = on_device!("gather", dy in [f32, f64] => used, of compute;
            scatter(@dy, @indices, sizes))?;
        let dx = dx.cast(given)?;
        let unused: Vec<_> = self
            .whole
            .iter()
            .zip(self.used.iter())
            .map(|(whole, used)| (0, whole - used))
            .collect();
        Ok(vec![Some(if self.used == self.whole {
            dx
        } else {
            dx.padded(&unused)?
        })])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.indices]
    }
}

struct Rows {
    indices: Tensor,
    axis: usize,
    shape: Shape,
}

impl Backward for Rows {
    /// Row `indices[m]` of dx gets row m of dy added.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let Rows {
            indices,
            axis,
            shape,
        } = &*self;
        let (given, dy) = (dy.dtype(), summands(dy)?);
        let sizes = [shape[*axis], indices.elements(), inner(shape, *axis)];
        let dx = on_device!("index_select", dy in [f32, f64] => shape, of compute;
            add_rows(@dy, @indices, sizes))?;
        Ok(vec![Some(dx.cast(given)?)])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.indices]
    }
}

/// Gradients in the type they are added up in: 16 bits would round each sum.
fn summands(dy: Tensor) -> Result<Tensor> {
    if dy.device() == Device::Cpu && matches!(dy.dtype(), DType::BF16 | DType::F16) {
        dy.cast(DType::F32)
    } else {
        Ok(dy)
    }
}

/// The row of `weight` for each index: `[..., d]` for indices `[...]` and a weight `[rows, d]`.
///
/// Otherwise as [`Var::index_select`] along axis 0. **Source**: `torch.nn.functional.embedding`.
#[track_caller]
pub fn embedding(weight: &Var, indices: &Tensor) -> Result<Var> {
    let &[_, width] = &weight.shape()[..] else {
        return Err(Error::operand(
            "embedding",
            "weight",
            "[rows, width]",
            weight.shape(),
        ));
    };
    let shape = Shape::new(&[&indices.shape()[..], &[width]].concat())?;
    weight
        .index_select(0, &indices.reshape([indices.elements()])?)?
        .reshape(shape)
}

/// 1 at each label's place and 0 elsewhere: `[..., classes]` for labels `[...]`.
///
/// # Errors
/// Labels that are not i64, or not in `0..classes`.
#[track_caller]
pub fn one_hot(labels: &Tensor, classes: usize, dtype: DType) -> Result<Tensor> {
    check_indices("one_hot", "labels", labels, classes)?;
    let shape = Tensor::checked_shape(
        "one_hot",
        labels.device(),
        &[&labels.shape()[..], &[classes]].concat(),
        dtype,
    )?;
    // A GPU writes floats and casts them; here each type is written as it is.
    if labels.device() != Device::Cpu {
        return labels
            .build_on_same_device(shape, DType::F32, |y| {
                cuda::one_hot(labels.on_device(), classes, y)
            })?
            .cast(dtype);
    }
    let (mut y, one) = (Tensor::zeros(shape, dtype), 1.0);
    dispatch_dtype!(dtype, T in any => {
        let one = <T as crate::Element>::from_f64(one);
        let rows = y.data_mut::<T>().chunks_exact_mut(classes.max(1));
        rows.zip(labels.data::<i64>()).for_each(|(row, &label)| row[label as usize] = one);
    });
    Ok(y)
}

/// How many elements a step along this axis skips.
fn inner(shape: &Shape, axis: usize) -> usize {
    shape[axis + 1..].iter().product()
}

/// i64, and all within `0..length`.
#[track_caller]
fn check_indices(
    op: &'static str,
    operand: &'static str,
    indices: &Tensor,
    length: usize,
) -> Result<()> {
    if indices.dtype() != DType::I64 {
        return Err(Error::operand(op, operand, "i64", indices.dtype()));
    }
    if indices.device() != Device::Cpu {
        let Some(position) = cuda::first_outside(indices.on_device(), length)? else {
            return Ok(());
        };
        let bad = indices.view(position, Shape::from([])).item()?;
        return Err(Error::operand(
            op,
            operand,
            format!("numbers in 0..{length}"),
            bad,
        ));
    }
    // As u64 negative numbers are the largest.
    if let Some(bad) = indices
        .data::<i64>()
        .iter()
        .find(|&&index| index as u64 >= length as u64)
    {
        return Err(Error::operand(
            op,
            operand,
            format!("numbers in 0..{length}"),
            bad,
        ));
    }
    Ok(())
}
