//! 2-D MLP-Mixer: every pixel a token, mixed by MLPs along the height, the width and the channels.

use serde_json::Value;

use super::family::{
    Common, Family, MOST, MOST_BLOCKS, check_counts, classes, named_by_two_numbers,
};
use super::mlp_mixer::square;
use crate::nn::{BatchNorm, Conv2d, LayerNorm, Linear};
use crate::params::Names;
use crate::tensor::window::Window;
use crate::{Error, Module, Pass, Result, Var};

/// 2-D MLP-Mixer, `2D-MLP-Mixer-<dim>/<blocks>`.
///
/// ```text
/// x = Conv3x3(dim/2 -> dim)(Conv3x3(channels -> dim/2)(image))
/// block: y = W2 Dropout(GELU(W1 LN(x)))               along the height, n -> 2 n -> n
///        y = W2 Dropout(GELU(W1 LN(y)))               along the width, the same
///        x = Conv1x1(2 dim -> dim)(Dropout(GELU(Conv1x1(dim -> 2 dim)(BN(y))))) + x
/// ```
///
/// then the mean over the pixels and a linear layer. Height and width, n, are fixed when the model is
/// built: it takes square images of its size.
///
/// No code of it was published, and WaveMix, section 4.2, says only that height, width and channels
/// are mixed one after the other. That hidden layers are twice as wide is what the counts of table 1
/// come to, 0.15 and 0.45 M. The paper does not say what the norms before the first two MLPs
/// normalise (here the axis that is mixed: over the channels the counts would round to the same), the
/// order, stem and head (here those of 2-D FNet, beside which it stands), or where shortcuts are (one
/// around the block). Names are those of 2-D FNet where the layers are, and our own elsewhere.
///
/// Source: WaveMix (arXiv 2203.03689), section 4.2; after "MLP-Mixer: An all-MLP Architecture for
/// Vision" (arXiv 2105.01601).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MlpMixer2d {
    /// Channels of all maps. A multiple of 2.
    pub dim: usize,
    /// Number of blocks.
    pub depth: usize,
}

impl MlpMixer2d {
    /// The model, which has no other settings.
    pub fn new(dim: usize, depth: usize) -> MlpMixer2d {
        MlpMixer2d { dim, depth }
    }
}

impl Family for MlpMixer2d {
    named_by_two_numbers!("2D-MLP-Mixer-");

    fn settings(&self, _: &Common) -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    fn set(&mut self, _: &str, _: &str) -> Result<bool> {
        Ok(false)
    }

    fn check(&self, common: &Common) -> Result<(), String> {
        if self.dim == 0 || !self.dim.is_multiple_of(2) || self.dim > MOST {
            return Err(format!(
                "the dimension must be a multiple of 2 up to {MOST}, got {}",
                self.dim
            ));
        }
        if self.depth > MOST_BLOCKS {
            return Err(format!("at most {MOST_BLOCKS} blocks, got {}", self.depth));
        }
        check_counts(&[("twice the size", common.size.saturating_mul(2))])?;
        classes(common).map(|_| ())
    }

    fn layers(&self, names: &mut Names, common: &Common) -> Result<Box<dyn Module>> {
        let classes = classes(common).map_err(Error::Argument)?;
        let (dim, mut stem) = (self.dim, names.within("conv"));
        let mut conv =
            |name, channels| Conv2d::new(&mut stem, name, channels, 3, Window::padded(1));
        let stem = [
            conv("0", [common.channels, dim / 2])?,
            conv("1", [dim / 2, dim])?,
        ];
        let block = |i: usize| -> Result<Block> {
            let mut names = names.within(&format!("layers.{i}"));
            Block::new(&mut names, dim, common)
        };
        let blocks = (0..self.depth).map(block).collect::<Result<_>>()?;
        let head = Linear::new(&mut names.within("pool"), "2", [dim, classes])?;
        Ok(Box::new(Network {
            size: common.size,
            stem,
            blocks,
            head,
        }))
    }
}

/// A 2-D MLP-Mixer's layers.
struct Network {
    size: usize,
    stem: [Conv2d; 2],
    blocks: Vec<Block>,
    head: Linear,
}

impl Module for Network {
    #[track_caller]
    fn forward(&self, pass: &Pass, images: &Var) -> Result<Var> {
        square(images, self.size)?;
        let mut x = images.clone();
        for conv in &self.stem {
            let _layer = pass.enter("conv");
            x = conv.forward(pass, &x)?;
        }
        for (i, block) in self.blocks.iter().enumerate() {
            let _layer = pass.enter(format!("layers.{i}"));
            x = block.forward(pass, &x)?;
        }
        let _layer = pass.enter("pool");
        self.head.forward(pass, &x.global_avg_pool()?)
    }
}

/// The three MLPs, and a shortcut around them.
struct Block {
    height: AxisMlp,
    width: AxisMlp,
    norm: BatchNorm,
    hidden: Conv2d,
    output: Conv2d,
    dropout: f64,
}

impl Block {
    fn new(names: &mut Names, dim: usize, common: &Common) -> Result<Block> {
        let Common { size, dropout, .. } = *common;
        let height = AxisMlp::new(names, "height", size, dropout)?;
        let width = AxisMlp::new(names, "width", size, dropout)?;
        let mut names = names.within("ff");
        let norm = BatchNorm::new(&mut names, "0", dim)?;
        let mut net = names.within("1.net");
        Ok(Block {
            height,
            width,
            norm,
            hidden: Conv2d::pointwise(&mut net, "0", [dim, 2 * dim])?,
            output: Conv2d::pointwise(&mut net, "3", [2 * dim, dim])?,
            dropout,
        })
    }
}

impl Module for Block {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        // [n, h, w, c] to [n, w, c, h]: the axis that is mixed comes last.
        let y = self.height.forward(pass, &x.permute(&[0, 2, 3, 1])?)?;
        // [n, w, c, h] to [n, h, c, w]
        let y = self.width.forward(pass, &y.permute(&[0, 3, 2, 1])?)?;
        // [n, h, c, w] to [n, h, w, c]
        let y = y.permute(&[0, 1, 3, 2])?;
        let _layer = pass.enter("ff");
        let y = self.norm.forward(pass, &y)?;
        let _layer = pass.enter("1.net");
        let y = self.hidden.forward(pass, &y)?;
        &self.output.forward_gelu_dropout(pass, &y, self.dropout)? + x
    }
}

/// LayerNorm and an MLP along the last axis.
struct AxisMlp {
    name: &'static str,
    norm: LayerNorm,
    hidden: Linear,
    output: Linear,
    dropout: f64,
}

impl AxisMlp {
    fn new(names: &mut Names, name: &'static str, n: usize, dropout: f64) -> Result<AxisMlp> {
        let mut names = names.within(name);
        Ok(AxisMlp {
            name,
            norm: LayerNorm::new(&mut names, "norm", n)?,
            hidden: Linear::new(&mut names, "net.0", [n, 2 * n])?,
            output: Linear::new(&mut names, "net.3", [2 * n, n])?,
            dropout,
        })
    }
}

impl Module for AxisMlp {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let _layer = pass.enter(self.name);
        let y = self.hidden.forward(pass, &self.norm.forward(pass, x)?)?;
        self.output.forward_gelu_dropout(pass, &y, self.dropout)
    }
}
