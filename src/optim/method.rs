//! Which rule, by name.

use std::fmt;
use std::str::FromStr;

use super::{Adam, AdamW, Lion, Sgd};
use crate::cuda::SliceMut;
use crate::cuda::clip as cuda;
use crate::optim::rule::{Rule, is_at_least_0};
use crate::optim::segment::Step;
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
        fn of<R: Rule>(_rule: &R) -> f64 {
            R::DEFAULT_LR
        }
        each_rule!(self, rule => of(rule))
    }

    /// The same method with another weight decay.
    pub fn with_weight_decay(mut self, weight_decay: f64) -> Method {
        *each_rule!(&mut self, rule => rule.weight_decay()) = weight_decay;
        self
    }

    /// As [`Rule::moments`].
    pub(super) fn moments(&self) -> &'static [&'static str] {
        each_rule!(self, rule => rule.moments())
    }

    /// As [`Rule::betas`].
    pub(super) fn betas(&self) -> (f64, f64) {
        each_rule!(self, rule => rule.betas())
    }

    pub(super) fn check(&self) -> Result<()> {
        let mut settings = each_rule!(self, rule => rule.settings());
        let decay = *each_rule!(&mut self.clone(), rule => rule.weight_decay());
        settings.push(("weight decay", decay, is_at_least_0(decay)));
        match settings.into_iter().find(|(_, _, fits)| !fits) {
            Some((what, got, _)) => Err(Error::Argument(format!(
                "{self}: {what} {got} is out of range"
            ))),
            None => Ok(()),
        }
    }

    /// As [`Rule::update`].
    pub(super) fn update<T: Float>(
        &self,
        step: &Step,
        w: &mut [T],
        dw: &[T],
        moments: Vec<&mut [T]>,
    ) {
        each_rule!(self, rule => rule.update(step, w, dw, moments))
    }

    /// As [`Rule::launch`].
    pub(super) fn launch<'a>(
        &self,
        w: &mut SliceMut<'a>,
        moments: &mut [SliceMut<'a>],
        at: cuda::Step,
    ) -> Result<()> {
        each_rule!(self, rule => rule.launch(w, moments, at))
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
