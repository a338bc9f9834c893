//! MLP-Mixer: patches, mixed by MLPs along the tokens and along the channels in turns.

use serde_json::Value;

use super::family::{
    Common, Family, MOST_BLOCKS, check_counts, classes, named_by_two_numbers, number,
};
use crate::nn::{Conv1d, LayerNorm, Linear};
use crate::params::Names;
use crate::tensor::window::Window1d;
use crate::{Error, Module, Pass, Result, Var};

/// MLP-Mixer, `MLP-Mixer-<dim>/<blocks>`, under the names of mlp-mixer-pytorch.
///
/// ```text
/// x = Linear(patch, as one vector of rows, columns, channels)     [tokens, dim]
/// block: x = Dropout(W2 Dropout(GELU(W1 LN(x)))) + x              along the tokens
///        x = Dropout(W2 Dropout(GELU(W1 LN(x)))) + x              along the channels
/// ```
///
/// then LayerNorm, the mean over the tokens and a linear layer. All linear layers have biases. The
/// number of tokens is fixed when the model is built: it takes square images of its size.
///
/// WaveMix-Lite's table 2 has a model of 512/8. Its hidden widths, 256 along the tokens and along the
/// channels, are not in the paper: they are what its count of 2.41 M comes to, four times the 64
/// tokens, and half of dim.
///
/// Source: "MLP-Mixer: An all-MLP Architecture for Vision" (arXiv 2105.01601), section 2; the package
/// mlp-mixer-pytorch, 0.3.1.
#[derive(Clone, Debug, PartialEq)]
pub struct MlpMixer {
    /// Channels of a token.
    pub dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Side of the patches; `None` takes one by the image size ([`MlpMixer::patch`]).
    pub patch: Option<usize>,
    /// Hidden width of the MLP along the tokens; `None` takes four times as many as there are tokens.
    pub token_hidden: Option<usize>,
    /// Hidden width of the MLP along the channels; `None` takes half of `dim`.
    pub channel_hidden: Option<usize>,
}

/// The most patches in a row, where none were chosen.
const PATCHES: usize = 8;

impl MlpMixer {
    /// A model whose patch and hidden widths are those that its size calls for.
    pub fn new(dim: usize, depth: usize) -> MlpMixer {
        MlpMixer {
            dim,
            depth,
            patch: None,
            token_hidden: None,
            channel_hidden: None,
        }
    }

    /// The patch in use. If none was chosen, the smallest that fills the image with at most 8x8 of
    /// them: 4 for 32 pixels; 8 for 64, where the papers do not say theirs.
    pub fn patch(&self, size: usize) -> usize {
        // The smallest patch is that of the most patches in a row.
        let most = || (1..=PATCHES).rev().find(|n| size.is_multiple_of(*n));
        self.patch
            .unwrap_or_else(|| (size / most().unwrap_or(1)).max(1))
    }

    /// The number of tokens.
    fn tokens(&self, size: usize) -> usize {
        (size / self.patch(size).max(1)).saturating_pow(2)
    }

    /// Hidden widths along the tokens and along the channels.
    fn hidden(&self, size: usize) -> [usize; 2] {
        let tokens = self
            .token_hidden
            .unwrap_or_else(|| self.tokens(size).saturating_mul(4));
        [tokens, self.channel_hidden.unwrap_or(self.dim / 2)]
    }
}

impl Family for MlpMixer {
    named_by_two_numbers!("MLP-Mixer-");

    fn settings(&self, common: &Common) -> Vec<(&'static str, Value)> {
        let [tokens, channels] = self.hidden(common.size);
        vec![
            ("patch", self.patch(common.size).into()),
            ("token_hidden", tokens.into()),
            ("channel_hidden", channels.into()),
        ]
    }

    fn set(&mut self, setting: &str, value: &str) -> Result<bool> {
        let field = match setting {
            "patch" => &mut self.patch,
            "token_hidden" => &mut self.token_hidden,
            "channel_hidden" => &mut self.channel_hidden,
            _ => return Ok(false),
        };
        *field = Some(number(setting, value)?);
        Ok(true)
    }

    fn check(&self, common: &Common) -> Result<(), String> {
        let (patch, size) = (self.patch(common.size), common.size);
        check_counts(&[("the dimension", self.dim), ("the patch", patch)])?;
        if self.depth > MOST_BLOCKS {
            return Err(format!("at most {MOST_BLOCKS} blocks, got {}", self.depth));
        }
        if !size.is_multiple_of(patch) {
            return Err(format!(
                "patches of {patch} pixels do not fill images of {size}"
            ));
        }
        let [tokens, channels] = self.hidden(size);
        check_counts(&[
            ("the number of tokens", self.tokens(size)),
            ("token_hidden", tokens),
            ("channel_hidden", channels),
        ])?;
        classes(common).map(|_| ())
    }

    fn layers(&self, names: &mut Names, common: &Common) -> Result<Box<dyn Module>> {
        let classes = classes(common).map_err(Error::Argument)?;
        let (patch, tokens) = (self.patch(common.size), self.tokens(common.size));
        let hidden = self.hidden(common.size);
        let patches = Linear::new(names, "1", [patch * patch * common.channels, self.dim])?;
        let block = |i: usize| -> Result<[Mlp; 2]> {
            let mut names = names.within(&(2 + i).to_string());
            Ok([
                Mlp::along_tokens(&mut names, self.dim, [tokens, hidden[0]])?,
                Mlp::along_channels(&mut names, [self.dim, hidden[1]])?,
            ])
        };
        let blocks = (0..self.depth).map(block).collect::<Result<_>>()?;
        let [norm, head] = [2, 4].map(|i| (i + self.depth).to_string());
        Ok(Box::new(Network {
            size: common.size,
            patch,
            dropout: common.dropout,
            patches,
            blocks,
            norm: LayerNorm::new(names, &norm, self.dim)?,
            head: Linear::new(names, &head, [self.dim, classes])?,
        }))
    }
}

/// An MLP-Mixer's layers.
struct Network {
    size: usize,
    patch: usize,
    dropout: f64,
    patches: Linear,
    blocks: Vec<[Mlp; 2]>,
    norm: LayerNorm,
    head: Linear,
}

impl Network {
    /// Images as vectors of their patches, `[n, tokens, patch^2 channels]`.
    #[track_caller]
    fn patches(&self, images: &Var) -> Result<Var> {
        let (p, side) = (self.patch, self.size / self.patch);
        let [n, c] = square(images, self.size)?;
        images
            .reshape([n, side, p, side, p, c])?
            .permute(&[0, 1, 3, 2, 4, 5])?
            .reshape([n, side * side, p * p * c])
    }
}

/// Number and channels of images that have to be squares of `size` pixels.
#[track_caller]
pub(super) fn square(images: &Var, size: usize) -> Result<[usize; 2]> {
    match images.shape()[..] {
        [n, h, w, c] if [h, w] == [size; 2] => Ok([n, c]),
        _ => {
            let expected = format!("[n, {size}, {size}, channels], the size it is built for");
            Err(Error::operand("model", "images", expected, images.shape()))
        }
    }
}

impl Module for Network {
    #[track_caller]
    fn forward(&self, pass: &Pass, images: &Var) -> Result<Var> {
        let mut x = self.patches.forward(pass, &self.patches(images)?)?;
        for (i, block) in (2..).zip(&self.blocks) {
            let _layer = pass.enter(i.to_string());
            for mlp in block {
                x = mlp.forward(pass, &x, self.dropout)?;
            }
        }
        let x = self.norm.forward(pass, &x)?.mean(1)?;
        self.head.forward(pass, &x)
    }
}

/// LayerNorm, then an MLP along one of the axes, and a shortcut around both.
struct Mlp {
    name: &'static str,
    norm: LayerNorm,
    layers: [Box<dyn Module>; 2],
    along_tokens: bool,
}

impl Mlp {
    /// Declares `0`, from so many tokens to a hidden width and back.
    fn along_tokens(names: &mut Names, dim: usize, widths: [usize; 2]) -> Result<Mlp> {
        let (mut names, [tokens, hidden]) = (names.within("0"), widths);
        let norm = LayerNorm::new(&mut names, "norm", dim)?;
        let mut names = names.within("fn");
        // In files these are convolutions along rows with a kernel of one element.
        let mut layer = |name, widths| -> Result<Box<dyn Module>> {
            let conv = Conv1d::new(&mut names, name, widths, 1, Window1d::default())?;
            Ok(Box::new(conv))
        };
        Ok(Mlp {
            name: "0",
            norm,
            layers: [layer("0", [tokens, hidden])?, layer("3", [hidden, tokens])?],
            along_tokens: true,
        })
    }

    /// Declares `1`, from so many channels to a hidden width and back.
    fn along_channels(names: &mut Names, [dim, hidden]: [usize; 2]) -> Result<Mlp> {
        let mut names = names.within("1");
        let norm = LayerNorm::new(&mut names, "norm", dim)?;
        let mut names = names.within("fn");
        let mut layer = |name, widths| -> Result<Box<dyn Module>> {
            Ok(Box::new(Linear::new(&mut names, name, widths)?))
        };
        Ok(Mlp {
            name: "1",
            norm,
            layers: [layer("0", [dim, hidden])?, layer("3", [hidden, dim])?],
            along_tokens: false,
        })
    }

    /// `[n, tokens, dim]` to the same shape.
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var, dropout: f64) -> Result<Var> {
        let _layer = pass.enter(self.name);
        let mut y = self.norm.forward(pass, x)?;
        if self.along_tokens {
            y = y.transpose(1, 2)?;
        }
        {
            let _layer = pass.enter("fn");
            let [hidden, output] = &self.layers;
            let h = hidden.forward(pass, &y)?;
            let h = h.gelu_dropout(dropout, pass.rng().as_ref())?;
            y = output.forward(pass, &h)?;
        }
        if let Some(rng) = pass.rng() {
            y = y.dropout(dropout, &rng)?;
        }
        if self.along_tokens {
            y = y.transpose(1, 2)?;
        }
        x + &y
    }
}
