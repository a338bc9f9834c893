//! Stochastic gradient descent.

use super::segment::Step;
use crate::Float;
use crate::cpu::sgd as cpu;

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

impl Sgd {
    pub(super) fn update<T: Float>(
        &self,
        step: &Step,
        w: &mut [T],
        dw: &[T],
        moments: Vec<&mut [T]>,
    ) {
        let (lr, decay) = (
            T::from_f64(step.lr),
            T::from_f64(self.weight_decay * step.decay_scale),
        );
        match moments.into_iter().next() {
            Some(v) => cpu::momentum(
                [w, v],
                dw,
                lr,
                decay,
                (T::from_f64(self.momentum), self.nesterov),
            ),
            None => cpu::plain(w, dw, lr, decay),
        }
    }
}
