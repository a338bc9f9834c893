//! The hybrid vision transformer with Nystrom attention: convolutions make the tokens.

use serde_json::Value;

use super::family::{
    Common, Family, check_blocks, check_counts, check_quarters, classes, named_by_three_numbers,
    number,
};
use super::nystrom::{NystromAttention, Sizes};
use super::transformer::{
    Mlp, Positions, check_heads, check_images, class_token, pixels_of_a_token,
};
use crate::nn::{Conv2d, LayerNorm, Linear};
use crate::params::{Init, Names};
use crate::tensor::window::Window;
use crate::{Error, Module, Pass, Result, Var};

/// The hybrid vision Nystromformers, `HybridViN-<dim>/<layers>x<heads>`, under the names of their
/// authors' code.
///
/// ```text
/// x = [class token; pixels of Conv(Conv(Conv(image)))] + positions
/// x = x + NystromAttention(LN(x));  x = x + MLP(LN(x))       for each layer
/// logits = Linear(LN(class token))
/// ```
///
/// The convolutions are 3x3, with dim / 4, dim / 2 and dim channels, and nothing between them. Class
/// token and positions begin standard normal. Dropout is behind the attention and behind both layers
/// of the MLP. Images have the one size of the configuration, whose positions are learned.
///
/// Nystrom attention divides by a number that it takes from the whole batch, so what the model
/// answers for an image depends a little on the others of its batch.
///
/// Source: "Vision Xformers" (arXiv 2107.02239) and the authors' `HybridViN.py`; "Nystromformer"
/// (arXiv 2102.03902).
#[derive(Clone, Debug, PartialEq)]
pub struct HybridViN {
    /// Channels of a token, a multiple of 4.
    pub dim: usize,
    /// Number of layers.
    pub depth: usize,
    /// Heads of the attention, which share the channels.
    pub heads: usize,
    /// Channels between the two layers of an MLP; by default 2 dim.
    pub mlp: usize,
    /// Landmarks of the attention; by default 64.
    pub landmarks: usize,
    /// Taps of the attention's convolution along the tokens, odd; by default 33.
    pub kernel: usize,
    /// Stride of the first convolution; `None` takes the smallest that leaves at most 32x32 tokens.
    /// What the papers took at 64x64 is a guess.
    pub stride: Option<usize>,
}

impl HybridViN {
    /// A model with the papers' settings.
    pub fn new(dim: usize, depth: usize, heads: usize) -> HybridViN {
        HybridViN {
            dim,
            depth,
            heads,
            mlp: dim.saturating_mul(2),
            landmarks: 64,
            kernel: 33,
            stride: None,
        }
    }

    /// The stride of the first convolution for images of this size.
    pub fn stride(&self, size: usize) -> usize {
        self.stride.unwrap_or_else(|| pixels_of_a_token(size))
    }

    fn attention(&self) -> Sizes {
        Sizes {
            dim: self.dim,
            heads: self.heads,
            landmarks: self.landmarks,
            kernel: self.kernel,
        }
    }
}

impl Family for HybridViN {
    named_by_three_numbers!("HybridViN-");

    fn settings(&self, common: &Common) -> Vec<(&'static str, Value)> {
        vec![
            ("mlp", self.mlp.into()),
            ("landmarks", self.landmarks.into()),
            ("kernel", self.kernel.into()),
            ("stride", self.stride(common.size).into()),
        ]
    }

    fn set(&mut self, setting: &str, value: &str) -> Result<bool> {
        match setting {
            "mlp" => self.mlp = number(setting, value)?,
            "landmarks" => self.landmarks = number(setting, value)?,
            "kernel" => self.kernel = number(setting, value)?,
            "stride" => self.stride = Some(number(setting, value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn check(&self, common: &Common) -> Result<(), String> {
        check_heads(self.dim, self.heads)?;
        check_blocks(self.depth)?;
        check_counts(&[
            ("mlp", self.mlp),
            ("the number of landmarks", self.landmarks),
            ("the kernel", self.kernel),
            ("the stride", self.stride(common.size)),
        ])?;
        check_quarters(self.dim)?;
        if self.kernel.is_multiple_of(2) {
            return Err(format!("the kernel must be odd, got {}", self.kernel));
        }
        classes(common).map(|_| ())
    }

    fn layers(&self, names: &mut Names, common: &Common) -> Result<Box<dyn Module>> {
        let classes = classes(common).map_err(Error::Argument)?;
        let (dim, stride) = (self.dim, self.stride(common.size));
        let tokens = common.size.div_ceil(stride).pow(2);
        let stem = {
            let mut names = names.within("to_patch_embedding");
            let mut conv = |name, channels, stride| {
                Conv2d::new(&mut names, name, channels, 3, Window::strided(stride, 1))
            };
            [
                conv("0", [common.channels, dim / 4], stride)?,
                conv("1", [dim / 4, dim / 2], 1)?,
                conv("2", [dim / 2, dim], 1)?,
            ]
        };
        let normal = |name| (name, Init::Normal(1.0));
        let token = Some(normal("cls_token"));
        let positions = Positions::new(names, token, normal("pos_embedding"), [tokens, dim]);
        let block = |i: usize| {
            let mut names = names.within(&format!("transformer.layers.{i}"));
            Block::new(&mut names, self, common)
        };
        let blocks = (0..self.depth).map(block).collect::<Result<_>>()?;
        let mut names = names.within("mlp_head");
        Ok(Box::new(Network {
            common: *common,
            stem,
            positions,
            blocks,
            norm: LayerNorm::new(&mut names, "0", dim)?,
            head: Linear::new(&mut names, "1", [dim, classes])?,
        }))
    }
}

/// The layers.
struct Network {
    common: Common,
    stem: [Conv2d; 3],
    positions: Positions,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Linear,
}

impl Module for Network {
    #[track_caller]
    fn forward(&self, pass: &Pass, images: &Var) -> Result<Var> {
        check_images(images, &self.common)?;
        let mut map = images.clone();
        for conv in &self.stem {
            let _layer = pass.enter("to_patch_embedding");
            map = conv.forward(pass, &map)?;
        }
        let (n, dim) = (map.shape()[0], map.shape()[3]);
        let tokens = map.shape()[1] * map.shape()[2];
        let mut x = self
            .positions
            .forward(pass, &map.reshape([n, tokens, dim])?)?;
        for (i, block) in self.blocks.iter().enumerate() {
            let _layer = pass.enter(format!("transformer.layers.{i}"));
            x = block.forward(pass, &x)?;
        }
        let _layer = pass.enter("mlp_head");
        let token = self.norm.forward(pass, &class_token(&x)?)?;
        self.head.forward(pass, &token)
    }
}

/// A layer: attention and MLP, each behind a LayerNorm and beside a shortcut.
struct Block {
    norms: [LayerNorm; 2],
    attention: NystromAttention,
    mlp: Mlp,
}

impl Block {
    fn new(names: &mut Names, vin: &HybridViN, common: &Common) -> Result<Block> {
        let (p, dim) = (common.dropout, vin.dim);
        let mut of_attention = names.within("0");
        let first = LayerNorm::new(&mut of_attention, "norm", dim)?;
        let attention = NystromAttention::new(&mut of_attention.within("fn"), vin.attention(), p)?;
        let mut of_mlp = names.within("1");
        let second = LayerNorm::new(&mut of_mlp, "norm", dim)?;
        let sizes = [dim, vin.mlp];
        Ok(Block {
            norms: [first, second],
            attention,
            mlp: Mlp::new(&mut of_mlp.within("fn.net"), ["0", "3"], sizes, p)?,
        })
    }
}

impl Module for Block {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let x = {
            let _layer = pass.enter("0");
            let y = self.norms[0].forward(pass, x)?;
            let _layer = pass.enter("fn");
            (x + self.attention.forward(pass, &y)?)?
        };
        let _layer = pass.enter("1");
        let y = self.norms[1].forward(pass, &x)?;
        let _layer = pass.enter("fn.net");
        x + self.mlp.forward(pass, &y)?
    }
}
