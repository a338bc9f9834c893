//! The two-dimensional Haar wavelet transform: how WaveMix mixes tokens without a single weight.

use crate::autograd::Backward;
use crate::cpu::dwt as cpu;
use crate::cuda::dwt as cuda;
use crate::{Error, Result, Tensor, Var};

/// Levels that bring an image of any size to one pixel.
const MOST_LEVELS: usize = usize::BITS as usize;

impl Var {
    /// One level of the two-dimensional Haar wavelet transform (db1).
    ///
    /// Each channel's 2 x 2 blocks, top row (a, b), bottom row (c, d), become four sub-bands:
    ///
    /// ```text
    /// LL       1  1  1  1   a       mean (times 2)
    /// LH = 1/2 1  1 -1 -1   b       top minus bottom
    /// HL       1 -1  1 -1   c       left minus right
    /// HH       1 -1 -1  1   d       one diagonal minus the other
    /// ```
    ///
    /// The matrix is orthonormal and symmetric: it is its own inverse. Along odd sides a row or
    /// column of zeros is appended first.
    ///
    /// **Shapes**: x `[n, h, w, c]`, y `[n, ceil(h / 2), ceil(w / 2), 4 c]`: all channels' LL
    /// first, then channel 0's LH, HL, HH, channel 1's LH, HL, HH, and so on.
    /// **Backward**: dx = [`idwt`](Var::idwt)(dy). **Saves**: nothing.
    /// **Errors**: an operand that is not of four dimensions or not of floats.
    /// **Source**: WaveMix-Lite (arXiv 2205.14375), section 3.2; order and padding of the `wavemix`
    /// package.
    #[track_caller]
    pub fn dwt(&self) -> Result<Var> {
        let y = analyse(self.value())?;
        let size = [self.shape()[1], self.shape()[2]];
        Ok(Var::record("dwt", &[self], y, || Dwt { size }))
    }
}

struct Dwt {
    size: [usize; 2],
}

impl Backward for Dwt {
    /// dx = idwt(dy): the transpose is the inverse, and what fell on appended zeros is cut off.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(synthesise(&dy, self.size)?)])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![]
    }
}

impl Var {
    /// The inverse of [`dwt`](Var::dwt): the image whose sub-bands these are, cropped to height and
    /// width `size`.
    ///
    /// **Shapes**: x `[n, ceil(h / 2), ceil(w / 2), 4 c]`, y `[n, h, w, c]` for `size` `[h, w]`.
    /// **Backward**: dx = dwt(dy). **Saves**: nothing.
    /// **Errors**: other than four dimensions, a number of channels that 4 does not divide, a
    /// `size` that does not fit.
    /// **Source**: as for `dwt`; WaveMix-Lite, section 4.6, uses it to upsample.
    #[track_caller]
    pub fn idwt(&self, size: [usize; 2]) -> Result<Var> {
        let y = synthesise(self.value(), size)?;
        Ok(Var::record("idwt", &[self], y, || InverseDwt))
    }
}

struct InverseDwt;

impl Backward for InverseDwt {
    /// dx = dwt(dy).
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(analyse(&dy)?)])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![]
    }
}

impl Var {
    /// `levels` levels of [`dwt`](Var::dwt), the coarsest last: each transforms the LL channels of
    /// the one before.
    ///
    /// **Shapes**: x `[n, h, w, c]`, level j (from 1) `[n, h / 2^j, w / 2^j, 4 c]`, rounded up.
    /// **Backward**: as for `dwt`. **Saves**: nothing. **Errors**: those of `dwt`, also where
    /// `levels` is 0; more than 64 levels, which are more than bring any image to one pixel.
    /// **Source**: WaveMix (arXiv 2203.03689), section 3.2.
    #[track_caller]
    pub fn dwt_levels(&self, levels: usize) -> Result<Vec<Var>> {
        if levels > MOST_LEVELS {
            return Err(Error::operand(
                "dwt_levels",
                "levels",
                format!("at most {MOST_LEVELS}"),
                levels,
            ));
        }
        let mut out: Vec<Var> = Vec::with_capacity(levels);
        for _ in 0..levels {
            let next = match out.last() {
                Some(finer) => finer.slice(3, 0..self.shape()[3])?.dwt()?,
                None => self.dwt()?,
            };
            out.push(next);
        }
        Ok(out)
    }
}

#[track_caller]
fn analyse(x: &Tensor) -> Result<Tensor> {
    let &[n, h, w, c] = &**x.shape() else {
        return Err(Error::operand("dwt", "x", "[n, h, w, c]", x.shape()));
    };
    super::float("dwt", ("x", x))?;
    let shape = Tensor::checked_shape(
        "dwt",
        x.device(),
        &[n, h.div_ceil(2), w.div_ceil(2), c.saturating_mul(4)],
        x.dtype(),
    )?;
    on_device!("dwt", x in [f32, f64, bf16] => shape; forward(@x, [n, h, w, c]))
}

#[track_caller]
fn synthesise(y: &Tensor, [h, w]: [usize; 2]) -> Result<Tensor> {
    let (n, c) = match **y.shape() {
        [n, hh, hw, c] if c % 4 == 0 && hh == h.div_ceil(2) && hw == w.div_ceil(2) => (n, c / 4),
        _ => {
            let expected = format!(
                "[n, {}, {}, 4 c] for images of {h} x {w}",
                h.div_ceil(2),
                w.div_ceil(2)
            );
            return Err(Error::operand("idwt", "x", expected, y.shape()));
        }
    };
    super::float("idwt", ("x", y))?;
    let shape = Tensor::checked_shape("idwt", y.device(), &[n, h, w, c], y.dtype())?;
    on_device!("idwt", y in [f32, f64, bf16] => shape; inverse(@y, [n, h, w, c]))
}
