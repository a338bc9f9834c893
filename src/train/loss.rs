//! The losses of classes that have names.

use std::fmt;
use std::str::FromStr;

use crate::ops::{CrossEntropyOptions, cross_entropy, focal_loss};
use crate::{Error, Result, Tensor, Var};

/// A loss of logits against classes, of images or of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The mean cross-entropy.
    CrossEntropy,
    /// The mean focal loss: of each image or pixel by itself, with gamma 2.
    Focal,
    /// What the scripts of WaveMix-Lite's authors compute as focal loss: with c the mean
    /// cross-entropy of the whole batch, (1 - e^-c)^2 c. Hard pixels weigh no more than easy ones,
    /// hard batches do.
    PapersFocal,
}

/// The power of the doubt in both focal losses.
const GAMMA: f64 = 2.0;

/// The names.
const NAMES: [(&str, Loss); 3] = [
    ("cross-entropy", Loss::CrossEntropy),
    ("focal", Loss::Focal),
    ("papers-focal", Loss::PapersFocal),
];

impl Loss {
    /// The loss of logits `[.., k]` against classes, i64 `[..]`, those that are `ignored` passed
    /// over: a single number.
    ///
    /// ```
    /// use wavemix::train::Loss;
    /// use wavemix::{DType, Tensor};
    /// let logits = Tensor::zeros([3, 4], DType::F64).into();
    /// let labels = Tensor::from_vec(vec![0i64, 3, 255], 3)?;
    /// let loss = Loss::Focal.of(&logits, &labels, Some(255))?;
    /// assert!((loss.item()? - 0.75f64.powi(2) * 4f64.ln()).abs() < 1e-15);
    /// # Ok::<(), wavemix::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`cross_entropy`] and [`focal_loss`].
    #[track_caller]
    pub fn of(self, logits: &Var, labels: &Tensor, ignored: Option<i64>) -> Result<Var> {
        let options = CrossEntropyOptions {
            ignore_index: ignored,
            ..CrossEntropyOptions::default()
        };
        match self {
            Loss::CrossEntropy => cross_entropy(logits, labels, options),
            Loss::Focal => focal_loss(logits, labels, GAMMA, ignored),
            Loss::PapersFocal => {
                let mean = cross_entropy(logits, labels, options)?;
                let doubt = (1.0 - (-&mean)?.exp()?)?;
                (&doubt * &doubt)? * &mean
            }
        }
    }
}

impl Loss {
    /// The label that it passes over in maps where this one is not judged: none in the papers'
    /// scripts, which learn void as any other class.
    pub fn ignored(self, not_judged: Option<i64>) -> Option<i64> {
        match self {
            Loss::PapersFocal => None,
            _ => not_judged,
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = NAMES.iter().find(|(_, loss)| loss == self);
        f.write_str(own.map_or("", |(name, _)| name))
    }
}

impl FromStr for Loss {
    type Err = Error;

    fn from_str(s: &str) -> Result<Loss> {
        let own = NAMES.iter().find(|(name, _)| *name == s);
        let names = NAMES.map(|(name, _)| name);
        own.map(|(_, loss)| *loss)
            .ok_or_else(|| Error::choice("loss", s, &names))
    }
}
