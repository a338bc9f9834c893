//! Stochastic depth: a residual block is left out for some images of a batch.

use super::check;
use crate::autograd::Backward;
use crate::{Error, Result, Rng, Shape, Tensor, Var};

impl Var {
    /// Sets all of an image to 0 with probability `p` and divides the others by 1 - p: the branch
    /// beside a shortcut is left out for that image.
    ///
    /// Image i has element i of [`dropout`](Var::dropout) of a vector of ones by the same stream.
    ///
    /// **Shapes**: `[n, ..]` to the same. **Backward**: dx = drop_path(dy), by the same bits.
    /// **Saves**: nothing but p and the stream's name.
    /// **Errors**: p outside of `0..=1`; no axis of images; elements that are not floats.
    /// **Source**: Huang et al., "Deep networks with stochastic depth" (arXiv 1603.09382);
    /// `timm.layers.drop_path`, `torchvision.ops.stochastic_depth` with mode `row`.
    #[doc(alias = "stochastic_depth")]
    #[track_caller]
    pub fn drop_path(&self, p: f64, rng: &Rng) -> Result<Var> {
        check("drop_path", p)?;
        if self.shape().is_empty() {
            return Err(Error::operand("drop_path", "x", "[n, ..]", self.shape()));
        }
        crate::ops::float("drop_path", ("x", self.value()))?;
        if p == 0.0 {
            return Ok(self.clone());
        }
        let y = drop(self.value(), p, rng)?;
        Ok(Var::record("drop_path", &[self], y, || DropPath {
            p,
            rng: rng.clone(),
        }))
    }
}

struct DropPath {
    p: f64,
    rng: Rng,
}

impl Backward for DropPath {
    /// dx = drop_path(dy): the coins are tossed again.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(drop(&dy, self.p, &self.rng)?)])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![]
    }
}

/// x times one number an image: 0, or 1 / (1 - p).
#[track_caller]
fn drop(x: &Tensor, p: f64, rng: &Rng) -> Result<Tensor> {
    let mut one_each = x.shape().to_vec();
    one_each[1..].fill(1);
    let ones = Tensor::full_on(x.device(), Shape::new(&one_each)?, 1.0, x.dtype())?;
    let kept = Var::from(ones).dropout(p, rng)?;
    (Var::from(x) * kept).map(Var::into_value)
}
