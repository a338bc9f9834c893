//! What the transformers for images share: attention, MLP, class token and positions.

use super::family::{Common, check_counts};
use crate::nn::Linear;
use crate::ops::{self, AttentionOptions, Dropout, concat, layer_norm};
use crate::params::{FileLayout, Init, Names, ParamId};
use crate::{Error, Module, Pass, Result, Var};

/// The most tokens along a side of the image, unless a setting says otherwise: 1024 of them in all.
const TOKENS_OF_A_SIDE: usize = 32;

/// How many pixels of a side become one token: 1 up to a side of 32, 2 up to 64, and so on. The
/// papers say that of 32 and, for some models, of 64; all else is a guess.
pub(super) fn pixels_of_a_token(size: usize) -> usize {
    size.div_ceil(TOKENS_OF_A_SIDE).max(1)
}

/// What is wrong with the width of tokens or the number of heads that share it, if anything is.
pub(super) fn check_heads(dim: usize, heads: usize) -> Result<(), String> {
    check_counts(&[("the dimension", dim), ("the number of heads", heads)])?;
    match dim.is_multiple_of(heads) {
        true => Ok(()),
        false => Err(format!("{heads} heads do not share {dim} channels evenly")),
    }
}

/// Checks that images have the size that positions were declared for.
#[track_caller]
pub(super) fn check_images(images: &Var, common: &Common) -> Result<()> {
    let &Common { size, channels, .. } = common;
    match images.shape()[..] {
        [_, h, w, c] if [h, w, c] == [size, size, channels] => Ok(()),
        _ => {
            let expected = format!("[n, {size}, {size}, {channels}], as the model was made for");
            let got = images.shape();
            Err(Error::operand("positions", "images", expected, got))
        }
    }
}

/// Dropout where the pass trains.
#[track_caller]
pub(super) fn dropout(pass: &Pass, x: &Var, p: f64) -> Result<Var> {
    match pass.rng() {
        Some(rng) => x.dropout(p, &rng),
        None => Ok(x.clone()),
    }
}

/// The branch beside a shortcut, left out for some images where the pass trains: see
/// [`Var::drop_path`].
#[track_caller]
pub(super) fn drop_path(pass: &Pass, x: &Var, p: f64) -> Result<Var> {
    match pass.rng() {
        Some(rng) => x.drop_path(p, &rng),
        None => Ok(x.clone()),
    }
}

/// Attention: each token becomes a mean of the values, weighted by how well its query meets their
/// keys.
///
/// ```text
/// y = dropout(softmax(q k' / sqrt(d))) v
/// ```
///
/// Shapes: q `[n, heads, l, d]`, k and v `[n, heads, m, d]`, y as q. The dropout has probability p. The
/// softmax is never in memory as a whole: see [`ops::attention`](crate::ops::attention()).
///
/// Source: "Attention is all you need" (arXiv 1706.03762), section 3.2.1.
#[track_caller]
pub(super) fn attention(pass: &Pass, qkv: [&Var; 3], p: f64) -> Result<Var> {
    let [q, k, v] = qkv;
    let rng = pass.rng();
    let dropout = Dropout {
        p,
        rng: rng.as_ref(),
    };
    let options = AttentionOptions {
        dropout,
        ..AttentionOptions::default()
    };
    ops::attention(q, k, v, options)
}

/// A map `[n, h, w, c]` as tokens `[n, h w, c]`.
#[track_caller]
pub(super) fn pixels(x: &Var) -> Result<Var> {
    let &[n, h, w, c] = &x.shape()[..] else {
        return Err(Error::operand("attention", "x", "[n, h, w, c]", x.shape()));
    };
    x.reshape([n, h * w, c])
}

/// Tokens `[n, length, parts heads d]` as `[n, parts heads, length, d]`.
#[track_caller]
pub(super) fn split_heads(x: &Var, heads: usize) -> Result<Var> {
    let &[n, length, width] = &x.shape()[..] else {
        let expected = "[n, length, channels]";
        return Err(Error::operand("attention", "x", expected, x.shape()));
    };
    x.reshape([n, length, heads, width / heads])?
        .transpose(1, 2)
}

/// The way back: `[n, heads, length, d]` as `[n, length, heads d]`.
#[track_caller]
pub(super) fn join_heads(x: &Var) -> Result<Var> {
    x.transpose(1, 2)?.flatten(2)
}

/// Attention of tokens to one another: queries, keys and values from one linear layer `qkv`, one
/// after the other, and a linear layer `proj` behind.
pub(super) struct SelfAttention {
    qkv: Linear,
    proj: Linear,
    heads: usize,
    map_dropout: f64,
    dropout: f64,
}

impl SelfAttention {
    /// Declares `qkv` and `proj` for `[dim, heads]`, without dropout.
    pub fn new(
        names: &mut Names,
        [dim, heads]: [usize; 2],
        qkv_bias: bool,
    ) -> Result<SelfAttention> {
        let qkv = match qkv_bias {
            true => Linear::new(names, "qkv", [dim, 3 * dim])?,
            false => Linear::without_bias(names, "qkv", [dim, 3 * dim])?,
        };
        Ok(SelfAttention {
            qkv,
            proj: Linear::new(names, "proj", [dim, dim])?,
            heads,
            map_dropout: 0.0,
            dropout: 0.0,
        })
    }

    /// The same layers, which in training drop weights of the means with the probability `map`, and
    /// elements of the output with the probability `output`.
    pub fn with_dropout(self, map: f64, output: f64) -> SelfAttention {
        SelfAttention {
            map_dropout: map,
            dropout: output,
            ..self
        }
    }
}

impl Module for SelfAttention {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let qkv = split_heads(&self.qkv.forward(pass, x)?, 3 * self.heads)?;
        let parts = qkv.chunk(3, 1)?;
        let y = attention(pass, [&parts[0], &parts[1], &parts[2]], self.map_dropout)?;
        let y = self.proj.forward(pass, &join_heads(&y)?)?;
        dropout(pass, &y, self.dropout)
    }
}

/// Two linear layers with GELU between them, and dropout behind each.
pub(super) struct Mlp {
    layers: [Linear; 2],
    p: f64,
}

impl Mlp {
    /// Declares two layers of these names, for tokens of `dim` channels and `hidden` between the
    /// layers.
    pub fn new(
        names: &mut Names,
        layers: [&str; 2],
        [dim, hidden]: [usize; 2],
        p: f64,
    ) -> Result<Mlp> {
        Ok(Mlp {
            layers: [
                Linear::new(names, layers[0], [dim, hidden])?,
                Linear::new(names, layers[1], [hidden, dim])?,
            ],
            p,
        })
    }
}

impl Module for Mlp {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let [first, second] = &self.layers;
        let hidden = first.forward(pass, x)?;
        let y = second.forward_gelu_dropout(pass, &hidden, self.p)?;
        dropout(pass, &y, self.p)
    }
}

/// A class token in front of the others, if there is one, and a vector for each position, added to
/// the token there.
pub(super) struct Positions {
    class_token: Option<ParamId>,
    positions: ParamId,
}

impl Positions {
    /// Declares both for `[tokens, dim]`: names, and how they begin.
    pub fn new(
        names: &mut Names,
        class_token: Option<(&str, Init)>,
        positions: (&str, Init),
        [tokens, dim]: [usize; 2],
    ) -> Positions {
        let mut declare = |(name, init): (&str, Init), length: usize| {
            names.param(name, [1, length, dim], init, FileLayout::Same)
        };
        Positions {
            class_token: class_token.map(|token| declare(token, 1)),
            positions: declare(positions, tokens + usize::from(class_token.is_some())),
        }
    }
}

impl Module for Positions {
    /// Tokens `[n, length, dim]` to as many, and one more where there is a class token.
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let positions = pass.var(self.positions)?;
        let Some(token) = self.class_token else {
            return x + positions;
        };
        let (n, dim) = (x.shape()[0], x.shape()[2]);
        let token = pass.var(token)?.expand([n, 1, dim])?;
        concat(&[&token, x], 1)? + positions
    }
}

/// The class token `[n, dim]` of `[n, 1 + tokens, dim]`.
#[track_caller]
pub(super) fn class_token(x: &Var) -> Result<Var> {
    x.slice(1, 0..1)?.flatten(1)
}

/// LayerNorm over the channels of a map, whose weights `g` and `b` are `[1, channels, 1, 1]` in files.
pub(super) struct ChannelNorm {
    name: String,
    weights: [ParamId; 2],
    channels: usize,
}

impl ChannelNorm {
    /// Declares `name.g` and `name.b`.
    pub fn new(names: &mut Names, name: &str, channels: usize) -> ChannelNorm {
        let mut names = names.within(name);
        let mut declare = |name, value| {
            let (shape, init) = ([1, 1, 1, channels], Init::Constant(value));
            names.param(name, shape, init, FileLayout::ChannelsFirst)
        };
        ChannelNorm {
            name: name.to_owned(),
            weights: [declare("g", 1.0), declare("b", 0.0)],
            channels,
        }
    }
}

impl Module for ChannelNorm {
    /// `[n, h, w, channels]` to the same.
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let _layer = pass.enter(&*self.name);
        let [g, b] = self.weights;
        let g = pass.uncast(g)?.reshape([self.channels])?;
        let b = pass.uncast(b)?.reshape([self.channels])?;
        layer_norm(x, &g, &b, 1e-5)
    }
}
