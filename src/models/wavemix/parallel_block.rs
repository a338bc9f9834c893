//! The WaveMix block: all wavelet levels at once, through one MLP.

use super::head::crop;
use crate::nn::{BatchNorm, Conv2d, ConvTranspose2d};
use crate::ops::concat;
use crate::params::Names;
use crate::tensor::window::Window;
use crate::{Module, Pass, Result, Var};

/// y = BatchNorm(GELU(DepthwiseConv5x5(concat over levels j of ConvTranspose_j(MLP(DWT_j(x)))))) +
/// x.
///
/// The MLP, Conv1x1(4 dim -> 4 dim), GELU, dropout, Conv1x1(4 dim -> dim), is shared by all levels:
/// the sub-bands of a natural image look alike at every scale. Level j's transposed convolution
/// enlarges 2^j times and gives dim / J channels.
///
/// Source: "WaveMix: Resource-efficient Token Mixing for Images" (arXiv 2203.03689), section 3.2
/// and figure 1b.
pub(super) struct Block {
    mlp: [Conv2d; 2],
    enlarge: Vec<ConvTranspose2d>,
    depthwise: Conv2d,
    norm: BatchNorm,
    dropout: f64,
}

impl Block {
    pub fn new(names: &mut Names, [dim, levels]: [usize; 2], dropout: f64) -> Result<Block> {
        let mut mlp = names.within("mlp");
        let mlp = [
            Conv2d::pointwise(&mut mlp, "0", [4 * dim, 4 * dim])?,
            Conv2d::pointwise(&mut mlp, "3", [4 * dim, dim])?,
        ];
        let mut enlarged = |j: usize| {
            ConvTranspose2d::enlarging(names, &format!("deconv{j}"), [dim, dim / levels], 1 << j)
        };
        let enlarge = (1..=levels).map(&mut enlarged).collect::<Result<_>>()?;
        let window = Window {
            padding: [2; 2],
            groups: dim,
            ..Window::default()
        };
        let depthwise = Conv2d::new(names, "depthwise", [dim, dim], 5, window)?;
        Ok(Block {
            mlp,
            enlarge,
            depthwise,
            norm: BatchNorm::new(names, "norm", dim)?,
            dropout,
        })
    }
}

impl Module for Block {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let side = [x.shape()[1], x.shape()[2]];
        let subbands = x.dwt_levels(self.enlarge.len())?;
        let mut levels = Vec::new();
        for (subbands, enlarge) in subbands.iter().zip(&self.enlarge) {
            let mixed = {
                let _layer = pass.enter("mlp");
                let hidden = self.mlp[0].forward(pass, subbands)?;
                self.mlp[1].forward_gelu_dropout(pass, &hidden, self.dropout)?
            };
            levels.push(crop(&enlarge.forward(pass, &mixed)?, side)?);
        }
        let mixed = concat(&levels.iter().collect::<Vec<_>>(), 3)?;
        self.norm.forward_add(
            pass,
            &self.depthwise.forward(pass, &mixed)?.gelu()?,
            x,
            None,
        )
    }
}
