//! Learning rates over time.

use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// How the learning rate changes during training: a factor on the base rate, a function of the step
/// and of the number of steps alone. Lengths are fractions of the run, so one schedule fits runs of
/// any length.
///
/// Reads and prints as `constant`, `step`, `cosine`; reading gives the settings of
/// [`Schedule::STEP`] and [`Schedule::COSINE`].
///
/// ```
/// use wavemix::optim::Schedule;
/// let schedule: Schedule = "cosine".parse()?;
/// assert_eq!((schedule.factor(49, 1000), schedule.factor(1000, 1000)), (1.0, 0.0));
/// let error = "linear".parse::<Schedule>().unwrap_err();
/// assert_eq!(error.to_string(), "unknown schedule `linear`; choose one of constant, step, cosine");
/// # Ok::<(), wavemix::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Schedule {
    /// Always 1.
    Constant,
    /// 1, then multiplied by `gamma` after each part of the run: gamma^floor(step / (every total)).
    Step {
        /// The length of a part, as a fraction of the run.
        every: f64,
        /// The factor from part to part.
        gamma: f64,
    },
    /// Up in a line from 1/w to 1 over w = `warmup` total steps, then down to 0 along half a
    /// cosine: (1 + cos(pi (step - w) / (total - w))) / 2. Source: Loshchilov, Hutter, "SGDR" (ICLR
    /// 2017), without restarts.
    Cosine {
        /// The length of the way up, as a fraction of the run.
        warmup: f64,
    },
}

impl Schedule {
    /// The names that can be read.
    pub const NAMES: [&'static str; 3] = ["constant", "step", "cosine"];
    /// Three parts, each with a tenth of the rate of the one before.
    pub const STEP: Schedule = Schedule::Step {
        every: 1.0 / 3.0,
        gamma: 0.1,
    };
    /// Cosine after 5 % of warm-up.
    pub const COSINE: Schedule = Schedule::Cosine { warmup: 0.05 };

    /// Checks the settings: `every` above 0, `gamma` 0 or more, `warmup` within 0..=1.
    ///
    /// # Errors
    /// Where one is not, or is not a number.
    pub fn check(&self) -> Result<()> {
        let (name, range, value, fits) = match *self {
            Schedule::Constant => return Ok(()),
            Schedule::Step { every, .. } if every.is_nan() || every <= 0.0 => {
                ("every", "above 0", every, false)
            }
            Schedule::Step { gamma, .. } => (
                "gamma",
                "0 or more",
                gamma,
                gamma >= 0.0 && gamma.is_finite(),
            ),
            Schedule::Cosine { warmup } => (
                "warmup",
                "within 0..=1, a fraction of the run",
                warmup,
                (0.0..=1.0).contains(&warmup),
            ),
        };
        if fits {
            return Ok(());
        }
        Err(Error::Argument(format!(
            "schedule {self}: `{name}` must be {range}, not {value}"
        )))
    }

    /// What the base learning rate is multiplied by at `step`, from 0, of `total`, with settings that
    /// [`Schedule::check`] passes.
    pub fn factor(&self, step: u64, total: u64) -> f64 {
        let (now, total) = (step as f64, total.max(1) as f64);
        match *self {
            Schedule::Constant => 1.0,
            // A part may end a rounding error before a whole step: 1/3 of 300 is 99.99...
            Schedule::Step { every, gamma } => gamma.powf((now / (every * total) + 1e-9).floor()),
            Schedule::Cosine { warmup } => {
                let up = (warmup * total).round();
                if now < up {
                    return (now + 1.0) / up;
                }
                let progress = (now - up) / (total - up).max(1.0);
                0.5 * (1.0 + (PI * progress.min(1.0)).cos())
            }
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Schedule::Constant => "constant",
            Schedule::Step { .. } => "step",
            Schedule::Cosine { .. } => "cosine",
        })
    }
}

impl FromStr for Schedule {
    type Err = Error;

    fn from_str(name: &str) -> Result<Schedule> {
        match name {
            "constant" => Ok(Schedule::Constant),
            "step" => Ok(Schedule::STEP),
            "cosine" => Ok(Schedule::COSINE),
            _ => Err(Error::choice("schedule", name, &Schedule::NAMES)),
        }
    }
}
