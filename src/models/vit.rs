//! The vision transformer: patches of an image are tokens, which attend to one another.

use serde_json::Value;

use super::family::named_by_three_numbers;
use super::family::{Common, Family, check_blocks, check_counts, classes, float, number, truth};
use super::transformer::{
    Mlp, Positions, SelfAttention, check_heads, check_images, class_token, pixels_of_a_token,
};
use crate::nn::{Conv2d, LayerNorm, Linear};
use crate::params::{Init, Names};
use crate::tensor::window::Window;
use crate::{Error, Module, Pass, Result, Var};

/// The vision transformers, `ViT-<dim>/<layers>x<heads>`, under timm's names.
///
/// ```text
/// x = [class token; patches W' + b] + positions
/// x = x + Attention(LN(x));  x = x + MLP(LN(x))         for each layer
/// logits = Linear(LN(class token))
/// ```
///
/// Class token and positions begin standard normal. Dropout is behind the attention and behind both
/// layers of the MLP; the weights of the attention have none. Images have the one size of the
/// configuration, whose positions are learned.
///
/// `ViT-128/4x4` is the papers'; with `qkv_bias` and an `eps` of 1e-6 published weights of other
/// sizes load.
///
/// Source: "An image is worth 16x16 words" (arXiv 2010.11929); timm's `vision_transformer.py`.
#[derive(Clone, Debug, PartialEq)]
pub struct ViT {
    /// Channels of a token.
    pub dim: usize,
    /// Number of layers.
    pub depth: usize,
    /// Heads of the attention, which share the channels.
    pub heads: usize,
    /// Channels between the two layers of an MLP; by default 2 dim.
    pub mlp: usize,
    /// Side of a patch; `None` takes the smallest that makes at most 32x32 of them. The papers say 1
    /// at 32x32; what they took at 64x64 is a guess.
    pub patch: Option<usize>,
    /// Whether queries, keys and values have a bias. The papers' have none.
    pub qkv_bias: bool,
    /// What LayerNorm adds to the variance.
    pub eps: f64,
}

impl ViT {
    /// A model with the papers' settings.
    pub fn new(dim: usize, depth: usize, heads: usize) -> ViT {
        ViT {
            dim,
            depth,
            heads,
            mlp: dim.saturating_mul(2),
            patch: None,
            qkv_bias: false,
            eps: 1e-5,
        }
    }

    /// The side of a patch in use for images of this size.
    pub fn patch(&self, size: usize) -> usize {
        self.patch.unwrap_or_else(|| pixels_of_a_token(size))
    }
}

impl Family for ViT {
    named_by_three_numbers!("ViT-");

    fn settings(&self, common: &Common) -> Vec<(&'static str, Value)> {
        vec![
            ("mlp", self.mlp.into()),
            ("patch", self.patch(common.size).into()),
            ("qkv_bias", self.qkv_bias.into()),
            ("eps", self.eps.into()),
        ]
    }

    fn set(&mut self, setting: &str, value: &str) -> Result<bool> {
        match setting {
            "mlp" => self.mlp = number(setting, value)?,
            "patch" => self.patch = Some(number(setting, value)?),
            "qkv_bias" => self.qkv_bias = truth(setting, value)?,
            "eps" => self.eps = float(setting, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn check(&self, common: &Common) -> Result<(), String> {
        let patch = self.patch(common.size);
        check_heads(self.dim, self.heads)?;
        check_blocks(self.depth)?;
        check_counts(&[("mlp", self.mlp), ("the side of a patch", patch)])?;
        if !(0.0..=1.0).contains(&self.eps) {
            return Err(format!("eps must be between 0 and 1, got {}", self.eps));
        }
        check_patch(patch, common)?;
        classes(common).map(|_| ())
    }

    fn layers(&self, names: &mut Names, common: &Common) -> Result<Box<dyn Module>> {
        let classes = classes(common).map_err(Error::Argument)?;
        let (dim, patch) = (self.dim, self.patch(common.size));
        let normal = |name| (name, Init::Normal(1.0));
        let tokens = (common.size / patch).pow(2);
        let positions = Positions::new(
            names,
            Some(normal("cls_token")),
            normal("pos_embed"),
            [tokens, dim],
        );
        let patches = {
            let (mut names, channels) = (names.within("patch_embed"), [common.channels, dim]);
            Conv2d::new(
                &mut names,
                "proj",
                channels,
                patch,
                Window::strided(patch, 0),
            )?
        };
        let block = |i: usize| Block::new(&mut names.within(&format!("blocks.{i}")), self, common);
        let blocks = (0..self.depth).map(block).collect::<Result<_>>()?;
        Ok(Box::new(Network {
            common: *common,
            patches,
            positions,
            blocks,
            norm: LayerNorm::new(names, "norm", dim)?.with_eps(self.eps),
            head: Linear::new(names, "head", [dim, classes])?,
        }))
    }
}

/// Whether patches of this side fill the image.
pub(super) fn check_patch(patch: usize, common: &Common) -> Result<(), String> {
    match common.size.is_multiple_of(patch) {
        true => Ok(()),
        false => Err(format!(
            "patches of {patch}x{patch} do not fill an image of {size}x{size}: set `patch`",
            size = common.size
        )),
    }
}

/// A vision transformer's layers.
struct Network {
    common: Common,
    patches: Conv2d,
    positions: Positions,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Linear,
}

impl Module for Network {
    #[track_caller]
    fn forward(&self, pass: &Pass, images: &Var) -> Result<Var> {
        check_images(images, &self.common)?;
        let patches = {
            let _layer = pass.enter("patch_embed");
            self.patches.forward(pass, images)?
        };
        let (n, dim) = (patches.shape()[0], patches.shape()[3]);
        let tokens = patches.shape()[1] * patches.shape()[2];
        let mut x = self
            .positions
            .forward(pass, &patches.reshape([n, tokens, dim])?)?;
        for (i, block) in self.blocks.iter().enumerate() {
            let _layer = pass.enter(format!("blocks.{i}"));
            x = block.forward(pass, &x)?;
        }
        let token = self.norm.forward(pass, &class_token(&x)?)?;
        self.head.forward(pass, &token)
    }
}

/// A layer: attention and MLP, each behind a LayerNorm and beside a shortcut.
struct Block {
    norm1: LayerNorm,
    attention: SelfAttention,
    norm2: LayerNorm,
    mlp: Mlp,
}

impl Block {
    fn new(names: &mut Names, vit: &ViT, common: &Common) -> Result<Block> {
        let norm1 = LayerNorm::new(names, "norm1", vit.dim)?.with_eps(vit.eps);
        let (mut of_attention, sizes) = (names.within("attn"), [vit.dim, vit.heads]);
        let attention = SelfAttention::new(&mut of_attention, sizes, vit.qkv_bias)?
            .with_dropout(0.0, common.dropout);
        let norm2 = LayerNorm::new(names, "norm2", vit.dim)?.with_eps(vit.eps);
        let (layers, sizes) = (["fc1", "fc2"], [vit.dim, vit.mlp]);
        Ok(Block {
            norm1,
            attention,
            norm2,
            mlp: Mlp::new(&mut names.within("mlp"), layers, sizes, common.dropout)?,
        })
    }
}

impl Module for Block {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let y = self.norm1.forward(pass, x)?;
        let x = {
            let _layer = pass.enter("attn");
            (x + self.attention.forward(pass, &y)?)?
        };
        let y = self.norm2.forward(pass, &x)?;
        let _layer = pass.enter("mlp");
        x + self.mlp.forward(pass, &y)?
    }
}
