//! What stands behind the features of several families of models.

use crate::nn::{Conv2d, ConvTranspose2d};
use crate::ops::Interpolation;
use crate::params::Names;
use crate::{Module, Pass, Result, Var};

/// WaveMix's head for segmentation: maps enlarged four times, then one logit a class at every pixel.
///
/// ```text
/// y = Conv1x1(dim/4 -> classes)(ConvTranspose(dim/2 -> dim/4, 4, 2, 1)(ConvTranspose(dim -> dim/2, 4, 2, 1)(x)))
/// ```
pub(super) struct SegmentationHead {
    expand: [ConvTranspose2d; 2],
    classes: Conv2d,
}

impl SegmentationHead {
    /// Declares `expand.0` to `expand.2`, for a multiple of 4 channels.
    pub fn new(names: &mut Names, dim: usize, classes: usize) -> Result<SegmentationHead> {
        let mut names = names.within("expand");
        let expand = [
            ConvTranspose2d::enlarging(&mut names, "0", [dim, dim / 2], 2)?,
            ConvTranspose2d::enlarging(&mut names, "1", [dim / 2, dim / 4], 2)?,
        ];
        let classes = Conv2d::pointwise(&mut names, "2", [dim / 4, classes])?;
        Ok(SegmentationHead { expand, classes })
    }
}

impl Module for SegmentationHead {
    /// `[n, h, w, dim]` to `[n, 4 h, 4 w, classes]`.
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let _layer = pass.enter("expand");
        let [first, second] = &self.expand;
        let x = second.forward(pass, &first.forward(pass, x)?)?;
        self.classes.forward(pass, &x)
    }
}

/// Maps brought to `[h, w]`, where what reduced the images is not what the layers before enlarge
/// them by: patches of other sides than a head is made for, or images that patches do not fill.
#[track_caller]
pub(super) fn resize(x: &Var, [h, w]: [usize; 2]) -> Result<Var> {
    if x.shape()[1..3] == [h, w] {
        Ok(x.clone())
    } else {
        x.upsample([h, w], Interpolation::Bilinear)
    }
}
