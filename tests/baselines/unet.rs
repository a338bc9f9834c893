//! UNets: segmentation_models_pytorch's decoder behind torchvision's encoders.

use wavemix::models::{
    Architecture, Config, InvertedResiduals, MobileNetV2, ResNet, ResidualBlock, Task, UNet,
    UNetEncoder,
};
use wavemix::{DType, Module, Pass, Rng, Tensor};

use super::{Case, Count};

fn of_resnet() -> Architecture {
    let encoder = ResNet {
        block: ResidualBlock::Basic,
        blocks: [2, 1, 1, 1],
        widths: [4, 6, 8, 10],
        stem: None,
    };
    UNet {
        encoder: UNetEncoder::ResNet(encoder),
        decoder: [8, 6, 4, 4, 3],
    }
    .into()
}

/// Stages of expansion, channels, blocks and stride.
fn mobilenet(stages: &[[usize; 4]]) -> UNetEncoder {
    let stage = |&[expansion, channels, blocks, stride]: &[usize; 4]| InvertedResiduals {
        expansion,
        channels,
        blocks,
        stride,
    };
    UNetEncoder::MobileNetV2(MobileNetV2 {
        width: 0.1,
        stages: stages.iter().map(stage).collect(),
        divisor: 4,
    })
}

fn of_mobilenet() -> Architecture {
    let halving = [6, 8, 1, 2];
    UNet {
        encoder: mobilenet(&[[1, 8, 1, 1], [6, 8, 2, 2], halving, halving, [6, 16, 1, 2]]),
        decoder: [4, 4, 4, 4, 3],
    }
    .into()
}

pub const CASES: &[Case] = &[
    Case::of("unet_resnet", of_resnet),
    // Its decoder has three and four channels to tell the images apart by.
    Case {
        steps: 600,
        ..Case::of("unet_mobilenet", of_mobilenet)
    },
];

/// Those of segmentation_models_pytorch for the 19 classes of Cityscapes, and with void. The counts
/// that WaveMix-Lite's table 4 quotes are of another decoder.
pub const COUNTS: &[Count] = &[
    Count::of_pixels("UNet-ResNet-18", 512, 19, 14_330_819),
    Count::of_pixels("UNet-ResNet-18", 512, 20, 14_330_964),
    Count::of_pixels("UNet-MobileNetV2", 512, 19, 6_631_555),
    Count::of_pixels("UNet-MobileNetV2", 512, 20, 6_631_700),
];

#[test]
fn any_size_is_segmented_pixel_by_pixel() {
    for architecture in [of_resnet(), of_mobilenet()] {
        let config = Config {
            task: Task::Segment { classes: 3 },
            ..Config::of(architecture)
        };
        let (model, params) = config.build(DType::F32, &Rng::new(0)).unwrap();
        for [h, w] in [[32, 64], [33, 47], [1, 2]] {
            let images = Tensor::zeros([1, h, w, 3], DType::F32);
            let y = model.forward(&Pass::eval(&params), &images.into()).unwrap();
            assert_eq!(y.shape()[..], [1, h, w, 3], "{config}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let unet = Config::parse("UNet-ResNet-18").unwrap();
    let classifier = Config {
        task: Task::Classify { classes: 10 },
        ..unet.clone()
    };
    assert_eq!(
        classifier.check().unwrap_err().to_string(),
        "UNet-ResNet-18: it segments images, and has no head for other tasks"
    );
    assert_eq!(
        unet.clone().with("decoder", "8,4").unwrap_err().to_string(),
        "the setting `decoder` has a number for each of 5 blocks, got `8,4`"
    );
    let none = unet.with("decoder", "8,4,0,4,4").unwrap();
    assert_eq!(
        none.check().unwrap_err().to_string(),
        "UNet-ResNet-18: the channels of a decoder block must be between 1 and 65536, got 0"
    );
    let shallow = Config::of(UNet::new(mobilenet(&[[6, 8, 1, 2]])));
    assert_eq!(
        shallow.check().unwrap_err().to_string(),
        "UNet-MobileNetV2-0.1: an encoder halves the image's sides five times, this one 2 times"
    );
    for unknown in ["UNet", "UNet-", "UNet-ResNet-19", "UNet-ViT-128/4x4"] {
        assert!(Config::parse(unknown).is_err(), "{unknown}");
    }
}
