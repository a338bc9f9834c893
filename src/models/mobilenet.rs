//! MobileNetV2: inverted residual blocks, wide inside and narrow between.

use serde_json::Value;

use super::family::{Common, Family, MOST_BLOCKS, check_counts, classes};
use crate::nn::{BatchNorm, Conv2d, Dropout, Linear};
use crate::params::{Init, Names};
use crate::tensor::window::Window;
use crate::{Error, Module, Pass, Result, Var};

/// MobileNetV2, and `MobileNetV2-<width>`, under torchvision's names.
///
/// ```text
/// block: y = BN(Conv1x1(ReLU6(BN(DepthwiseConv3x3(ReLU6(BN(Conv1x1(x)))))))) + x
/// ```
///
/// The first 1x1 convolution multiplies the channels by the stage's expansion, and is left out where
/// that is 1. x is added where the block keeps its shape. A 3x3 convolution of stride 2 stands
/// before the blocks, a 1x1 convolution to many channels behind them, then the mean over the pixels,
/// dropout (of 0.2) and a linear layer. Convolutions have no bias, and begin normal with variance 2 /
/// fan-out; the linear layer begins normal with deviation 0.01.
///
/// Strides are the same at every image size: an image of 32x32 ends as one pixel. WaveMix-Lite's
/// table 2 quotes accuracies at width 2, without saying which strides those had.
///
/// Source: "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (arXiv 1801.04381);
/// torchvision's `mobilenetv2.py`.
#[derive(Clone, Debug, PartialEq)]
pub struct MobileNetV2 {
    /// Multiplies all channels, but for those behind the last convolution, which has never fewer
    /// than 1280.
    pub width: f64,
    /// The blocks, at width 1.
    pub stages: Vec<InvertedResiduals>,
    /// What all numbers of channels are a multiple of.
    pub divisor: usize,
}

/// Equal blocks of [`MobileNetV2`], one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvertedResiduals {
    /// How many times a block's input channels its depthwise convolution has.
    pub expansion: usize,
    /// Output channels.
    pub channels: usize,
    /// Number of blocks.
    pub blocks: usize,
    /// That of the first block; the others have 1.
    pub stride: usize,
}

/// Table 2 of arXiv 1801.04381: expansion, channels, blocks, stride.
const STAGES: [[usize; 4]; 7] = [
    [1, 16, 1, 1],
    [6, 24, 2, 2],
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1],
];

/// Channels of the first and of the last convolution, at width 1.
const ENDS: [usize; 2] = [32, 1280];

impl MobileNetV2 {
    /// The model of the paper, its channels multiplied by `width`.
    pub fn new(width: f64) -> MobileNetV2 {
        let stage = |[expansion, channels, blocks, stride]: [usize; 4]| InvertedResiduals {
            expansion,
            channels,
            blocks,
            stride,
        };
        MobileNetV2 {
            width,
            stages: STAGES.map(stage).to_vec(),
            divisor: 8,
        }
    }

    /// This many channels, multiplied by `width` and brought to the nearest multiple of the divisor
    /// that is not below nine tenths of them.
    fn scaled(&self, channels: usize, width: f64) -> usize {
        let (wanted, divisor) = (channels as f64 * width, self.divisor);
        let nearest = ((wanted / divisor as f64 + 0.5).floor() as usize).saturating_mul(divisor);
        let nearest = nearest.max(divisor);
        if (nearest as f64) < 0.9 * wanted {
            nearest.saturating_add(divisor)
        } else {
            nearest
        }
    }

    /// The sizes of all blocks.
    fn blocks(&self) -> Vec<Sizes> {
        let (mut blocks, mut c_in) = (Vec::new(), self.ends()[0]);
        for stage in &self.stages {
            let c_out = self.scaled(stage.channels, self.width);
            for i in 0..stage.blocks {
                blocks.push(Sizes {
                    c_in,
                    hidden: c_in.saturating_mul(stage.expansion),
                    c_out,
                    stride: if i == 0 { stage.stride } else { 1 },
                });
                c_in = c_out;
            }
        }
        blocks
    }

    /// Channels of the maps of [`Body::features`]: of each larger one, then of the last.
    pub(super) fn map_channels(&self) -> Vec<usize> {
        let blocks = self.blocks();
        let larger = blocks.iter().filter(|block| block.stride > 1);
        let larger = larger.map(|block| block.c_in);
        larger.chain([self.ends()[1]]).collect()
    }

    /// Channels behind the first and behind the last convolution.
    fn ends(&self) -> [usize; 2] {
        let [first, last] = ENDS;
        [
            self.scaled(first, self.width),
            self.scaled(last, self.width.max(1.0)),
        ]
    }
}

impl Family for MobileNetV2 {
    fn form() -> &'static str {
        "MobileNetV2, MobileNetV2-<width>"
    }

    fn parse(name: &str) -> Option<MobileNetV2> {
        let width = match name.strip_prefix("MobileNetV2")? {
            "" => 1.0,
            rest => rest.strip_prefix('-')?.parse().ok()?,
        };
        Some(MobileNetV2::new(width))
    }

    fn name(&self) -> String {
        if self.width == 1.0 {
            return "MobileNetV2".into();
        }
        // With the digits that reading it back needs.
        format!("MobileNetV2-{:?}", self.width)
    }

    fn dropout(&self) -> f64 {
        0.2
    }

    fn settings(&self, _: &Common) -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    fn set(&mut self, _: &str, _: &str) -> Result<bool> {
        Ok(false)
    }

    fn check(&self, common: &Common) -> Result<(), String> {
        if !(self.width > 0.0 && self.width.is_finite()) {
            return Err(format!("the width must be above 0, got {:?}", self.width));
        }
        check_counts(&[("the divisor of the channels", self.divisor)])?;
        for stage in &self.stages {
            check_counts(&[
                ("the expansion of a stage", stage.expansion),
                ("the channels of a stage", stage.channels),
                ("the blocks of a stage", stage.blocks),
                ("the stride of a stage", stage.stride),
            ])?;
        }
        let blocks: usize = self.stages.iter().map(|stage| stage.blocks).sum();
        if blocks > MOST_BLOCKS {
            return Err(format!("at most {MOST_BLOCKS} blocks, got {blocks}"));
        }
        let scaled = |channels: usize| ("the channels, times the width,", channels);
        check_counts(&self.ends().map(scaled))?;
        for block in self.blocks() {
            check_counts(&[block.hidden, block.c_out].map(scaled))?;
        }
        classes(common).map(|_| ())
    }

    fn layers(&self, names: &mut Names, common: &Common) -> Result<Box<dyn Module>> {
        let classes = classes(common).map_err(Error::Argument)?;
        let body = Body::new(names, self, common.channels)?;
        let mut names = names.within("classifier");
        let classifier = Linear::new(&mut names, "1", [self.ends()[1], classes])?;
        names.begin(|entry| match entry.shape.len() {
            2 => Init::Normal(0.01),
            _ => Init::Constant(0.0),
        });
        Ok(Box::new(Network {
            body,
            dropout: Dropout::new(common.dropout)?,
            classifier,
        }))
    }
}

/// A MobileNetV2's layers.
struct Network {
    body: Body,
    dropout: Dropout,
    classifier: Linear,
}

impl Module for Network {
    #[track_caller]
    fn forward(&self, pass: &Pass, images: &Var) -> Result<Var> {
        let (last, _) = self.body.features(pass, images)?;
        let pooled = self.dropout.forward(pass, &last.global_avg_pool()?)?;
        let _layer = pass.enter("classifier");
        self.classifier.forward(pass, &pooled)
    }
}

/// All layers but the last, which other models may take for their encoder.
pub(super) struct Body {
    first: Normed,
    blocks: Vec<Block>,
    last: Normed,
}

impl Body {
    /// Declares everything below `features`, for images of this many channels.
    pub fn new(names: &mut Names, net: &MobileNetV2, channels: usize) -> Result<Body> {
        let (mut names, [first, last]) = (names.within("features"), net.ends());
        let half = Window::strided(2, 1);
        let first = Normed::new(&mut names, "0", [channels, first], 3, half)?;
        let (mut blocks, mut c_in) = (Vec::new(), net.ends()[0]);
        for (i, sizes) in (1..).zip(net.blocks()) {
            c_in = sizes.c_out;
            let mut names = names.within(&format!("{i}.conv"));
            blocks.push(Block::new(&mut names, sizes)?);
        }
        let name = (blocks.len() + 1).to_string();
        let last = Normed::new(&mut names, &name, [c_in, last], 1, Window::default())?;
        names.begin(|entry| match entry.shape[..] {
            [c_out, kh, kw, _] => Init::kaiming_normal(c_out * kh * kw),
            _ => entry.init,
        });
        Ok(Body {
            first,
            blocks,
            last,
        })
    }

    /// The last map of all, and before it the last of every larger size: at width 1 those behind
    /// blocks 1, 3, 6 and 13, of 16, 24, 32 and 96 channels.
    #[track_caller]
    pub fn features(&self, pass: &Pass, images: &Var) -> Result<(Var, Vec<Var>)> {
        let _layer = pass.enter("features");
        let (mut x, mut larger) = (self.first.forward(pass, images)?, Vec::new());
        for (i, block) in (1..).zip(&self.blocks) {
            if block.stride > 1 {
                larger.push(x.clone());
            }
            let _layer = pass.enter(format!("{i}.conv"));
            x = block.forward(pass, &x)?;
        }
        Ok((self.last.forward(pass, &x)?, larger))
    }
}

/// A convolution, BatchNorm and ReLU6.
struct Normed {
    name: String,
    conv: Conv2d,
    norm: BatchNorm,
}

impl Normed {
    fn new(
        names: &mut Names,
        name: &str,
        channels: [usize; 2],
        kernel: usize,
        window: Window,
    ) -> Result<Normed> {
        let mut names = names.within(name);
        Ok(Normed {
            name: name.to_owned(),
            conv: Conv2d::without_bias(&mut names, "0", channels, kernel, window)?,
            norm: BatchNorm::new(&mut names, "1", channels[1])?,
        })
    }
}

impl Module for Normed {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let _layer = pass.enter(&*self.name);
        let y = self.conv.forward(pass, x)?;
        self.norm.forward(pass, &y)?.relu6()
    }
}

/// Channels before, within and behind a block, and its stride.
struct Sizes {
    c_in: usize,
    hidden: usize,
    c_out: usize,
    stride: usize,
}

/// An inverted residual block.
struct Block {
    /// The 1x1 convolution to more channels, if there is one, and the depthwise one.
    hidden: Vec<Normed>,
    project: Conv2d,
    norm: BatchNorm,
    stride: usize,
    /// Whether x is added.
    keeps_shape: bool,
}

impl Block {
    fn new(names: &mut Names, sizes: Sizes) -> Result<Block> {
        let Sizes {
            c_in,
            hidden: wide,
            c_out,
            stride,
        } = sizes;
        let mut hidden = Vec::new();
        if wide != c_in {
            hidden.push(Normed::new(names, "0", [c_in, wide], 1, Window::default())?);
        }
        let name = hidden.len().to_string();
        let depthwise = Window {
            groups: wide,
            ..Window::strided(stride, 1)
        };
        hidden.push(Normed::new(names, &name, [wide; 2], 3, depthwise)?);
        let [project, norm] = [0, 1].map(|i| (hidden.len() + i).to_string());
        Ok(Block {
            hidden,
            project: Conv2d::without_bias(names, &project, [wide, c_out], 1, Window::default())?,
            norm: BatchNorm::new(names, &norm, c_out)?,
            stride,
            keeps_shape: stride == 1 && c_in == c_out,
        })
    }
}

impl Module for Block {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let mut y = x.clone();
        for layer in &self.hidden {
            y = layer.forward(pass, &y)?;
        }
        let y = self.project.forward(pass, &y)?;
        if self.keeps_shape {
            self.norm.forward_add(pass, &y, x, None)
        } else {
            self.norm.forward(pass, &y)
        }
    }
}
