//! Adam and AdamW.

use super::segment::Step;
use crate::Float;
use crate::cpu::adamw as cpu;

/// Adam: the running mean of gradients, divided by the root of the running mean of their squares.
///
/// ```text
/// Adam:   g = dw + weight_decay w
/// AdamW:  g = dw,  w = w - lr weight_decay w
/// m = beta1 m + (1 - beta1) g             m, v = 0 at first
/// v = beta2 v + (1 - beta2) g^2
/// w = w - lr (m / (1 - beta1^t)) / (sqrt(v) / sqrt(1 - beta2^t) + eps)          t = 1, 2, ...
/// ```
///
/// The divisions by 1 - beta^t undo the pull of the zeros that m and v begin with.
///
/// **Source**: Kingma, Ba, "Adam" (ICLR 2015), Algorithm 1; Loshchilov, Hutter, "Decoupled weight
/// decay regularization" (ICLR 2019), Algorithm 2; `torch.optim.Adam` and `torch.optim.AdamW`,
/// which add eps outside of the root. The defaults are theirs: [`Adam`] does not decay weights,
/// [`AdamW`] does by 0.01.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// How much of the means of gradients and of their squares stays from step to step, in [0, 1).
    /// (0.9, 0.999) unless set.
    pub betas: (f64, f64),
    /// Keeps the division away from 0. 1e-8 unless set.
    pub eps: f64,
    /// How strongly weights are drawn to 0, through the gradient. 0 unless set.
    pub weight_decay: f64,
}

impl Default for Adam {
    fn default() -> Adam {
        Adam {
            betas: (0.9, 0.999),
            eps: 1e-8,
            weight_decay: 0.0,
        }
    }
}

/// AdamW: [`Adam`] with weight decay taken from the weights themselves; its formula stands there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// As [`Adam::betas`].
    pub betas: (f64, f64),
    /// As [`Adam::eps`].
    pub eps: f64,
    /// How strongly weights are drawn to 0. 0.01 unless set.
    pub weight_decay: f64,
}

impl Default for AdamW {
    fn default() -> AdamW {
        AdamW {
            betas: (0.9, 0.999),
            eps: 1e-8,
            weight_decay: 0.01,
        }
    }
}

impl AdamW {
    /// The settings, for a rule that is told apart by a flag.
    pub(super) fn settings(self) -> Adam {
        let AdamW {
            betas,
            eps,
            weight_decay,
        } = self;
        Adam {
            betas,
            eps,
            weight_decay,
        }
    }
}

impl Adam {
    pub(super) fn update<T: Float>(
        &self,
        step: &Step,
        decoupled: bool,
        w: &mut [T],
        dw: &[T],
        moments: Vec<&mut [T]>,
    ) {
        let Ok([m, v]) = <[&mut [T]; 2]>::try_from(moments) else {
            unreachable!("Method::moments names two for Adam")
        };
        let t = step.number as f64;
        let (correction1, correction2) = (1.0 - self.betas.0.powf(t), 1.0 - self.betas.1.powf(t));
        let decay = self.weight_decay * step.decay_scale;
        let settings = cpu::Settings {
            beta1: T::from_f64(self.betas.0),
            rest1: T::from_f64(1.0 - self.betas.0),
            beta2: T::from_f64(self.betas.1),
            rest2: T::from_f64(1.0 - self.betas.1),
            step: T::from_f64(step.lr / correction1),
            unbias: T::from_f64(1.0 / correction2.sqrt()),
            eps: T::from_f64(self.eps),
            keep: T::from_f64(if decoupled {
                1.0 - step.lr * decay
            } else {
                1.0
            }),
            coupled: T::from_f64(if decoupled { 0.0 } else { decay }),
        };
        cpu::step([w, m, v], dw, settings);
    }
}
