//! The real part of the discrete Fourier transform: how FNet mixes tokens without a single weight.

use crate::autograd::Backward;
use crate::autograd::trace::{Attributes, Op};
use crate::ops::reduce::reduced_shapes;
use crate::tensor::axes::Axes;
use crate::{DType, Device, Error, Result, Shape, Tensor, Var};

/// The longest axis: its two matrices have the square of this many elements.
const LONGEST: usize = 4096;

impl Var {
    /// The real part of the unnormalised discrete Fourier transform over one to three axes, taken
    /// once, at the end.
    ///
    /// ```text
    /// y[k, l, m] = sum over i, j, c of x[i, j, c] cos(2 pi (i k / h + j l / w + c m / n))
    /// ```
    ///
    /// for axes of lengths h, w and n. It is computed as products with the matrices C and S, whose
    /// elements are cos(2 pi i k / h) and sin(2 pi i k / h). Along each axis the real part a and the
    /// negative of the imaginary part b become
    ///
    /// ```text
    /// a, b = C a - S b, S a + C b        as (a - ib) (C - iS) = (C a - S b) - i (S a + C b)
    /// ```
    ///
    /// from a = x, b = 0 on, and y is the last a. Operands of 16 bits are computed in f32, and y is
    /// rounded once.
    ///
    /// **Shapes**: any with those axes, of at most 4096 elements each; y as x.
    /// **Backward**: dx = dft_real(dy): the cosines are symmetric in x's place and y's, so the op is
    /// its own adjoint. **Saves**: nothing.
    /// **Errors**: no axes or more than three, an axis that is out of range, named twice or longer.
    /// **Source**: "FNet: Mixing tokens with Fourier transforms" (arXiv 2105.03824), section 3.2;
    /// `torch.fft.fftn(x, dim=axes).real`.
    ///
    /// ```
    /// use wavemix::{Tensor, Var};
    /// let x = Var::from(Tensor::from_vec(vec![1.0, 2.0, 3.0, 6.0], [2, 2])?);
    /// assert_eq!(x.dft_real(1)?.to_vec::<f64>()?, [3.0, -1.0, 9.0, -3.0]);
    /// assert_eq!(x.dft_real([0, 1])?.to_vec::<f64>()?, [12.0, -4.0, -6.0, 2.0]);
    /// # Ok::<(), wavemix::Error>(())
    /// ```
    #[doc(alias = "fftn")]
    #[track_caller]
    pub fn dft_real(&self, axes: impl Into<Axes>) -> Result<Var> {
        self.dft_real_over_axes(axes.into().of(self.shape().len()))
    }

    #[track_caller]
    fn dft_real_over_axes(&self, axes: Vec<usize>) -> Result<Var> {
        crate::ops::float("dft_real", ("x", self.value()))?;
        check(self.shape(), &axes)?;
        if matches!(self.dtype(), DType::BF16 | DType::F16) {
            let wide = self.cast(DType::F32)?;
            return wide.dft_real_over_axes(axes)?.cast(self.dtype());
        }
        let tf32 = self.tf32();
        let y = transform(&self.detach(), &axes)?;
        let of_op = axes.clone();
        let op = Op::from("dft_real").with_attributes(Attributes::Axes(&of_op));
        Ok(Var::record(op, &[self], y, || Rule { axes, tf32 }))
    }
}

struct Rule {
    axes: Vec<usize>,
    tf32: bool,
}

impl Backward for Rule {
    /// dx = dft_real(dy).
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let dy = Var::from(dy).with_tf32(self.tf32);
        Ok(vec![Some(transform(&dy, &self.axes)?)])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![]
    }
}

#[track_caller]
fn check(shape: &Shape, axes: &[usize]) -> Result<()> {
    if !(1..=3).contains(&axes.len()) {
        let got = format!("{axes:?}");
        return Err(Error::operand("dft_real", "axes", "one to three", got));
    }
    reduced_shapes("dft_real", shape, axes)?;
    match axes.iter().find(|&&axis| shape[axis] > LONGEST) {
        // Of no elements nothing is computed.
        Some(axis) if shape.elements() > 0 => {
            let expected = format!("at most {LONGEST} elements along axis {axis}");
            Err(Error::operand("dft_real", "x", expected, shape))
        }
        _ => Ok(()),
    }
}

/// y of an x that is a constant.
fn transform(x: &Var, axes: &[usize]) -> Result<Tensor> {
    if x.value().elements() == 0 {
        return Ok(x.value().clone());
    }
    let (mut a, mut b) = (x.clone(), None);
    for (i, &axis) in axes.iter().enumerate() {
        let cosines = wave(f64::cos, x, axis)?;
        let sines = wave(f64::sin, x, axis)?;
        let c = |x: &Var| along(axis, &cosines, x);
        let s = |x: &Var| along(axis, &sines, x);
        let is_last = i + 1 == axes.len();
        let imaginary = match &b {
            _ if is_last => None,
            None => Some(s(&a)?),
            Some(b) => Some((&s(&a)? + &c(b)?)?),
        };
        a = match &b {
            None => c(&a)?,
            Some(b) => (&c(&a)? - &s(b)?)?,
        };
        b = imaginary;
    }
    Ok(a.into_value())
}

/// The matrix `[n, n]` of wave(2 pi i j / n), for the n elements along an axis of x; of x's type and
/// where x is.
fn wave(wave: fn(f64) -> f64, x: &Var, axis: usize) -> Result<Var> {
    let n = x.shape()[axis];
    let values: Vec<f64> = (0..n)
        .map(|i| wave(std::f64::consts::TAU * i as f64 / n as f64))
        .collect();
    // The matrix is on the CPU first, and of f64.
    let shape = Tensor::checked_shape("dft_real", Device::Cpu, &[n, n], DType::F64)?;
    let matrix = Tensor::build(shape, |out: &mut [f64]| {
        for (i, row) in out.chunks_exact_mut(n).enumerate() {
            for (j, element) in row.iter_mut().enumerate() {
                *element = values[i * j % n];
            }
        }
    });
    let matrix = matrix.cast(x.dtype())?.to_device(x.value().device())?;
    Ok(Var::from(matrix).with_tf32(x.tf32()))
}

/// A symmetric matrix times x along an axis.
fn along(axis: usize, matrix: &Var, x: &Var) -> Result<Var> {
    let shape = *x.shape();
    let (before, n) = (shape[..axis].iter().product(), shape[axis]);
    let behind: usize = shape[axis + 1..].iter().product();
    let y = if behind == 1 {
        // [before, n] [n, n]: one product.
        x.reshape([before, n])?.matmul(matrix)?
    } else {
        // [n, n] [before, n, behind], for each of those before.
        matrix.matmul(&x.reshape([before, n, behind])?)?
    };
    y.reshape(shape)
}
