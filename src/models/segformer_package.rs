//! The SegFormer that the WaveMix-Lite paper trained itself: that of the package segformer-pytorch.

use serde_json::Value;

use super::family::{
    Common, Family, check_blocks, check_counts, classes_of_pixels, joined, number, numbers,
};
use super::head::resize;
use super::segformer::{REDUCTIONS, STAGES, check_size, embedding};
use super::transformer::{ChannelNorm, attention, check_heads, join_heads, pixels, split_heads};
use crate::nn::Conv2d;
use crate::ops::{Interpolation, concat, conv2d};
use crate::params::{FileLayout, Init, Names, ParamId};
use crate::tensor::window::Window;
use crate::{Error, Module, Pass, Result, Var};

/// SegFormer as the package segformer-pytorch has it, `SegFormer`, with its default settings and
/// under its names: another network than [`SegFormer`](super::SegFormer).
///
/// ```text
/// x = Conv(x), 7x7 of stride 4, then 3x3 of stride 2        for each of four stages
/// x = x + Attention(LN(x));  x = x + MLP(LN(x))             for each of its layers
/// k, v = Conv r x r of stride r (x)                         without bias, as q and the output
/// MLP(x) = Conv1x1(GELU(Conv1x1(depthwise Conv3x3(Conv1x1(x)))))
/// logits = Conv1x1(Conv1x1(Conv1x1 of each stage's map, enlarged to the first's, side by side))
/// ```
///
/// Maps are enlarged to the nearest pixel; the logits, of 1/4 of the image, bilinearly to the
/// image. That last step is a guess: neither the package nor the paper has it, and its labels have
/// the image's size. LN has its epsilon within the root, as elsewhere; the package adds it to the
/// root, a difference of 1e-5 relative. There is no dropout.
///
/// WaveMix-Lite's table 4 has this model: the printed 7.7 M is its count.
///
/// Source: segformer-pytorch 0.0.6 (`Segformer`).
#[derive(Clone, Debug, PartialEq)]
pub struct SegFormerPackage {
    /// Channels of the stages.
    pub dims: [usize; STAGES],
    /// Heads of the stages' attention, which share the channels.
    pub heads: [usize; STAGES],
    /// How many times a stage's channels its MLPs have inside.
    pub expansion: [usize; STAGES],
    /// Layers of each stage.
    pub layers: usize,
    /// Channels of the maps that are put side by side.
    pub decoder: usize,
}

impl Default for SegFormerPackage {
    /// The package's settings.
    fn default() -> SegFormerPackage {
        SegFormerPackage {
            dims: [32, 64, 160, 256],
            heads: [1, 2, 5, 8],
            expansion: [8, 8, 4, 4],
            layers: 2,
            decoder: 256,
        }
    }
}

/// A setting of each stage.
fn of_stages(setting: &str, value: &str) -> Result<[usize; STAGES]> {
    numbers(setting, value)?.try_into().map_err(|_| {
        let what = format!("the setting `{setting}` has a number for each of {STAGES} stages");
        Error::Argument(format!("{what}, got `{value}`"))
    })
}

impl Family for SegFormerPackage {
    fn form() -> &'static str {
        "SegFormer"
    }

    fn parse(name: &str) -> Option<SegFormerPackage> {
        (name == "SegFormer").then(SegFormerPackage::default)
    }

    fn name(&self) -> String {
        "SegFormer".into()
    }

    fn dropout(&self) -> f64 {
        0.0
    }

    fn only_segments(&self) -> bool {
        true
    }

    fn settings(&self, _: &Common) -> Vec<(&'static str, Value)> {
        vec![
            ("dims", joined(&self.dims)),
            ("heads", joined(&self.heads)),
            ("expansion", joined(&self.expansion)),
            ("layers", self.layers.into()),
            ("decoder", self.decoder.into()),
        ]
    }

    fn set(&mut self, setting: &str, value: &str) -> Result<bool> {
        match setting {
            "dims" => self.dims = of_stages(setting, value)?,
            "heads" => self.heads = of_stages(setting, value)?,
            "expansion" => self.expansion = of_stages(setting, value)?,
            "layers" => self.layers = number(setting, value)?,
            "decoder" => self.decoder = number(setting, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn check(&self, common: &Common) -> Result<(), String> {
        for stage in 0..STAGES {
            check_heads(self.dims[stage], self.heads[stage])?;
            let hidden = self.dims[stage].saturating_mul(self.expansion[stage]);
            check_counts(&[("the channels of an MLP", hidden)])?;
        }
        check_blocks(self.layers)?;
        check_counts(&[("the channels of the decoder", self.decoder)])?;
        check_size(common.size, REDUCTIONS)?;
        classes_of_pixels(common).map(|_| ())
    }

    fn layers(&self, names: &mut Names, common: &Common) -> Result<Box<dyn Module>> {
        let classes = classes_of_pixels(common).map_err(Error::Argument)?;
        let stage = |i: usize| {
            let mut names = names.within(&format!("mit.stages.{i}"));
            let c_in = if i == 0 {
                common.channels
            } else {
                self.dims[i - 1]
            };
            Stage::new(&mut names, self, i, c_in)
        };
        let stages = (0..STAGES).map(stage).collect::<Result<_>>()?;
        let fused = |(i, &dim): (usize, &usize)| {
            let mut names = names.within(&format!("to_fused.{i}"));
            Conv2d::pointwise(&mut names, "0", [dim, self.decoder])
        };
        let to_fused = self.dims.iter().enumerate().map(fused);
        let to_fused = to_fused.collect::<Result<_>>()?;
        let mut names = names.within("to_segmentation");
        let wide = [STAGES * self.decoder, self.decoder];
        Ok(Box::new(Network {
            stages,
            to_fused,
            to_segmentation: [
                Conv2d::pointwise(&mut names, "0", wide)?,
                Conv2d::pointwise(&mut names, "1", [self.decoder, classes])?,
            ],
        }))
    }
}

/// The layers.
struct Network {
    stages: Vec<Stage>,
    to_fused: Vec<Conv2d>,
    to_segmentation: [Conv2d; 2],
}

impl Module for Network {
    #[track_caller]
    fn forward(&self, pass: &Pass, images: &Var) -> Result<Var> {
        let mut maps: Vec<Var> = Vec::new();
        for (i, stage) in self.stages.iter().enumerate() {
            let _layer = pass.enter(format!("mit.stages.{i}"));
            let map = stage.forward(pass, maps.last().unwrap_or(images))?;
            maps.push(map);
        }
        let size = [1, 2].map(|axis| maps[0].shape()[axis]);
        let mut parts = Vec::new();
        for (i, (conv, map)) in self.to_fused.iter().zip(&maps).enumerate() {
            let _layer = pass.enter(format!("to_fused.{i}"));
            let map = conv.forward(pass, map)?;
            parts.push(map.upsample(size, Interpolation::Nearest)?);
        }
        let parts: Vec<&Var> = parts.iter().collect();
        let logits = {
            let _layer = pass.enter("to_segmentation");
            let [first, second] = &self.to_segmentation;
            second.forward(pass, &first.forward(pass, &concat(&parts, 3)?)?)?
        };
        resize(&logits, [images.shape()[1], images.shape()[2]])
    }
}

/// A convolution to fewer pixels, and layers of attention and MLP.
struct Stage {
    embed: Embedding,
    layers: Vec<Layer>,
}

impl Stage {
    fn new(names: &mut Names, of: &SegFormerPackage, i: usize, c_in: usize) -> Result<Stage> {
        let channels = [c_in, of.dims[i]];
        let embed = Embedding::new(&mut names.within("1"), i, channels);
        let layer = |j: usize| Layer::new(&mut names.within(&format!("2.{j}")), of, i);
        let layers = (0..of.layers).map(layer).collect::<Result<_>>()?;
        Ok(Stage { embed, layers })
    }
}

impl Module for Stage {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let mut x = self.embed.forward(pass, x)?;
        for (j, layer) in self.layers.iter().enumerate() {
            let _layer = pass.enter(format!("2.{j}"));
            x = layer.forward(pass, &x)?;
        }
        Ok(x)
    }
}

/// A convolution whose weight files have as that of a 1x1 convolution of unfolded windows.
struct Embedding {
    weight: ParamId,
    bias: ParamId,
    window: Window,
}

impl Embedding {
    fn new(names: &mut Names, stage: usize, [c_in, c_out]: [usize; 2]) -> Embedding {
        let (kernel, window) = embedding(stage);
        let bound = 1.0 / ((kernel * kernel * c_in) as f64).sqrt();
        let (shape, init) = ([c_out, kernel, kernel, c_in], Init::Uniform(bound));
        Embedding {
            weight: names.param("weight", shape, init, FileLayout::Unfolded),
            bias: names.param("bias", [c_out], init, FileLayout::Same),
            window,
        }
    }
}

impl Module for Embedding {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let _layer = pass.enter("1");
        let (weight, bias) = (pass.var(self.weight)?, pass.var(self.bias)?);
        conv2d(x, &weight, Some(&bias), self.window)
    }
}

/// Attention and MLP, each with a shortcut around it.
struct Layer {
    attention_norm: ChannelNorm,
    attention: Attention,
    mlp_norm: ChannelNorm,
    mlp: Mlp,
}

impl Layer {
    fn new(names: &mut Names, of: &SegFormerPackage, i: usize) -> Result<Layer> {
        let (dim, heads) = (of.dims[i], of.heads[i]);
        let (attention_norm, attention) = {
            let mut names = names.within("0");
            let norm = ChannelNorm::new(&mut names, "norm", dim);
            let sizes = [dim, heads, REDUCTIONS[i]];
            (norm, Attention::new(&mut names.within("fn"), sizes)?)
        };
        let mut names = names.within("1");
        let mlp_norm = ChannelNorm::new(&mut names, "norm", dim);
        let hidden = of.expansion[i] * dim;
        Ok(Layer {
            attention_norm,
            attention,
            mlp_norm,
            mlp: Mlp::new(&mut names.within("fn.net"), [dim, hidden])?,
        })
    }
}

impl Module for Layer {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let x = {
            let _layer = pass.enter("0");
            let y = self.attention_norm.forward(pass, x)?;
            (x + self.attention.forward(pass, &y)?)?
        };
        let _layer = pass.enter("1");
        let y = self.mlp_norm.forward(pass, &x)?;
        &x + self.mlp.forward(pass, &y)?
    }
}

/// Attention of all pixels to those of a smaller map.
struct Attention {
    to_q: Conv2d,
    to_kv: Conv2d,
    to_out: Conv2d,
    heads: usize,
}

impl Attention {
    fn new(names: &mut Names, [dim, heads, reduction]: [usize; 3]) -> Result<Attention> {
        let (one, smaller) = (Window::default(), Window::strided(reduction, 0));
        let kv = [dim, 2 * dim];
        Ok(Attention {
            to_q: Conv2d::without_bias(names, "to_q", [dim; 2], 1, one)?,
            to_kv: Conv2d::without_bias(names, "to_kv", kv, reduction, smaller)?,
            to_out: Conv2d::without_bias(names, "to_out", [dim; 2], 1, one)?,
            heads,
        })
    }
}

impl Module for Attention {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let _layer = pass.enter("fn");
        let q = split_heads(&pixels(&self.to_q.forward(pass, x)?)?, self.heads)?;
        let kv = self.to_kv.forward(pass, x)?;
        // Keys come before values, head by head.
        let kv = split_heads(&pixels(&kv)?, 2 * self.heads)?.chunk(2, 1)?;
        let y = attention(pass, [&q, &kv[0], &kv[1]], 0.0)?;
        self.to_out
            .forward(pass, &join_heads(&y)?.reshape(*x.shape())?)
    }
}

/// Four convolutions at one size, the second of which is depthwise.
struct Mlp {
    first: Conv2d,
    depthwise: Conv2d,
    pointwise: Conv2d,
    last: Conv2d,
}

impl Mlp {
    fn new(names: &mut Names, [dim, hidden]: [usize; 2]) -> Result<Mlp> {
        let first = Conv2d::pointwise(names, "0", [dim, hidden])?;
        let window = Window {
            groups: hidden,
            ..Window::padded(1)
        };
        let (depthwise, pointwise) = {
            let mut names = names.within("1.net");
            let depthwise = Conv2d::new(&mut names, "0", [hidden; 2], 3, window)?;
            (depthwise, Conv2d::pointwise(&mut names, "1", [hidden; 2])?)
        };
        Ok(Mlp {
            first,
            depthwise,
            pointwise,
            last: Conv2d::pointwise(names, "3", [hidden, dim])?,
        })
    }
}

impl Module for Mlp {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let _layer = pass.enter("fn.net");
        let x = self.first.forward(pass, x)?;
        let x = {
            let _layer = pass.enter("1.net");
            self.pointwise
                .forward(pass, &self.depthwise.forward(pass, &x)?)?
        };
        self.last.forward_gelu_dropout(pass, &x, 0.0)
    }
}
