//! Lion.

use crate::cpu::lion as cpu;
use crate::cuda;
use crate::optim::rule::{DeviceStep, Rule, Step, check_settings, is_at_least_0, is_factor};
use crate::{Float, Result};

/// Lion: each weight moves by the same distance, along the sign of its momentum.
///
/// ```text
/// w = w - lr weight_decay w
/// w = w - lr sign(beta1 m + (1 - beta1) dw)            m = 0 at first; sign(0) = 0
/// m = beta2 m + (1 - beta2) dw
/// ```
///
/// Keeps one moment where Adam keeps two. Wants a learning rate 3 to 10 times smaller than AdamW's,
/// and a weight decay as many times larger.
///
/// **Source**: Chen et al., "Symbolic discovery of optimization algorithms" (NeurIPS 2023),
/// Algorithm 2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lion {
    /// The momentum's weight in the step, and how much of it stays from step to step, in [0, 1).
    /// (0.9, 0.99) unless set.
    pub betas: (f64, f64),
    /// How strongly weights are drawn to 0. 0.01 unless set.
    pub weight_decay: f64,
}

impl Default for Lion {
    fn default() -> Lion {
        Lion {
            betas: (0.9, 0.99),
            weight_decay: 0.01,
        }
    }
}

impl Rule for Lion {
    fn name(&self) -> &str {
        "lion"
    }

    fn moments(&self) -> &[&'static str] {
        &["momentum"]
    }

    /// From 4.3 of the paper and the authors' examples.
    fn default_lr(&self) -> f64 {
        1e-4
    }

    fn check(&self) -> Result<()> {
        let ((beta1, beta2), decay) = (self.betas, self.weight_decay);
        let settings = [
            ("beta", beta1, is_factor(beta1)),
            ("beta", beta2, is_factor(beta2)),
            ("weight decay", decay, is_at_least_0(decay)),
        ];
        check_settings(self.name(), &settings)
    }

    fn update<T: Float>(&self, step: &Step, w: &mut [T], dw: &[T], moments: &mut [&mut [T]]) {
        let [m] = moments else {
            unreachable!("Rule::moments names one")
        };
        let keep = 1.0 - step.lr * self.weight_decay * step.decay_scale;
        let (lr, keep) = (T::from_f64(step.lr), T::from_f64(keep));
        cpu::step([w, m], dw, lr, keep, [self.betas.0, self.betas.1]);
    }

    fn launch(&self, step: DeviceStep) -> Result<()> {
        let DeviceStep { w, moments, at } = step;
        cuda::lion::step(w, &mut moments[0], at, self.betas, self.weight_decay)
    }
}
