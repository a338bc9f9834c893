//! All families of models.
//!
//! A family is a file with a struct of its settings, which implements [`Family`], and a row of the
//! table below. From the two follow `--model`, weight files that say what they are of, summaries,
//! the largest batch and the benches.

use super::cct::Cct;
use super::convmixer::ConvMixer;
use super::cpv::Cpv;
use super::cvt::CvT;
use super::deeplab::DeepLabV2;
use super::family::Family;
use super::fnet::FNet2d;
use super::hybrid_vin::HybridViN;
use super::mlp_mixer::MlpMixer;
use super::mlp_mixer_2d::MlpMixer2d;
use super::mobilenet::MobileNetV2;
use super::resnet::ResNet;
use super::segformer::SegFormer;
use super::segformer_package::SegFormerPackage;
use super::unet::UNet;
use super::vit::ViT;
use super::vit_lite::ViTLite;
use super::wavemix::WaveMix;

macro_rules! registry {
    ($($(#[$doc:meta])* $family:ident),* $(,)?) => {
        /// A network and the settings that only its family has: one variant for each family.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum Architecture {
            $($(#[$doc])* $family($family),)*
        }

        impl Architecture {
            /// The architecture that a name stands for.
            pub(super) fn parse(name: &str) -> Option<Architecture> {
                None$(.or_else(|| $family::parse(name).map(Architecture::$family)))*
            }

            pub(super) fn family(&self) -> &dyn Family {
                match self {
                    $(Architecture::$family(family) => family,)*
                }
            }

            pub(super) fn family_mut(&mut self) -> &mut dyn Family {
                match self {
                    $(Architecture::$family(family) => family,)*
                }
            }
        }

        $(impl From<$family> for Architecture {
            fn from(family: $family) -> Architecture {
                Architecture::$family(family)
            }
        })*

        /// How the names of all models are written, for messages and `--help`.
        pub fn names() -> String {
            [$($family::form(),)*].join("; ")
        }
    };
}

registry! {
    /// WaveMix and WaveMix-Lite.
    WaveMix,
    /// The residual networks.
    ResNet,
    /// The networks of inverted residual blocks.
    MobileNetV2,
    /// The networks of depthwise and 1x1 convolutions on patches.
    ConvMixer,
    /// The FNets for images.
    FNet2d,
    /// The networks of MLPs along tokens and channels.
    MlpMixer,
    /// Those of MLPs along height, width and channels.
    MlpMixer2d,
    /// The vision transformers.
    ViT,
    /// The vision transformers of the CCT paper.
    ViTLite,
    /// The compact convolutional transformers.
    Cct,
    /// The convolutional vision transformers.
    CvT,
    /// The hybrid vision Nystromformers.
    HybridViN,
    /// The convolutional vision Performers.
    Cpv,
    /// The UNets.
    UNet,
    /// The ResNets with dilated convolutions, for segmentation.
    DeepLabV2,
    /// The transformer for segmentation.
    SegFormer,
    /// That of the package segformer-pytorch.
    SegFormerPackage,
}
