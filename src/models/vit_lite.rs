//! The small vision transformers of the CCT paper, and the large one that it compares them with.

use serde_json::Value;

use super::cct::{Classifier, Network, Pooling, Sizes, convolutions_before_relu};
use super::family::{
    Common, Family, check_blocks, check_counts, classes, number, three_numbers, two_numbers,
};
use super::transformer::check_heads;
use super::vit::check_patch;
use crate::nn::Conv2d;
use crate::params::Names;
use crate::tensor::window::Window;
use crate::{Module, Result};

/// Channels, heads and width of the MLP of the models that are named by layers and patch alone:
/// those of ViT-Base.
const BASE: [usize; 3] = [768, 12, 3072];

/// The vision transformers of the CCT paper, `ViT-Lite-<dim>/<layers>x<heads>` and
/// `ViT-<layers>/<patch>`, under the names of its authors' code.
///
/// They are a [`Cct`](super::Cct) whose tokens are patches, made by one convolution, and which
/// classifies by a class token, 0 at first. Names with a patch have 768 channels, 12 heads and MLPs
/// of 3072. The dropout of the configuration is used as there.
///
/// `ViT-12/16` is the model that table 2 of WaveMix-Lite calls ViT-384/12x6.
///
/// Source: "Escaping the big data paradigm with compact transformers" (arXiv 2104.05704), and the
/// code of its authors.
#[derive(Clone, Debug, PartialEq)]
pub struct ViTLite {
    /// Channels of a token.
    pub dim: usize,
    /// Number of layers.
    pub depth: usize,
    /// Heads of the attention, which share the channels.
    pub heads: usize,
    /// Channels between the two layers of an MLP; by default 2 dim.
    pub mlp: usize,
    /// Side of a patch; by default 4.
    pub patch: usize,
}

impl ViTLite {
    /// A model with patches of 4x4 and MLPs of twice its channels.
    pub fn new(dim: usize, depth: usize, heads: usize) -> ViTLite {
        ViTLite {
            dim,
            depth,
            heads,
            mlp: dim.saturating_mul(2),
            patch: 4,
        }
    }
}

impl Family for ViTLite {
    fn form() -> &'static str {
        "ViT-Lite-<dim>/<layers>x<heads>, ViT-<layers>/<patch>"
    }

    fn parse(name: &str) -> Option<ViTLite> {
        if let Some([depth, patch]) = two_numbers(name, "ViT-") {
            let [dim, heads, mlp] = BASE;
            return Some(ViTLite {
                dim,
                depth,
                heads,
                mlp,
                patch,
            });
        }
        let [dim, depth, heads] = three_numbers(name, "ViT-Lite-")?;
        Some(ViTLite::new(dim, depth, heads))
    }

    fn name(&self) -> String {
        let ViTLite {
            dim,
            depth,
            heads,
            mlp,
            patch,
        } = *self;
        if [dim, heads, mlp] == BASE {
            format!("ViT-{depth}/{patch}")
        } else {
            format!("ViT-Lite-{dim}/{depth}x{heads}")
        }
    }

    fn dropout(&self) -> f64 {
        0.1
    }

    fn settings(&self, _common: &Common) -> Vec<(&'static str, Value)> {
        vec![("mlp", self.mlp.into()), ("patch", self.patch.into())]
    }

    fn set(&mut self, setting: &str, value: &str) -> Result<bool> {
        match setting {
            "mlp" => self.mlp = number(setting, value)?,
            "patch" => self.patch = number(setting, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn check(&self, common: &Common) -> Result<(), String> {
        check_heads(self.dim, self.heads)?;
        check_blocks(self.depth)?;
        check_counts(&[("mlp", self.mlp), ("the side of a patch", self.patch)])?;
        check_patch(self.patch, common)?;
        classes(common).map(|_| ())
    }

    fn layers(&self, names: &mut Names, common: &Common) -> Result<Box<dyn Module>> {
        let tokens_by = "tokenizer.conv_layers.0";
        let patches = {
            let mut names = names.within(tokens_by);
            let (channels, window) = ([common.channels, self.dim], Window::strided(self.patch, 0));
            let conv = Conv2d::new(&mut names, "0", channels, self.patch, window)?;
            names.begin(convolutions_before_relu);
            conv
        };
        let sizes = Sizes {
            dim: self.dim,
            depth: self.depth,
            heads: self.heads,
            mlp: self.mlp,
            tokens: (common.size / self.patch).pow(2),
        };
        let classifier = Classifier::new(names, sizes, common, Pooling::ClassToken)?;
        Ok(Box::new(Network {
            common: *common,
            tokenizer: (tokens_by, patches),
            classifier,
        }))
    }
}
