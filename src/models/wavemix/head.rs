//! From the last map of features to the answer.

use super::choices::Stem;
use super::config::WaveMix;
use crate::models::family::{Common, Task};
use crate::nn::{Conv2d, ConvTranspose2d, Linear};
use crate::ops::Interpolation;
use crate::params::Names;
use crate::{Module, Pass, Result, Shape, Var};

/// The layers after the blocks.
pub(super) enum Head {
    /// The mean of every channel, then one logit a class.
    Classify(Linear),
    /// Enlarged four times, then one logit a class at every pixel.
    Segment {
        expand: [ConvTranspose2d; 2],
        classes: Conv2d,
        stem: Stem,
    },
    /// Enlarged twice, then one number a colour at every pixel.
    Upscale {
        expand: ConvTranspose2d,
        colours: Conv2d,
    },
}

impl Head {
    pub fn new(names: &mut Names, wavemix: &WaveMix, common: &Common) -> Result<Head> {
        let dim = wavemix.dim;
        Ok(match common.task {
            Task::Classify { classes } => {
                Head::Classify(Linear::new(&mut names.within("pool"), "2", [dim, classes])?)
            }
            Task::Segment { classes } => {
                let mut names = names.within("expand");
                let expand = [
                    ConvTranspose2d::enlarging(&mut names, "0", [dim, dim / 2], 2)?,
                    ConvTranspose2d::enlarging(&mut names, "1", [dim / 2, dim / 4], 2)?,
                ];
                Head::Segment {
                    expand,
                    classes: Conv2d::pointwise(&mut names, "2", [dim / 4, classes])?,
                    stem: wavemix.stem(common.size, common.task),
                }
            }
            Task::Upscale { channels } => {
                let mut names = names.within("expand");
                let expand = ConvTranspose2d::enlarging(&mut names, "0", [dim, dim / 2], 2)?;
                Head::Upscale {
                    expand,
                    colours: Conv2d::pointwise(&mut names, "1", [dim / 2, channels])?,
                }
            }
        })
    }

    #[track_caller]
    pub fn forward(&self, pass: &Pass, x: &Var, images: &Shape) -> Result<Var> {
        let _layer = pass.enter(if matches!(self, Head::Classify(_)) {
            "pool"
        } else {
            "expand"
        });
        match self {
            Head::Classify(linear) => linear.forward(pass, &x.global_avg_pool()?),
            Head::Segment {
                expand: [first, second],
                classes,
                stem,
            } => {
                let x = classes.forward(pass, &second.forward(pass, &first.forward(pass, x)?)?)?;
                match stem {
                    // Odd sides were rounded up: what is enlarged beyond the image is cut off.
                    Stem::Strided([2, 2]) => crop(&x, [images[1], images[2]]),
                    // The authors' package leaves the maps of other strides at four times their
                    // size.
                    Stem::Strided(_) => Ok(x),
                    Stem::Patchify(_) => resize(&x, [images[1], images[2]]),
                }
            }
            Head::Upscale { expand, colours } => resize(
                &colours.forward(pass, &expand.forward(pass, x)?)?,
                [2 * images[1], 2 * images[2]],
            ),
        }
    }
}

/// Maps brought to `[h, w]`, for stems whose reduction the layers before do not undo: patches of
/// other sides than they are made for, or images that patches do not fill.
#[track_caller]
fn resize(x: &Var, [h, w]: [usize; 2]) -> Result<Var> {
    if x.shape()[1..3] == [h, w] {
        Ok(x.clone())
    } else {
        x.upsample([h, w], Interpolation::Bilinear)
    }
}

/// The top left `[h, w]` of every map.
#[track_caller]
pub(super) fn crop(x: &Var, [h, w]: [usize; 2]) -> Result<Var> {
    let x = if x.shape()[1] > h {
        x.slice(1, 0..h)?
    } else {
        x.clone()
    };
    if x.shape()[2] > w {
        x.slice(2, 0..w)
    } else {
        Ok(x)
    }
}
