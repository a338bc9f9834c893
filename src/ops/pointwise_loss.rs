//! Mean squared error: the loss of regression and of super-resolution.

use crate::autograd::Backward;
use crate::cpu::pointwise_loss as cpu;
use crate::cuda::pointwise_loss as cuda;
use crate::{Error, Result, Tensor, Var};

/// The mean of (prediction - target)^2 over all elements.
///
/// **Shapes**: both the same, the result `[]`.
/// **Backward**: with N elements, dprediction = 2 (prediction - target) dy / N, dtarget its
/// negative.
/// **Saves**: both. **Errors**: shapes or dtypes that differ, no elements.
/// **Source**: `torch.nn.functional.mse_loss`.
#[track_caller]
pub fn mse(prediction: &Var, target: &Var) -> Result<Var> {
    let (a, b) = (prediction.value(), target.value());
    crate::ops::same_float("mse", ("prediction", a), ("target", b))?;
    if a.shape() != b.shape() || a.elements() == 0 {
        let expected = format!("the shape of prediction, {}, with elements", a.shape());
        return Err(Error::operand("mse", "target", expected, b.shape()));
    }
    if let (Some(prediction), Some(target)) = (super::as_f32(prediction)?, super::as_f32(target)?) {
        return mse(&prediction, &target);
    }
    let y = on_device!("mse", a in [f32, f64] => [], of compute; forward(@a, @b))?;
    Ok(Var::record("mse", &[prediction, target], y, || Mse {
        prediction: a.clone(),
        target: b.clone(),
    }))
}

impl Var {
    /// [`mse`] of this prediction.
    #[track_caller]
    pub fn mse(&self, target: &Var) -> Result<Var> {
        mse(self, target)
    }
}

struct Mse {
    prediction: Tensor,
    target: Tensor,
}

impl Backward for Mse {
    /// da = 2 (a - b) dy / N, db = 2 (b - a) dy / N.
    fn backward(self: Box<Self>, dy: Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let (a, b) = (&self.prediction, &self.target);
        let gradient = |sign: f64| {
            let scale = sign * 2.0 / a.elements() as f64;
            on_device!("mse", a in [f32, f64] => a.shape(); backward(@a, @b, @dy, scale))
        };
        let da = wanted[0].then(|| gradient(1.0)).transpose()?;
        let db = wanted[1].then(|| gradient(-1.0)).transpose()?;
        Ok(vec![da, db])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.prediction, &self.target]
    }
}
