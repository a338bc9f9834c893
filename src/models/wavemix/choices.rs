//! The choices within a WaveMix model, and how they are written.

use std::fmt;
use std::str::FromStr;

use crate::ops::Interpolation;
use crate::{Error, Result};

/// Which paper's block a model is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockKind {
    /// WaveMix-Lite's (arXiv 2205.14375): reduced channels, one level or a cascade.
    Lite,
    /// WaveMix's (arXiv 2203.03689): all levels in parallel through one MLP.
    Parallel,
}

/// What mixes the tokens of a WaveMix-Lite block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mixing {
    /// Wavelet levels 1 to n, each coarser one joining the next finer; n = 1 is the paper's plain
    /// block.
    Cascade(usize),
    /// The sub-bands of wavelet level n alone (WaveMix-Lite, table 8).
    Level(usize),
    /// Nothing (the first ablation of WaveMix-Lite, section 4.7).
    Identity,
    /// The real part of a Fourier transform (the second ablation).
    Dft,
    /// Max-pooling over 2x2 (the third ablation).
    MaxPool,
}

/// How a mixed map gets back to the size of the block's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resize {
    /// A transposed convolution.
    Deconvolution,
    /// Resizing without weights (WaveMix-Lite, section 4.6).
    Upsample(Interpolation),
    /// The inverse wavelet transform.
    InverseDwt,
}

/// How pixels become features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stem {
    /// Two 3x3 convolutions with these strides.
    Strided([usize; 2]),
    /// Two 3x3 convolutions, then patches of this side.
    Patchify(usize),
}

impl BlockKind {
    /// What names of models begin with.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            BlockKind::Lite => "WaveMixLite-",
            BlockKind::Parallel => "WaveMix-",
        }
    }
}

impl Mixing {
    /// Whether it is a wavelet transform, which has room for a quarter of the channels only.
    pub(super) fn is_wavelet(self) -> bool {
        matches!(self, Mixing::Cascade(_) | Mixing::Level(_))
    }
}

impl fmt::Display for Mixing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mixing::Cascade(n) => write!(f, "cascade:{n}"),
            Mixing::Level(n) => write!(f, "level:{n}"),
            Mixing::Identity => f.write_str("identity"),
            Mixing::Dft => f.write_str("dft"),
            Mixing::MaxPool => f.write_str("maxpool"),
        }
    }
}

impl FromStr for Mixing {
    type Err = Error;
    fn from_str(s: &str) -> Result<Mixing> {
        let unknown = || {
            Error::choice(
                "mixing",
                s,
                &[
                    "cascade:<levels>",
                    "level:<level>",
                    "identity",
                    "dft",
                    "maxpool",
                ],
            )
        };
        match s.split_once(':') {
            None if s == "identity" => Ok(Mixing::Identity),
            None if s == "dft" => Ok(Mixing::Dft),
            None if s == "maxpool" => Ok(Mixing::MaxPool),
            Some(("cascade", n)) => n.parse().map(Mixing::Cascade).map_err(|_| unknown()),
            Some(("level", n)) => n.parse().map(Mixing::Level).map_err(|_| unknown()),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Resize::Deconvolution => "deconvolution",
            Resize::Upsample(Interpolation::Nearest) => "nearest",
            Resize::Upsample(Interpolation::Bilinear) => "bilinear",
            Resize::Upsample(Interpolation::Bicubic) => "bicubic",
            Resize::InverseDwt => "idwt",
        })
    }
}

impl FromStr for Resize {
    type Err = Error;
    fn from_str(s: &str) -> Result<Resize> {
        Ok(match s {
            "deconvolution" => Resize::Deconvolution,
            "nearest" => Resize::Upsample(Interpolation::Nearest),
            "bilinear" => Resize::Upsample(Interpolation::Bilinear),
            "bicubic" => Resize::Upsample(Interpolation::Bicubic),
            "idwt" => Resize::InverseDwt,
            _ => {
                return Err(Error::choice(
                    "upsampling",
                    s,
                    &["bilinear", "nearest", "bicubic", "idwt", "deconvolution"],
                ));
            }
        })
    }
}

impl Stem {
    /// How many pixels of a row become one. `usize::MAX` stands for more than it can count.
    pub(super) fn reduction(self) -> usize {
        match self {
            Stem::Strided([first, second]) => first.saturating_mul(second),
            Stem::Patchify(patch) => patch,
        }
    }
}

impl fmt::Display for Stem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stem::Strided([a, b]) => write!(f, "strided:{a},{b}"),
            Stem::Patchify(patch) => write!(f, "patchify:{patch}"),
        }
    }
}

impl FromStr for Stem {
    type Err = Error;
    fn from_str(s: &str) -> Result<Stem> {
        let unknown =
            || Error::choice("stem", s, &["strided:<stride>,<stride>", "patchify:<side>"]);
        let number = |n: &str| n.parse().map_err(|_| unknown());
        match s.split_once(':').ok_or_else(unknown)? {
            ("strided", strides) => {
                let (a, b) = strides.split_once(',').ok_or_else(unknown)?;
                Ok(Stem::Strided([number(a)?, number(b)?]))
            }
            ("patchify", patch) => Ok(Stem::Patchify(number(patch)?)),
            _ => Err(unknown()),
        }
    }
}
