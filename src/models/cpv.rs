//! The convolutional Performer: each layer is a convolution and attention by random features.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use super::family::{
    Common, Family, check_blocks, check_counts, check_quarters, classes, named_by_three_numbers,
    number,
};
use super::performer::{MOST_OF_A_HEAD, PerformerAttention, features_of};
use super::transformer::{ChannelNorm, check_heads, dropout, pixels_of_a_token};
use crate::nn::{Conv2d, Linear};
use crate::params::Names;
use crate::tensor::window::Window;
use crate::{Error, Module, Pass, Result, Var};

/// Channels of the two convolutions in front of a [`Cpv`]'s layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpvStem {
    /// A quarter and a half of those of the layers, as in the authors' script.
    Half,
    /// A half and all of them: with 1000 classes, the size that table 1 of WaveMix-Lite prints.
    Full,
}

/// The convolutional vision Performers, `CPV-<dim>/<layers>x<heads>`, under the names of their
/// authors' script.
///
/// ```text
/// x = LN(Conv3x3(x));  x = x + PerformerAttention(x);  x = x + MLP(x)       for each layer
/// logits = Linear(mean over the pixels)
/// ```
///
/// Neither attention nor MLP has a norm of its own, and there are neither positions nor a class token.
/// Dropout is behind the attention and behind both layers of the MLP.
///
/// The random features are drawn once, are a buffer, and are kept with the weights. Two details follow
/// the package rather than the script: the largest exponent of the keys is that of each head of an
/// image, not of the whole batch, and LayerNorm has its usual form, where the script adds eps to the
/// deviation.
///
/// Source: "Convolutional Xformers for vision" (arXiv 2201.10271) and the authors' `CPV.py`.
#[derive(Clone, Debug, PartialEq)]
pub struct Cpv {
    /// Channels of the maps, a multiple of 4.
    pub dim: usize,
    /// Number of layers.
    pub depth: usize,
    /// Heads of the attention, which share the channels.
    pub heads: usize,
    /// Channels between the two layers of an MLP; by default 2 dim.
    pub mlp: usize,
    /// Random features of a head; `None` takes d ln(d), rounded down, for heads of d channels.
    pub features: Option<usize>,
    /// Channels of the first two convolutions.
    pub stem: CpvStem,
    /// Stride of the first convolution; `None` takes the smallest that leaves at most 32x32 pixels.
    /// What the papers took at 64x64 is a guess: the script is for 32x32.
    pub stride: Option<usize>,
}

impl Cpv {
    /// A model with the settings of the authors' script.
    pub fn new(dim: usize, depth: usize, heads: usize) -> Cpv {
        Cpv {
            dim,
            depth,
            heads,
            mlp: dim.saturating_mul(2),
            features: None,
            stem: CpvStem::Half,
            stride: None,
        }
    }

    /// The stride of the first convolution for images of this size.
    pub fn stride(&self, size: usize) -> usize {
        self.stride.unwrap_or_else(|| pixels_of_a_token(size))
    }

    /// The random features of a head.
    pub fn features(&self) -> usize {
        let of_a_head = self.dim / self.heads.max(1);
        self.features.unwrap_or_else(|| features_of(of_a_head))
    }
}

impl Family for Cpv {
    named_by_three_numbers!("CPV-");

    fn settings(&self, common: &Common) -> Vec<(&'static str, Value)> {
        vec![
            ("mlp", self.mlp.into()),
            ("features", self.features().into()),
            ("stem", self.stem.to_string().into()),
            ("stride", self.stride(common.size).into()),
        ]
    }

    fn set(&mut self, setting: &str, value: &str) -> Result<bool> {
        match setting {
            "mlp" => self.mlp = number(setting, value)?,
            "features" => self.features = Some(number(setting, value)?),
            "stem" => self.stem = value.parse()?,
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
            ("the number of features", self.features()),
            ("the stride", self.stride(common.size)),
        ])?;
        check_quarters(self.dim)?;
        if self.dim / self.heads > MOST_OF_A_HEAD {
            let got = self.dim / self.heads;
            return Err(format!(
                "a head has at most {MOST_OF_A_HEAD} channels, got {got}"
            ));
        }
        classes(common).map(|_| ())
    }

    fn layers(&self, names: &mut Names, common: &Common) -> Result<Box<dyn Module>> {
        let classes = classes(common).map_err(Error::Argument)?;
        let [first, second] = match self.stem {
            CpvStem::Half => [self.dim / 4, self.dim / 2],
            CpvStem::Full => [self.dim / 2, self.dim],
        };
        let stem = {
            let (mut names, stride) = (names.within("conv"), self.stride(common.size));
            let mut conv = |name, channels, stride| {
                Conv2d::new(&mut names, name, channels, 3, Window::strided(stride, 1))
            };
            [
                conv("0", [common.channels, first], stride)?,
                conv("1", [first, second], 1)?,
            ]
        };
        let layer = |i: usize| {
            let c_in = if i == 0 { second } else { self.dim };
            let mut names = names.within(&format!("layers.{i}"));
            Layer::new(&mut names, self, c_in, common.dropout)
        };
        let layers = (0..self.depth).map(layer).collect::<Result<_>>()?;
        let head = Linear::new(&mut names.within("head"), "2", [self.dim, classes])?;
        Ok(Box::new(Network { stem, layers, head }))
    }
}

/// The layers.
struct Network {
    stem: [Conv2d; 2],
    layers: Vec<Layer>,
    head: Linear,
}

impl Module for Network {
    #[track_caller]
    fn forward(&self, pass: &Pass, images: &Var) -> Result<Var> {
        let mut x = images.clone();
        for conv in &self.stem {
            let _layer = pass.enter("conv");
            x = conv.forward(pass, &x)?;
        }
        for (i, layer) in self.layers.iter().enumerate() {
            let _layer = pass.enter(format!("layers.{i}"));
            x = layer.forward(pass, &x)?;
        }
        let _layer = pass.enter("head");
        self.head.forward(pass, &x.global_avg_pool()?)
    }
}

/// A convolution, a norm, attention and an MLP.
struct Layer {
    conv: Conv2d,
    norm: ChannelNorm,
    attention: PerformerAttention,
    mlp: [Conv2d; 2],
    dropout: f64,
}

impl Layer {
    fn new(names: &mut Names, cpv: &Cpv, c_in: usize, p: f64) -> Result<Layer> {
        let (dim, sizes) = (cpv.dim, [cpv.dim, cpv.heads]);
        let conv = Conv2d::new(names, "0", [c_in, dim], 3, Window::padded(1))?;
        let norm = ChannelNorm::new(names, "1", dim);
        let mut of_attention = names.within("2.layers.0.0");
        let attention = PerformerAttention::new(&mut of_attention, sizes, cpv.features(), p)?;
        let mut of_mlp = names.within("2.layers.0.1.net");
        Ok(Layer {
            conv,
            norm,
            attention,
            mlp: [
                Conv2d::pointwise(&mut of_mlp, "0", [dim, cpv.mlp])?,
                Conv2d::pointwise(&mut of_mlp, "3", [cpv.mlp, dim])?,
            ],
            dropout: p,
        })
    }
}

impl Module for Layer {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let x = self.norm.forward(pass, &self.conv.forward(pass, x)?)?;
        let shape = *x.shape();
        let x = {
            let _layer = pass.enter("2.layers.0.0");
            let tokens = x.reshape([shape[0], shape[1] * shape[2], shape[3]])?;
            let y = self.attention.forward(pass, &tokens)?;
            (x + y.reshape(shape)?)?
        };
        let _layer = pass.enter("2.layers.0.1.net");
        let [first, second] = &self.mlp;
        let y = first.forward(pass, &x)?;
        let y = second.forward_gelu_dropout(pass, &y, self.dropout)?;
        x + dropout(pass, &y, self.dropout)?
    }
}

impl fmt::Display for CpvStem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CpvStem::Half => "half",
            CpvStem::Full => "full",
        })
    }
}

impl FromStr for CpvStem {
    type Err = Error;
    fn from_str(s: &str) -> Result<CpvStem> {
        match s {
            "half" => Ok(CpvStem::Half),
            "full" => Ok(CpvStem::Full),
            _ => Err(Error::choice("stem", s, &["half", "full"])),
        }
    }
}
