//! Which rule, by name.

use std::fmt;
use std::str::FromStr;

use super::segment::Step;
use super::{Adam, AdamW, Lion, Sgd};
use crate::{Error, Float, Result};

/// How weights follow their gradients, with its settings.
///
/// Reads and prints as `sgd`, `nesterov`, `adam`, `adamw`, `lion`; reading gives the default
/// settings of each.
///
/// ```
/// use wavemix::optim::{Method, Sgd};
/// assert_eq!("nesterov".parse::<Method>()?, Method::Sgd(Sgd { nesterov: true, ..Sgd::default() }));
/// let error = "sdg".parse::<Method>().unwrap_err();
/// assert_eq!(error.to_string(), "unknown optimizer `sdg`; choose one of sgd, nesterov, adam, adamw, lion");
/// # Ok::<(), wavemix::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// Stochastic gradient descent, with or without momentum.
    Sgd(Sgd),
    /// Adam; weight decay is added to the gradient.
    Adam(Adam),
    /// Adam with weight decay taken from the weights themselves.
    AdamW(AdamW),
    /// Steps along the sign of the momentum.
    Lion(Lion),
}

impl Method {
    /// The names that can be read.
    pub const NAMES: [&'static str; 5] = ["sgd", "nesterov", "adam", "adamw", "lion"];

    /// A learning rate to begin with: 1e-3, for Lion 1e-4 (\[L\] 4.3 and the authors' examples).
    pub fn default_lr(&self) -> f64 {
        if matches!(self, Method::Lion(_)) {
            1e-4
        } else {
            1e-3
        }
    }

    /// The same method with another weight decay.
    pub fn with_weight_decay(mut self, weight_decay: f64) -> Method {
        match &mut self {
            Method::Sgd(Sgd {
                weight_decay: old, ..
            })
            | Method::Adam(Adam {
                weight_decay: old, ..
            })
            | Method::AdamW(AdamW {
                weight_decay: old, ..
            })
            | Method::Lion(Lion {
                weight_decay: old, ..
            }) => *old = weight_decay,
        }
        self
    }

    /// The names of what it remembers of each weight.
    pub(super) fn moments(&self) -> &'static [&'static str] {
        match self {
            Method::Sgd(Sgd { momentum: 0.0, .. }) => &[],
            Method::Sgd(_) | Method::Lion(_) => &["momentum"],
            Method::Adam(_) | Method::AdamW(_) => &["first_moment", "second_moment"],
        }
    }

    /// The factors whose powers the moments of the first steps are corrected by; 0 for those
    /// without.
    pub(super) fn betas(&self) -> (f64, f64) {
        match self {
            Method::Adam(Adam { betas, .. }) | Method::AdamW(AdamW { betas, .. }) => *betas,
            _ => (0.0, 0.0),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let at_least_0 = |x: f64| x >= 0.0 && x.is_finite();
        let below_1 = |x: f64| (0.0..1.0).contains(&x);
        let (decay, rest) = match *self {
            Method::Sgd(Sgd {
                momentum,
                nesterov,
                weight_decay,
            }) => (
                weight_decay,
                [
                    (
                        "momentum",
                        momentum,
                        below_1(momentum) && (momentum > 0.0 || !nesterov),
                    ),
                    ("", 0.0, true),
                ],
            ),
            Method::Adam(Adam {
                betas: (b1, b2),
                eps,
                weight_decay,
            })
            | Method::AdamW(AdamW {
                betas: (b1, b2),
                eps,
                weight_decay,
            }) => {
                let beta = if below_1(b1) { b2 } else { b1 };
                (
                    weight_decay,
                    [("beta", beta, below_1(beta)), ("eps", eps, at_least_0(eps))],
                )
            }
            Method::Lion(Lion {
                betas: (b1, b2),
                weight_decay,
            }) => (
                weight_decay,
                [("beta", b1, below_1(b1)), ("beta", b2, below_1(b2))],
            ),
        };
        let decay = ("weight decay", decay, at_least_0(decay));
        match rest.into_iter().chain([decay]).find(|(_, _, fine)| !fine) {
            Some((what, got, _)) => Err(Error::Argument(format!(
                "{self}: {what} {got} is out of range"
            ))),
            None => Ok(()),
        }
    }

    /// One step of one segment.
    pub(super) fn update<T: Float>(
        &self,
        step: &Step,
        w: &mut [T],
        dw: &[T],
        moments: Vec<&mut [T]>,
    ) {
        match self {
            Method::Sgd(sgd) => sgd.update(step, w, dw, moments),
            Method::Adam(adam) => adam.update(step, false, w, dw, moments),
            Method::AdamW(adamw) => adamw.settings().update(step, true, w, dw, moments),
            Method::Lion(lion) => lion.update(step, w, dw, moments),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Method::Sgd(Sgd {
                nesterov: false, ..
            }) => "sgd",
            Method::Sgd(_) => "nesterov",
            Method::Adam(_) => "adam",
            Method::AdamW(_) => "adamw",
            Method::Lion(_) => "lion",
        })
    }
}

impl FromStr for Method {
    type Err = Error;

    fn from_str(name: &str) -> Result<Method> {
        Ok(match name {
            "sgd" => Method::Sgd(Sgd::default()),
            "nesterov" => Method::Sgd(Sgd {
                nesterov: true,
                ..Sgd::default()
            }),
            "adam" => Method::Adam(Adam::default()),
            "adamw" => Method::AdamW(AdamW::default()),
            "lion" => Method::Lion(Lion::default()),
            _ => return Err(Error::choice("optimizer", name, &Method::NAMES)),
        })
    }
}
