//! FNet for images: maps of one size, mixed by Fourier transforms.

use serde_json::Value;

use super::family::{
    Common, Family, check_blocks, check_counts, classes, named_by_two_numbers, number,
};
use super::transformer::dropout;
use crate::nn::{BatchNorm, Conv2d, Linear};
use crate::params::Names;
use crate::tensor::window::Window;
use crate::{Error, Module, Pass, Result, Var};

/// The FNets for images, `2D-FNet-<dim>/<blocks>`, under the names of the package `vision_xformer`.
///
/// ```text
/// x = Conv3x3(dim/2 -> dim)(Conv3x3(channels -> dim/2)(image))
/// block: x = Dropout(Conv1x1(mlp -> dim)(Dropout(GELU(Conv1x1(dim -> mlp)(BN(F(x))))))) + x
/// ```
///
/// then the mean over the pixels and a linear layer. F is the real part of the unnormalised Fourier
/// transform over height, width and channels ([`Var::dft_real`]). All maps have the images' size, and
/// no weight depends on it.
///
/// Source: WaveMix (arXiv 2203.03689), section 4, whose parameter counts come out with this;
/// `vision_xformer`'s `FNet2D`; "FNet: Mixing tokens with Fourier transforms" (arXiv 2105.03824).
#[derive(Clone, Debug, PartialEq)]
pub struct FNet2d {
    /// Channels of the maps.
    pub dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Channels between the two 1x1 convolutions of a block; by default 2 dim.
    pub mlp: usize,
}

impl FNet2d {
    /// A model with the papers' settings.
    pub fn new(dim: usize, depth: usize) -> FNet2d {
        FNet2d {
            dim,
            depth,
            mlp: dim.saturating_mul(2),
        }
    }
}

impl Family for FNet2d {
    named_by_two_numbers!("2D-FNet-");

    fn settings(&self, _common: &Common) -> Vec<(&'static str, Value)> {
        vec![("mlp", self.mlp.into())]
    }

    fn set(&mut self, setting: &str, value: &str) -> Result<bool> {
        match setting {
            "mlp" => self.mlp = number(setting, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn check(&self, common: &Common) -> Result<(), String> {
        check_counts(&[
            ("the dimension", self.dim),
            ("half the dimension", self.dim / 2),
            ("mlp", self.mlp),
        ])?;
        check_blocks(self.depth)?;
        classes(common).map(|_| ())
    }

    fn layers(&self, names: &mut Names, common: &Common) -> Result<Box<dyn Module>> {
        let classes = classes(common).map_err(Error::Argument)?;
        let (half, window) = (self.dim / 2, Window::padded(1));
        let stem = {
            let mut names = names.within("conv");
            [
                Conv2d::new(&mut names, "0", [common.channels, half], 3, window)?,
                Conv2d::new(&mut names, "1", [half, self.dim], 3, window)?,
            ]
        };
        let block = |i| {
            let mut names = names.within(&format!("layers.{i}.ff"));
            Block::new(&mut names, self, common.dropout)
        };
        let blocks = (0..self.depth).map(block).collect::<Result<_>>()?;
        let last = Linear::new(&mut names.within("pool"), "2", [self.dim, classes])?;
        Ok(Box::new(Network { stem, blocks, last }))
    }
}

/// The layers of an FNet.
struct Network {
    stem: [Conv2d; 2],
    blocks: Vec<Block>,
    last: Linear,
}

impl Module for Network {
    #[track_caller]
    fn forward(&self, pass: &Pass, images: &Var) -> Result<Var> {
        let mut x = {
            let _layer = pass.enter("conv");
            let [first, second] = &self.stem;
            second.forward(pass, &first.forward(pass, images)?)?
        };
        for (i, block) in self.blocks.iter().enumerate() {
            let _layer = pass.enter(format!("layers.{i}.ff"));
            x = (block.forward(pass, &x)? + x)?;
        }
        let _layer = pass.enter("pool");
        self.last.forward(pass, &x.global_avg_pool()?)
    }
}

/// What stands beside a shortcut: Fourier transform, BatchNorm and an MLP of each pixel.
struct Block {
    norm: BatchNorm,
    hidden: Conv2d,
    mixed: Conv2d,
    dropout: f64,
}

impl Block {
    fn new(names: &mut Names, of: &FNet2d, dropout: f64) -> Result<Block> {
        let norm = BatchNorm::new(names, "0", of.dim)?;
        let mut names = names.within("1.net");
        Ok(Block {
            norm,
            hidden: Conv2d::pointwise(&mut names, "0", [of.dim, of.mlp])?,
            mixed: Conv2d::pointwise(&mut names, "3", [of.mlp, of.dim])?,
            dropout,
        })
    }
}

impl Module for Block {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        // Its magnitudes are up to sqrt(h w c) times those of x: the norm comes next.
        let x = self.norm.forward(pass, &x.dft_real([1, 2, 3])?)?;
        let _layer = pass.enter("1.net");
        let hidden = self.hidden.forward(pass, &x)?;
        let mixed = self
            .mixed
            .forward_gelu_dropout(pass, &hidden, self.dropout)?;
        dropout(pass, &mixed, self.dropout)
    }
}
