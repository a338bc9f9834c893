//! From the last map of features to the answer.

use crate::models::{Config, Stem, Task};
use crate::nn::{Conv2d, ConvTranspose2d, Linear};
use crate::params::Names;
use crate::{Pass, Result, Shape, Var};

/// The layers after the blocks.
pub(super) enum Head {
    /// The mean of every channel, then one logit a class.
    Classify(Linear),
    /// Enlarged four times, then one logit a class at every pixel.
    Segment { expand: [ConvTranspose2d; 2], classes: Conv2d, undoes_stem: bool },
    /// Enlarged twice, then one number a colour at every pixel.
    Upscale { expand: ConvTranspose2d, colours: Conv2d },
}

impl Head {
    pub fn new(names: &mut Names, config: &Config) -> Head {
        let dim = config.dim;
        match config.task {
            Task::Classify { classes } => Head::Classify(Linear::new(&mut names.within("pool"), "2", [dim, classes])),
            Task::Segment { classes } => {
                let mut names = names.within("expand");
                let expand = [
                    ConvTranspose2d::enlarging(&mut names, "0", [dim, dim / 2], 2),
                    ConvTranspose2d::enlarging(&mut names, "1", [dim / 2, dim / 4], 2),
                ];
                let undoes_stem = config.stem() == Stem::Strided([2, 2]);
                Head::Segment { expand, classes: Conv2d::pointwise(&mut names, "2", [dim / 4, classes]), undoes_stem }
            }
            Task::Upscale { channels } => {
                let mut names = names.within("expand");
                let expand = ConvTranspose2d::enlarging(&mut names, "0", [dim, dim / 2], 2);
                Head::Upscale { expand, colours: Conv2d::pointwise(&mut names, "1", [dim / 2, channels]) }
            }
        }
    }

    #[track_caller]
    pub fn forward(&self, pass: &Pass, x: &Var, images: &Shape) -> Result<Var> {
        let _layer = pass.enter(if matches!(self, Head::Classify(_)) { "pool" } else { "expand" });
        match self {
            Head::Classify(linear) => linear.forward(pass, &x.global_avg_pool()?),
            Head::Segment { expand: [first, second], classes, undoes_stem } => {
                let x = classes.forward(pass, &second.forward(pass, &first.forward(pass, x)?)?)?;
                // A stem of strides 2, 2 rounds odd sides up: what is enlarged beyond the image is cut off.
                if *undoes_stem { crop(&x, [images[1], images[2]]) } else { Ok(x) }
            }
            Head::Upscale { expand, colours } => colours.forward(pass, &expand.forward(pass, x)?),
        }
    }
}

/// The top left `[h, w]` of every map.
#[track_caller]
pub(super) fn crop(x: &Var, [h, w]: [usize; 2]) -> Result<Var> {
    let x = if x.shape()[1] > h { x.slice(1, 0..h)? } else { x.clone() };
    if x.shape()[2] > w { x.slice(2, 0..w) } else { Ok(x) }
}
