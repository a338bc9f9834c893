//! Which rule, by name.

use std::fmt;
use std::str::FromStr;

use super::{Adam, AdamW, Lion, Sgd};
use crate::optim::rule::{AnyRule, Rule};
use crate::{Error, Result};

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

/// The method's rule, whichever it is.
macro_rules! each_rule {
    ($method:expr, $rule:ident => $body:expr) => {
        match $method {
            Method::Sgd($rule) => $body,
            Method::Adam($rule) => $body,
            Method::AdamW($rule) => $body,
            Method::Lion($rule) => $body,
        }
    };
}

impl Method {
    /// The names that can be read.
    pub const NAMES: [&'static str; 5] = ["sgd", "nesterov", "adam", "adamw", "lion"];

    /// A learning rate to begin with: 1e-3, for Lion 1e-4.
    pub fn default_lr(&self) -> f64 {
        each_rule!(self, rule => rule.default_lr())
    }

    /// The same method with another weight decay.
    pub fn with_weight_decay(mut self, weight_decay: f64) -> Method {
        each_rule!(&mut self, rule => rule.weight_decay = weight_decay);
        self
    }
}

impl From<Method> for AnyRule {
    fn from(method: Method) -> AnyRule {
        match method {
            Method::Sgd(rule) => rule.into(),
            Method::Adam(rule) => rule.into(),
            Method::AdamW(rule) => rule.into(),
            Method::Lion(rule) => rule.into(),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(each_rule!(self, rule => rule.name()))
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
