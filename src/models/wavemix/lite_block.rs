//! The WaveMix-Lite block: reduce, transform, mix, enlarge.

use super::choices::{Mixing, Resize};
use super::config::WaveMix;
use super::head::crop;
use crate::nn::{BatchNorm, Conv2d, ConvTranspose2d};
use crate::ops::{Interpolation, check_probability, concat, max_pool2d};
use crate::params::Names;
use crate::tensor::window::Window;
use crate::{Error, Module, Pass, Result, Var};

/// One block. In its plain form, with one wavelet level:
///
/// ```text
/// r = Conv1x1(dim -> dim/4)(x)
/// w = concat subbands DWT(r)                        dim channels, half the height and width
/// m = Dropout(GELU(Conv1x1(dim -> mult dim)(w)))
/// u = ConvTranspose(ff -> dim, 4, 2, 1)(Conv1x1(mult dim -> ff)(m))
/// y = BatchNorm(u) + x
/// ```
///
/// Every variant is this with other maps in place of w: a list of them, finest first, each with a
/// stage that mixes and enlarges it. A cascade has one map for each wavelet level, and each stage's
/// output joins the next finer map; all other variants have a single map.
///
/// Source: "WaveMix-Lite: A Resource-efficient Neural Network for Image Analysis" (arXiv
/// 2205.14375), section 3.2 and figure 2c; cascades follow the authors' package,
/// Level1..4Waveblock.
pub struct Block {
    reduction: Conv2d,
    mixing: Mixing,
    /// Finest first.
    stages: Vec<Stage>,
}

impl Block {
    /// Declares the layers of one block of a model: `reduction` and `feedforward`, or
    /// `feedforward1`, `feedforward2`, ...
    ///
    /// # Errors
    /// Where the settings contradict one another; the message names them.
    pub fn new(names: &mut Names, wavemix: &WaveMix, dropout: f64) -> Result<Block> {
        let checked = wavemix.check_block();
        checked.map_err(|what| Error::Argument(format!("a WaveMix-Lite block: {what}")))?;
        check_probability("gelu_dropout", dropout)?;
        let (dim, mixing) = (wavemix.dim, wavemix.mixing);
        let reduced = if mixing.is_wavelet() { dim / 4 } else { dim };
        let reduction = Conv2d::pointwise(names, "reduction", [dim, reduced])?;
        let mut stage = |name: &str, place: [usize; 2]| {
            let stage = Stage::new(names, wavemix, name, place)?;
            Ok(Stage { dropout, ..stage })
        };
        let stages = match mixing {
            Mixing::Cascade(levels) if levels > 1 => (1..=levels)
                .map(|j| stage(&format!("feedforward{j}"), [j, levels]))
                .collect::<Result<_>>()?,
            _ => vec![stage("feedforward", [1, 1])?],
        };
        Ok(Block {
            reduction,
            mixing,
            stages,
        })
    }

    /// What the stages mix, finest first.
    #[track_caller]
    fn maps(&self, r: &Var) -> Result<Vec<Var>> {
        Ok(match self.mixing {
            Mixing::Cascade(levels) => r.dwt_levels(levels)?,
            Mixing::Level(level) => r.dwt_levels(level)?.split_off(level - 1),
            Mixing::Identity => vec![r.clone()],
            Mixing::Dft => vec![r.dft_real([1, 2])?],
            Mixing::MaxPool => {
                // Odd sides are filled up with a zero row or column first, as the wavelet transform
                // does.
                let odd = |axis: usize| (0, r.shape()[axis] % 2);
                let even = r.pad(&[(0, 0), odd(1), odd(2), (0, 0)])?;
                vec![max_pool2d(
                    &even,
                    [2, 2],
                    Window {
                        stride: [2, 2],
                        ..Window::default()
                    },
                )?]
            }
        })
    }
}

impl Module for Block {
    /// `[n, h, w, dim]` to the same shape.
    ///
    /// # Errors
    /// Those of its layers, with the layer's name.
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let maps = self.maps(&self.reduction.forward(pass, x)?)?;
        let mut coarser: Option<Var> = None;
        for (j, stage) in self.stages.iter().enumerate().rev() {
            let map = match &coarser {
                Some(coarser) => concat(&[&maps[j], coarser], 3)?,
                None => maps[j].clone(),
            };
            let target = if j == 0 { x } else { &maps[j - 1] };
            let residual = (j == 0).then_some(x);
            coarser = Some(stage.forward(
                pass,
                &map,
                [target.shape()[1], target.shape()[2]],
                residual,
            )?);
        }
        Ok(coarser.unwrap_or_else(|| x.clone()))
    }
}

/// The MLP of one map and the upsampling to the next finer one: `.0` and `.3`, `.4`, `.5` of the
/// authors' names.
struct Stage {
    name: String,
    hidden: Conv2d,
    mixed: Conv2d,
    enlarge: Enlarge,
    norm: BatchNorm,
    dropout: f64,
}

enum Enlarge {
    Deconvolution(ConvTranspose2d),
    /// Of a map that has the full size already.
    Convolution(Conv2d),
    Resize(Interpolation, usize),
    InverseDwt,
}

impl Stage {
    /// Stage `j` of a cascade of `levels`; `[1, 1]` for all other variants.
    fn new(
        names: &mut Names,
        wavemix: &WaveMix,
        name: &str,
        [j, levels]: [usize; 2],
    ) -> Result<Stage> {
        let (dim, mut names) = (wavemix.dim, names.within(name));
        let names = &mut names;
        let c_in = if j < levels { dim + dim / 2 } else { dim };
        let c_out = if j > 1 { dim / 2 } else { dim };
        let factor = if let Mixing::Level(level) = wavemix.mixing {
            1 << level
        } else {
            2
        };
        // A resize has no weights to change the number of channels with: the MLP gives what is
        // asked for.
        let ff = match wavemix.resize {
            Resize::Deconvolution => wavemix.ff,
            Resize::Upsample(_) => c_out,
            Resize::InverseDwt => 4 * dim,
        };
        let hidden = Conv2d::pointwise(names, "0", [c_in, wavemix.mult * dim])?;
        let mixed = Conv2d::pointwise(names, "3", [wavemix.mult * dim, ff])?;
        let enlarge = match (wavemix.mixing, wavemix.resize) {
            (Mixing::Identity | Mixing::Dft, _) => {
                let window = Window {
                    padding: [1; 2],
                    ..Window::default()
                };
                Enlarge::Convolution(Conv2d::new(names, "4", [ff, c_out], 3, window)?)
            }
            (_, Resize::Deconvolution) => {
                Enlarge::Deconvolution(ConvTranspose2d::enlarging(names, "4", [ff, c_out], factor)?)
            }
            (_, Resize::Upsample(kind)) => Enlarge::Resize(kind, factor),
            (_, Resize::InverseDwt) => Enlarge::InverseDwt,
        };
        let norm = BatchNorm::new(names, "5", c_out)?;
        Ok(Stage {
            name: name.to_owned(),
            hidden,
            mixed,
            enlarge,
            norm,
            dropout: 0.0,
        })
    }

    /// From `map` to a map of the target's height and width, to which the finest stage adds the
    /// block's input.
    #[track_caller]
    fn forward(
        &self,
        pass: &Pass,
        map: &Var,
        target: [usize; 2],
        residual: Option<&Var>,
    ) -> Result<Var> {
        let _layer = pass.enter(&*self.name);
        let hidden = self.hidden.forward(pass, map)?;
        let mixed = self
            .mixed
            .forward_gelu_dropout(pass, &hidden, self.dropout)?;
        let mut stats = None;
        let enlarged = match &self.enlarge {
            // Not of what is cropped.
            Enlarge::Deconvolution(deconv)
                if residual.is_some()
                    && (0..2).all(|i| target[i].is_multiple_of(mixed.shape()[1 + i])) =>
            {
                let enlarged;
                (enlarged, stats) = deconv.forward_with_stats(pass, &mixed)?;
                enlarged
            }
            Enlarge::Deconvolution(deconv) => deconv.forward(pass, &mixed)?,
            Enlarge::Convolution(conv) => conv.forward(pass, &mixed)?,
            Enlarge::Resize(kind, factor) => mixed.upsample(
                [mixed.shape()[1] * factor, mixed.shape()[2] * factor],
                *kind,
            )?,
            Enlarge::InverseDwt => mixed.idwt(target)?,
        };
        stats = stats.filter(|_| enlarged.shape()[1..3] == target);
        let enlarged = crop(&enlarged, target)?;
        match residual {
            Some(residual) => self.norm.forward_add(pass, &enlarged, residual, stats),
            None => self.norm.forward(pass, &enlarged),
        }
    }
}
