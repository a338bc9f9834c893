//! Stochastic gradient descent.

use crate::cpu::sgd as cpu;
use crate::cuda;
use crate::optim::rule::{DeviceStep, Rule, Step, check_settings, is_at_least_0, is_factor};
use crate::{Float, Result};

/// Stochastic gradient descent: down the gradient, with momentum down a running sum of gradients.
///
/// ```text
/// g = dw + weight_decay w
/// v = momentum v + g                      v = 0 at first
/// w = w - lr v                            with Nesterov: w - lr (g + momentum v); without momentum: w - lr g
/// ```
///
/// **Source**: `torch.optim.SGD` with dampening 0; Sutskever, Martens, Dahl, Hinton, "On the
/// importance of initialization and momentum in deep learning" (ICML 2013). Weight decay is part of
/// the gradient ("coupled").
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// How much of the running sum stays from step to step, in [0, 1). The default is the papers'
    /// 0.9.
    pub momentum: f64,
    /// Looks ahead along the momentum; needs one.
    pub nesterov: bool,
    /// How strongly weights are drawn to 0. The default is 0.
    pub weight_decay: f64,
}

impl Default for Sgd {
    fn default() -> Sgd {
        Sgd {
            momentum: 0.9,
            nesterov: false,
            weight_decay: 0.0,
        }
    }
}

impl Rule for Sgd {
    fn name(&self) -> &str {
        if self.nesterov { "nesterov" } else { "sgd" }
    }

    fn moments(&self) -> &[&'static str] {
        if self.momentum == 0.0 {
            &[]
        } else {
            &["momentum"]
        }
    }

    fn check(&self) -> Result<()> {
        let (momentum, decay) = (self.momentum, self.weight_decay);
        let fits = is_factor(momentum) && (momentum > 0.0 || !self.nesterov);
        let settings = [
            ("momentum", momentum, fits),
            ("weight decay", decay, is_at_least_0(decay)),
        ];
        check_settings(self.name(), &settings)
    }

    fn update<T: Float>(&self, step: &Step, w: &mut [T], dw: &[T], moments: &mut [&mut [T]]) {
        let settings = cpu::Settings {
            lr: T::from_f64(step.lr),
            decay: T::from_f64(self.weight_decay * step.decay_scale),
            momentum: T::from_f64(self.momentum),
            nesterov: self.nesterov,
        };
        match moments.first_mut() {
            Some(v) => cpu::momentum([w, v], dw, settings),
            None => cpu::plain(w, dw, settings.lr, settings.decay),
        }
    }

    fn launch(&self, step: DeviceStep) -> Result<()> {
        let DeviceStep { w, moments, at } = step;
        let momentum = (self.momentum, self.nesterov);
        cuda::sgd::step(w, moments.first_mut(), at, momentum, self.weight_decay)
    }
}
