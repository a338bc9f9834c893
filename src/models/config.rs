//! Which model: everything that decides its layers and their sizes.

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

use crate::ops::Interpolation;
use crate::{Error, Result};

/// The most that a configuration may ask for of anything that is counted: channels, pixels of a
/// side, outputs.
const MOST: usize = 1 << 16;

/// The most wavelet levels of a WaveMix block: as many reduce the largest side to one pixel.
const MOST_LEVELS: usize = 16;

/// The two architectures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// arXiv 2205.14375: reduced channels, one level or a cascade.
    WaveMixLite,
    /// arXiv 2203.03689: all levels in parallel through one MLP.
    WaveMix,
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

/// What the model answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// One of so many classes an image.
    Classify {
        /// Number of classes.
        classes: usize,
    },
    /// One of so many classes a pixel.
    Segment {
        /// Number of classes.
        classes: usize,
    },
    /// The image at twice the size.
    Upscale {
        /// Channels of the output.
        channels: usize,
    },
}

/// All settings of a model. [`Config::parse`] gives those a name stands for; change what differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Which architecture.
    pub family: Family,
    /// Embedding dimension: channels between blocks. A multiple of 4.
    pub dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Feed-forward dimension: channels between a WaveMix-Lite block's MLP and its
    /// transposed convolution.
    pub ff: usize,
    /// How many times `dim` the MLP's hidden layer has.
    pub mult: usize,
    /// Probability of dropping a hidden activation while training.
    pub dropout: f64,
    /// Token mixing of WaveMix-Lite.
    pub mixing: Mixing,
    /// The way back to full size of WaveMix-Lite.
    pub resize: Resize,
    /// Parallel wavelet levels of WaveMix; `None` takes as many as the image size and `dim` allow.
    pub levels: Option<usize>,
    /// The stem; `None` takes the strides that the image size calls for.
    pub stem: Option<Stem>,
    /// Channels of the images.
    pub channels: usize,
    /// The smaller side of the images, which decides the stem's strides and WaveMix's levels.
    /// Larger and smaller images run too.
    pub size: usize,
    /// What the model answers.
    pub task: Task,
}

impl Config {
    /// The model that a name such as `WaveMixLite-128/7` (dim 128, 7 blocks) stands for, with the
    /// papers' defaults: ff = dim, mult 2, dropout 0.5, one wavelet level, transposed convolution,
    /// 3 channels of 32x32, 10 classes.
    ///
    /// # Errors
    /// Where it is no such name.
    pub fn parse(name: &str) -> Result<Config> {
        let wrong = || {
            let forms =
                "WaveMixLite-<dim>/<blocks> or WaveMix-<dim>/<blocks>, as in WaveMixLite-128/7";
            Error::Argument(format!("unknown model `{name}`; names are {forms}"))
        };
        let (family, sizes) = name.split_once('-').ok_or_else(wrong)?;
        let family = match family {
            "WaveMixLite" => Family::WaveMixLite,
            "WaveMix" => Family::WaveMix,
            _ => return Err(wrong()),
        };
        let (dim, depth) = sizes.split_once('/').ok_or_else(wrong)?;
        let (dim, depth): (usize, usize) = (
            dim.parse().map_err(|_| wrong())?,
            depth.parse().map_err(|_| wrong())?,
        );
        let config = Config {
            family,
            dim,
            depth,
            ff: dim,
            mult: 2,
            dropout: 0.5,
            mixing: Mixing::Cascade(1),
            resize: Resize::Deconvolution,
            levels: None,
            stem: None,
            channels: 3,
            size: 32,
            task: Task::Classify { classes: 10 },
        };
        config.check().map(|()| config)
    }

    /// Its name, `WaveMixLite-128/7`.
    pub fn name(&self) -> String {
        let family = if self.family == Family::WaveMix {
            "WaveMix"
        } else {
            "WaveMixLite"
        };
        format!("{family}-{}/{}", self.dim, self.depth)
    }

    /// The stem in use: strides 1, 1 up to a side of 64, 2, 1 up to 128 and 2, 2 above, if none was
    /// chosen. Segmentation always has 2, 2, super-resolution 1, 1.
    pub fn stem(&self) -> Stem {
        self.stem.unwrap_or(match (self.task, self.size) {
            (Task::Segment { .. }, _) => Stem::Strided([2, 2]),
            (Task::Upscale { .. }, _) | (_, ..=64) => Stem::Strided([1, 1]),
            (_, ..=128) => Stem::Strided([2, 1]),
            _ => Stem::Strided([2, 2]),
        })
    }

    /// WaveMix's number of levels, J: if none was chosen, the largest divisor of `dim` that is not
    /// above ceil(log2(smaller side of the blocks' maps)) - 1.
    pub fn parallel_levels(&self) -> usize {
        let side = self.size.div_ceil(self.stem().reduction().max(1)).max(1);
        let log2 = (usize::BITS - (side - 1).leading_zeros()) as usize; // rounded up
        let most = log2.saturating_sub(1).max(1);
        self.levels.unwrap_or_else(|| {
            (1..=most)
                .rev()
                .find(|j| self.dim.is_multiple_of(*j))
                .unwrap_or(1)
        })
    }

    /// Whether every setting is in its range, and all of them go together. Whoever builds, reads or
    /// summarises a model checks first, before anything is computed from the settings.
    ///
    /// # Errors
    /// The first setting out of range, or the first contradiction, naming the settings.
    pub fn check(&self) -> Result<()> {
        self.check_sizes()?;
        self.check_block()?;
        self.check_stem()?;
        self.check_levels()
    }

    /// Says what is wrong with a setting.
    fn wrong(&self, what: impl fmt::Display) -> Result<()> {
        Err(Error::Argument(format!("{}: {what}", self.name())))
    }

    /// Whether each number by itself is in its range.
    fn check_sizes(&self) -> Result<()> {
        if self.dim == 0 || !self.dim.is_multiple_of(4) || self.dim > MOST {
            return self.wrong(format!(
                "the dimension must be a multiple of 4 up to {MOST}, got {}",
                self.dim
            ));
        }
        if self.depth > 1024 {
            return self.wrong(format!("at most 1024 blocks, got {}", self.depth));
        }
        let (Task::Classify { classes: outputs }
        | Task::Segment { classes: outputs }
        | Task::Upscale { channels: outputs }) = self.task;
        let counts = [
            ("ff", self.ff),
            ("mult", self.mult),
            ("the number of channels", self.channels),
            ("the size", self.size),
            ("the number of outputs", outputs),
        ];
        if let Some((name, n)) = counts.into_iter().find(|(_, n)| !(1..=MOST).contains(n)) {
            return self.wrong(format!("{name} must be between 1 and {MOST}, got {n}"));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return self.wrong(format!(
                "the dropout must be at least 0 and below 1, got {}",
                self.dropout
            ));
        }
        Ok(())
    }

    /// Whether what a WaveMix-Lite block mixes can be resized to full size.
    fn check_block(&self) -> Result<()> {
        if let Mixing::Cascade(n) | Mixing::Level(n) = self.mixing
            && !(1..=4).contains(&n)
        {
            return self.wrong(format!("wavelet levels go from 1 to 4, got {n}"));
        }
        if self.resize == Resize::Deconvolution {
            return Ok(());
        }
        if self.ff != self.dim {
            return self.wrong(format!(
                "resizing without weights needs ff = dim = {}, got {}",
                self.dim, self.ff
            ));
        }
        if matches!(self.mixing, Mixing::Identity | Mixing::Dft) {
            return self.wrong(format!(
                "mixing `{}` works at full size: there is nothing to resize",
                self.mixing
            ));
        }
        if self.resize == Resize::InverseDwt
            && !matches!(self.mixing, Mixing::Cascade(1) | Mixing::Level(1))
        {
            return self.wrong("the inverse transform undoes one wavelet level only");
        }
        Ok(())
    }

    /// Whether an image is as large as a pixel behind the stem.
    fn check_stem(&self) -> Result<()> {
        match self.stem() {
            Stem::Patchify(0) => self.wrong("patches need a side of at least 1"),
            Stem::Strided(strides) if strides.contains(&0) => self.wrong("strides start at 1"),
            stem if stem.reduction() > self.size => {
                let (by, size) = (stem.reduction(), self.size);
                self.wrong(format!(
                    "the stem `{stem}` reduces a side {by} times, and the smaller one of the images is {size}"
                ))
            }
            _ => Ok(()),
        }
    }

    /// Whether WaveMix's levels share the channels evenly.
    fn check_levels(&self) -> Result<()> {
        if let Some(levels) = self
            .levels
            .filter(|levels| !(1..=MOST_LEVELS).contains(levels))
        {
            return self.wrong(format!(
                "the number of levels must be between 1 and {MOST_LEVELS}, got {levels}"
            ));
        }
        if self.family == Family::WaveMix && !self.dim.is_multiple_of(self.parallel_levels()) {
            return self.wrong(format!(
                "the number of levels must divide dim = {}, got {}",
                self.dim,
                self.parallel_levels()
            ));
        }
        Ok(())
    }

    /// As JSON, for a weight file's metadata.
    pub fn to_json(&self) -> Value {
        let (task, outputs) = match self.task {
            Task::Classify { classes } => ("classify", classes),
            Task::Segment { classes } => ("segment", classes),
            Task::Upscale { channels } => ("upscale", channels),
        };
        json!({
            "name": self.name(), "ff": self.ff, "mult": self.mult, "dropout": self.dropout,
            "mixing": self.mixing.to_string(), "resize": self.resize.to_string(), "levels": self.levels,
            "stem": self.stem().to_string(), "channels": self.channels, "size": self.size,
            "task": task, "outputs": outputs,
        })
    }

    /// From what [`Config::to_json`] wrote.
    ///
    /// # Errors
    /// A field that is missing, of another kind or contradicts the others.
    pub fn from_json(json: &Value) -> Result<Config> {
        let wrong = |key: &str| {
            Error::Argument(format!(
                "model configuration: `{key}` is missing or malformed"
            ))
        };
        let text = |key: &str| json[key].as_str().ok_or_else(|| wrong(key));
        let number = |key: &str| {
            json[key]
                .as_u64()
                .and_then(|n| usize::try_from(n).ok())
                .ok_or_else(|| wrong(key))
        };
        let outputs = number("outputs")?;
        let task = match text("task")? {
            "classify" => Task::Classify { classes: outputs },
            "segment" => Task::Segment { classes: outputs },
            "upscale" => Task::Upscale { channels: outputs },
            other => {
                return Err(Error::choice(
                    "task",
                    other,
                    &["classify", "segment", "upscale"],
                ));
            }
        };
        let config = Config {
            ff: number("ff")?,
            mult: number("mult")?,
            dropout: json["dropout"].as_f64().ok_or_else(|| wrong("dropout"))?,
            mixing: text("mixing")?.parse()?,
            resize: text("resize")?.parse()?,
            levels: if json["levels"].is_null() {
                None
            } else {
                Some(number("levels")?)
            },
            stem: Some(text("stem")?.parse()?),
            channels: number("channels")?,
            size: number("size")?,
            task,
            ..Config::parse(text("name")?)?
        };
        config.check().map(|()| config)
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl FromStr for Config {
    type Err = Error;
    fn from_str(s: &str) -> Result<Config> {
        Config::parse(s)
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
    fn reduction(self) -> usize {
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
