//! Other shapes of the same elements, parts of them, and repetitions.
//!
//! All of these are linear, and come in adjoint pairs: what cuts a part out goes back as zeros
//! around the part, what repeats goes back as a sum. None saves more than shapes. They take every
//! dtype. Several parts at once are in `shape/split.rs`, triangles of matrices in
//! `shape/triangle.rs`.

mod split;
mod triangle;

use std::ops::Range;

use crate::autograd::Backward;
use crate::autograd::trace::{Attributes, Op};
use crate::cpu::shape as cpu;
use crate::cuda::shape as cuda;
use crate::tensor::shape::MAX_RANK;
use crate::{Error, Result, Shape, Tensor, Var};

/// The backward rule of a linear op y = A x: its adjoint, a function of dy.
struct Adjoint<F>(F);

impl<F: FnOnce(Tensor) -> Result<Tensor> + Send> Backward for Adjoint<F> {
    /// dx = A' dy.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some((self.0)(dy)?)])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![]
    }

    fn takes_f32(&self) -> bool {
        true
    }
}

/// The same elements, all of them.
impl Var {
    /// The same elements in row-major order in another shape; nothing is copied.
    ///
    /// **Shapes**: as many elements. **Backward**: dx = dy in the old shape. **Saves**: nothing.
    /// **Errors**: another number of elements. **Source**: `torch.reshape`.
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Var> {
        let (y, old) = (self.value().reshape(shape)?, *self.shape());
        Ok(Var::record("reshape", &[self], y, || {
            Adjoint(move |dy: Tensor| dy.reshape(old))
        }))
    }

    /// The axes from `first` on as one: images [n, h, w, c] to rows [n, h w c] by `x.flatten(1)`.
    ///
    /// **Shapes**: `[x_0, .., x_(first - 1), rest]`. Otherwise as [`Var::reshape`]. **Errors**: a
    /// `first` that is not an axis. **Source**: `torch.flatten`. A linear layer behind flattened
    /// images has its weights in another order than PyTorch's, whose images are [n, c, h, w]:
    /// [`Linear::flattened`](crate::nn::Linear::flattened) exchanges them in files.
    #[track_caller]
    pub fn flatten(&self, first: usize) -> Result<Var> {
        check_axis("flatten", self.shape(), first)?;
        let rest = self.shape()[first..].iter().product();
        let dims = [&self.shape()[..first], &[rest]].concat();
        self.reshape(Shape::new(&dims)?)
    }

    /// Without the axis `axis` of length 1. Otherwise as [`Var::reshape`].
    #[track_caller]
    pub fn squeeze(&self, axis: usize) -> Result<Var> {
        if self.shape().get(axis) != Some(&1) {
            return Err(Error::operand(
                "squeeze",
                "axis",
                format!("an axis of length 1 of {}", self.shape()),
                axis,
            ));
        }
        let left: Vec<usize> = self
            .shape()
            .iter()
            .enumerate()
            .filter(|&(a, _)| a != axis)
            .map(|(_, &length)| length)
            .collect();
        self.reshape(Shape::new(&left)?)
    }

    /// With a new axis of length 1 that becomes axis `axis`. Otherwise as [`Var::reshape`].
    #[track_caller]
    pub fn unsqueeze(&self, axis: usize) -> Result<Var> {
        let mut dims = self.shape().to_vec();
        if axis > dims.len() {
            return Err(Error::operand(
                "unsqueeze",
                "axis",
                format!("at most {} for {}", dims.len(), self.shape()),
                axis,
            ));
        }
        dims.insert(axis, 1);
        self.reshape(Shape::new(&dims)?)
    }

    /// The axes in another order: axis i of the result is axis `order[i]` of x.
    ///
    /// **Shapes**: `[x_order[0], x_order[1], ...]`. **Backward**: dx = dy in the inverse order.
    /// **Saves**: nothing.
    /// **Errors**: an order that does not name each axis once. **Source**: `torch.permute`.
    #[track_caller]
    pub fn permute(&self, order: &[usize]) -> Result<Var> {
        let rank = self.shape().len();
        let mut inverse = vec![rank; rank];
        for (i, &axis) in order.iter().enumerate().filter(|&(_, &axis)| axis < rank) {
            inverse[axis] = i;
        }
        if order.len() != rank || inverse.contains(&rank) {
            return Err(Error::operand(
                "permute",
                "order",
                format!("each axis of {} once", self.shape()),
                format!("{order:?}"),
            ));
        }
        let y = self.value().permuted(order)?;
        let op = Op::from("permute").with_attributes(Attributes::Axes(order));
        Ok(Var::record(op, &[self], y, || {
            Adjoint(move |dy: Tensor| dy.permuted(&inverse))
        }))
    }

    /// Axes `a` and `b` exchanged. Otherwise as [`Var::permute`].
    #[track_caller]
    pub fn transpose(&self, a: usize, b: usize) -> Result<Var> {
        let mut order: Vec<usize> = (0..self.shape().len()).collect();
        check_axis("transpose", self.shape(), a.max(b))?;
        order.swap(a, b);
        self.permute(&order)
    }

    /// Axis `axis` in reverse order.
    ///
    /// **Shapes**: that of x. **Backward**: dx = dy, reversed again. **Saves**: nothing.
    /// **Errors**: an axis out of range. **Source**: `torch.flip`.
    #[track_caller]
    pub fn flip(&self, axis: usize) -> Result<Var> {
        check_axis("flip", self.shape(), axis)?;
        Ok(Var::record(
            "flip",
            &[self],
            self.value().flipped(axis)?,
            || Adjoint(move |dy: Tensor| dy.flipped(axis)),
        ))
    }
}

/// Parts, repetitions and surroundings.
impl Var {
    /// Elements `range` of axis `axis`.
    ///
    /// **Shapes**: the axis gets the range's length. **Backward**: dx = dy within the range, 0
    /// outside.
    /// **Saves**: nothing. **Errors**: an axis or a range out of bounds. **Source**:
    /// `torch.narrow`.
    #[doc(alias = "narrow")]
    #[track_caller]
    pub fn slice(&self, axis: usize, range: Range<usize>) -> Result<Var> {
        let shape = *self.shape();
        check_axis("slice", &shape, axis)?;
        if range.start > range.end || range.end > shape[axis] {
            let expected = format!("a part of 0..{} for axis {axis} of {shape}", shape[axis]);
            return Err(Error::operand(
                "slice",
                "range",
                expected,
                format!("{range:?}"),
            ));
        }
        let y = self.value().sliced(axis, range.clone())?;
        let around = (range.start, shape[axis] - range.end);
        let op = Op::from("slice").with_attributes(Attributes::Start(axis, range.start));
        Ok(Var::record(op, &[self], y, || {
            Adjoint(move |dy: Tensor| {
                let pads: Vec<_> = (0..shape.len())
                    .map(|a| if a == axis { around } else { (0, 0) })
                    .collect();
                dy.padded(&pads)
            })
        }))
    }

    /// Zeros around x: for each axis, how many before and after.
    ///
    /// **Shapes**: each axis gets longer by its two numbers. **Backward**: dx = the inner part of
    /// dy. **Saves**: nothing.
    /// **Errors**: a number of pairs other than x's of axes. **Source**: `numpy.pad`.
    #[track_caller]
    pub fn pad(&self, around: &[(usize, usize)]) -> Result<Var> {
        let shape = *self.shape();
        if around.len() != shape.len() {
            let expected = format!("a pair for each axis of {shape}");
            return Err(Error::operand(
                "pad",
                "around",
                expected,
                format!("{around:?}"),
            ));
        }
        let op = Op::from("pad").with_attributes(Attributes::Around(around));
        let (y, around) = (self.value().padded(around)?, around.to_vec());
        Ok(Var::record(op, &[self], y, || {
            Adjoint(move |dy: Tensor| {
                let mut inner = around.iter().zip(shape.iter()).enumerate();
                inner.try_fold(dy, |dy, (axis, (pair, &length))| {
                    dy.sliced(axis, pair.0..pair.0 + length)
                })
            })
        }))
    }

    /// x repeated along its axes of length 1, and along new leading ones, to make `shape`.
    ///
    /// **Shapes**: any to which x broadcasts. **Backward**: dx = dy summed over the repeated axes.
    /// **Saves**: nothing.
    /// **Errors**: a shape to which x does not broadcast. **Source**: `torch.expand`,
    /// `numpy.broadcast_to`.
    #[doc(alias = "broadcast_to")]
    #[track_caller]
    pub fn expand(&self, shape: impl Into<Shape>) -> Result<Var> {
        let (shape, old) = (shape.into(), *self.shape());
        if old.broadcast(&shape) != Some(shape) {
            return Err(Error::operand(
                "expand",
                "x",
                format!("a shape that repeats to {shape}"),
                old,
            ));
        }
        let shape = Tensor::checked_shape("expand", self.value().device(), &shape, self.dtype())?;
        let y = self.value().expand(&shape)?;
        Ok(Var::record("expand", &[self], y, || {
            Adjoint(move |dy: Tensor| dy.sum_to(&old))
        }))
    }

    /// The sum over the axes along which `shape` would be repeated to make this one: what the
    /// gradient of a broadcast operand is.
    ///
    /// **Shapes**: x of any shape that `shape` broadcasts to, the result of `shape`. **Backward**:
    /// dx = dy, repeated. **Saves**: nothing. **Errors**: a shape that does not broadcast to that
    /// of x. **Source**: `torch.Tensor.sum_to_size`.
    #[doc(alias = "sum_to_size")]
    #[track_caller]
    pub fn sum_to(&self, shape: impl Into<Shape>) -> Result<Var> {
        let (own, shape) = (*self.shape(), shape.into().checked("sum_to")?);
        crate::ops::float("sum_to", ("x", self.value()))?;
        if shape.broadcast(&own) != Some(own) {
            let expected = format!("one that broadcasts to {own}");
            return Err(Error::operand("sum_to", "shape", expected, shape));
        }
        let y = self.value().sum_to(&shape)?;
        Ok(Var::record("sum_to", &[self], y, || {
            Adjoint(move |dy: Tensor| dy.expand(&own))
        }))
    }
}

/// The parts one after the other along axis `axis`.
///
/// **Shapes**: equal but for that axis, whose lengths add up. **Backward**: to each part its slice
/// of dy.
/// **Saves**: nothing. **Errors**: no parts at all, shapes that differ elsewhere, dtypes that
/// differ, a result that does not fit in memory.
/// **Source**: `torch.cat`.
///
/// ```
/// use wavemix::{Tensor, Var, ops::concat};
/// let x = Var::from(Tensor::from_vec(vec![1.0, 2.0], [1, 2])?);
/// assert_eq!(concat(&[&x, &x, &x], 0)?.shape().to_string(), "[3, 2]");
/// # Ok::<(), wavemix::Error>(())
/// ```
#[doc(alias = "cat")]
#[track_caller]
pub fn concat(parts: &[&Var], axis: usize) -> Result<Var> {
    joined("concat", parts, axis)
}

/// The parts one after the other along a new axis, which becomes axis `axis`.
///
/// **Shapes**: all equal; the new axis is as long as there are parts. **Backward**: to each part
/// its slice of dy. **Saves**: nothing. **Errors**: no parts at all, shapes or dtypes that differ,
/// an axis out of range, a result that does not fit in memory. **Source**: `torch.stack`.
///
/// ```
/// use wavemix::{Tensor, Var, ops::stack};
/// let [a, b] = [[1.0, 2.0], [3.0, 4.0]].map(|x| Var::from(Tensor::from_slice(&x, [2]).unwrap()));
/// assert_eq!(stack(&[&a, &b], 1)?.value().to_vec::<f64>()?, [1.0, 3.0, 2.0, 4.0]);
/// # Ok::<(), wavemix::Error>(())
/// ```
#[track_caller]
pub fn stack(parts: &[&Var], axis: usize) -> Result<Var> {
    let Some(first) = parts.first().map(|part| part.shape()) else {
        return Err(Error::operand("stack", "parts", "at least one", "none"));
    };
    if axis > first.len() {
        let expected = format!("at most {} for {first}", first.len());
        return Err(Error::operand("stack", "axis", expected, axis));
    }
    if first.len() == MAX_RANK {
        let expected = format!("less than {MAX_RANK} dimensions");
        return Err(Error::operand("stack", "parts", expected, first));
    }
    if let Some(other) = parts.iter().find(|part| part.shape() != first) {
        let expected = format!("one shape, {first}");
        return Err(Error::operand("stack", "parts", expected, other.shape()));
    }
    let mut with_axis = Vec::with_capacity(parts.len());
    for part in parts {
        with_axis.push(part.unsqueeze(axis)?);
    }
    joined("stack", &with_axis.iter().collect::<Vec<_>>(), axis)
}

#[track_caller]
fn joined(op: &'static str, parts: &[&Var], axis: usize) -> Result<Var> {
    let Some(first) = parts.first() else {
        return Err(Error::operand(op, "parts", "at least one", "none"));
    };
    check_axis(op, first.shape(), axis)?;
    let mut shape = first.shape().with(axis, 0);
    for part in parts {
        if part.dtype() != first.dtype() {
            return Err(Error::operand(
                op,
                "parts",
                format!("one dtype, {}", first.dtype()),
                part.dtype(),
            ));
        }
        super::same_device(op, ("the first", first.value()), ("parts", part.value()))?;
        if part.shape().len() != shape.len() || part.shape().with(axis, 0) != shape.with(axis, 0) {
            let expected = format!("{} but for axis {axis}", first.shape());
            return Err(Error::operand(op, "parts", expected, part.shape()));
        }
        shape = shape.with(axis, shape[axis].saturating_add(part.shape()[axis]));
    }
    let shape = Tensor::checked_shape(op, first.value().device(), &shape, first.dtype())?;
    let outer = shape[..axis].iter().product();
    let x = first.value();
    let xs = parts.iter().map(|part| part.value());
    let y = on_device!(op, x in any => shape; concat(@..xs, outer))?;
    let lengths = parts.iter().map(|part| part.shape()[axis]).collect();
    let axes = [axis];
    let op = Op::from(op).with_attributes(Attributes::Axes(&axes));
    Ok(Var::record(op, parts, y, || Concat { axis, lengths }))
}

struct Concat {
    axis: usize,
    lengths: Vec<usize>,
}

impl Backward for Concat {
    /// Each part's slice of dy.
    fn backward(self: Box<Self>, dy: Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let mut start = 0;
        let slices = self.lengths.iter().zip(wanted).map(|(&length, &wanted)| {
            start += length;
            wanted
                .then(|| dy.sliced(self.axis, start - length..start))
                .transpose()
        });
        slices.collect()
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![]
    }

    fn takes_f32(&self) -> bool {
        true
    }
}

/// The copies behind the ops above; their arguments have been checked.
impl Tensor {
    /// A copy by a walk over this tensor: from element `start`, with a step for each axis of
    /// `shape`.
    fn walked(
        &self,
        shape: Shape,
        start: isize,
        steps: impl Iterator<Item = isize>,
    ) -> Result<Tensor> {
        let axes: Vec<_> = shape.iter().copied().zip(steps).collect();
        on_device!("copy", self in any => shape; take(@self, start, &axes))
    }

    /// See [`Var::permute`]. Where no axis moves, nothing is copied.
    pub(crate) fn permuted(&self, order: &[usize]) -> Result<Tensor> {
        if order.is_sorted() {
            return Ok(self.clone());
        }
        let strides = self.shape().strides();
        let shape = order
            .iter()
            .enumerate()
            .fold(*self.shape(), |shape, (i, &axis)| {
                shape.with(i, self.shape()[axis])
            });
        self.walked(shape, 0, order.iter().map(|&axis| strides[axis] as isize))
    }

    /// See [`Var::flip`].
    fn flipped(&self, axis: usize) -> Result<Tensor> {
        let (shape, strides) = (*self.shape(), self.shape().strides());
        let last = shape[axis].saturating_sub(1) * strides[axis];
        let steps = (0..shape.len()).map(|a| {
            if a == axis {
                -(strides[a] as isize)
            } else {
                strides[a] as isize
            }
        });
        self.walked(shape, last as isize, steps)
    }

    /// See [`Var::slice`]. A view where all axes before are of length 1.
    pub(crate) fn sliced(&self, axis: usize, range: Range<usize>) -> Result<Tensor> {
        let (shape, strides) = (self.shape().with(axis, range.len()), self.shape().strides());
        let start = range.start * strides[axis];
        if self.shape()[..axis].iter().all(|&length| length == 1) {
            return Ok(self.view(start, shape));
        }
        self.walked(
            shape,
            start as isize,
            strides.iter().map(|&step| step as isize),
        )
    }

    /// See [`Var::pad`].
    #[track_caller]
    pub(crate) fn padded(&self, around: &[(usize, usize)]) -> Result<Tensor> {
        let sum = |(&length, &(before, after)): (&usize, &(usize, usize))| {
            length.saturating_add(before).saturating_add(after)
        };
        let wide: Vec<usize> = self.shape().iter().zip(around).map(sum).collect();
        let shape = Tensor::checked_shape("pad", self.device(), &wide, self.dtype())?;
        let axes = self.shape().iter().zip(around).zip(shape.iter());
        let axes: Vec<_> = axes
            .map(|((&length, pair), &all)| (length, pair.0, all))
            .collect();
        on_device!("pad", self in any => shape; pad(@self, &axes))
    }

    /// See [`Var::tril`] and [`Var::triu`].
    fn triangle(&self, op: &'static str, diagonal: i64) -> Result<Tensor> {
        let (shape, upper) = (*self.shape(), op == "triu");
        let size = [shape[shape.len() - 2], shape[shape.len() - 1]];
        on_device!(op, self in any => shape; triangle(@self, size, diagonal, upper))
    }

    /// See [`Var::expand`].
    pub(crate) fn expand(&self, shape: &Shape) -> Result<Tensor> {
        if self.elements() == shape.elements() {
            return self.reshape(shape);
        }
        let (strides, missing) = (self.shape().strides(), shape.len() - self.shape().len());
        let step = |axis: usize| match axis.checked_sub(missing) {
            Some(own) if self.shape()[own] != 1 => strides[own] as isize,
            _ => 0,
        };
        self.walked(*shape, 0, (0..shape.len()).map(step))
    }
}

/// Checks that x has an axis of this number.
#[track_caller]
pub(crate) fn check_axis(op: &'static str, shape: &Shape, axis: usize) -> Result<()> {
    if axis >= shape.len() {
        return Err(Error::operand(
            op,
            "axis",
            format!("below {} for {shape}", shape.len()),
            axis,
        ));
    }
    Ok(())
}
