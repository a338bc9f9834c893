//! The WaveMix models, and the models that their papers compare them with.
//!
//! [`Config`] says which model; [`Model`] is its layers. Weights live beside it in [`Params`].
//!
//! | names | model |
//! |---|---|
//! | `WaveMixLite-<dim>/<blocks>`, `WaveMix-<dim>/<blocks>` | [`WaveMix`] |
//! | `ResNet-18`, `-34`, `-50`, `-101` | [`ResNet`] |
//! | `MobileNetV2`, `MobileNetV2-<width>` | [`MobileNetV2`] |
//! | `ConvMixer-<dim>/<blocks>` | [`ConvMixer`] |
//! | `2D-FNet-<dim>/<blocks>` | [`FNet2d`] |
//! | `MLP-Mixer-<dim>/<blocks>` | [`MlpMixer`] |
//! | `2D-MLP-Mixer-<dim>/<blocks>` | [`MlpMixer2d`] |
//! | `ViT-<dim>/<layers>x<heads>` | [`ViT`] |
//! | `ViT-Lite-<dim>/<layers>x<heads>`, `ViT-<layers>/<patch>` | [`ViTLite`] |
//! | `CCT-<dim>/<layers>x<heads>` | [`Cct`] |
//! | `CvT-<dim>/<layers>x<heads>` | [`CvT`] |
//! | `HybridViN-<dim>/<layers>x<heads>` | [`HybridViN`] |
//! | `CPV-<dim>/<layers>x<heads>` | [`Cpv`] |
//! | `UNet-ResNet-<layers>`, `UNet-MobileNetV2` | [`UNet`] |
//! | `DeepLabV2`, `DeepLabV2-ResNet-<layers>` | [`DeepLabV2`] |
//! | `SegFormer-B0` | [`SegFormer`] |
//! | `SegFormer` | [`SegFormerPackage`] |
//!
//! The last four segment images, and do nothing else; WaveMix and ConvMixer do either.

mod cct;
mod config;
mod convmixer;
mod cpv;
mod cvt;
mod deeplab;
mod family;
mod fnet;
mod head;
mod hybrid_vin;
mod mlp_mixer;
mod mlp_mixer_2d;
mod mobilenet;
mod nystrom;
mod performer;
mod registry;
mod resnet;
mod saved;
mod segformer;
mod segformer_package;
mod summary;
mod transformer;
mod unet;
mod vit;
mod vit_lite;
mod wavemix;

pub use cct::Cct;
pub use config::Config;
pub use convmixer::ConvMixer;
pub use cpv::{Cpv, CpvStem};
pub use cvt::CvT;
pub use deeplab::DeepLabV2;
pub use family::Task;
pub use fnet::FNet2d;
pub use hybrid_vin::HybridViN;
pub use mlp_mixer::MlpMixer;
pub use mlp_mixer_2d::MlpMixer2d;
pub use mobilenet::{InvertedResiduals, MobileNetV2};
pub use registry::{Architecture, names};
pub use resnet::{ResNet, ResNetStem, ResidualBlock};
pub use saved::{ImageMeta, Saved};
pub use segformer::SegFormer;
pub use segformer_package::SegFormerPackage;
pub use summary::{Row, Summary};
pub use unet::{UNet, UNetEncoder};
pub use vit::ViT;
pub use vit_lite::ViTLite;
pub use wavemix::{BlockKind, LiteBlock, Mixing, Resize, Stem, WaveMix};

use crate::params::Names;
use crate::tensor::memory::shapes_only;
use crate::{DType, Module, Params, Pass, Result, Rng, Var};

/// A model with what is known of it.
///
/// ```
/// use wavemix::{DType, Module, Pass, Rng, Tensor, models::Config};
/// let config = Config { channels: 1, ..Config::parse("WaveMixLite-8/2")? };
/// let (model, params) = config.build(DType::F32, &Rng::new(0))?;
/// let images = Tensor::zeros([4, 28, 28, 1], DType::F32);
/// let logits = model.forward(&Pass::eval(&params), &images.into())?;
/// assert_eq!(logits.shape().to_string(), "[4, 10]");
/// # Ok::<(), wavemix::Error>(())
/// ```
pub struct Model {
    config: Config,
    layers: Box<dyn Module>,
}

impl Config {
    /// The model, and its weights drawn from `rng`.
    ///
    /// # Errors
    /// Where the settings contradict one another; the message names them.
    pub fn build(&self, dtype: DType, rng: &Rng) -> Result<(Model, Params)> {
        Params::declare(dtype, rng, |names| Model::new(names, self))
    }

    /// How many trained numbers the model has. None is drawn: that takes neither time nor memory.
    ///
    /// # Errors
    /// Where the settings contradict one another; the message names them.
    pub fn parameters(&self) -> Result<usize> {
        let (_, params) = shapes_only(|| self.build(DType::F32, &Rng::new(0)))?;
        Ok(params.count())
    }
}

impl Model {
    /// Declares all layers of a model.
    ///
    /// # Errors
    /// Where the settings contradict one another; the message names them.
    pub fn new(names: &mut Names, config: &Config) -> Result<Model> {
        config.check()?;
        let family = config.architecture.family();
        Ok(Model {
            layers: family.layers(names, &config.common())?,
            config: config.clone(),
        })
    }

    /// What it is.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

impl Module for Model {
    /// Images `[n, h, w, channels]` to logits `[n, classes]`, to logits of every pixel `[n, h, w,
    /// classes]`, or to images of twice the size, as the task is.
    ///
    /// # Errors
    /// Those of its layers, with the layer's name.
    #[track_caller]
    fn forward(&self, pass: &Pass, images: &Var) -> Result<Var> {
        pass.output(self.layers.forward(pass, &pass.input(images)?)?)
    }
}
