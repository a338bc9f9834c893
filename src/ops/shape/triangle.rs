//! The lower and the upper triangle of matrices.

use super::Adjoint;
use crate::{Error, Result, Tensor, Var};

impl Var {
    /// The lower triangle of the matrices along the last two axes: y\[.., i, j\] = x\[.., i, j\]
    /// where j - i <= `diagonal`, 0 elsewhere, whatever x is there. A `diagonal` of 0 is the main
    /// one, above it are 1, 2 and so on, below it -1, -2 and so on.
    ///
    /// **Shapes**: x and y [.., rows, columns]. **Backward**: dx = the same triangle of dy.
    /// **Saves**: nothing. **Errors**: fewer than two dimensions. **Source**: `torch.tril`.
    ///
    /// ```
    /// use wavemix::{DType, Tensor, Var};
    /// let causal = Var::from(Tensor::ones([3, 3], DType::U8)).tril(0)?;
    /// assert_eq!(causal.value().to_vec::<u8>()?, [1, 0, 0, 1, 1, 0, 1, 1, 1]);
    /// # Ok::<(), wavemix::Error>(())
    /// ```
    #[track_caller]
    pub fn tril(&self, diagonal: i64) -> Result<Var> {
        triangle("tril", self, diagonal)
    }

    /// The upper triangle of the matrices along the last two axes: y\[.., i, j\] = x\[.., i, j\]
    /// where j - i >= `diagonal`, 0 elsewhere. Otherwise as [`Var::tril`]. **Source**: `torch.triu`.
    #[track_caller]
    pub fn triu(&self, diagonal: i64) -> Result<Var> {
        triangle("triu", self, diagonal)
    }
}

#[track_caller]
fn triangle(op: &'static str, x: &Var, diagonal: i64) -> Result<Var> {
    if x.shape().len() < 2 {
        let expected = "two dimensions or more";
        return Err(Error::operand(op, "x", expected, x.shape()));
    }
    let y = x.value().triangle(op, diagonal)?;
    Ok(Var::record(op, &[x], y, || {
        Adjoint(move |dy: Tensor| dy.triangle(op, diagonal))
    }))
}
