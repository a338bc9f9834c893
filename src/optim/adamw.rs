//! Adam and AdamW.

use crate::cpu::adamw as cpu;
use crate::cuda;
use crate::optim::rule::{DeviceStep, Rule, Step, check_settings, is_at_least_0, is_factor};
use crate::{Float, Result};

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
    /// As those of [`Adam`].
    pub betas: (f64, f64),
    /// As that of [`Adam`].
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

/// What both do on the CPU; `decoupled` takes the weight decay from the weights themselves.
fn update<T: Float>(
    settings: &Adam,
    decoupled: bool,
    step: &Step,
    w: &mut [T],
    dw: &[T],
    moments: &mut [&mut [T]],
) {
    let [m, v] = moments else {
        unreachable!("Rule::moments names two")
    };
    let (beta1, beta2) = settings.betas;
    let t = step.number as f64;
    let (correction1, correction2) = (1.0 - beta1.powf(t), 1.0 - beta2.powf(t));
    let decay = settings.weight_decay * step.decay_scale;
    let (keep, coupled) = if decoupled {
        (1.0 - step.lr * decay, 0.0)
    } else {
        (1.0, decay)
    };
    let settings = cpu::Settings {
        beta1: T::from_f64(beta1),
        rest1: T::from_f64(1.0 - beta1),
        beta2: T::from_f64(beta2),
        rest2: T::from_f64(1.0 - beta2),
        step: T::from_f64(step.lr / correction1),
        unbias: T::from_f64(1.0 / correction2.sqrt()),
        eps: T::from_f64(settings.eps),
        keep: T::from_f64(keep),
        coupled: T::from_f64(coupled),
    };
    cpu::step([w, m, v], dw, settings);
}

macro_rules! rule {
    ($name:ident, $called:literal, $decoupled:literal) => {
        impl Rule for $name {
            fn name(&self) -> &str {
                $called
            }
            fn moments(&self) -> &[&'static str] {
                &["first_moment", "second_moment"]
            }
            fn betas(&self) -> (f64, f64) {
                self.betas
            }
            fn check(&self) -> Result<()> {
                let ((beta1, beta2), decay) = (self.betas, self.weight_decay);
                let settings = [
                    ("beta", beta1, is_factor(beta1)),
                    ("beta", beta2, is_factor(beta2)),
                    ("eps", self.eps, is_at_least_0(self.eps)),
                    ("weight decay", decay, is_at_least_0(decay)),
                ];
                check_settings($called, &settings)
            }
            fn update<T: Float>(
                &self,
                step: &Step,
                w: &mut [T],
                dw: &[T],
                moments: &mut [&mut [T]],
            ) {
                let $name {
                    betas,
                    eps,
                    weight_decay,
                } = *self;
                let settings = Adam {
                    betas,
                    eps,
                    weight_decay,
                };
                update(&settings, $decoupled, step, w, dw, moments);
            }
            fn launch(&self, step: DeviceStep) -> Result<()> {
                let DeviceStep { w, moments, at } = step;
                let [m, v] = moments else {
                    unreachable!("Rule::moments names two")
                };
                let settings = cuda::adamw::Settings {
                    beta1: self.betas.0,
                    beta2: self.betas.1,
                    eps: self.eps,
                    weight_decay: self.weight_decay,
                    decoupled: $decoupled,
                };
                cuda::adamw::step([w, m, v], at, settings)
            }
        }
    };
}
rule!(Adam, "adam", false);
rule!(AdamW, "adamw", true);
