//! The compact convolutional transformer: convolutions make the tokens, and a weighted mean of all
//! tokens stands in for a class token.

use serde_json::Value;

use super::family::{
    Common, Family, MOST, check_blocks, check_counts, classes, named_by_three_numbers, number,
    numbers,
};
use super::transformer::{
    Mlp, Positions, SelfAttention, check_heads, check_images, class_token, drop_path,
    pixels_of_a_token,
};
use crate::nn::{Conv2d, LayerNorm, Linear};
use crate::ops::{matmul_with, max_pool2d};
use crate::params::{Entry, Init, Names};
use crate::tensor::window::Window;
use crate::{Error, Module, Pass, Result, Var};

/// Channels between the convolutions that make tokens.
const INNER: usize = 64;

/// The compact convolutional transformers, `CCT-<dim>/<layers>x<heads>`, under the names of their
/// authors' code.
///
/// ```text
/// x = tokens of MaxPool(ReLU(Conv(..))) + positions
/// x = LN(x + Attention(LN(x)));  x = x + MLP(x)             for each layer
/// logits = Linear(softmax(Linear(LN(x)))' LN(x))            a mean over the tokens
/// ```
///
/// The dropout of the configuration is the probability of dropping weights of the attention's means,
/// and that with which the last layer's branches are left out for an image (stochastic depth); the
/// layers before have less, in equal steps from 0. Images have the one size of the configuration,
/// whose positions are learned.
///
/// Linear layers begin normal with a deviation of 0.02, positions of 0.2, convolutions with variance
/// 2 / fan-in, biases as 0.
///
/// Source: "Escaping the big data paradigm with compact transformers" (arXiv 2104.05704), and the
/// code of its authors; `vit_pytorch.cct`, which has the same names.
#[derive(Clone, Debug, PartialEq)]
pub struct Cct {
    /// Channels of a token.
    pub dim: usize,
    /// Number of layers.
    pub depth: usize,
    /// Heads of the attention, which share the channels.
    pub heads: usize,
    /// Channels between the two layers of an MLP; by default 4 dim, which the papers' counts confirm.
    pub mlp: usize,
    /// Strides of the convolutions that make the tokens, one each; `None` takes three, of which the
    /// first reduces the image to at most 32x32 pixels.
    pub strides: Option<Vec<usize>>,
    /// Side of these convolutions' kernels, odd.
    pub kernel: usize,
    /// Stride of the max-pooling behind each of them.
    pub pool: usize,
}

impl Cct {
    /// A model with the papers' settings.
    pub fn new(dim: usize, depth: usize, heads: usize) -> Cct {
        Cct {
            dim,
            depth,
            heads,
            mlp: dim.saturating_mul(4),
            strides: None,
            kernel: 3,
            pool: 1,
        }
    }

    /// The strides in use for images of this size.
    pub fn strides(&self, size: usize) -> Vec<usize> {
        let own = self.strides.clone();
        own.unwrap_or_else(|| vec![pixels_of_a_token(size), 1, 1])
    }
}

impl Family for Cct {
    named_by_three_numbers!("CCT-");

    fn dropout(&self) -> f64 {
        0.1
    }

    fn settings(&self, common: &Common) -> Vec<(&'static str, Value)> {
        let strides = self.strides(common.size);
        let strides: Vec<String> = strides.iter().map(usize::to_string).collect();
        vec![
            ("mlp", self.mlp.into()),
            ("strides", strides.join(",").into()),
            ("kernel", self.kernel.into()),
            ("pool", self.pool.into()),
        ]
    }

    fn set(&mut self, setting: &str, value: &str) -> Result<bool> {
        match setting {
            "mlp" => self.mlp = number(setting, value)?,
            "strides" => self.strides = Some(numbers(setting, value)?),
            "kernel" => self.kernel = number(setting, value)?,
            "pool" => self.pool = number(setting, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn check(&self, common: &Common) -> Result<(), String> {
        let strides = self.strides(common.size);
        check_heads(self.dim, self.heads)?;
        check_blocks(self.depth)?;
        check_blocks(strides.len())?;
        check_counts(&[("mlp", self.mlp), ("the stride of pooling", self.pool)])?;
        for &stride in &strides {
            check_counts(&[("a stride", stride)])?;
        }
        if self.kernel > MOST || self.kernel.is_multiple_of(2) {
            let kernel = self.kernel;
            return Err(format!(
                "the kernel must be odd and below {MOST}, got {kernel}"
            ));
        }
        classes(common).map(|_| ())
    }

    fn layers(&self, names: &mut Names, common: &Common) -> Result<Box<dyn Module>> {
        let strides = self.strides(common.size);
        // An odd kernel with half of it for padding leaves one output every stride.
        let reduced = |side: usize, stride: &usize| side.div_ceil(*stride).div_ceil(self.pool);
        let side = strides.iter().fold(common.size, reduced);
        let tokens_by = "tokenizer";
        let tokenizer = Tokenizer::new(&mut names.within(tokens_by), self, common)?;
        let sizes = Sizes {
            dim: self.dim,
            depth: self.depth,
            heads: self.heads,
            mlp: self.mlp,
            tokens: side * side,
        };
        let classifier = Classifier::new(names, sizes, common, Pooling::Sequence)?;
        Ok(Box::new(Network {
            common: *common,
            tokenizer: (tokens_by, tokenizer),
            classifier,
        }))
    }
}

/// A tokenizer, which makes a map whose pixels are the tokens, and the transformer behind it.
pub(super) struct Network<T> {
    pub common: Common,
    /// The name that the tokenizer's layers are below, and those.
    pub tokenizer: (&'static str, T),
    pub classifier: Classifier,
}

impl<T: Module> Module for Network<T> {
    #[track_caller]
    fn forward(&self, pass: &Pass, images: &Var) -> Result<Var> {
        check_images(images, &self.common)?;
        let map = {
            let (name, tokenizer) = &self.tokenizer;
            let _layer = pass.enter(*name);
            tokenizer.forward(pass, images)?
        };
        self.classifier.forward(pass, &map)
    }
}

/// The convolutions that make tokens, each with ReLU and max-pooling behind it.
struct Tokenizer {
    convolutions: Vec<Conv2d>,
    pool: Window,
}

impl Tokenizer {
    fn new(names: &mut Names, cct: &Cct, common: &Common) -> Result<Tokenizer> {
        let strides = cct.strides(common.size);
        let (mut convolutions, mut c_in) = (Vec::new(), common.channels);
        for (i, &stride) in strides.iter().enumerate() {
            let c_out = if i + 1 < strides.len() {
                INNER
            } else {
                cct.dim
            };
            let window = Window::strided(stride, cct.kernel / 2);
            let mut names = names.within(&format!("conv_layers.{i}"));
            let (channels, kernel) = ([c_in, c_out], cct.kernel);
            convolutions.push(Conv2d::without_bias(
                &mut names, "0", channels, kernel, window,
            )?);
            c_in = c_out;
        }
        names.begin(convolutions_before_relu);
        Ok(Tokenizer {
            convolutions,
            pool: Window::strided(cct.pool, 1),
        })
    }
}

impl Module for Tokenizer {
    #[track_caller]
    fn forward(&self, pass: &Pass, images: &Var) -> Result<Var> {
        let mut x = images.clone();
        for (i, conv) in self.convolutions.iter().enumerate() {
            let _layer = pass.enter(format!("conv_layers.{i}"));
            x = max_pool2d(&conv.forward(pass, &x)?.relu()?, [3; 2], self.pool)?;
        }
        Ok(x)
    }
}

/// Convolutions normal with variance 2 / fan-in; the rest as it is.
pub(super) fn convolutions_before_relu(entry: &Entry) -> Init {
    match entry.shape[..] {
        [_, kh, kw, c_in] => Init::kaiming_normal(kh * kw * c_in),
        _ => entry.init,
    }
}

/// What tells transformers behind a tokenizer from one another.
pub(super) struct Sizes {
    pub dim: usize,
    pub depth: usize,
    pub heads: usize,
    pub mlp: usize,
    /// Those of an image.
    pub tokens: usize,
}

/// How the tokens of an image become one vector.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Pooling {
    /// By a class token in front of them.
    ClassToken,
    /// As their mean, weighted by a softmax over a linear layer of each.
    Sequence,
}

/// The transformer behind a tokenizer, with its classifier.
pub(super) struct Classifier {
    positions: Positions,
    /// The linear layer of [`Pooling::Sequence`].
    pool: Option<Linear>,
    blocks: Vec<Block>,
    norm: LayerNorm,
    fc: Linear,
}

impl Classifier {
    /// Declares the layers below `classifier`, and how they begin.
    pub fn new(
        names: &mut Names,
        sizes: Sizes,
        common: &Common,
        pooling: Pooling,
    ) -> Result<Classifier> {
        let names = &mut names.within("classifier");
        let classes = classes(common).map_err(Error::Argument)?;
        let Sizes {
            dim, depth, tokens, ..
        } = sizes;
        let sequence = pooling == Pooling::Sequence;
        let token = (!sequence).then_some(("class_emb", Init::Constant(0.0)));
        let positions = ("positional_emb", Init::TruncatedNormal(0.2));
        let positions = Positions::new(names, token, positions, [tokens, dim]);
        let pool = sequence.then(|| Linear::new(names, "attention_pool", [dim, 1]));
        let pool = pool.transpose()?;
        let block = |i: usize| {
            // From 0 in the first block to the whole dropout in the last one.
            let dropout = [
                common.dropout,
                common.dropout * i as f64 / (depth - 1).max(1) as f64,
            ];
            Block::new(&mut names.within(&format!("blocks.{i}")), &sizes, dropout)
        };
        let blocks = (0..depth).map(block).collect::<Result<_>>()?;
        let norm = LayerNorm::new(names, "norm", dim)?;
        let fc = Linear::new(names, "fc", [dim, classes])?;
        names.begin(|entry| match entry.shape[..] {
            [_, _] => Init::TruncatedNormal(0.02),
            [_] if entry.name.ends_with("bias") => Init::Constant(0.0),
            _ => entry.init,
        });
        Ok(Classifier {
            positions,
            pool,
            blocks,
            norm,
            fc,
        })
    }
}

impl Module for Classifier {
    /// A map `[n, h, w, dim]`, whose pixels are the tokens, to logits `[n, classes]`.
    #[track_caller]
    fn forward(&self, pass: &Pass, map: &Var) -> Result<Var> {
        let _layer = pass.enter("classifier");
        let &[n, h, w, dim] = &map.shape()[..] else {
            let got = map.shape();
            return Err(Error::operand("tokens", "map", "[n, h, w, dim]", got));
        };
        let mut x = self
            .positions
            .forward(pass, &map.reshape([n, h * w, dim])?)?;
        for (i, block) in self.blocks.iter().enumerate() {
            let _layer = pass.enter(format!("blocks.{i}"));
            x = block.forward(pass, &x)?;
        }
        let pooled = match &self.pool {
            None => self.norm.forward(pass, &class_token(&x)?)?,
            Some(pool) => {
                let x = self.norm.forward(pass, &x)?;
                let weights = pool.forward(pass, &x)?.softmax(1)?;
                // [n, tokens, 1]' x [n, tokens, dim] -> [n, 1, dim]
                matmul_with(&weights, &x, true, false)?.flatten(1)?
            }
        };
        self.fc.forward(pass, &pooled)
    }
}

/// A layer. What attention gives is added to the token, and their sum normalised: there is no way
/// around this norm.
struct Block {
    pre_norm: LayerNorm,
    attention: SelfAttention,
    norm1: LayerNorm,
    mlp: Mlp,
    /// How likely both branches are left out for an image.
    dropped: f64,
}

impl Block {
    /// Declares a layer that drops weights of the attention and branches with these probabilities.
    fn new(names: &mut Names, sizes: &Sizes, [map, dropped]: [f64; 2]) -> Result<Block> {
        let &Sizes {
            dim, heads, mlp, ..
        } = sizes;
        let pre_norm = LayerNorm::new(names, "pre_norm", dim)?;
        let attention = SelfAttention::new(&mut names.within("self_attn"), [dim, heads], false)?;
        Ok(Block {
            pre_norm,
            attention: attention.with_dropout(map, 0.0),
            norm1: LayerNorm::new(names, "norm1", dim)?,
            mlp: Mlp::new(names, ["linear1", "linear2"], [dim, mlp], 0.0)?,
            dropped,
        })
    }
}

impl Module for Block {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let y = self.pre_norm.forward(pass, x)?;
        let y = {
            let _layer = pass.enter("self_attn");
            self.attention.forward(pass, &y)?
        };
        let x = (x + drop_path(pass, &y, self.dropped)?)?;
        let x = self.norm1.forward(pass, &x)?;
        let y = self.mlp.forward(pass, &x)?;
        x + drop_path(pass, &y, self.dropped)?
    }
}
