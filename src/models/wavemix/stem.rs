//! From pixels to the map of features that the blocks work on.

use super::choices::Stem;
use super::config::WaveMix;
use crate::models::family::Common;
use crate::nn::{BatchNorm, Conv2d};
use crate::params::Names;
use crate::tensor::window::Window;
use crate::{Module, Pass, Result, Var};

/// The stem's layers, in either form.
pub(super) enum StemLayers {
    /// Two 3x3 convolutions with strides, nothing between them.
    Strided([Conv2d; 2]),
    /// Two 3x3 convolutions, one that takes whole patches, GELU, BatchNorm.
    Patchify([Conv2d; 3], BatchNorm),
}

impl StemLayers {
    pub fn new(names: &mut Names, wavemix: &WaveMix, common: &Common) -> Result<StemLayers> {
        let (dim, channels) = (wavemix.dim, common.channels);
        let mut same = |name: &str, c: [usize; 2], stride: usize| {
            let window = Window {
                stride: [stride; 2],
                padding: [1; 2],
                ..Window::default()
            };
            Conv2d::new(names, name, c, 3, window)
        };
        Ok(match wavemix.stem(common.size, common.task) {
            Stem::Strided([first, second]) => StemLayers::Strided([
                same("0", [channels, dim / 2], first)?,
                same("1", [dim / 2, dim], second)?,
            ]),
            Stem::Patchify(patch) => {
                let (first, second) = (
                    same("0", [channels, dim / 4], 1)?,
                    same("1", [dim / 4, dim / 2], 1)?,
                );
                let window = Window {
                    stride: [patch; 2],
                    ..Window::default()
                };
                let patches = Conv2d::new(names, "2", [dim / 2, dim], patch, window)?;
                StemLayers::Patchify([first, second, patches], BatchNorm::new(names, "4", dim)?)
            }
        })
    }
}

impl Module for StemLayers {
    #[track_caller]
    fn forward(&self, pass: &Pass, images: &Var) -> Result<Var> {
        let _layer = pass.enter("conv");
        match self {
            StemLayers::Strided([first, second]) => {
                second.forward(pass, &first.forward(pass, images)?)
            }
            StemLayers::Patchify([first, second, patches], norm) => {
                let x = second.forward(pass, &first.forward(pass, images)?)?;
                norm.forward(pass, &patches.forward(pass, &x)?.gelu()?)
            }
        }
    }
}
