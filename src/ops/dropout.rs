//! Dropout: noise that keeps a network from leaning on single features; and stochastic depth, where
//! a residual block is left out for some images of a batch.

use crate::autograd::Backward;
use crate::cpu::dropout as cpu;
use crate::cuda::dropout as cuda;
use crate::{Error, Result, Rng, Shape, Tensor, Var};

impl Var {
    /// Sets each element to 0 with probability `p` and divides the others by 1 - p, so that the
    /// mean stays.
    ///
    /// Element i is kept where b bits of `rng`'s stream, from bit b i on, as a fraction of 2^b,
    /// reach p, rounded to the nearest 2^-16. So the mask depends neither on earlier draws nor on
    /// the number of threads. b is 1, 2, 4, 8 or 16, as many as p has binary digits: a p of 1/2 is
    /// a coin. Give each call a stream of its own ([`Rng::child`]).
    ///
    /// **Shapes**: any. **Backward**: dx = dropout(dy), by the same bits. **Saves**: nothing but p
    /// and the stream's name.
    /// **Errors**: p outside of `0..=1`; elements that are not floats.
    /// **Source**: Srivastava et al., "Dropout" (JMLR 15, 2014); `torch.nn.functional.dropout`.
    #[track_caller]
    pub fn dropout(&self, p: f64, rng: &Rng) -> Result<Var> {
        check("dropout", p)?;
        record("dropout", self, Unit::Element, (p, rng))
    }

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
        super::float("drop_path", ("x", self.value()))?;
        record("drop_path", self, Unit::Image, (p, rng))
    }
}

/// What is kept or dropped as one.
#[derive(Clone, Copy)]
enum Unit {
    Element,
    Image,
}

impl Unit {
    #[track_caller]
    fn drop(self, x: &Tensor, p: f64, rng: &Rng) -> Result<Tensor> {
        match self {
            Unit::Element => drop(x, p, rng),
            Unit::Image => drop_images(x, p, rng),
        }
    }
}

/// y = x with some of its units dropped; x itself where p is 0.
#[track_caller]
fn record(op: &'static str, x: &Var, unit: Unit, (p, rng): (f64, &Rng)) -> Result<Var> {
    if p == 0.0 {
        return Ok(x.clone());
    }
    let y = unit.drop(x.value(), p, rng)?;
    Ok(Var::record(op, &[x], y, || Dropout {
        unit,
        p,
        rng: rng.clone(),
    }))
}

struct Dropout {
    unit: Unit,
    p: f64,
    rng: Rng,
}

impl Backward for Dropout {
    /// dx = dy with the same units dropped: the mask is recomputed.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(self.unit.drop(&dy, self.p, &self.rng)?)])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![]
    }
}

#[track_caller]
fn drop(x: &Tensor, p: f64, rng: &Rng) -> Result<Tensor> {
    super::float("dropout", ("x", x))?;
    on_device!("dropout", x in [f32, f64, bf16] => x.shape(); forward(p, rng, @x))
}

/// x times one number an image: 0, or 1 / (1 - p).
#[track_caller]
fn drop_images(x: &Tensor, p: f64, rng: &Rng) -> Result<Tensor> {
    let mut one_each = x.shape().to_vec();
    one_each[1..].fill(1);
    let ones = Tensor::full_on(x.device(), Shape::new(&one_each)?, 1.0, x.dtype())?;
    let kept = Var::from(ones).dropout(p, rng)?;
    (Var::from(x) * kept).map(Var::into_value)
}

/// Checks that p is a probability.
#[track_caller]
pub(crate) fn check(op: &'static str, p: f64) -> Result<()> {
    if (0.0..=1.0).contains(&p) {
        Ok(())
    } else {
        Err(Error::operand(op, "p", "a probability in 0..=1", p))
    }
}
