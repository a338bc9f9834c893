//! UNet: an encoder halves maps five times, and a decoder enlarges them again, with the encoder's
//! maps of each size beside its own.

use serde_json::Value;

use super::family::{Common, Family, check_counts, classes_of_pixels, joined, numbers, of_encoder};
use super::mobilenet::{self, MobileNetV2};
use super::resnet::{self, ResNet, ResNetStem};
use crate::nn::{BatchNorm, Conv2d};
use crate::ops::{Interpolation, concat};
use crate::params::{Init, Names};
use crate::tensor::window::Window;
use crate::{Error, Module, Pass, Result, Var};

/// The UNets, `UNet-<encoder>` of a ResNet or a MobileNetV2, under the names of
/// segmentation_models_pytorch.
///
/// ```text
/// x = the encoder's last map
/// block: x = nearest pixels of x, at the size of the encoder's next larger map; that map beside it
///        x = ReLU(BN(Conv3x3(ReLU(BN(Conv3x3(x))))))
/// logits = Conv3x3(x), at every pixel
/// ```
///
/// The encoder's maps are those of 1/2, 1/4, .. 1/32 of the image's height and width: of a ResNet,
/// which has ImageNet's stem here whatever the image size, those behind the stem and the four
/// stages; of MobileNetV2, those before each stride of 2 and the last. The fifth block has no such
/// map, and brings x to the image's size. Sides need not be multiples of 32. There is no dropout.
///
/// The decoder's convolutions have no bias, and begin uniform with variance 2 / fan-in, the last
/// one by Xavier's rule.
///
/// WaveMix-Lite's table 4 quotes its UNets from a study with pretrained encoders and a decoder of
/// another kind; neither printed count is that of this model.
///
/// Source: "U-Net: Convolutional networks for biomedical image segmentation" (arXiv 1505.04597);
/// segmentation_models_pytorch 0.6, `Unet`.
#[derive(Clone, Debug, PartialEq)]
pub struct UNet {
    /// What makes the maps.
    pub encoder: UNetEncoder,
    /// Output channels of the decoder's blocks, the block of the smallest maps first.
    pub decoder: [usize; BLOCKS],
}

/// The encoder of a [`UNet`].
#[derive(Clone, Debug, PartialEq)]
pub enum UNetEncoder {
    /// A ResNet, without its last layer. Its stem is ImageNet's, whatever it says.
    ResNet(ResNet),
    /// A MobileNetV2, without its last layer. Four of its stages have stride 2, the others 1.
    MobileNetV2(MobileNetV2),
}

/// How often the encoder halves height and width.
const BLOCKS: usize = 5;

impl UNet {
    /// A model with the channels of segmentation_models_pytorch's decoder.
    pub fn new(encoder: UNetEncoder) -> UNet {
        UNet {
            encoder,
            decoder: [256, 128, 64, 32, 16],
        }
    }
}

impl UNetEncoder {
    fn family(&self) -> &dyn Family {
        match self {
            UNetEncoder::ResNet(resnet) => resnet,
            UNetEncoder::MobileNetV2(net) => net,
        }
    }

    /// Channels of the maps, the largest map first.
    fn channels(&self) -> Vec<usize> {
        match self {
            UNetEncoder::ResNet(resnet) => resnet.map_channels().to_vec(),
            UNetEncoder::MobileNetV2(net) => net.map_channels(),
        }
    }
}

impl Family for UNet {
    fn form() -> &'static str {
        "UNet-ResNet-<layers>, UNet-MobileNetV2"
    }

    fn parse(name: &str) -> Option<UNet> {
        let encoder = name.strip_prefix("UNet-")?;
        let resnet = ResNet::parse(encoder).map(UNetEncoder::ResNet);
        let mobilenet = || MobileNetV2::parse(encoder).map(UNetEncoder::MobileNetV2);
        resnet.or_else(mobilenet).map(UNet::new)
    }

    fn name(&self) -> String {
        format!("UNet-{}", self.encoder.family().name())
    }

    fn dropout(&self) -> f64 {
        0.0
    }

    fn only_segments(&self) -> bool {
        true
    }

    fn settings(&self, _: &Common) -> Vec<(&'static str, Value)> {
        vec![("decoder", joined(&self.decoder))]
    }

    fn set(&mut self, setting: &str, value: &str) -> Result<bool> {
        if setting != "decoder" {
            return Ok(false);
        }
        self.decoder = numbers(setting, value)?.try_into().map_err(|_| {
            let what = format!("has a number for each of {BLOCKS} blocks, got `{value}`");
            Error::Argument(format!("the setting `{setting}` {what}"))
        })?;
        Ok(true)
    }

    fn check(&self, common: &Common) -> Result<(), String> {
        check_counts(&self.decoder.map(|n| ("the channels of a decoder block", n)))?;
        self.encoder.family().check(&of_encoder(common))?;
        let maps = self.encoder.channels().len();
        if maps != BLOCKS {
            let halvings = "an encoder halves the image's sides five times";
            return Err(format!("{halvings}, this one {maps} times"));
        }
        classes_of_pixels(common).map(|_| ())
    }

    fn layers(&self, names: &mut Names, common: &Common) -> Result<Box<dyn Module>> {
        let classes = classes_of_pixels(common).map_err(Error::Argument)?;
        let encoder = Encoder::new(&mut names.within("encoder"), &self.encoder, common)?;
        let mut skips = self.encoder.channels();
        let mut c_in = skips.pop().unwrap_or(0);
        let mut decoder = Vec::new();
        {
            let mut names = names.within("decoder");
            for (i, &c_out) in self.decoder.iter().enumerate() {
                let skip = skips.pop().unwrap_or(0);
                let mut names = names.within(&format!("blocks.{i}"));
                decoder.push(Block::new(&mut names, [c_in + skip, c_out])?);
                c_in = c_out;
            }
            names.begin(|entry| match entry.shape[..] {
                [_, kh, kw, c_in] => Init::kaiming_uniform(kh * kw * c_in),
                _ => entry.init,
            });
        }
        let mut names = names.within("segmentation_head");
        let head = Conv2d::new(&mut names, "0", [c_in, classes], 3, Window::padded(1))?;
        names.begin(|entry| match entry.shape[..] {
            [_, kh, kw, c_in] => Init::xavier_uniform(kh * kw * c_in, kh * kw * classes),
            _ => Init::Constant(0.0),
        });
        Ok(Box::new(Network {
            encoder,
            decoder,
            head,
        }))
    }
}

/// A UNet's layers.
struct Network {
    encoder: Encoder,
    decoder: Vec<Block>,
    head: Conv2d,
}

impl Module for Network {
    #[track_caller]
    fn forward(&self, pass: &Pass, images: &Var) -> Result<Var> {
        let mut maps = {
            let _layer = pass.enter("encoder");
            self.encoder.maps(pass, images)?
        };
        let mut x = maps.pop().expect("an encoder has maps");
        for (i, block) in self.decoder.iter().enumerate() {
            let _layer = pass.enter(format!("decoder.blocks.{i}"));
            let skip = maps.pop();
            let of = skip.as_ref().unwrap_or(images).shape();
            let enlarged = x.upsample([of[1], of[2]], Interpolation::Nearest)?;
            x = match &skip {
                Some(skip) => block.forward(pass, &concat(&[&enlarged, skip], 3)?)?,
                None => block.forward(pass, &enlarged)?,
            };
        }
        let _layer = pass.enter("segmentation_head");
        self.head.forward(pass, &x)
    }
}

/// An encoder's layers.
enum Encoder {
    ResNet(resnet::Body),
    MobileNetV2(mobilenet::Body),
}

impl Encoder {
    fn new(names: &mut Names, of: &UNetEncoder, common: &Common) -> Result<Encoder> {
        Ok(match of {
            UNetEncoder::ResNet(resnet) => {
                let resnet = ResNet {
                    stem: Some(ResNetStem::ImageNet),
                    ..resnet.clone()
                };
                Encoder::ResNet(resnet::Body::new(names, &resnet, common, false)?)
            }
            UNetEncoder::MobileNetV2(net) => {
                Encoder::MobileNetV2(mobilenet::Body::new(names, net, common.channels)?)
            }
        })
    }

    /// The maps, the largest first.
    #[track_caller]
    fn maps(&self, pass: &Pass, images: &Var) -> Result<Vec<Var>> {
        match self {
            Encoder::ResNet(body) => Ok(body.features(pass, images)?.into()),
            Encoder::MobileNetV2(body) => {
                let (last, mut maps) = body.features(pass, images)?;
                maps.push(last);
                Ok(maps)
            }
        }
    }
}

/// Two convolutions, each with BatchNorm and ReLU behind it.
struct Block([(Conv2d, BatchNorm); 2]);

impl Block {
    fn new(names: &mut Names, [c_in, c_out]: [usize; 2]) -> Result<Block> {
        let mut layer = |name: &str, c_in: usize| -> Result<(Conv2d, BatchNorm)> {
            let (mut names, window) = (names.within(name), Window::padded(1));
            let conv = Conv2d::without_bias(&mut names, "0", [c_in, c_out], 3, window)?;
            Ok((conv, BatchNorm::new(&mut names, "1", c_out)?))
        };
        Ok(Block([layer("conv1", c_in)?, layer("conv2", c_out)?]))
    }
}

impl Module for Block {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let mut x = x.clone();
        for ((conv, norm), name) in self.0.iter().zip(["conv1", "conv2"]) {
            let _layer = pass.enter(name);
            x = norm.forward(pass, &conv.forward(pass, &x)?)?.relu()?;
        }
        Ok(x)
    }
}
