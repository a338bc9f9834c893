//! ConvMixer: patches, and blocks of a depthwise and a 1x1 convolution at one size.

use serde_json::Value;

use super::family::{
    Common, Family, MOST_BLOCKS, Task, check_counts, named_by_two_numbers, number,
};
use super::head::{SegmentationHead, resize};
use crate::nn::{BatchNorm, Conv2d, Linear};
use crate::params::Names;
use crate::tensor::window::Window;
use crate::{Error, Module, Pass, Result, Var};

/// ConvMixer, `ConvMixer-<dim>/<blocks>`, under timm's names.
///
/// ```text
/// x = BN(GELU(Conv(patch x patch, stride patch)(image)))
/// block: y = BN(GELU(DepthwiseConv(kernel x kernel)(x))) + x
///        x = BN(GELU(Conv1x1(y)))
/// ```
///
/// then the mean over the pixels and a linear layer. A depthwise convolution keeps the size of its
/// map: around it are kernel - 1 zeros for each axis, half of them on each side; of an odd number one
/// more is behind, as with `padding="same"` in PyTorch. There is no dropout.
///
/// For segmentation WaveMix's head takes the place of mean and linear layer. It enlarges four times,
/// and behind patches of other sides the maps are resized (bilinear) to the images' size.
/// WaveMix-Lite's table 4 has such a model, without saying kernel, patch or head.
///
/// Source: "Patches Are All You Need?" (arXiv 2201.09792); kernel and patch of WaveMix (arXiv
/// 2203.03689), section 4; timm's `convmixer.py`.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvMixer {
    /// Channels of all maps.
    pub dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Side of the depthwise kernels, in pixels.
    pub kernel: usize,
    /// Side of the patches; `None` takes one by the image size and the task ([`ConvMixer::patch`]).
    pub patch: Option<usize>,
}

/// The side of the largest maps that patches leave, where none was chosen: WaveMix's models have
/// these for images of 32 and 64 pixels, those of the ConvMixer paper for images of 224.
const SIDE: usize = 32;

impl ConvMixer {
    /// A model with kernels of 8x8, WaveMix's.
    pub fn new(dim: usize, depth: usize) -> ConvMixer {
        ConvMixer {
            dim,
            depth,
            kernel: 8,
            patch: None,
        }
    }

    /// The patch in use. If none was chosen, 1 for images up to 32 pixels, 2 up to 64, as in WaveMix,
    /// and above, where it has no model, one more for every 32 pixels. For segmentation it is 4,
    /// which the head makes up for.
    pub fn patch(&self, size: usize, task: Task) -> usize {
        self.patch.unwrap_or(match task {
            Task::Segment { .. } => 4,
            _ => size.div_ceil(SIDE).max(1),
        })
    }
}

impl Family for ConvMixer {
    named_by_two_numbers!("ConvMixer-");

    fn dropout(&self) -> f64 {
        0.0
    }

    fn settings(&self, common: &Common) -> Vec<(&'static str, Value)> {
        let patch = self.patch(common.size, common.task);
        vec![("kernel", self.kernel.into()), ("patch", patch.into())]
    }

    fn set(&mut self, setting: &str, value: &str) -> Result<bool> {
        match setting {
            "kernel" => self.kernel = number(setting, value)?,
            "patch" => self.patch = Some(number(setting, value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn check(&self, common: &Common) -> Result<(), String> {
        let patch = self.patch(common.size, common.task);
        check_counts(&[
            ("the dimension", self.dim),
            ("the kernel", self.kernel),
            ("the patch", patch),
        ])?;
        if self.depth > MOST_BLOCKS {
            return Err(format!("at most {MOST_BLOCKS} blocks, got {}", self.depth));
        }
        if patch > common.size {
            return Err(format!(
                "patches of {patch} pixels do not fit in images of {}",
                common.size
            ));
        }
        match common.task {
            Task::Classify { .. } => Ok(()),
            Task::Segment { .. } if self.dim.is_multiple_of(4) => Ok(()),
            Task::Segment { .. } => Err(format!(
                "the head for segmentation needs a multiple of 4 as the dimension, got {}",
                self.dim
            )),
            Task::Upscale { .. } => Err("it has no head for super-resolution".into()),
        }
    }

    fn layers(&self, names: &mut Names, common: &Common) -> Result<Box<dyn Module>> {
        let patch = self.patch(common.size, common.task);
        let channels = [common.channels, self.dim];
        let stem = {
            let mut names = names.within("stem");
            let conv = Conv2d::new(&mut names, "0", channels, patch, Window::strided(patch, 0))?;
            (conv, BatchNorm::new(&mut names, "2", self.dim)?)
        };
        let block = |i| Block::new(&mut names.within(&format!("blocks.{i}")), self);
        let blocks = (0..self.depth).map(block).collect::<Result<_>>()?;
        let head = match common.task {
            Task::Classify { classes } => {
                Head::Classify(Linear::new(names, "head", [self.dim, classes])?)
            }
            Task::Segment { classes } => {
                Head::Segment(SegmentationHead::new(names, self.dim, classes)?)
            }
            Task::Upscale { .. } => {
                let what = "ConvMixer has no head for super-resolution";
                return Err(Error::Argument(what.into()));
            }
        };
        Ok(Box::new(Network { stem, blocks, head }))
    }
}

/// A ConvMixer's layers.
struct Network {
    stem: (Conv2d, BatchNorm),
    blocks: Vec<Block>,
    head: Head,
}

enum Head {
    Classify(Linear),
    Segment(SegmentationHead),
}

impl Module for Network {
    #[track_caller]
    fn forward(&self, pass: &Pass, images: &Var) -> Result<Var> {
        let mut x = {
            let _layer = pass.enter("stem");
            let (conv, norm) = &self.stem;
            norm.forward(pass, &conv.forward(pass, images)?.gelu()?)?
        };
        for (i, block) in self.blocks.iter().enumerate() {
            let _layer = pass.enter(format!("blocks.{i}"));
            x = block.forward(pass, &x)?;
        }
        match &self.head {
            Head::Classify(linear) => linear.forward(pass, &x.global_avg_pool()?),
            Head::Segment(head) => {
                let [h, w] = [1, 2].map(|axis| images.shape()[axis]);
                resize(&head.forward(pass, &x)?, [h, w])
            }
        }
    }
}

/// A depthwise convolution with a shortcut around it, then a 1x1 convolution.
struct Block {
    /// Zeros before and behind each axis, where they are not equally many.
    around: Option<(usize, usize)>,
    depthwise: Conv2d,
    depthwise_norm: BatchNorm,
    pointwise: Conv2d,
    pointwise_norm: BatchNorm,
}

impl Block {
    fn new(names: &mut Names, of: &ConvMixer) -> Result<Block> {
        let (dim, kernel) = (of.dim, of.kernel);
        let (before, behind) = ((kernel - 1) / 2, kernel / 2);
        // A window has as many zeros on either side.
        let around = (before != behind).then_some((before, behind));
        let window = Window {
            padding: [if around.is_some() { 0 } else { before }; 2],
            groups: dim,
            ..Window::default()
        };
        let mut first = names.within("0.fn");
        let depthwise = Conv2d::new(&mut first, "0", [dim; 2], kernel, window)?;
        let depthwise_norm = BatchNorm::new(&mut first, "2", dim)?;
        Ok(Block {
            around,
            depthwise,
            depthwise_norm,
            pointwise: Conv2d::pointwise(names, "1", [dim; 2])?,
            pointwise_norm: BatchNorm::new(names, "3", dim)?,
        })
    }
}

impl Module for Block {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let y = {
            let _layer = pass.enter("0.fn");
            let padded = match self.around {
                Some(around) => x.pad(&[(0, 0), around, around, (0, 0)])?,
                None => x.clone(),
            };
            let y = self.depthwise.forward(pass, &padded)?.gelu()?;
            self.depthwise_norm.forward_add(pass, &y, x, None)?
        };
        let y = self.pointwise.forward(pass, &y)?.gelu()?;
        self.pointwise_norm.forward(pass, &y)
    }
}
