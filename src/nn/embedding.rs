//! A table of vectors, looked up by number.

use crate::ops::embedding;
use crate::params::{FileLayout, Init, Names, ParamId};
use crate::{Module, Pass, Result, Shape, Tensor, Var};

/// A table of vectors that are trained: row i for index i, [`embedding`]. Weight `[rows, width]`,
/// at first standard normal numbers.
///
/// ```
/// use wavemix::{DType, Params, Pass, Rng, Tensor, nn::Embedding};
/// let declare = |names: &mut wavemix::params::Names| Embedding::new(names, "words", [1000, 16]);
/// let (words, params) = Params::declare(DType::F32, &Rng::new(0), declare)?;
/// let sentences = Tensor::from_vec(vec![3i64, 14, 15, 9, 2, 6], [2, 3])?;
/// let y = words.look_up(&Pass::eval(&params), &sentences)?;
/// assert_eq!(y.shape()[..], [2, 3, 16]);
/// # Ok::<(), wavemix::Error>(())
/// ```
#[doc(alias = "nn.Embedding")]
pub struct Embedding {
    name: String,
    weight: ParamId,
}

impl Embedding {
    /// Declares `name.weight` for this many rows of this width.
    ///
    /// # Errors
    /// More elements than memory can hold.
    pub fn new(names: &mut Names, name: &str, [rows, width]: [usize; 2]) -> Result<Embedding> {
        let (mut names, shape) = (names.within(name), Shape::new(&[rows, width])?);
        Ok(Embedding {
            name: name.to_owned(),
            weight: names.param("weight", shape, Init::Normal(1.0), FileLayout::Same),
        })
    }

    /// The rows of these indices, i64: `[..]` to `[.., width]`. The gradients of a row that is
    /// looked up several times are added in the order of the indices.
    ///
    /// # Errors
    /// Those of [`embedding`].
    #[track_caller]
    pub fn look_up(&self, pass: &Pass, indices: &Tensor) -> Result<Var> {
        let _layer = pass.enter(&*self.name);
        embedding(&pass.var(self.weight)?, indices)
    }
}

impl Module for Embedding {
    /// As [`Embedding::look_up`] of x's values, which are i64.
    ///
    /// # Errors
    /// Those of [`embedding`].
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        self.look_up(pass, x.value())
    }
}
