//! DeepLabV2: a ResNet that keeps its maps large, and four convolutions of different reach.

use serde_json::Value;

use super::family::{Common, Family, classes_of_pixels, of_encoder};
use super::head::resize;
use super::resnet::{Body, ResNet, ResNetStem};
use crate::nn::Conv2d;
use crate::params::{Init, Names};
use crate::tensor::window::Window;
use crate::{Error, Module, Pass, Result, Var};

/// How far apart the taps of the four last convolutions are, in pixels of their map.
const DILATIONS: [usize; 4] = [6, 12, 18, 24];

/// DeepLabV2, on ResNet-101, and `DeepLabV2-ResNet-<layers>`, on another ResNet.
///
/// ```text
/// logits = sum of Conv3x3(x) with taps 6, 12, 18 and 24 pixels apart, resized to the image
/// ```
///
/// x are the last maps of a ResNet with ImageNet's stem, 1/8 of the image: its third and fourth
/// stage have taps 2 and 4 pixels apart instead of strides, but for the first block of each, which
/// has the taps of the stage before. There is no conditional random field behind the network, and
/// no dropout. The logits are resized bilinearly.
///
/// No package has it under names of its own: those of the body are torchvision's, those of the last
/// convolutions, `layer5.conv2d_list.{0..3}`, those that PyTorch ports of the authors' code have.
/// These convolutions begin normal with deviation 0.01.
///
/// WaveMix-Lite's table 4 prints the accuracy of this model beside the parameters of DeepLab's
/// VGG-16, 20.5 M, which is not here.
///
/// Source: "DeepLab: Semantic image segmentation with deep convolutional nets, atrous convolution,
/// and fully connected CRFs" (arXiv 1606.00915); torchvision's `resnet.py` with
/// `replace_stride_with_dilation`.
#[derive(Clone, Debug, PartialEq)]
pub struct DeepLabV2 {
    /// What makes the maps. Its stem is ImageNet's, whatever it says.
    pub backbone: ResNet,
}

/// The backbone that a name need not say.
const BACKBONE: &str = "ResNet-101";

impl Family for DeepLabV2 {
    fn form() -> &'static str {
        "DeepLabV2, DeepLabV2-ResNet-<layers>"
    }

    fn parse(name: &str) -> Option<DeepLabV2> {
        let backbone = match name.strip_prefix("DeepLabV2")? {
            "" => BACKBONE,
            rest => rest.strip_prefix('-')?,
        };
        let backbone = ResNet::parse(backbone)?;
        Some(DeepLabV2 { backbone })
    }

    fn name(&self) -> String {
        match &*self.backbone.name() {
            BACKBONE => "DeepLabV2".into(),
            backbone => format!("DeepLabV2-{backbone}"),
        }
    }

    fn dropout(&self) -> f64 {
        0.0
    }

    fn only_segments(&self) -> bool {
        true
    }

    fn settings(&self, _: &Common) -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    fn set(&mut self, _: &str, _: &str) -> Result<bool> {
        Ok(false)
    }

    fn check(&self, common: &Common) -> Result<(), String> {
        self.backbone.check(&of_encoder(common))?;
        classes_of_pixels(common).map(|_| ())
    }

    fn layers(&self, names: &mut Names, common: &Common) -> Result<Box<dyn Module>> {
        let classes = classes_of_pixels(common).map_err(Error::Argument)?;
        let backbone = ResNet {
            stem: Some(ResNetStem::ImageNet),
            ..self.backbone.clone()
        };
        let body = Body::new(names, &backbone, common, true)?;
        let [.., channels] = backbone.map_channels();
        let mut names = names.within("layer5.conv2d_list");
        let conv = |(i, apart): (usize, usize)| {
            let window = Window {
                padding: [apart; 2],
                dilation: [apart; 2],
                ..Window::default()
            };
            let name = i.to_string();
            Conv2d::new(&mut names, &name, [channels, classes], 3, window)
        };
        let classifiers = DILATIONS.into_iter().enumerate().map(conv);
        let classifiers = classifiers.collect::<Result<_>>()?;
        names.begin(|entry| match entry.shape.len() {
            4 => Init::Normal(0.01),
            _ => entry.init,
        });
        Ok(Box::new(Network { body, classifiers }))
    }
}

/// A DeepLabV2's layers.
struct Network {
    body: Body,
    classifiers: Vec<Conv2d>,
}

impl Module for Network {
    #[track_caller]
    fn forward(&self, pass: &Pass, images: &Var) -> Result<Var> {
        let [.., x] = self.body.features(pass, images)?;
        let logits = {
            let _layer = pass.enter("layer5.conv2d_list");
            let (first, others) = self.classifiers.split_first().expect("there are four");
            let mut sum = first.forward(pass, &x)?;
            for conv in others {
                sum = (&sum + conv.forward(pass, &x)?)?;
            }
            sum
        };
        resize(&logits, [images.shape()[1], images.shape()[2]])
    }
}
