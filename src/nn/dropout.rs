//! Dropout as a layer.

use crate::ops::check_probability;
use crate::{Module, Pass, Result, Var};

/// Sets elements to 0 with probability p in training, and divides the others by 1 - p
/// ([`Var::dropout`]); the identity in evaluation. Each call of a pass has random numbers of its
/// own.
///
/// ```
/// use wavemix::{DType, Module, Params, Pass, Rng, Tensor, Var, nn::Dropout};
/// let (layer, params) = Params::declare(DType::F32, &Rng::new(0), |_| Dropout::new(0.5))?;
/// let x = Var::from(Tensor::ones([100], DType::F32));
/// let y = layer.forward(&Pass::train(&params, Rng::new(1)), &x)?;
/// assert!(y.to_vec::<f32>()?.iter().all(|&y| y == 0.0 || y == 2.0));
/// assert_eq!(layer.forward(&Pass::eval(&params), &x)?.to_vec::<f32>()?, [1.0; 100]);
/// # Ok::<(), wavemix::Error>(())
/// ```
#[doc(alias = "nn.Dropout")]
#[derive(Clone, Debug)]
pub struct Dropout {
    p: f64,
}

impl Dropout {
    /// A layer that drops elements with this probability.
    ///
    /// # Errors
    /// A p outside of `0..=1`.
    #[track_caller]
    pub fn new(p: f64) -> Result<Dropout> {
        check_probability("dropout", p)?;
        Ok(Dropout { p })
    }
}

impl Module for Dropout {
    /// Any shape, to the same.
    ///
    /// # Errors
    /// Those of [`Var::dropout`].
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        match pass.rng() {
            Some(rng) => x.dropout(self.p, &rng),
            None => Ok(x.clone()),
        }
    }
}
