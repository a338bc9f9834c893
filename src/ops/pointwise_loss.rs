//! Losses of a prediction and a target, element by element: the mean over all elements.

use crate::autograd::Backward;
use crate::cpu::pointwise_loss::{self as cpu, Kind, Partial};
use crate::cuda::pointwise_loss as cuda;
use crate::{DType, Error, Result, Tensor, Var};

/// Mean squared error: the mean of (prediction - target)^2 over all elements. The loss of
/// regression and of super-resolution.
///
/// **Shapes**: both the same, the result `[]`.
/// **Backward**: with N elements, dprediction = 2 (prediction - target) dy / N, dtarget its
/// negative.
/// **Saves**: both. **Errors**: shapes or dtypes that differ, no elements.
/// **Source**: `torch.nn.functional.mse_loss`.
#[doc(alias = "mse_loss")]
#[track_caller]
pub fn mse(prediction: &Var, target: &Var) -> Result<Var> {
    mean("mse", (Kind::Mse, 1.0), prediction, target)
}

impl Var {
    /// [`mse`] of this prediction.
    #[track_caller]
    pub fn mse(&self, target: &Var) -> Result<Var> {
        mse(self, target)
    }
}

/// The mean of |prediction - target| over all elements.
///
/// **Shapes**: both the same, the result `[]`.
/// **Backward**: with N elements, dprediction = sign(prediction - target) dy / N, 0 where both are
/// equal, dtarget its negative.
/// **Saves**: both. **Errors**: shapes or dtypes that differ, no elements.
/// **Source**: `torch.nn.functional.l1_loss`.
#[track_caller]
pub fn l1_loss(prediction: &Var, target: &Var) -> Result<Var> {
    mean("l1_loss", (Kind::L1, 1.0), prediction, target)
}

/// The mean of d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2), with d = prediction -
/// target: a parabola that goes on straight, so that outliers weigh less than in [`mse`].
///
/// **Shapes**: both the same, the result `[]`.
/// **Backward**: with N elements, dprediction = min(max(d, -delta), delta) dy / N, dtarget its
/// negative.
/// **Saves**: both. **Errors**: shapes or dtypes that differ, no elements; a delta that is not
/// above 0 or not finite.
/// **Source**: Huber, "Robust estimation of a location parameter" (1964);
/// `torch.nn.functional.huber_loss`.
#[track_caller]
pub fn huber_loss(prediction: &Var, target: &Var, delta: f64) -> Result<Var> {
    if !(delta > 0.0 && delta.is_finite()) {
        let expected = "a finite number above 0";
        return Err(Error::operand("huber_loss", "delta", expected, delta));
    }
    mean("huber_loss", (Kind::Huber(delta), 1.0), prediction, target)
}

/// The mean of d^2 / (2 beta) where |d| < beta, else |d| - beta / 2, with d = prediction - target:
/// [`huber_loss`] with delta = beta, over beta. With beta = 0 it is [`l1_loss`].
///
/// **Shapes**: both the same, the result `[]`.
/// **Backward**: with N elements, dprediction = min(max(d / beta, -1), 1) dy / N, dtarget its
/// negative.
/// **Saves**: both. **Errors**: shapes or dtypes that differ, no elements; a beta that is negative
/// or not finite.
/// **Source**: Girshick, "Fast R-CNN" (arXiv 1504.08083), equation 3;
/// `torch.nn.functional.smooth_l1_loss`.
#[track_caller]
pub fn smooth_l1_loss(prediction: &Var, target: &Var, beta: f64) -> Result<Var> {
    let op = "smooth_l1_loss";
    if !(0.0..f64::INFINITY).contains(&beta) {
        let expected = "a finite number not below 0";
        return Err(Error::operand(op, "beta", expected, beta));
    }
    let kind = if beta == 0.0 {
        (Kind::L1, 1.0)
    } else {
        (Kind::Huber(beta), 1.0 / beta)
    };
    mean(op, kind, prediction, target)
}

/// Binary cross-entropy: the mean of -(t ln p + (1 - t) ln(1 - p)) over all elements, where p =
/// sigmoid(logits) and t is the target, mostly 0 or 1. It is computed as max(x, 0) - x t + ln(1 +
/// e^-|x|) from the logits x, which neither overflows nor loses digits.
///
/// A `pos_weight` multiplies the first term, -t ln p: above 1 it favours recall. The loss is then
/// composed of other ops, in f32 for 16-bit operands.
///
/// **Shapes**: logits and target the same, the result `[]`; pos_weight any that broadcasts to them,
/// mostly `[classes]`.
/// **Backward**: with N elements, dlogits = (p - t) dy / N, dtarget = -logits dy / N; with a weight
/// w, dlogits = ((1 - t) p - w t (1 - p)) dy / N.
/// **Saves**: both operands; with pos_weight, those of its ops. **Errors**: shapes or dtypes that
/// differ, no elements, a pos_weight that does not broadcast or is of another dtype.
/// **Source**: `torch.nn.functional.binary_cross_entropy_with_logits`.
#[doc(alias = "binary_cross_entropy_with_logits")]
#[track_caller]
pub fn bce_with_logits(logits: &Var, target: &Var, pos_weight: Option<&Tensor>) -> Result<Var> {
    let op = "bce_with_logits";
    let Some(weight) = pos_weight else {
        return mean(op, (Kind::Bce, 1.0), logits, target);
    };
    check(op, logits.value(), target.value())?;
    super::same_float(op, ("logits", logits.value()), ("pos_weight", weight))?;
    if weight.shape().broadcast(logits.shape()) != Some(*logits.shape()) {
        let expected = format!("a shape that broadcasts to {}", logits.shape());
        return Err(Error::operand(op, "pos_weight", expected, weight.shape()));
    }
    let [x, t, weight] = [logits, target, &Var::from(weight)].map(|v| match v.dtype() {
        DType::BF16 | DType::F16 => v.cast(DType::F32),
        _ => Ok(v.clone()),
    });
    let (x, t, weight) = (x?, t?, weight?);
    // -ln p = softplus(-x) and -ln(1 - p) = softplus(x).
    let own = (&t * x.neg()?.softplus()) * &weight;
    let other = (1.0 - &t) * &x.softplus()?;
    (own? + other)?.mean_all()
}

/// `scale` times the mean of a loss over all elements.
#[track_caller]
fn mean(op: &'static str, of: (Kind, f64), prediction: &Var, target: &Var) -> Result<Var> {
    let (a, b) = (prediction.value(), target.value());
    check(op, a, b)?;
    if let (Some(prediction), Some(target)) = (super::as_f32(prediction)?, super::as_f32(target)?) {
        return mean(op, of, &prediction, &target);
    }
    let (kind, scale) = of;
    let scale = scale / a.elements() as f64;
    let y = on_device!(op, a in [f32, f64] => [], of compute; forward(kind, @[a, b], scale))?;
    Ok(Var::record(op, &[prediction, target], y, || MeanLoss {
        op,
        kind,
        scale,
        prediction: a.clone(),
        target: b.clone(),
    }))
}

/// Checks that both have one shape and type, and elements.
#[track_caller]
fn check(op: &'static str, a: &Tensor, b: &Tensor) -> Result<()> {
    let names = if op == "bce_with_logits" {
        ["logits", "target"]
    } else {
        ["prediction", "target"]
    };
    crate::ops::same_float(op, (names[0], a), (names[1], b))?;
    if a.shape() != b.shape() || a.elements() == 0 {
        let expected = format!("the shape of {}, {}, with elements", names[0], a.shape());
        return Err(Error::operand(op, names[1], expected, b.shape()));
    }
    Ok(())
}

struct MeanLoss {
    op: &'static str,
    kind: Kind,
    /// What the sum over all elements is multiplied by.
    scale: f64,
    prediction: Tensor,
    target: Tensor,
}

impl Backward for MeanLoss {
    /// The partial derivatives of each element's loss, times scale dy.
    fn backward(self: Box<Self>, dy: Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let (op, scale, kind) = (self.op, self.scale, self.kind);
        let (a, b) = (&self.prediction, &self.target);
        let gradient = |side: usize| {
            let partial = Partial { kind, side };
            on_device!(op, a in [f32, f64] => a.shape(); backward(partial, @[a, b], @dy, scale))
        };
        let da = wanted[0].then(|| gradient(0)).transpose()?;
        let db = wanted[1].then(|| gradient(1)).transpose()?;
        Ok(vec![da, db])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![&self.prediction, &self.target]
    }
}
