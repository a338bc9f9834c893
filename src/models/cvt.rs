//! The convolutional vision transformer: maps stay maps, and convolutions make queries, keys and
//! values.

use serde_json::Value;

use super::family::{
    Common, Family, check_blocks, check_counts, classes, joined, number, numbers, three_numbers,
};
use super::transformer::{
    ChannelNorm, attention, dropout, join_heads, pixels, pixels_of_a_token, split_heads,
};
use crate::nn::{BatchNorm, Conv2d, Linear};
use crate::params::Names;
use crate::tensor::window::Window;
use crate::{Error, Module, Pass, Result, Var};

/// Channels of a head.
const OF_A_HEAD: usize = 64;

/// The convolutional vision transformers, `CvT-<dim>/<layers>x<heads>`, under the names of
/// `vit_pytorch.cvt`.
///
/// ```text
/// x = LN(Conv3x3(x))                                         for each of three stages
/// x = x + Attention(LN(x));  x = x + MLP(LN(x))              for each of its layers
/// q = Conv1x1(BN(depth-wise Conv3x3(x))), k and v likewise
/// logits = Linear(mean over the pixels)
/// ```
///
/// Each pixel is a token, and a head has 64 channels whatever the dimension. A name's layers are one
/// in each of the first two stages, and the rest in the third: with that, one dimension for all
/// stages and these heads the papers' count comes out. Dropout is on the softmax of the attention,
/// behind the attention, and behind both layers of the MLP, as in that code.
///
/// Source: "CvT: Introducing convolutions to vision transformers" (arXiv 2103.15808);
/// `vit_pytorch.cvt`.
#[derive(Clone, Debug, PartialEq)]
pub struct CvT {
    /// Channels of the maps.
    pub dim: usize,
    /// Layers of the stages.
    pub depths: [usize; 3],
    /// Heads of the attention.
    pub heads: usize,
    /// Channels between the two layers of an MLP; by default 2 dim.
    pub mlp: usize,
    /// Stride of the first convolution; `None` takes the smallest that leaves at most 32x32 pixels. The
    /// others have stride 1.
    pub stride: Option<usize>,
    /// Stages' strides of the convolutions that make keys and values; by default 1.
    pub kv_strides: [usize; 3],
}

impl CvT {
    /// A model with the papers' settings, of at least three layers.
    pub fn new(dim: usize, depth: usize, heads: usize) -> CvT {
        CvT {
            dim,
            depths: [1, 1, depth.saturating_sub(2)],
            heads,
            mlp: dim.saturating_mul(2),
            stride: None,
            kv_strides: [1; 3],
        }
    }

    /// The stride of the first convolution for images of this size.
    pub fn stride(&self, size: usize) -> usize {
        self.stride.unwrap_or_else(|| pixels_of_a_token(size))
    }
}

/// A setting of each stage.
fn of_stages(setting: &str, value: &str) -> Result<[usize; 3]> {
    numbers(setting, value)?.try_into().map_err(|_| {
        let what = format!("the setting `{setting}` has a number for each of 3 stages");
        Error::Argument(format!("{what}, got `{value}`"))
    })
}

impl Family for CvT {
    fn form() -> &'static str {
        "CvT-<dim>/<layers>x<heads>"
    }

    fn parse(name: &str) -> Option<CvT> {
        let [dim, depth, heads] = three_numbers(name, "CvT-")?;
        Some(CvT::new(dim, depth, heads))
    }

    fn name(&self) -> String {
        let depth = self
            .depths
            .iter()
            .fold(0, |all: usize, n| all.saturating_add(*n));
        format!("CvT-{}/{depth}x{}", self.dim, self.heads)
    }

    fn settings(&self, common: &Common) -> Vec<(&'static str, Value)> {
        vec![
            ("depths", joined(&self.depths)),
            ("mlp", self.mlp.into()),
            ("stride", self.stride(common.size).into()),
            ("kv_strides", joined(&self.kv_strides)),
        ]
    }

    fn set(&mut self, setting: &str, value: &str) -> Result<bool> {
        match setting {
            "depths" => self.depths = of_stages(setting, value)?,
            "mlp" => self.mlp = number(setting, value)?,
            "stride" => self.stride = Some(number(setting, value)?),
            "kv_strides" => self.kv_strides = of_stages(setting, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn check(&self, common: &Common) -> Result<(), String> {
        check_counts(&[
            ("the dimension", self.dim),
            ("the number of heads", self.heads),
            ("mlp", self.mlp),
            ("the stride", self.stride(common.size)),
        ])?;
        check_counts(&self.kv_strides.map(|stride| ("a stride of keys", stride)))?;
        self.depths
            .iter()
            .try_for_each(|&depth| check_blocks(depth))?;
        classes(common).map(|_| ())
    }

    fn layers(&self, names: &mut Names, common: &Common) -> Result<Box<dyn Module>> {
        let classes = classes(common).map_err(Error::Argument)?;
        let stages = [0, 1, 2].map(|i| {
            let mut names = names.within(&format!("layers.{i}"));
            Stage::new(&mut names, self, i, common)
        });
        let [first, second, third] = stages;
        let stages = [first?, second?, third?];
        let head = Linear::new(&mut names.within("to_logits"), "2", [self.dim, classes])?;
        Ok(Box::new(Network { stages, head }))
    }
}

/// The layers.
struct Network {
    stages: [Stage; 3],
    head: Linear,
}

impl Module for Network {
    #[track_caller]
    fn forward(&self, pass: &Pass, images: &Var) -> Result<Var> {
        let mut x = images.clone();
        for (i, stage) in self.stages.iter().enumerate() {
            let _layer = pass.enter(format!("layers.{i}"));
            x = stage.forward(pass, &x)?;
        }
        let _layer = pass.enter("to_logits");
        self.head.forward(pass, &x.global_avg_pool()?)
    }
}

/// A convolution, and layers of attention and MLP.
struct Stage {
    embed: Conv2d,
    norm: ChannelNorm,
    layers: Vec<(Attention, FeedForward)>,
}

impl Stage {
    fn new(names: &mut Names, cvt: &CvT, i: usize, common: &Common) -> Result<Stage> {
        let (c_in, stride) = match i {
            0 => (common.channels, cvt.stride(common.size)),
            _ => (cvt.dim, 1),
        };
        let window = Window::strided(stride, 1);
        let embed = Conv2d::new(names, "0", [c_in, cvt.dim], 3, window)?;
        let norm = ChannelNorm::new(names, "1", cvt.dim);
        let layer = |j: usize| -> Result<(Attention, FeedForward)> {
            let mut names = names.within(&format!("2.layers.{j}"));
            let p = common.dropout;
            let attention = Attention::new(&mut names.within("0"), cvt, cvt.kv_strides[i], p)?;
            let sizes = [cvt.dim, cvt.mlp];
            Ok((
                attention,
                FeedForward::new(&mut names.within("1.net"), sizes, p)?,
            ))
        };
        let layers = (0..cvt.depths[i]).map(layer).collect::<Result<_>>()?;
        Ok(Stage {
            embed,
            norm,
            layers,
        })
    }
}

impl Module for Stage {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let x = self.embed.forward(pass, x)?;
        let mut x = self.norm.forward(pass, &x)?;
        for (j, (attention, mlp)) in self.layers.iter().enumerate() {
            let _layer = pass.enter(format!("2.layers.{j}"));
            x = (&x + attention.forward(pass, &x)?)?;
            x = (&x + mlp.forward(pass, &x)?)?;
        }
        Ok(x)
    }
}

/// Attention of all pixels to all, or to those that the stride of keys and values leaves.
struct Attention {
    norm: ChannelNorm,
    to_q: Projection,
    to_kv: Projection,
    to_out: Conv2d,
    heads: usize,
    dropout: f64,
}

impl Attention {
    fn new(names: &mut Names, cvt: &CvT, kv_stride: usize, p: f64) -> Result<Attention> {
        let (dim, inner) = (cvt.dim, cvt.heads * OF_A_HEAD);
        let norm = ChannelNorm::new(names, "norm", dim);
        Ok(Attention {
            norm,
            to_q: Projection::new(&mut names.within("to_q.net"), [dim, inner], 1)?,
            to_kv: Projection::new(&mut names.within("to_kv.net"), [dim, 2 * inner], kv_stride)?,
            to_out: Conv2d::pointwise(&mut names.within("to_out"), "0", [inner, dim])?,
            heads: cvt.heads,
            dropout: p,
        })
    }
}

impl Module for Attention {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let _layer = pass.enter("0");
        let x = self.norm.forward(pass, x)?;
        let q = {
            let _layer = pass.enter("to_q.net");
            self.to_q.forward(pass, &x)?
        };
        let kv = {
            let _layer = pass.enter("to_kv.net");
            self.to_kv.forward(pass, &x)?
        };
        let shape = *q.shape();
        // Keys come before values, head by head.
        let q = split_heads(&pixels(&q)?, self.heads)?;
        let kv = split_heads(&pixels(&kv)?, 2 * self.heads)?.chunk(2, 1)?;
        let y = attention(pass, [&q, &kv[0], &kv[1]], self.dropout)?;
        let y = join_heads(&y)?.reshape(shape)?;
        let _layer = pass.enter("to_out");
        dropout(pass, &self.to_out.forward(pass, &y)?, self.dropout)
    }
}

/// A depth-wise convolution, BatchNorm, and a linear layer at every pixel.
struct Projection {
    depthwise: Conv2d,
    norm: BatchNorm,
    pointwise: Conv2d,
}

impl Projection {
    fn new(names: &mut Names, [c_in, c_out]: [usize; 2], stride: usize) -> Result<Projection> {
        let window = Window {
            groups: c_in,
            ..Window::strided(stride, 1)
        };
        let one = Window::default();
        Ok(Projection {
            depthwise: Conv2d::without_bias(names, "0", [c_in; 2], 3, window)?,
            norm: BatchNorm::new(names, "1", c_in)?,
            pointwise: Conv2d::without_bias(names, "2", [c_in, c_out], 1, one)?,
        })
    }
}

impl Module for Projection {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let x = self.depthwise.forward(pass, x)?;
        self.pointwise.forward(pass, &self.norm.forward(pass, &x)?)
    }
}

/// An MLP at every pixel.
struct FeedForward {
    norm: ChannelNorm,
    first: Conv2d,
    second: Conv2d,
    p: f64,
}

impl FeedForward {
    fn new(names: &mut Names, [dim, hidden]: [usize; 2], p: f64) -> Result<FeedForward> {
        Ok(FeedForward {
            norm: ChannelNorm::new(names, "0", dim),
            first: Conv2d::pointwise(names, "1", [dim, hidden])?,
            second: Conv2d::pointwise(names, "4", [hidden, dim])?,
            p,
        })
    }
}

impl Module for FeedForward {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let _layer = pass.enter("1.net");
        let x = self.first.forward(pass, &self.norm.forward(pass, x)?)?;
        let y = self.second.forward_gelu_dropout(pass, &x, self.p)?;
        dropout(pass, &y, self.p)
    }
}
