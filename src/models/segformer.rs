//! SegFormer: four stages of attention at falling sizes, and a decoder of linear layers.

use serde_json::Value;

use super::family::{Common, Family, check_blocks, check_counts, classes_of_pixels, number};
use super::head::resize;
use super::transformer::{attention, check_heads, drop_path, join_heads, pixels, split_heads};
use crate::nn::{BatchNorm, Conv2d, LayerNorm, Linear};
use crate::ops::concat;
use crate::params::{Entry, Init, Names};
use crate::tensor::window::Window;
use crate::{Error, Module, Pass, Result, Var};

/// SegFormer with the encoder MiT-B0, `SegFormer-B0`, under the names of its authors' encoder and
/// of segmentation_models_pytorch's decoder.
///
/// ```text
/// x = LN(Conv(x)), 7x7 of stride 4, then 3x3 of stride 2    for each of four stages
/// x = x + Attention(LN(x));  x = x + MLP(LN(x))             for each of its layers
/// k, v = Linear(LN(Conv r x r of stride r (x)))             r = 8, 4, 2, 1
/// MLP(x) = Linear(GELU(depthwise Conv3x3(Linear(x))))
/// map of a stage: LN(x), and in the decoder Linear of it, resized to 1/4 of the image
/// logits = Conv1x1(ReLU(BN(Conv1x1(the maps side by side)))), resized to the image
/// ```
///
/// All resizing is bilinear. segmentation_models_pytorch aligns the corners in the last; this does
/// not, as the authors do not. The dropout of the configuration is the probability with which the
/// last layer's branches are left out for an image (stochastic depth); the layers before have less,
/// in equal steps from 0. There is no other.
///
/// Source: "SegFormer: Simple and efficient design for semantic segmentation with transformers"
/// (arXiv 2105.15203); segmentation_models_pytorch 0.6, `Segformer`, encoder `mit_b0`.
#[derive(Clone, Debug, PartialEq)]
pub struct SegFormer {
    /// Channels of the stages.
    pub dims: [usize; STAGES],
    /// Layers of the stages.
    pub depths: [usize; STAGES],
    /// Heads of the stages' attention, which share the channels.
    pub heads: [usize; STAGES],
    /// How many times a stage's channels its MLPs have inside.
    pub expansion: [usize; STAGES],
    /// Channels of the decoder's maps.
    pub decoder: usize,
}

/// Stages of the encoder.
pub(super) const STAGES: usize = 4;

/// By how much the height and width of a stage's maps are reduced for keys and values.
pub(super) const REDUCTIONS: [usize; STAGES] = [8, 4, 2, 1];

/// What LN adds to the variance, where PyTorch's default is not meant.
const EPS: f64 = 1e-6;

/// Kernel, stride and padding of the convolution before a stage.
pub(super) fn embedding(stage: usize) -> (usize, Window) {
    match stage {
        0 => (7, Window::strided(4, 3)),
        _ => (3, Window::strided(2, 1)),
    }
}

/// Whether every stage has a pixel left for its keys, or what is wrong.
pub(super) fn check_size(size: usize, reductions: [usize; STAGES]) -> Result<(), String> {
    let side = |stage: usize| size.div_ceil(4 << stage);
    match (0..STAGES).find(|&stage| side(stage) < reductions[stage]) {
        None => Ok(()),
        Some(stage) => Err(format!(
            "images of {size} pixels are too small: stage {} has maps of {} pixels, and reduces them {} times",
            stage + 1,
            side(stage),
            reductions[stage]
        )),
    }
}

impl Family for SegFormer {
    fn form() -> &'static str {
        "SegFormer-B0"
    }

    fn parse(name: &str) -> Option<SegFormer> {
        (name == "SegFormer-B0").then_some(SegFormer {
            dims: [32, 64, 160, 256],
            depths: [2; STAGES],
            heads: [1, 2, 5, 8],
            expansion: [4; STAGES],
            decoder: 256,
        })
    }

    fn name(&self) -> String {
        "SegFormer-B0".into()
    }

    fn dropout(&self) -> f64 {
        0.1
    }

    fn only_segments(&self) -> bool {
        true
    }

    fn settings(&self, _: &Common) -> Vec<(&'static str, Value)> {
        vec![("decoder", self.decoder.into())]
    }

    fn set(&mut self, setting: &str, value: &str) -> Result<bool> {
        match setting {
            "decoder" => self.decoder = number(setting, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn check(&self, common: &Common) -> Result<(), String> {
        for stage in 0..STAGES {
            check_heads(self.dims[stage], self.heads[stage])?;
            check_blocks(self.depths[stage])?;
            let hidden = self.dims[stage].saturating_mul(self.expansion[stage]);
            check_counts(&[("the channels of an MLP", hidden)])?;
        }
        check_counts(&[("the channels of the decoder", self.decoder)])?;
        check_size(common.size, REDUCTIONS)?;
        classes_of_pixels(common).map(|_| ())
    }

    fn layers(&self, names: &mut Names, common: &Common) -> Result<Box<dyn Module>> {
        let classes = classes_of_pixels(common).map_err(Error::Argument)?;
        let stages = {
            let mut names = names.within("encoder");
            let stage = |i: usize| Stage::new(&mut names, self, i, common);
            let stages = (0..STAGES).map(stage).collect::<Result<_>>()?;
            names.begin(encoder_begins);
            stages
        };
        let decoder = Decoder::new(&mut names.within("decoder"), self)?;
        let mut names = names.within("segmentation_head");
        let head = Conv2d::pointwise(&mut names, "0", [self.decoder, classes])?;
        names.begin(|entry| match entry.shape.len() {
            4 => Init::xavier_uniform(self.decoder, classes),
            _ => Init::Constant(0.0),
        });
        Ok(Box::new(Network {
            stages,
            decoder,
            head,
        }))
    }
}

/// Linear layers normal with a deviation of 0.02, without the tails; convolutions normal with
/// variance 2 / fan-out, that of a depthwise one being its kernel's size; biases 0.
fn encoder_begins(entry: &Entry) -> Init {
    match entry.shape[..] {
        [_, _] => Init::TruncatedNormal(0.02),
        [_, kh, kw, _] if entry.name.ends_with("dwconv.weight") => Init::kaiming_normal(kh * kw),
        [c_out, kh, kw, _] => Init::kaiming_normal(kh * kw * c_out),
        _ if entry.name.ends_with("bias") => Init::Constant(0.0),
        _ => entry.init,
    }
}

/// The layers.
struct Network {
    stages: Vec<Stage>,
    decoder: Decoder,
    head: Conv2d,
}

impl Module for Network {
    #[track_caller]
    fn forward(&self, pass: &Pass, images: &Var) -> Result<Var> {
        let mut maps = Vec::new();
        for stage in &self.stages {
            let _layer = pass.enter("encoder");
            let map = stage.forward(pass, maps.last().unwrap_or(images))?;
            maps.push(map);
        }
        let x = self.decoder.forward(pass, &maps)?;
        let logits = {
            let _layer = pass.enter("segmentation_head");
            self.head.forward(pass, &x)?
        };
        resize(&logits, [images.shape()[1], images.shape()[2]])
    }
}

/// A convolution that makes tokens of a map, and layers of attention and MLP.
struct Stage {
    /// Its number in names, from 1.
    number: usize,
    proj: Conv2d,
    embed_norm: LayerNorm,
    layers: Vec<Layer>,
    norm: LayerNorm,
}

impl Stage {
    fn new(names: &mut Names, of: &SegFormer, i: usize, common: &Common) -> Result<Stage> {
        let (dim, number) = (of.dims[i], i + 1);
        let c_in = if i == 0 {
            common.channels
        } else {
            of.dims[i - 1]
        };
        let (kernel, window) = embedding(i);
        let (proj, embed_norm) = {
            let mut names = names.within(&format!("patch_embed{number}"));
            let proj = Conv2d::new(&mut names, "proj", [c_in, dim], kernel, window)?;
            (proj, LayerNorm::new(&mut names, "norm", dim)?)
        };
        let all: usize = of.depths.iter().sum();
        let before: usize = of.depths[..i].iter().sum();
        let layer = |j: usize| {
            let mut names = names.within(&format!("block{number}.{j}"));
            let left_out = common.dropout * (before + j) as f64 / (all - 1).max(1) as f64;
            Layer::new(&mut names, of, i, left_out)
        };
        let layers = (0..of.depths[i]).map(layer).collect::<Result<_>>()?;
        Ok(Stage {
            number,
            proj,
            embed_norm,
            layers,
            norm: LayerNorm::new(names, &format!("norm{number}"), dim)?.with_eps(EPS),
        })
    }
}

impl Module for Stage {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let number = self.number;
        let mut x = {
            let _layer = pass.enter(format!("patch_embed{number}"));
            self.embed_norm
                .forward(pass, &self.proj.forward(pass, x)?)?
        };
        for (j, layer) in self.layers.iter().enumerate() {
            let _layer = pass.enter(format!("block{number}.{j}"));
            x = layer.forward(pass, &x)?;
        }
        self.norm.forward(pass, &x)
    }
}

/// Attention and MLP, each with a shortcut around it.
struct Layer {
    norms: [LayerNorm; 2],
    attention: Attention,
    mlp: Mlp,
    /// The probability that a branch is left out for an image.
    left_out: f64,
}

impl Layer {
    fn new(names: &mut Names, of: &SegFormer, i: usize, left_out: f64) -> Result<Layer> {
        let dim = of.dims[i];
        let hidden = of.expansion[i] * dim;
        let sizes = [dim, of.heads[i], REDUCTIONS[i]];
        Ok(Layer {
            norms: [
                LayerNorm::new(names, "norm1", dim)?.with_eps(EPS),
                LayerNorm::new(names, "norm2", dim)?.with_eps(EPS),
            ],
            attention: Attention::new(&mut names.within("attn"), sizes)?,
            mlp: Mlp::new(&mut names.within("mlp"), [dim, hidden])?,
            left_out,
        })
    }
}

impl Module for Layer {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let [first, second] = &self.norms;
        let y = self.attention.forward(pass, &first.forward(pass, x)?)?;
        let x = (x + drop_path(pass, &y, self.left_out)?)?;
        let y = self.mlp.forward(pass, &second.forward(pass, &x)?)?;
        &x + drop_path(pass, &y, self.left_out)?
    }
}

/// Attention of all pixels to those of a smaller map.
struct Attention {
    q: Linear,
    kv: Linear,
    proj: Linear,
    /// What makes the smaller map, where it is smaller.
    reduction: Option<(Conv2d, LayerNorm)>,
    heads: usize,
}

impl Attention {
    fn new(names: &mut Names, [dim, heads, reduction]: [usize; 3]) -> Result<Attention> {
        let mut smaller = || -> Result<(Conv2d, LayerNorm)> {
            let window = Window::strided(reduction, 0);
            let conv = Conv2d::new(names, "sr", [dim; 2], reduction, window)?;
            Ok((conv, LayerNorm::new(names, "norm", dim)?))
        };
        let reduction = (reduction > 1).then(&mut smaller).transpose()?;
        Ok(Attention {
            q: Linear::new(names, "q", [dim, dim])?,
            kv: Linear::new(names, "kv", [dim, 2 * dim])?,
            proj: Linear::new(names, "proj", [dim, dim])?,
            reduction,
            heads,
        })
    }
}

impl Module for Attention {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let _layer = pass.enter("attn");
        let q = split_heads(&self.q.forward(pass, &pixels(x)?)?, self.heads)?;
        let smaller = match &self.reduction {
            Some((conv, norm)) => norm.forward(pass, &conv.forward(pass, x)?)?,
            None => x.clone(),
        };
        let kv = self.kv.forward(pass, &pixels(&smaller)?)?;
        // Keys come before values, head by head.
        let kv = split_heads(&kv, 2 * self.heads)?.chunk(2, 1)?;
        let y = attention(pass, [&q, &kv[0], &kv[1]], 0.0)?;
        self.proj
            .forward(pass, &join_heads(&y)?.reshape(*x.shape())?)
    }
}

/// Two linear layers at every pixel, and between them a depthwise convolution and GELU.
struct Mlp {
    fc1: Linear,
    depthwise: Conv2d,
    fc2: Linear,
}

impl Mlp {
    fn new(names: &mut Names, [dim, hidden]: [usize; 2]) -> Result<Mlp> {
        let fc1 = Linear::new(names, "fc1", [dim, hidden])?;
        let window = Window {
            groups: hidden,
            ..Window::padded(1)
        };
        let depthwise = {
            let mut names = names.within("dwconv");
            Conv2d::new(&mut names, "dwconv", [hidden; 2], 3, window)?
        };
        Ok(Mlp {
            fc1,
            depthwise,
            fc2: Linear::new(names, "fc2", [hidden, dim])?,
        })
    }
}

impl Module for Mlp {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let _layer = pass.enter("mlp");
        let x = self.fc1.forward(pass, x)?;
        let x = {
            let _layer = pass.enter("dwconv");
            self.depthwise.forward(pass, &x)?
        };
        self.fc2.forward_gelu_dropout(pass, &x, 0.0)
    }
}

/// The maps of all stages, brought to one size and mixed.
struct Decoder {
    /// One a stage, the last stage's first.
    linear: Vec<Linear>,
    fuse: Conv2d,
    norm: BatchNorm,
}

impl Decoder {
    fn new(names: &mut Names, of: &SegFormer) -> Result<Decoder> {
        let wide = of.decoder;
        let linear = |(j, &dim): (usize, &usize)| {
            let mut names = names.within(&format!("mlp_stage.{j}"));
            Linear::new(&mut names, "linear", [dim, wide])
        };
        let linear = of.dims.iter().rev().enumerate().map(linear);
        let linear = linear.collect::<Result<_>>()?;
        let (fuse, norm) = {
            let (mut names, one) = (names.within("fuse_stage"), Window::default());
            let channels = [STAGES * wide, wide];
            let fuse = Conv2d::without_bias(&mut names, "0", channels, 1, one)?;
            (fuse, BatchNorm::new(&mut names, "1", wide)?)
        };
        names.begin(|entry| match entry.shape[..] {
            [c_out, c_in] => Init::xavier_uniform(c_in, c_out),
            [_, _, _, c_in] => Init::kaiming_uniform(c_in),
            _ if entry.name.ends_with("linear.bias") => Init::Constant(0.0),
            _ => entry.init,
        });
        Ok(Decoder { linear, fuse, norm })
    }

    /// Maps, the largest first, to one of the largest's size.
    #[track_caller]
    fn forward(&self, pass: &Pass, maps: &[Var]) -> Result<Var> {
        let _layer = pass.enter("decoder");
        let size = [1, 2].map(|axis| maps[0].shape()[axis]);
        let mut parts = Vec::new();
        for (j, (linear, map)) in self.linear.iter().zip(maps.iter().rev()).enumerate() {
            let _layer = pass.enter(format!("mlp_stage.{j}"));
            parts.push(resize(&linear.forward(pass, map)?, size)?);
        }
        let parts: Vec<&Var> = parts.iter().collect();
        let _layer = pass.enter("fuse_stage");
        let x = self.fuse.forward(pass, &concat(&parts, 3)?)?;
        self.norm.forward(pass, &x)?.relu()
    }
}
