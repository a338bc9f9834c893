//! Resizing images: the parameter-free way up.

use crate::autograd::Backward;
use crate::autograd::trace::{Attributes, Op};
use crate::cpu::upsample::Table;
use crate::cuda::upsample as cuda;
use crate::{Device, Error, Result, Shape, Tensor, Var};

/// How [`Var::upsample`] makes pixels between pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// The pixel whose area the new one begins in.
    Nearest,
    /// A straight line between the two neighbours along each axis.
    Bilinear,
    /// A cubic through the four neighbours along each axis, with Keys' a = -0.75.
    Bicubic,
}

impl Interpolation {
    fn name(self) -> &'static str {
        match self {
            Interpolation::Nearest => "nearest",
            Interpolation::Bilinear => "bilinear",
            Interpolation::Bicubic => "bicubic",
        }
    }
}

impl Var {
    /// Images resized to height and width `size`, larger or smaller.
    ///
    /// The image keeps its outer edges (`align_corners = false`): new pixel i, of n made from m,
    /// has its centre at (i + 1/2) m / n - 1/2. Beyond the border the outermost pixel is repeated.
    /// Rows and columns are treated one after the other.
    ///
    /// **Shapes**: x `[n, h, w, c]`, y `[n, oh, ow, c]` for `size` `[oh, ow]`.
    /// **Backward**: the transpose: each old pixel gathers what it gave. **Saves**: nothing but the
    /// weights of rows and columns.
    /// **Errors**: other than four dimensions, an empty image or size, elements that are not
    /// floats.
    /// **Source**: `torch.nn.functional.interpolate`; Keys, "Cubic convolution interpolation"
    /// (1981), equation 4; WaveMix-Lite (arXiv 2205.14375), section 4.6.
    #[doc(alias = "interpolate")]
    #[track_caller]
    pub fn upsample(&self, size: [usize; 2], interpolation: Interpolation) -> Result<Var> {
        if let Some(wide) = super::as_f32(self)? {
            return wide.upsample(size, interpolation)?.cast(self.dtype());
        }
        let &[n, h, w, c] = &**self.shape() else {
            return Err(Error::operand(
                "upsample",
                "x",
                "[n, h, w, c]",
                self.shape(),
            ));
        };
        super::float("upsample", ("x", self.value()))?;
        if [h, w].contains(&0) {
            return Err(Error::operand(
                "upsample",
                "x",
                "images of at least one pixel",
                self.shape(),
            ));
        }
        if size.contains(&0) {
            return Err(Error::operand(
                "upsample",
                "size",
                "a height and a width of at least 1",
                format!("{size:?}"),
            ));
        }
        let shape = Tensor::checked_shape(
            "upsample",
            self.value().device(),
            &[n, size[0], size[1], c],
            self.dtype(),
        )?;
        let op = Op::from("upsample").with_attributes(Attributes::Kind(interpolation.name()));
        if shape.elements() == 0 {
            // No pixel needs the tables, which would be as long as the size says.
            let y = Tensor::full_on(self.value().device(), shape, 0.0, self.dtype())?;
            let shape = *self.shape();
            return Ok(Var::record(op, &[self], y, || Upsample {
                shape,
                tables: None,
            }));
        }
        let tables = [
            table(h, size[0], interpolation),
            table(w, size[1], interpolation),
        ];
        let y = resized(self.value(), &tables, [1, 2])?;
        let shape = *self.shape();
        Ok(Var::record(op, &[self], y, || Upsample {
            shape,
            tables: Some(tables),
        }))
    }
}

struct Upsample {
    /// That of x.
    shape: Shape,
    /// The weights of rows and columns, where there is an image to resize.
    tables: Option<[Table; 2]>,
}

impl Backward for Upsample {
    /// dx = (rows x columns)^T dy = columns^T, then rows^T.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let Some(tables) = self.tables else {
            return Ok(vec![Some(Tensor::full_on(
                dy.device(),
                self.shape,
                0.0,
                dy.dtype(),
            )?)]);
        };
        let tables = tables.map(|table| table.transpose());
        Ok(vec![Some(resized(&dy, &tables, [2, 1])?)])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![]
    }
}

/// The tables of rows and columns applied: on the CPU along these axes, one after the other;
/// on a GPU in one pass.
#[track_caller]
fn resized(x: &Tensor, tables: &[Table; 2], order: [usize; 2]) -> Result<Tensor> {
    if x.device() == Device::Cpu {
        return order
            .into_iter()
            .try_fold(x.clone(), |x, axis| along(&x, axis, &tables[axis - 1]));
    }
    let size @ [n, _, _, c] = std::array::from_fn(|axis| x.shape()[axis]);
    let [oh, ow] = tables.each_ref().map(Table::len);
    x.build_on_same_device([n, oh, ow, c], x.dtype(), |y| {
        cuda::apply(x.on_device(), size, tables, y)
    })
}

/// The table applied along one axis.
#[track_caller]
fn along(x: &Tensor, axis: usize, table: &Table) -> Result<Tensor> {
    let mut lengths = x.shape().to_vec();
    lengths[axis] = table.len();
    let shape = Tensor::checked_shape("upsample", x.device(), &lengths, x.dtype())?;
    let inner = shape[axis + 1..].iter().product();
    Ok(
        dispatch_dtype!("upsample", x.dtype(), T in [f32, f64] => Tensor::build(shape, |y: &mut [T]| table.apply(x.data(), inner, y))),
    )
}

/// What each of `to` new pixels in a row takes from the `from` old ones.
fn table(from: usize, to: usize, interpolation: Interpolation) -> Table {
    let clamp = |j: isize| j.clamp(0, from as isize - 1) as usize;
    let row = |i: usize| {
        let centre = (i as f64 + 0.5) * from as f64 / to as f64 - 0.5;
        let (left, t) = (centre.floor() as isize, centre - centre.floor());
        match interpolation {
            Interpolation::Nearest => vec![((i as u128 * from as u128 / to as u128) as usize, 1.0)],
            Interpolation::Bilinear => vec![(clamp(left), 1.0 - t), (clamp(left + 1), t)],
            Interpolation::Bicubic => {
                let [before, here, last] = [-1.0, 0.0, 2.0].map(|j| cubic(t - j));
                // Keys' weights add up to 1. Made so, a constant image stays as it is but for the
                // roundings of sums.
                let next = 1.0 - (before + here + last);
                (left - 1..)
                    .map(clamp)
                    .zip([before, here, next, last])
                    .collect()
            }
        }
    };
    Table::new((0..to).map(row).collect(), from)
}

/// The weight of a pixel at distance `x`: two cubics that meet smoothly at 1 and end smoothly at 2.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.75;
    match x.abs() {
        x if x <= 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x if x < 2.0 => ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A,
        _ => 0.0,
    }
}
