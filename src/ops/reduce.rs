//! Sums, means and variances over any axes; extremes, norms and products are in `reduce/`.

mod extremes;
mod norm;
mod product;

use crate::autograd::Backward;
use crate::autograd::trace::{Attributes, Op};
use crate::cpu::reduce as cpu;
use crate::cuda::reduce as cuda;
use crate::tensor::axes::Axes;
use crate::{DType, Device, Error, Result, Shape, Stored, Tensor, Var};

impl Var {
    /// The sum over `axes`, which go: `x.sum(1)`, `x.sum([0, 2])`, `x.sum(..)` for all.
    ///
    /// **Shapes**: any. **Backward**: dx = dy, repeated along `axes`. **Saves**: nothing.
    /// **Errors**: an axis that is out of range or named twice. **Source**: `torch.sum`.
    #[track_caller]
    pub fn sum(&self, axes: impl Into<Axes>) -> Result<Var> {
        self.sum_over_axes(&axes.into().of(self.shape().len()), false)
    }

    /// As [`Var::sum`], but `axes` stay with length 1 (PyTorch's `keepdim`).
    #[track_caller]
    pub fn sum_keep(&self, axes: impl Into<Axes>) -> Result<Var> {
        self.sum_over_axes(&axes.into().of(self.shape().len()), true)
    }

    #[track_caller]
    fn sum_over_axes(&self, axes: &[usize], keep: bool) -> Result<Var> {
        super::float("sum", ("x", self.value()))?;
        let (kept, dropped) = reduced_shapes("sum", self.shape(), axes)?;
        let y = self.value().sum_over(axes)?;
        let y = y.reshape(if keep { kept } else { dropped })?;
        let shape = *self.shape();
        let op = Op::from("sum").with_attributes(Attributes::Axes(axes));
        Ok(Var::record(op, &[self], y, || Sum {
            op: "sum",
            shape,
            kept,
            scale: 1.0,
        }))
    }

    /// The sum of all elements, a single number. Otherwise as [`Var::sum`].
    #[track_caller]
    pub fn sum_all(&self) -> Result<Var> {
        self.sum(..)
    }
}

/// y = scale * sum of x.
struct Sum {
    op: &'static str,
    shape: Shape,
    kept: Shape,
    scale: f64,
}

impl Backward for Sum {
    /// dx = scale dy, repeated.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let dy = if self.op == "sum" {
            dy
        } else {
            Var::from(dy).mul_scalar(self.scale)?.into_value()
        };
        Ok(vec![Some(dy.reshape(self.kept)?.expand(&self.shape)?)])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![]
    }
}

/// Means and variances.
impl Var {
    /// The mean over `axes`, sum / n; the axes go.
    ///
    /// **Shapes**: any with elements to reduce. **Backward**: dx = dy / n, repeated along `axes`.
    /// **Saves**: nothing.
    /// **Errors**: an axis that is out of range or named twice, a mean of no numbers. **Source**:
    /// `torch.mean`.
    #[track_caller]
    pub fn mean(&self, axes: impl Into<Axes>) -> Result<Var> {
        self.mean_over_axes(&axes.into().of(self.shape().len()), false)
    }

    /// As [`Var::mean`], but `axes` stay with length 1 (PyTorch's `keepdim`).
    #[track_caller]
    pub fn mean_keep(&self, axes: impl Into<Axes>) -> Result<Var> {
        self.mean_over_axes(&axes.into().of(self.shape().len()), true)
    }

    #[track_caller]
    fn mean_over_axes(&self, axes: &[usize], keep: bool) -> Result<Var> {
        super::float("mean", ("x", self.value()))?;
        let (shape, count) = (*self.shape(), self.reduced_count("mean", axes, 1)?);
        let (kept, dropped) = reduced_shapes("mean", &shape, axes)?;
        let scale = 1.0 / count as f64;
        let y = self.value().scaled_sum(axes, scale, self.dtype())?;
        let y = y.reshape(if keep { kept } else { dropped })?;
        let op = Op::from("mean").with_attributes(Attributes::Axes(axes));
        Ok(Var::record(op, &[self], y, || Sum {
            op: "mean",
            shape,
            kept,
            scale,
        }))
    }

    /// The mean of all elements, a single number. Otherwise as [`Var::mean`].
    #[track_caller]
    pub fn mean_all(&self) -> Result<Var> {
        self.mean(..)
    }

    /// The variance over `axes`, which go: sum of (x - mean)^2, over n, or over n - 1 where
    /// `unbiased` is set.
    ///
    /// **Shapes**: as [`Var::mean`]. **Backward**: dx = 2 (x - mean) dy / n, or / (n - 1).
    /// **Saves**: x, and the mean.
    /// **Errors**: an axis that is out of range or named twice, the variance of no number, the
    /// unbiased one of a single number. **Source**: `torch.var`; in two passes, since `E[x^2] -
    /// E[x]^2` cancels.
    #[track_caller]
    pub fn var(&self, axes: impl Into<Axes>, unbiased: bool) -> Result<Var> {
        self.var_over_axes(&axes.into().of(self.shape().len()), unbiased, false)
    }

    /// As [`Var::var`], but `axes` stay with length 1 (PyTorch's `keepdim`).
    #[track_caller]
    pub fn var_keep(&self, axes: impl Into<Axes>, unbiased: bool) -> Result<Var> {
        self.var_over_axes(&axes.into().of(self.shape().len()), unbiased, true)
    }

    #[track_caller]
    fn var_over_axes(&self, axes: &[usize], unbiased: bool, keep: bool) -> Result<Var> {
        if let Some(wide) = super::as_f32(self)? {
            return wide.var_over_axes(axes, unbiased, keep)?.cast(self.dtype());
        }
        let (y, deviations) = self.squared_deviations("var", axes, unbiased)?;
        let y = y.reshape(if keep {
            *y.shape()
        } else {
            reduced_shapes("var", self.shape(), axes)?.1
        })?;
        Ok(Var::record("var", &[self], y, || Variance(deviations)))
    }

    /// The standard deviation over `axes`, which go: the square root of [`Var::var`].
    ///
    /// **Shapes**: as [`Var::mean`]. **Backward**: dx = (x - mean) dy / (n y), or / ((n - 1) y); 0
    /// where y is 0, where all elements are equal and the root's slope is infinite. **Saves**: x,
    /// the mean and y.
    /// **Errors**: those of [`Var::var`]. **Source**: `torch.std`.
    #[track_caller]
    pub fn std(&self, axes: impl Into<Axes>, unbiased: bool) -> Result<Var> {
        self.std_over_axes(&axes.into().of(self.shape().len()), unbiased, false)
    }

    /// As [`Var::std`], but `axes` stay with length 1 (PyTorch's `keepdim`).
    #[track_caller]
    pub fn std_keep(&self, axes: impl Into<Axes>, unbiased: bool) -> Result<Var> {
        self.std_over_axes(&axes.into().of(self.shape().len()), unbiased, true)
    }

    #[track_caller]
    fn std_over_axes(&self, axes: &[usize], unbiased: bool, keep: bool) -> Result<Var> {
        if let Some(wide) = super::as_f32(self)? {
            return wide.std_over_axes(axes, unbiased, keep)?.cast(self.dtype());
        }
        let (variance, deviations) = self.squared_deviations("std", axes, unbiased)?;
        let std = Var::from(variance).sqrt()?.into_value();
        let y = std.reshape(if keep {
            *std.shape()
        } else {
            reduced_shapes("std", self.shape(), axes)?.1
        })?;
        Ok(Var::record("std", &[self], y, || StandardDeviation {
            deviations,
            std,
        }))
    }

    /// The variance, with the reduced axes at length 1, and what its gradient is made of.
    #[track_caller]
    fn squared_deviations(
        &self,
        op: &'static str,
        axes: &[usize],
        unbiased: bool,
    ) -> Result<(Tensor, Deviations)> {
        let freedom = usize::from(unbiased);
        let count = self.reduced_count(op, axes, 1 + freedom)?;
        let scale = 1.0 / (count - freedom) as f64;
        let x = self.detach();
        let mean = x.mean_keep(axes)?;
        let y = (&x - &mean)?
            .square()?
            .sum_keep(axes)?
            .mul_scalar(scale)?
            .into_value();
        Ok((
            y,
            Deviations {
                x: x.into_value(),
                mean: mean.into_value(),
                scale,
            },
        ))
    }

    /// How many elements each result is made of.
    #[track_caller]
    fn reduced_count(&self, op: &'static str, axes: &[usize], least: usize) -> Result<usize> {
        reduced_shapes(op, self.shape(), axes)?;
        let count = axes.iter().map(|&axis| self.shape()[axis]).product();
        if count < least {
            let got = format!("{count} in axes {axes:?} of {}", self.shape());
            return Err(Error::operand(
                op,
                "x",
                format!("at least {least} to reduce"),
                got,
            ));
        }
        Ok(count)
    }
}

/// x, its mean over the reduced axes, which stay with length 1, and 1 / n or 1 / (n - 1).
struct Deviations {
    x: Tensor,
    mean: Tensor,
    scale: f64,
}

impl Deviations {
    /// (x - mean) dy scale `times`.
    fn gradient(self, dy: Tensor, times: f64) -> Result<Vec<Option<Tensor>>> {
        let dy = Var::from(dy).mul_scalar(times * self.scale)?;
        let dx = (&Var::from(self.x) - &Var::from(self.mean)) * &dy;
        Ok(vec![Some(dx?.into_value())])
    }
}

struct Variance(Deviations);

impl Backward for Variance {
    /// dx = 2 scale (x - mean) dy: the mean's own share cancels, as the differences from it add up
    /// to 0.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let dy = dy.reshape(self.0.mean.shape())?;
        self.0.gradient(dy, 2.0)
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.0.x, &self.0.mean]
    }
}

struct StandardDeviation {
    deviations: Deviations,
    std: Tensor,
}

impl Backward for StandardDeviation {
    /// dx = scale (x - mean) dy / y, 0 where y is 0.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let slope = over_or_zero(dy.reshape(self.std.shape())?, self.std)?;
        self.deviations.gradient(slope.into_value(), 1.0)
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.deviations.x, &self.deviations.mean, &self.std]
    }
}

/// dy / y, 0 where y is 0: what the slope of a square root is multiplied by something that is 0
/// there.
fn over_or_zero(dy: Tensor, y: Tensor) -> Result<Var> {
    let zero = Tensor::full_on(y.device(), [], 0.0, y.dtype())?;
    let vanishes = y.eq(&zero)?;
    super::select(
        &vanishes,
        &Var::from(zero),
        &(Var::from(dy) / Var::from(y))?,
    )
}

/// The shape with `axes` at length 1, and without them.
#[track_caller]
pub(crate) fn reduced_shapes(
    op: &'static str,
    shape: &Shape,
    axes: &[usize],
) -> Result<(Shape, Shape)> {
    let mut kept = *shape;
    for (i, &axis) in axes.iter().enumerate() {
        if axis >= shape.len() || axes[..i].contains(&axis) {
            let expected = format!("different axes below {} for {shape}", shape.len());
            return Err(Error::operand(op, "axes", expected, format!("{axes:?}")));
        }
        kept = kept.with(axis, 1);
    }
    let dropped: Vec<usize> = (0..shape.len())
        .filter(|axis| !axes.contains(axis))
        .map(|axis| shape[axis])
        .collect();
    Ok((kept, Shape::new(&dropped)?))
}

impl Tensor {
    /// The sum over `axes`, which stay with length 1.
    #[track_caller]
    pub(crate) fn sum_over(&self, axes: &[usize]) -> Result<Tensor> {
        self.scaled_sum(axes, 1.0, self.dtype())
    }

    /// The sum over all rows of a tensor `[.., c]`: the gradient of a bias. Of 16-bit elements it
    /// is f32.
    pub(crate) fn sum_of_rows(&self, c: usize) -> Result<Tensor> {
        let wide = if matches!(self.dtype(), DType::BF16 | DType::F16) {
            DType::F32
        } else {
            self.dtype()
        };
        let axes: Vec<usize> = (0..self.shape().len() - 1).collect();
        self.scaled_sum(&axes, 1.0, wide)?.reshape([c])
    }

    /// `scale` times the sum over `axes`, which stay with length 1, in this dtype: neighbouring
    /// axes are taken together, one group after the other.
    #[track_caller]
    pub(crate) fn scaled_sum(&self, axes: &[usize], scale: f64, dtype: DType) -> Result<Tensor> {
        if self.elements() == 0 {
            // Not group after group: along an axis that goes later, sums in between could be longer
            // than memory.
            let kept = axes
                .iter()
                .fold(*self.shape(), |shape, &axis| shape.with(axis, 1));
            return Tensor::full_on(
                self.device(),
                Tensor::checked_shape("sum", self.device(), &kept, dtype)?,
                0.0,
                dtype,
            );
        }
        if self.device() == Device::Cpu && self.dtype() == DType::F16 {
            // Nothing is computed in f16 here, but what is expanded has a gradient in every float
            // type.
            return self.cast(DType::F32)?.scaled_sum(axes, scale, dtype);
        }
        let mut x = self.clone();
        // A GPU scales and rounds within its last sum; here both are ops of their own.
        if self.device() != Device::Cpu {
            return self.summed_on_device(axes, scale, dtype);
        }
        let mut axis = 0;
        while axis < self.shape().len() {
            let group = (axis..self.shape().len())
                .take_while(|a| axes.contains(a))
                .count();
            if group > 0 {
                let (outer, inner) = (
                    x.shape()[..axis].iter().product(),
                    x.shape()[axis + group..].iter().product(),
                );
                let shape = (axis..axis + group).fold(*x.shape(), |shape, a| shape.with(a, 1));
                x = dispatch_dtype!("sum", x.dtype(), T in [f32, f64, bf16] => Tensor::build(shape, |y: &mut [<T as Stored>::Compute]| {
                    cpu::sum::<T>(x.data(), outer, inner, y);
                }));
            }
            axis += group.max(1);
        }
        if scale == 1.0 {
            x.cast(dtype)
        } else {
            Var::from(x).mul_scalar(scale)?.into_value().cast(dtype)
        }
    }

    /// As [`Tensor::scaled_sum`]: in f32 between the groups, in `dtype` after the last.
    fn summed_on_device(&self, axes: &[usize], scale: f64, dtype: DType) -> Result<Tensor> {
        // Each group's first axis and the one behind its last.
        let mut groups: Vec<[usize; 2]> = Vec::new();
        for axis in (0..self.shape().len()).filter(|axis| axes.contains(axis)) {
            match groups.last_mut() {
                Some(group) if group[1] == axis => group[1] += 1,
                _ => groups.push([axis, axis + 1]),
            }
        }
        let Some(&last) = groups.last() else {
            return Var::from(self).mul_scalar(scale)?.into_value().cast(dtype);
        };
        let mut x = self.clone();
        for group in groups {
            let [first, end] = group;
            let sizes = [
                x.shape()[..first].iter().product(),
                x.shape()[end..].iter().product(),
            ];
            let shape = (first..end).fold(*x.shape(), |shape, axis| shape.with(axis, 1));
            let (scale, dtype) = if group == last {
                (scale, dtype)
            } else {
                (1.0, DType::F32)
            };
            // What an earlier group gave is f32: the kernel gives its own type or f32.
            let own = if dtype == x.dtype() || dtype == DType::F32 {
                dtype
            } else {
                DType::F32
            };
            x = x
                .build_on_same_device(shape, own, |y| cuda::sum(x.on_device(), sizes, scale, y))?
                .cast(dtype)?;
        }
        Ok(x)
    }

    /// The gradient of broadcasting: the sum over all axes along which `shape` was repeated to make
    /// this tensor. An element took part in each of its copies, so its gradient is the sum of
    /// theirs.
    pub(crate) fn sum_to(&self, shape: &Shape) -> Result<Tensor> {
        if self.shape() == shape {
            return Ok(self.clone());
        }
        let extra = self.shape().len() - shape.len();
        let repeated =
            |axis: usize| axis < extra || (shape[axis - extra] == 1 && self.shape()[axis] != 1);
        let axes: Vec<usize> = (0..self.shape().len())
            .filter(|&axis| repeated(axis))
            .collect();
        self.sum_over(&axes)?.reshape(shape)
    }
}
