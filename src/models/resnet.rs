//! ResNets: stages of residual blocks, each of half the height and width of the one before.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use super::family::{Common, Family, check_counts, classes};
use crate::nn::{BatchNorm, Conv2d, Linear};
use crate::ops::max_pool2d;
use crate::params::{Init, Names};
use crate::tensor::window::Window;
use crate::{Error, Module, Pass, Result, Var};

/// What the stages of a ResNet are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResidualBlock {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1 to fewer channels, 3x3, 1x1 to four times as many.
    Bottleneck,
}

/// How pixels become the first stage's features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResNetStem {
    /// A 3x3 convolution, for images up to 64 pixels. The papers do not name theirs: the memory that
    /// they print is that of a first stage at full size.
    Small,
    /// A 7x7 convolution of stride 2 and max-pooling: a quarter of the height and width.
    ImageNet,
}

/// The ResNets, `ResNet-18`, `-34`, `-50` and `-101`, under torchvision's names.
///
/// ```text
/// block: y = ReLU(BN(Conv(.. ReLU(BN(Conv(x))) ..)) + shortcut(x))
/// ```
///
/// The shortcut is the identity, or a 1x1 convolution and BatchNorm where the shape changes.
/// Convolutions have no bias, and begin normal with variance 2 / fan-out.
///
/// Source: "Deep residual learning for image recognition" (arXiv 1512.03385); torchvision's
/// `resnet.py`, which has a bottleneck's stride in its 3x3 convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct ResNet {
    /// The kind of block.
    pub block: ResidualBlock,
    /// Blocks of the four stages.
    pub blocks: [usize; 4],
    /// Channels of the stages' 3x3 convolutions. The stem has those of the first.
    pub widths: [usize; 4],
    /// The stem; `None` takes the small one below 96 pixels.
    pub stem: Option<ResNetStem>,
}

/// The blocks of the four stages, by the number of layers that names give.
const DEPTHS: [(usize, ResidualBlock, [usize; 4]); 4] = [
    (18, ResidualBlock::Basic, [2, 2, 2, 2]),
    (34, ResidualBlock::Basic, [3, 4, 6, 3]),
    (50, ResidualBlock::Bottleneck, [3, 4, 6, 3]),
    (101, ResidualBlock::Bottleneck, [3, 4, 23, 3]),
];

impl ResidualBlock {
    /// How many times a stage's width a block's output has.
    fn expansion(self) -> usize {
        match self {
            ResidualBlock::Basic => 1,
            ResidualBlock::Bottleneck => 4,
        }
    }

    /// The convolutions of a block.
    fn convolutions(self) -> usize {
        match self {
            ResidualBlock::Basic => 2,
            ResidualBlock::Bottleneck => 3,
        }
    }
}

impl ResNet {
    /// The stem in use for images of this size.
    pub fn stem(&self, size: usize) -> ResNetStem {
        self.stem.unwrap_or(match size {
            ..96 => ResNetStem::Small,
            _ => ResNetStem::ImageNet,
        })
    }

    /// Channels of the maps of [`Body::features`].
    pub(super) fn map_channels(&self) -> [usize; 5] {
        let [first, ..] = self.widths;
        let stage = |i: usize| self.widths[i].saturating_mul(self.block.expansion());
        [first, stage(0), stage(1), stage(2), stage(3)]
    }
}

impl Family for ResNet {
    fn form() -> &'static str {
        "ResNet-18, ResNet-34, ResNet-50, ResNet-101"
    }

    fn parse(name: &str) -> Option<ResNet> {
        let layers: usize = name.strip_prefix("ResNet-")?.parse().ok()?;
        let &(_, block, blocks) = DEPTHS.iter().find(|(depth, ..)| *depth == layers)?;
        Some(ResNet {
            block,
            blocks,
            widths: [64, 128, 256, 512],
            stem: None,
        })
    }

    fn name(&self) -> String {
        // The stem's convolution and the last layer count, shortcuts do not.
        let blocks: usize = self.blocks.iter().sum();
        format!("ResNet-{}", self.block.convolutions() * blocks + 2)
    }

    fn dropout(&self) -> f64 {
        0.0
    }

    fn settings(&self, common: &Common) -> Vec<(&'static str, Value)> {
        vec![("stem", self.stem(common.size).to_string().into())]
    }

    fn set(&mut self, setting: &str, value: &str) -> Result<bool> {
        match setting {
            "stem" => self.stem = Some(value.parse()?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn check(&self, common: &Common) -> Result<(), String> {
        let counts = |what: &'static str, of: [usize; 4]| of.map(|n| (what, n));
        check_counts(&counts("the blocks of a stage", self.blocks))?;
        check_counts(&counts("the channels of a stage", self.widths))?;
        classes(common).map(|_| ())
    }

    fn layers(&self, names: &mut Names, common: &Common) -> Result<Box<dyn Module>> {
        let classes = classes(common).map_err(Error::Argument)?;
        let body = Body::new(names, self, common, false)?;
        let [.., channels] = self.map_channels();
        Ok(Box::new(Network {
            body,
            fc: Linear::new(names, "fc", [channels, classes])?,
        }))
    }
}

/// A ResNet's layers.
struct Network {
    body: Body,
    fc: Linear,
}

impl Module for Network {
    #[track_caller]
    fn forward(&self, pass: &Pass, images: &Var) -> Result<Var> {
        let [.., last] = self.body.features(pass, images)?;
        self.fc.forward(pass, &last.global_avg_pool()?)
    }
}

/// All layers but the last, which other models take for their encoder.
pub(super) struct Body {
    stem: ResNetStem,
    conv1: Conv2d,
    bn1: BatchNorm,
    stages: [Vec<Block>; 4],
}

impl Body {
    /// Declares stem and stages. A `dilated` body keeps the size of its second stage: the third and
    /// the fourth have taps 2 and 4 pixels apart instead of strides, but for the first block of
    /// each, which has the taps of the stage before.
    pub fn new(names: &mut Names, resnet: &ResNet, common: &Common, dilated: bool) -> Result<Body> {
        let (stem, first) = (resnet.stem(common.size), resnet.widths[0]);
        let (kernel, window) = match stem {
            ResNetStem::Small => (3, Window::padded(1)),
            ResNetStem::ImageNet => (7, Window::strided(2, 3)),
        };
        let conv1 = Conv2d::without_bias(names, "conv1", [common.channels, first], kernel, window)?;
        let bn1 = BatchNorm::new(names, "bn1", first)?;
        let (mut c_in, mut taps) = (first, 1);
        let mut stage = |i: usize| -> Result<Vec<Block>> {
            let stride = if i == 0 { 1 } else { 2 };
            let keeps_size = dilated && i >= 2;
            let mut of_stage = Vec::new();
            for j in 0..resnet.blocks[i] {
                let stride = if j == 0 && !keeps_size { stride } else { 1 };
                let window = Window {
                    stride: [stride; 2],
                    padding: [taps; 2],
                    dilation: [taps; 2],
                    ..Window::default()
                };
                let mut names = names.within(&format!("layer{}.{j}", i + 1));
                let channels = [c_in, resnet.widths[i]];
                of_stage.push(Block::new(&mut names, resnet.block, channels, window)?);
                c_in = resnet.widths[i] * resnet.block.expansion();
                if j == 0 && keeps_size {
                    taps *= 2;
                }
            }
            Ok(of_stage)
        };
        let stages = [stage(0)?, stage(1)?, stage(2)?, stage(3)?];
        names.begin(|entry| match entry.shape[..] {
            [c_out, kh, kw, _] => Init::kaiming_normal(c_out * kh * kw),
            _ => entry.init,
        });
        Ok(Body {
            stem,
            conv1,
            bn1,
            stages,
        })
    }

    /// The maps behind the stem's ReLU and behind each stage.
    #[track_caller]
    pub fn features(&self, pass: &Pass, images: &Var) -> Result<[Var; 5]> {
        let stem = self.conv1.forward(pass, images)?;
        let stem = self.bn1.forward(pass, &stem)?.relu()?;
        let mut x = match self.stem {
            ResNetStem::Small => stem.clone(),
            ResNetStem::ImageNet => max_pool2d(&stem, [3; 2], Window::strided(2, 1))?,
        };
        let mut maps = [stem.clone(), stem.clone(), stem.clone(), stem.clone(), stem];
        for (i, stage) in self.stages.iter().enumerate() {
            for (j, block) in stage.iter().enumerate() {
                let _layer = pass.enter(format!("layer{}.{j}", i + 1));
                x = block.forward(pass, &x)?;
            }
            maps[i + 1] = x.clone();
        }
        Ok(maps)
    }
}

/// A residual block of either kind.
struct Block {
    /// Each with ReLU behind it, that of the last after the shortcut is added.
    convs: Vec<(Conv2d, BatchNorm)>,
    /// Where the shape changes.
    downsample: Option<(Conv2d, BatchNorm)>,
}

impl Block {
    /// Declares a block for channels `[c_in, width]` whose 3x3 convolutions have this window; the
    /// stride is that of the first of them.
    fn new(
        names: &mut Names,
        kind: ResidualBlock,
        [c_in, width]: [usize; 2],
        window: Window,
    ) -> Result<Block> {
        let one = Window::default();
        let unstrided = Window {
            stride: [1; 2],
            ..window
        };
        let c_out = width * kind.expansion();
        let layers = match kind {
            ResidualBlock::Basic => vec![([c_in, width], 3, window), ([width; 2], 3, unstrided)],
            ResidualBlock::Bottleneck => vec![
                ([c_in, width], 1, one),
                ([width; 2], 3, window),
                ([width, c_out], 1, one),
            ],
        };
        let mut convs = Vec::new();
        for (i, (channels, kernel, window)) in (1..).zip(layers) {
            let conv = Conv2d::without_bias(names, &format!("conv{i}"), channels, kernel, window)?;
            let norm = BatchNorm::new(names, &format!("bn{i}"), channels[1])?;
            convs.push((conv, norm));
        }
        let changes = window.stride != [1; 2] || c_in != c_out;
        let downsample = |names: &mut Names| -> Result<(Conv2d, BatchNorm)> {
            let mut names = names.within("downsample");
            let window = Window::strided(window.stride[0], 0);
            let conv = Conv2d::without_bias(&mut names, "0", [c_in, c_out], 1, window)?;
            Ok((conv, BatchNorm::new(&mut names, "1", c_out)?))
        };
        let downsample = changes.then(|| downsample(names)).transpose()?;
        Ok(Block { convs, downsample })
    }
}

impl Module for Block {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let shortcut = match &self.downsample {
            Some((conv, norm)) => {
                let _layer = pass.enter("downsample");
                norm.forward(pass, &conv.forward(pass, x)?)?
            }
            None => x.clone(),
        };
        let (last, before) = self.convs.split_last().expect("a block has convolutions");
        let mut y = x.clone();
        for (conv, norm) in before {
            y = norm.forward(pass, &conv.forward(pass, &y)?)?.relu()?;
        }
        let (conv, norm) = last;
        let y = conv.forward(pass, &y)?;
        norm.forward_add(pass, &y, &shortcut, None)?.relu()
    }
}

impl fmt::Display for ResNetStem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResNetStem::Small => "small",
            ResNetStem::ImageNet => "imagenet",
        })
    }
}

impl FromStr for ResNetStem {
    type Err = Error;
    fn from_str(s: &str) -> Result<ResNetStem> {
        match s {
            "small" => Ok(ResNetStem::Small),
            "imagenet" => Ok(ResNetStem::ImageNet),
            _ => Err(Error::choice("stem", s, &["small", "imagenet"])),
        }
    }
}
