//! From the last map of features to the answer.

use super::choices::Stem;
use super::config::WaveMix;
use crate::models::family::{Common, Task};
use crate::models::head::{SegmentationHead, resize};
use crate::nn::{Conv2d, ConvTranspose2d, Linear};
use crate::params::Names;
use crate::{Module, Pass, Result, Shape, Var};

/// The layers after the blocks.
pub(super) enum Head {
    /// The mean of every channel, then one logit a class.
    Classify(Linear),
    /// Enlarged four times, then one logit a class at every pixel.
    Segment(SegmentationHead, Stem),
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
            Task::Segment { classes } => Head::Segment(
                SegmentationHead::new(names, dim, classes)?,
                wavemix.stem(common.size, common.task),
            ),
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
        match self {
            Head::Classify(linear) => {
                let _layer = pass.enter("pool");
                linear.forward(pass, &x.global_avg_pool()?)
            }
            Head::Segment(head, stem) => {
                let x = head.forward(pass, x)?;
                let _layer = pass.enter("expand");
                match stem {
                    // Odd sides were rounded up: what is enlarged beyond the image is cut off.
                    Stem::Strided([2, 2]) => crop(&x, [images[1], images[2]]),
                    // The authors' package leaves the maps of other strides at four times their
                    // size.
                    Stem::Strided(_) => Ok(x),
                    Stem::Patchify(_) => resize(&x, [images[1], images[2]]),
                }
            }
            Head::Upscale { expand, colours } => {
                let _layer = pass.enter("expand");
                resize(
                    &colours.forward(pass, &expand.forward(pass, x)?)?,
                    [2 * images[1], 2 * images[2]],
                )
            }
        }
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
