//! Averages and maxima over windows.

use crate::autograd::Backward;
use crate::autograd::trace::{Attributes, Op};
use crate::cpu::pool as cpu;
use crate::cuda::pool as cuda;
use crate::tensor::window::{Geometry, Window};
use crate::{DType, Device, Error, Float, Result, Shape, Tensor, Var};

/// y[n, i, j, c] = the mean of x over a window of `kernel` rows and columns; zeros of the padding
/// count as elements.
///
/// **Shapes**: x [n, h, w, c], y [n, h', w', c], with the sizes of [`conv2d`](crate::ops::conv2d).
/// **Backward**: dx = the sum of dy / (kh kw) over the windows an element lies in. **Saves**:
/// nothing.
/// **Errors**: another number of dimensions, a window that does not fit, groups, a padding of more
/// than half the kernel.
/// **Source**: `torch.nn.functional.avg_pool2d`, in NHWC.
#[track_caller]
pub fn avg_pool2d(x: &Var, kernel: [usize; 2], window: Window) -> Result<Var> {
    if let Some(wide) = super::as_f32(x)? {
        return avg_pool2d(&wide, kernel, window)?.cast(x.dtype());
    }
    let (given, shape) = geometry("avg_pool2d", x, kernel, window)?;
    let g = given.without_idle_edges();
    // The zeros under the edges count in the mean all the same.
    let share = g.kernel_area() / given.kernel_area();
    let from = x.value();
    let y = on_device!("avg_pool2d", from in [f32, f64] => shape; average(&g, @from))?;
    let op = Op::from("avg_pool2d").with_attributes(Attributes::Window(kernel, window));
    Ok(Var::record(op, &[x], shared(y, share)?, || Average {
        g,
        share,
        shape: *x.shape(),
    }))
}

/// The mean over a part of each window to that over all of it.
fn shared(mean: Tensor, share: f64) -> Result<Tensor> {
    if share == 1.0 {
        Ok(mean)
    } else {
        Ok(Var::from(mean).mul_scalar(share)?.into_value())
    }
}

/// y = the mean over each window.
struct Average {
    g: Geometry,
    /// The part of the kernel's elements that `g` has.
    share: f64,
    shape: Shape,
}

impl Backward for Average {
    /// dx = sum of dy / (kh kw).
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let Average { g, share, shape } = *self;
        let dx = on_device!("avg_pool2d", dy in [f32, f64] => shape; backward_average(&g, @dy))?;
        Ok(vec![Some(shared(dx, share)?)])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![]
    }
}

/// y[n, i, j, c] = the largest element of x in a window of `kernel` rows and columns; the padding
/// is never the largest.
///
/// **Shapes**: x [n, h, w, c], y [n, h', w', c], with the sizes of [`conv2d`](crate::ops::conv2d).
/// **Backward**: dy goes to the first of the largest elements. **Saves**: on the CPU which element
/// of its window is the largest, a byte for each (eight where the kernel has more than 256 elements
/// over the image); on a GPU x and y.
/// **Errors**: another number of dimensions, a window that does not fit or has padding alone in it,
/// groups, a padding of more than half the kernel.
/// **Source**: `torch.nn.functional.max_pool2d`, in NHWC.
#[track_caller]
pub fn max_pool2d(x: &Var, kernel: [usize; 2], window: Window) -> Result<Var> {
    if let Some(wide) = super::as_f32(x)? {
        return max_pool2d(&wide, kernel, window)?.cast(x.dtype());
    }
    let (g, shape) = geometry("max_pool2d", x, kernel, window)?;
    check_meets(&g)?;
    let g = g.without_idle_edges();
    let (from, dtype, recorded) = (x.value(), x.dtype(), x.requires_grad());
    let mut saved = Vec::new();
    // What is saved differs: a GPU finds the largest again, from x and y, quicker than it reads
    // where it was.
    let y = match from.device() {
        Device::Cpu if recorded && g.kernel[0] * g.kernel[1] <= 256 => {
            dispatch_dtype!("max_pool2d", dtype, T in [f32, f64] => maximum_at::<T, u8>(&g, from, shape, &mut saved))
        }
        Device::Cpu if recorded => {
            dispatch_dtype!("max_pool2d", dtype, T in [f32, f64] => maximum_at::<T, i64>(&g, from, shape, &mut saved))
        }
        device => {
            let y = on_device!("max_pool2d", from in [f32, f64] => shape; maximum(&g, @from))?;
            if device != Device::Cpu {
                saved = vec![from.clone(), y.clone()];
            }
            y
        }
    };
    let op = Op::from("max_pool2d").with_attributes(Attributes::Window(kernel, window));
    Ok(Var::record(op, &[x], y, || Maximum {
        g,
        shape: *x.shape(),
        saved,
    }))
}

/// y on the CPU; which kernel elements it is made of is added to `saved`.
fn maximum_at<T: Float, N: cpu::Number>(
    g: &Geometry,
    x: &Tensor,
    shape: Shape,
    saved: &mut Vec<Tensor>,
) -> Tensor {
    let mut taps = None;
    let y = Tensor::build(shape, |y: &mut [T]| {
        taps = Some(Tensor::build(shape, |taps: &mut [N]| {
            cpu::maximum_at(g, x.data(), y, taps)
        }));
    });
    saved.push(taps.unwrap_or_else(|| Tensor::build(shape, |_: &mut [N]| ())));
    y
}

/// y = the largest element of each window.
struct Maximum {
    g: Geometry,
    shape: Shape,
    /// On the CPU the number of the kernel element that y is, on a GPU x and y.
    saved: Vec<Tensor>,
}

impl Backward for Maximum {
    /// dx = dy where x is the largest of its window.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let (g, saved) = (&self.g, &self.saved);
        // From what each device saves.
        let dx = match dy.device() {
            Device::Cpu => {
                dispatch_dtype!("max_pool2d", dy.dtype(), T in [f32, f64] => Tensor::build(self.shape, |dx: &mut [T]| {
                    match saved[0].dtype() {
                        DType::U8 => cpu::backward_maximum(g, dy.data(), saved[0].data::<u8>(), dx),
                        _ => cpu::backward_maximum(g, dy.data(), saved[0].data::<i64>(), dx),
                    }
                }))
            }
            Device::Cuda(_) => dy.build_on_same_device(self.shape, dy.dtype(), |dx| {
                cuda::backward_maximum(g, [&saved[0], &saved[1], &dy].map(Tensor::on_device), dx)
            })?,
        };
        Ok(vec![Some(dx)])
    }

    fn saves(&self) -> Vec<&Tensor> {
        self.saved.iter().collect()
    }
}

impl Var {
    /// [`max_pool2d`] over squares of `kernel` rows and columns that do not overlap: both sides of
    /// the images are divided by `kernel`, rounded down.
    #[track_caller]
    pub fn max_pool2d(&self, kernel: usize) -> Result<Var> {
        max_pool2d(self, [kernel; 2], Window::tiling(kernel))
    }

    /// [`avg_pool2d`] over squares of `kernel` rows and columns that do not overlap: both sides of
    /// the images are divided by `kernel`, rounded down.
    #[track_caller]
    pub fn avg_pool2d(&self, kernel: usize) -> Result<Var> {
        avg_pool2d(self, [kernel; 2], Window::tiling(kernel))
    }

    /// The mean over each image's pixels.
    ///
    /// **Shapes**: x [n, h, w, c], y [n, c]. **Backward**: dx = dy / (h w), repeated. **Saves**:
    /// nothing.
    /// **Errors**: another number of dimensions, images without pixels. **Source**:
    /// `torch.nn.AdaptiveAvgPool2d(1)`.
    #[doc(alias = "adaptive_avg_pool2d")]
    #[track_caller]
    pub fn global_avg_pool(&self) -> Result<Var> {
        crate::ops::float("global_avg_pool", ("x", self.value()))?;
        let &[n, h, w, c] = &self.shape()[..] else {
            return Err(Error::operand(
                "global_avg_pool",
                "x",
                "[n, h, w, c]",
                self.shape(),
            ));
        };
        if [h, w].contains(&0) {
            return Err(Error::operand(
                "global_avg_pool",
                "x",
                "images of one pixel or more",
                self.shape(),
            ));
        }
        let share = 1.0 / (h * w) as f64;
        let y = self
            .value()
            .scaled_sum(&[1, 2], share, self.dtype())?
            .reshape([n, c])?;
        let shape = *self.shape();
        Ok(Var::record("global_avg_pool", &[self], y, || {
            GlobalAverage { shape, share }
        }))
    }
}

/// y = the mean over all pixels.
struct GlobalAverage {
    shape: Shape,
    share: f64,
}

impl Backward for GlobalAverage {
    /// dx = dy / (h w), repeated.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let dy = Var::from(dy)
            .mul_scalar(self.share)?
            .into_value()
            .reshape([self.shape[0], 1, 1, self.shape[3]])?;
        Ok(vec![Some(dy.expand(&self.shape)?)])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![]
    }
}

/// Checks that every window has an element of the image in it.
#[track_caller]
fn check_meets(g: &Geometry) -> Result<()> {
    for axis in 0..2 {
        // Elements closer together than the image is long cannot all miss it, as geometry() keeps
        // the padding short. A window that reaches that far is the only one, and short itself.
        let (size, first, step) = (g.big[axis], g.window.padding[axis], g.window.dilation[axis]);
        let meets = || (0..g.kernel[axis]).any(|tap| (first..first + size).contains(&(tap * step)));
        if size == 0 || (step > size && !meets()) {
            let expected = format!(
                "a window that meets the image's {size} {}",
                ["rows", "columns"][axis]
            );
            return Err(Error::operand(
                "max_pool2d",
                "window",
                expected,
                format!("{:?}", g.window),
            ));
        }
    }
    Ok(())
}

#[track_caller]
fn geometry(
    op: &'static str,
    x: &Var,
    kernel: [usize; 2],
    window: Window,
) -> Result<(Geometry, Shape)> {
    crate::ops::float(op, ("x", x.value()))?;
    let &[n, h, w, c] = &x.shape()[..] else {
        return Err(Error::operand(op, "x", "[n, h, w, c]", x.shape()));
    };
    let [oh, ow] = window.output_size(op, [h, w], kernel)?;
    if window.groups != 1 {
        return Err(Error::operand(
            op,
            "groups",
            "1, as each channel is on its own",
            window.groups,
        ));
    }
    // So that every window has an element of the image in it, where the dilation is 1.
    if (0..2).any(|axis| window.padding[axis] > kernel[axis] / 2) {
        let (expected, got) = (
            format!("at most half of the kernel, {kernel:?}"),
            format!("{:?}", window.padding),
        );
        return Err(Error::operand(op, "padding", expected, got));
    }
    let g = Geometry::new(n, [h, w, c], [oh, ow, c], kernel, window);
    Ok((
        g,
        Tensor::checked_shape(op, x.value().device(), &[n, oh, ow, c], x.dtype())?,
    ))
}
