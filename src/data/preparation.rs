//! What is done to pictures so that all become images of one size.

use super::resize::check_size;
use crate::{Error, Result};

/// How pictures of any size become images of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preparation {
    /// Height and width are each made those of the image.
    Stretched,
    /// The shorter side is made this many pixels long, the longer one in proportion, and the image
    /// is cut out of the centre: torchvision's `Resize(shorter)` and `CenterCrop(size)`.
    CentreCrop(usize),
}

impl Preparation {
    /// Checks that an image of this height and width can be made so.
    pub(crate) fn check(self, [h, w]: [usize; 2]) -> Result<()> {
        check_size([h, w])?;
        match self {
            Preparation::CentreCrop(shorter) if shorter < h.max(w) => {
                Err(Error::Argument(format!(
                    "{h}x{w} pixels cannot be cut out of a picture whose shorter side has {shorter}"
                )))
            }
            Preparation::CentreCrop(shorter) => check_size([shorter; 2]),
            Preparation::Stretched => Ok(()),
        }
    }
}
