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
        check_places("gather", &whole, axis, indices)?;
        super::same_device("gather", ("x", self.value()), ("indices", indices))?;
        let y = picked(self.value(), axis, indices)?;
        Ok(Var::record("gather", &[self], y, || Gather {
            indices: indices.clone(),
            axis,
            whole,
        }))
    }

    /// x with the elements of `source` added where the indices say: for axis 0, y = x and then
    /// `y[indices[i, j, k], j, k] += source[i, j, k]` for all i, j, k, and so on.
    ///
    /// What is added to one element is added up first, in the order of the indices, so the same bits
    /// come out in every run and on any number of threads; for operands of 16 bits the sums are f32.
    ///
    /// **Shapes**: `indices`, i64, has x's rank, any length along `axis`, and elsewhere at most x's;
    /// `source` is as long or longer along each axis, and what lies beyond the indices is not used;
    /// y is of x's shape.
    /// **Backward**: dx = dy, dsource = dy picked by the indices, as [`Var::gather`] does, 0 beyond
    /// them. **Saves**: the indices.
    /// **Errors**: indices of another dtype or rank, or out of range; a source that is too short or
    /// of another dtype. **Source**: `torch.scatter_add`.
    ///
    /// ```
    /// use wavemix::{DType, Tensor, Var};
    /// let zeros = Var::from(Tensor::zeros([3], DType::F64));
    /// let labels = Tensor::from_vec(vec![2i64, 0, 2], [3])?;
    /// let counts = zeros.scatter_add(0, &labels, &Var::from(Tensor::ones([3], DType::F64)))?;
    /// assert_eq!(counts.value().to_vec::<f64>()?, [1.0, 0.0, 2.0]);
    /// # Ok::<(), wavemix::Error>(())
    /// ```
    #[track_caller]
    pub fn scatter_add(&self, axis: usize, indices: &Tensor, source: &Var) -> Result<Var> {
        let (op, whole) = ("scatter_add", *self.shape());
        check_places(op, &whole, axis, indices)?;
        super::same_float(op, ("x", self.value()), ("source", source.value()))?;
        super::same_device(op, ("x", self.value()), ("indices", indices))?;
        let (m, given) = (indices.shape(), source.shape());
        if given.len() != m.len() || m.iter().zip(given.iter()).any(|(m, given)| given < m) {
            let expected = format!("the shape of the indices, {m}, or a larger one");
            return Err(Error::operand(op, "source", expected, given));
        }
        let mut used = source.clone();
        for (a, &length) in m.iter().enumerate().filter(|&(a, &m)| given[a] > m) {
            used = used.slice(a, 0..length)?;
        }
        let sums = added_up(op, used.value().clone(), axis, indices, &whole)?;
        let x = Var::from(self.value().cast(sums.dtype())?);
        let y = (x + Var::from(sums))?.into_value().cast(self.dtype())?;
        Ok(Var::record(op, &[self, &used], y, || ScatterAdd {
            indices: indices.clone(),
            axis,
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
        self.rows(axis, indices, false)
    }

    /// The rows, of a table of weights or of values: the gradient of weights stays in the type that
    /// sums are made in.
    #[track_caller]
    fn rows(&self, axis: usize, indices: &Tensor, of_weights: bool) -> Result<Var> {
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
            of_weights,
        }))
    }
}

struct Gather {
    indices: Tensor,
    axis: usize,
    /// The shape of x.
    whole: Shape,
}

impl Backward for Gather {
    /// dx[indices[i]] += dy[i].
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let given = dy.dtype();
        let dx = added_up("gather", dy, self.axis, &self.indices, &self.whole)?;
        Ok(vec![Some(dx.cast(given)?)])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.indices]
    }
}

struct ScatterAdd {
    indices: Tensor,
    axis: usize,
}

impl Backward for ScatterAdd {
    /// dx = dy; dsource[i] = dy[indices[i]].
    fn backward(self: Box<Self>, dy: Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let source = || picked(&dy, self.axis, &self.indices);
        let dsource = wanted[1].then(source).transpose()?;
        Ok(vec![wanted[0].then_some(dy), dsource])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.indices]
    }
}

/// The elements of x at these places.
fn picked(x: &Tensor, axis: usize, indices: &Tensor) -> Result<Tensor> {
    // What lies beyond the indices along other axes is never picked.
    let used = indices.shape().with(axis, x.shape()[axis]);
    let x = (0..used.len()).try_fold(x.clone(), |x, a| x.sliced(a, 0..used[a]))?;
    let sizes = [used[axis], indices.shape()[axis], inner(&used, axis)];
    on_device!("gather", x in any => indices.shape(); gather(@x, @indices, sizes))
}

/// For each place of a tensor of shape `whole` the sum of the elements whose indices name it, in
/// the order of the indices, in the type that sums are made in.
fn added_up(
    op: &'static str,
    source: Tensor,
    axis: usize,
    indices: &Tensor,
    whole: &Shape,
) -> Result<Tensor> {
    let (used, source) = (indices.shape().with(axis, whole[axis]), summands(source)?);
    let sizes = [used[axis], indices.shape()[axis], inner(&used, axis)];
    let sums = on_device!(op, source in [f32, f64] => used, of compute;
        scatter(@source, @indices, sizes))?;
    if used == *whole {
        return Ok(sums);
    }
    let unused = whole.iter().zip(used.iter());
    sums.padded(
        &unused
            .map(|(whole, used)| (0, whole - used))
            .collect::<Vec<_>>(),
    )
}

struct Rows {
    indices: Tensor,
    axis: usize,
    shape: Shape,
    of_weights: bool,
}

impl Backward for Rows {
    /// Row `indices[m]` of dx gets row m of dy added.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let Rows {
            indices,
            axis,
            shape,
            of_weights,
        } = &*self;
        let (given, dy) = (dy.dtype(), summands(dy)?);
        let sizes = [shape[*axis], indices.elements(), inner(shape, *axis)];
        let dx = on_device!("index_select", dy in [f32, f64] => shape, of compute;
            add_rows(@dy, @indices, sizes))?;
        let dx = if *of_weights { dx } else { dx.cast(given)? };
        Ok(vec![Some(dx)])
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
/// Otherwise as [`Var::index_select`] along axis 0, but the gradient of a weight of 16 bits is f32.
/// **Source**: `torch.nn.functional.embedding`.
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
        .rows(0, &indices.reshape([indices.elements()])?, true)?
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

/// Checks that indices name places along `axis` of x: of x's rank, and elsewhere no longer than x.
#[track_caller]
fn check_places(op: &'static str, whole: &Shape, axis: usize, indices: &Tensor) -> Result<()> {
    check_axis(op, whole, axis)?;
    let fits = |(a, (&i, &x)): (usize, (&usize, &usize))| a == axis || i <= x;
    let own = indices.shape();
    if own.len() != whole.len() || !own.iter().zip(whole.iter()).enumerate().all(fits) {
        let expected = format!("a shape within {whole}, but for axis {axis}");
        return Err(Error::operand(op, "indices", expected, own));
    }
    check_indices(op, "indices", indices, whole[axis])
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
