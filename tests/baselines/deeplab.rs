//! DeepLabV2 on torchvision's ResNets.

use wavemix::models::{Config, DeepLabV2, ResNet, ResidualBlock};

use super::{Case, Count};

pub const CASES: &[Case] = &[Case::of("deeplab", || {
    let backbone = ResNet {
        block: ResidualBlock::Bottleneck,
        blocks: [1, 1, 2, 2],
        widths: [2, 3, 4, 5],
        stem: None,
    };
    DeepLabV2 { backbone }.into()
})];

/// Of the 19 classes of Cityscapes. Table 4 of WaveMix-Lite prints the count of another backbone.
pub const COUNTS: &[Count] = &[Count::of_pixels("DeepLabV2", 512, 19, 43_901_068)];

#[test]
fn the_backbone_of_the_paper_need_not_be_named() {
    let name = |name: &str| Config::parse(name).unwrap().to_string();
    assert_eq!(name("DeepLabV2-ResNet-101"), "DeepLabV2");
    assert_eq!(name("DeepLabV2-ResNet-50"), "DeepLabV2-ResNet-50");
    for unknown in ["DeepLabV2-", "DeepLabV2-ResNet-19", "DeepLabV2ResNet-18"] {
        assert!(Config::parse(unknown).is_err(), "{unknown}");
    }
}
