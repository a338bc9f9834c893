//! Dropout: noise that keeps a network from leaning on single features. Whole images are dropped in
//! `dropout/drop_path.rs`.

mod drop_path;

use crate::autograd::Backward;
use crate::cpu::dropout as cpu;
use crate::cuda::dropout as cuda;
use crate::{Error, Result, Rng, Tensor, Var};

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
        if p == 0.0 {
            return Ok(self.clone());
        }
        let y = drop(self.value(), p, rng)?;
        Ok(Var::record("dropout", &[self], y, || Dropout {
            p,
            rng: rng.clone(),
        }))
    }
}

struct Dropout {
    p: f64,
    rng: Rng,
}

impl Backward for Dropout {
    /// dx = dropout(dy): the mask is recomputed.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(drop(&dy, self.p, &self.rng)?)])
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

/// That p is a probability.
#[track_caller]
pub(crate) fn check(op: &'static str, p: f64) -> Result<()> {
    if (0.0..=1.0).contains(&p) {
        Ok(())
    } else {
        Err(Error::operand(op, "p", "a probability in 0..=1", p))
    }
}
