//! The geometry that convolutions and pooling share: how a window moves over an image, and how
//! large the result is.

use std::ops::Range;

use crate::tensor::shape::flops;
use crate::{Error, Result};

/// How a kernel moves over an image, as `[vertical, horizontal]` pairs. Change what differs from
/// the default:
///
/// ```
/// use wavemix::tensor::window::Window;
/// let same = Window { padding: [1, 1], ..Window::default() };
/// let half = Window { stride: [2, 2], ..same };
/// assert_eq!((same.stride, half.padding, half.groups), ([1, 1], [1, 1], 1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How far the kernel moves between outputs.
    pub stride: [usize; 2],
    /// Rows and columns of zeros around the image, on each side.
    pub padding: [usize; 2],
    /// Rows and columns added at the end of a transposed convolution's output, where several sizes
    /// would be possible.
    pub output_padding: [usize; 2],
    /// How far the kernel's elements lie apart.
    pub dilation: [usize; 2],
    /// Independent parts the channels are cut into; with as many groups as channels each channel
    /// has its own kernel.
    pub groups: usize,
}

impl Default for Window {
    /// Stride 1, no padding, dilation 1, one group.
    fn default() -> Window {
        Window {
            stride: [1, 1],
            padding: [0, 0],
            output_padding: [0, 0],
            dilation: [1, 1],
            groups: 1,
        }
    }
}

/// How a kernel moves along a row, as [`Window`] says for images.
///
/// ```
/// use wavemix::tensor::window::{Window, Window1d};
/// let half = Window1d { stride: 2, ..Window1d::default() };
/// assert_eq!(Window::from(half).stride, [1, 2]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window1d {
    /// How far the kernel moves between outputs.
    pub stride: usize,
    /// Zeros at both ends of the row.
    pub padding: usize,
    /// How far the kernel's elements lie apart.
    pub dilation: usize,
    /// Independent parts the channels are cut into.
    pub groups: usize,
}

impl Default for Window1d {
    /// Stride 1, no padding, dilation 1, one group.
    fn default() -> Window1d {
        Window1d {
            stride: 1,
            padding: 0,
            dilation: 1,
            groups: 1,
        }
    }
}

impl From<Window1d> for Window {
    /// For an image of one row.
    fn from(row: Window1d) -> Window {
        Window {
            stride: [1, row.stride],
            padding: [0, row.padding],
            dilation: [1, row.dilation],
            groups: row.groups,
            ..Window::default()
        }
    }
}

/// Rows and columns of a kernel: `3` is a square one, `[3, 5]` has three rows and five columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelSize(pub [usize; 2]);

impl From<usize> for KernelSize {
    fn from(side: usize) -> KernelSize {
        KernelSize([side; 2])
    }
}

impl From<[usize; 2]> for KernelSize {
    fn from(size: [usize; 2]) -> KernelSize {
        KernelSize(size)
    }
}

impl Window {
    /// A window that moves by its own size, as pooling does mostly.
    pub fn tiling(kernel: usize) -> Window {
        Window {
            stride: [kernel; 2],
            ..Window::default()
        }
    }

    /// Stride 1 and this many rows and columns of zeros on each side: a kernel of 2 padding + 1
    /// leaves the size as it is.
    pub fn padded(padding: usize) -> Window {
        Window {
            padding: [padding; 2],
            ..Window::default()
        }
    }

    /// This stride in both directions, and this many rows and columns of zeros on each side.
    pub fn strided(stride: usize, padding: usize) -> Window {
        Window {
            stride: [stride; 2],
            padding: [padding; 2],
            ..Window::default()
        }
    }

    /// Height and width after a convolution or pooling: (size + 2 padding - dilation (kernel - 1) -
    /// 1) / stride + 1, rounded down.
    ///
    /// # Errors
    /// A stride, dilation, kernel or number of groups of 0; an output padding, which only
    /// transposed convolutions have; a kernel that reaches beyond the padded image; sizes beyond
    /// `isize::MAX`.
    #[track_caller]
    pub fn output_size(
        &self,
        op: &'static str,
        size: [usize; 2],
        kernel: [usize; 2],
    ) -> Result<[usize; 2]> {
        self.check(op, kernel)?;
        self.check_output_padding(op, false)?;
        let mut out = [0; 2];
        for axis in 0..2 {
            let reach = self.reach(axis, kernel);
            let padded = self.padding[axis]
                .checked_mul(2)
                .and_then(|p| p.checked_add(size[axis]))
                .filter(countable);
            let (Some(reach), Some(padded)) = (reach, padded) else {
                return Err(self.too_large(op));
            };
            if padded < reach {
                let expected = format!(
                    "at least {reach} {} with the padding of 2 x {}",
                    ROWS[axis], self.padding[axis]
                );
                return Err(Error::operand(op, "x", expected, size[axis]));
            }
            out[axis] = (padded - reach) / self.stride[axis] + 1;
        }
        Ok(out)
    }

    /// Height and width after a transposed convolution:
    /// (size - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1.
    ///
    /// # Errors
    /// As [`Window::output_size`], but that an output padding must be smaller than stride or
    /// dilation; an image without rows or columns; a padding that takes away the whole output.
    #[track_caller]
    pub fn transposed_size(
        &self,
        op: &'static str,
        size: [usize; 2],
        kernel: [usize; 2],
    ) -> Result<[usize; 2]> {
        self.check(op, kernel)?;
        self.check_output_padding(op, true)?;
        let mut out = [0; 2];
        for axis in 0..2 {
            let extra = self.output_padding[axis];
            if size[axis] == 0 {
                return Err(Error::operand(
                    op,
                    "x",
                    format!("at least one of the {}", ROWS[axis]),
                    0,
                ));
            }
            let whole = (size[axis] - 1)
                .checked_mul(self.stride[axis])
                .and_then(|n| n.checked_add(extra));
            let whole = whole
                .and_then(|n| n.checked_add(self.reach(axis, kernel)?))
                .filter(countable);
            let (Some(whole), Some(cut)) = (whole, self.padding[axis].checked_mul(2)) else {
                return Err(self.too_large(op));
            };
            if whole <= cut {
                let expected = format!("less than half of the output's {whole} {}", ROWS[axis]);
                return Err(Error::operand(op, "padding", expected, self.padding[axis]));
            }
            out[axis] = whole - cut;
        }
        Ok(out)
    }

    /// Checks what a layer of these channels, input and output, and of this kernel asks for
    /// whatever the image.
    #[track_caller]
    pub(crate) fn check_layer(
        &self,
        op: &'static str,
        channels: [usize; 2],
        kernel: [usize; 2],
        transposed: bool,
    ) -> Result<()> {
        self.check(op, kernel)?;
        self.check_output_padding(op, transposed)?;
        for (name, channels) in ["c_in", "c_out"].into_iter().zip(channels) {
            if !channels.is_multiple_of(self.groups) {
                return Err(Error::operand(
                    op,
                    name,
                    format!("a multiple of {} groups", self.groups),
                    channels,
                ));
            }
        }
        Ok(())
    }

    #[track_caller]
    fn check_output_padding(&self, op: &'static str, transposed: bool) -> Result<()> {
        if !transposed && self.output_padding != [0, 0] {
            return Err(Error::operand(
                op,
                "output_padding",
                "[0, 0]",
                format!("{:?}", self.output_padding),
            ));
        }
        for axis in 0..2 {
            let (extra, limit) = (
                self.output_padding[axis],
                self.stride[axis].max(self.dilation[axis]),
            );
            if transposed && extra >= limit {
                return Err(Error::operand(
                    op,
                    "output_padding",
                    format!("less than stride or dilation, {limit}"),
                    extra,
                ));
            }
        }
        Ok(())
    }

    #[track_caller]
    fn check(&self, op: &'static str, kernel: [usize; 2]) -> Result<()> {
        for (name, pair) in [
            ("stride", self.stride),
            ("dilation", self.dilation),
            ("kernel", kernel),
        ] {
            if pair.contains(&0) {
                return Err(Error::operand(op, name, "1 or more", format!("{pair:?}")));
            }
        }
        if self.groups == 0 {
            return Err(Error::operand(op, "groups", "1 or more", 0));
        }
        Ok(())
    }

    /// Rows or columns under a kernel: dilation (kernel - 1) + 1.
    fn reach(&self, axis: usize, kernel: [usize; 2]) -> Option<usize> {
        (kernel[axis] - 1)
            .checked_mul(self.dilation[axis])?
            .checked_add(1)
    }

    #[track_caller]
    fn too_large(&self, op: &'static str) -> Error {
        Error::operand(
            op,
            "window",
            "padding, dilation and stride whose sizes fit in an isize",
            format!("{self:?}"),
        )
    }
}

/// Whether it fits an `isize`, in which offsets are computed.
fn countable(length: &usize) -> bool {
    isize::try_from(*length).is_ok()
}

const ROWS: [&str; 2] = ["rows", "columns"];

/// The sizes of a convolution: both images, the kernel, the window's settings. A convolution takes
/// the big image to the small one, its adjoint the small one to the big.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    /// Images.
    pub n: usize,
    /// Height, width and channels of the big image.
    pub big: [usize; 3],
    /// Height, width and channels of the small image.
    pub small: [usize; 3],
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    pub window: Window,
}

impl Geometry {
    /// With a single window along an axis the stride is never used. It is reduced to the image's
    /// length, so that later arithmetic cannot overflow.
    pub fn new(
        n: usize,
        big: [usize; 3],
        small: [usize; 3],
        kernel: [usize; 2],
        mut window: Window,
    ) -> Geometry {
        for axis in (0..2).filter(|&axis| small[axis] == 1) {
            window.stride[axis] = window.stride[axis].min(big[axis].max(1));
        }
        Geometry {
            n,
            big,
            small,
            kernel,
            window,
        }
    }

    /// The same without the outer kernel rows and columns that only ever meet padding. What is left
    /// is no longer than twice the image, whatever kernel and padding were given.
    pub fn without_idle_edges(mut self) -> Geometry {
        for axis in 0..2 {
            let Window {
                stride,
                padding,
                dilation,
                ..
            } = self.window;
            let (step, last) = (dilation[axis], self.kernel[axis] - 1);
            // The last window lies furthest down, the first one furthest up.
            let first = (padding[axis].saturating_sub((self.small[axis] - 1) * stride[axis])
                / step)
                .min(last);
            let end =
                ((self.big[axis] + padding[axis]).saturating_sub(1) / step).clamp(first, last);
            self.window.padding[axis] -= first * step;
            self.kernel[axis] = end - first + 1;
        }
        self
    }

    /// Kernel elements of one channel, as what a mean is divided by: their number may be beyond any
    /// integer.
    pub fn kernel_area(&self) -> f64 {
        self.kernel[0] as f64 * self.kernel[1] as f64
    }

    /// Rows (axis 0) or columns (axis 1) of the small image whose kernel element, `offset` elements
    /// into the window, lies inside the big image.
    pub fn covered(&self, axis: usize, offset: usize) -> Range<usize> {
        let (stride, padding) = (self.window.stride[axis], self.window.padding[axis]);
        let first = |at: usize| {
            at.saturating_sub(offset)
                .div_ceil(stride)
                .min(self.small[axis])
        };
        first(padding)..first(self.big[axis] + padding)
    }

    /// Floating-point operations of a convolution, with zeros in the padding too.
    pub fn flops(&self) -> u64 {
        let ([h, w, c], [kh, kw]) = (self.small, self.kernel);
        flops(&[self.n, h, w, c, kh, kw, self.big[2]]) / self.window.groups as u64
    }

    /// Kernel elements for each channel of the small image: kh kw c_big / groups.
    pub fn columns(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.big[2] / self.window.groups
    }

    /// Whether a convolution does nothing but multiply each pixel's channels with one matrix.
    pub fn is_matrix(&self) -> bool {
        let Window {
            stride,
            padding,
            output_padding,
            groups,
            ..
        } = self.window;
        (self.kernel, stride, padding, output_padding, groups)
            == ([1, 1], [1, 1], [0, 0], [0, 0], 1)
    }

    /// Whether each channel has a kernel of its own.
    pub fn is_depthwise(&self) -> bool {
        self.window.groups == self.big[2] && self.window.groups == self.small[2]
    }
}
