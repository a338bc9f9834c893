//! All that decides a WaveMix model's layers and their sizes.

use super::choices::{BlockKind, Mixing, Resize, Stem};
use crate::models::family::{Common, MOST, MOST_BLOCKS, Task, check_counts};

/// The most wavelet levels of a WaveMix block: as many reduce the largest side to one pixel.
const MOST_LEVELS: usize = 16;

/// The WaveMix models, `WaveMixLite-<dim>/<blocks>` and `WaveMix-<dim>/<blocks>`.
///
/// Source: WaveMix (arXiv 2203.03689) and WaveMix-Lite (arXiv 2205.14375).
#[derive(Clone, Debug, PartialEq)]
pub struct WaveMix {
    /// Which paper's block.
    pub block: BlockKind,
    /// Embedding dimension: channels between blocks. A multiple of 4.
    pub dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Feed-forward dimension: channels between a WaveMix-Lite block's MLP and its
    /// transposed convolution.
    pub ff: usize,
    /// How many times `dim` the MLP's hidden layer has.
    pub mult: usize,
    /// Token mixing of WaveMix-Lite.
    pub mixing: Mixing,
    /// The way back to full size of WaveMix-Lite.
    pub resize: Resize,
    /// Parallel wavelet levels of WaveMix; `None` takes as many as the image size and `dim` allow.
    pub levels: Option<usize>,
    /// The stem; `None` takes the strides that the image size calls for.
    pub stem: Option<Stem>,
}

impl WaveMix {
    /// A model with the papers' defaults: ff = dim, mult 2, one wavelet level, transposed
    /// convolution.
    pub fn new(block: BlockKind, dim: usize, depth: usize) -> WaveMix {
        WaveMix {
            block,
            dim,
            depth,
            ff: dim,
            mult: 2,
            mixing: Mixing::Cascade(1),
            resize: Resize::Deconvolution,
            levels: None,
            stem: None,
        }
    }

    /// The stem in use: strides 1, 1 up to a side of 64, 2, 1 up to 128 and 2, 2 above, if none was
    /// chosen. Segmentation always has 2, 2, super-resolution 1, 1.
    pub fn stem(&self, size: usize, task: Task) -> Stem {
        self.stem.unwrap_or(match (task, size) {
            (Task::Segment { .. }, _) => Stem::Strided([2, 2]),
            (Task::Upscale { .. }, _) | (_, ..=64) => Stem::Strided([1, 1]),
            (_, ..=128) => Stem::Strided([2, 1]),
            _ => Stem::Strided([2, 2]),
        })
    }

    /// WaveMix's number of levels, J: if none was chosen, the largest divisor of `dim` that is not
    /// above ceil(log2(smaller side of the blocks' maps)) - 1.
    pub fn parallel_levels(&self, size: usize, task: Task) -> usize {
        let reduction = self.stem(size, task).reduction().max(1);
        let side = size.div_ceil(reduction).max(1);
        let log2 = (usize::BITS - (side - 1).leading_zeros()) as usize; // rounded up
        let most = log2.saturating_sub(1).max(1);
        self.levels.unwrap_or_else(|| {
            (1..=most)
                .rev()
                .find(|j| self.dim.is_multiple_of(*j))
                .unwrap_or(1)
        })
    }

    /// What is wrong with the settings, if anything is.
    pub(super) fn check_settings(&self, common: &Common) -> Result<(), String> {
        if self.depth > MOST_BLOCKS {
            return Err(format!("at most {MOST_BLOCKS} blocks, got {}", self.depth));
        }
        self.check_block()?;
        self.check_stem(common)?;
        self.check_levels(common)
    }

    /// What is wrong with the settings of a block by itself.
    pub(super) fn check_block(&self) -> Result<(), String> {
        if self.dim == 0 || !self.dim.is_multiple_of(4) || self.dim > MOST {
            return Err(format!(
                "the dimension must be a multiple of 4 up to {MOST}, got {}",
                self.dim
            ));
        }
        check_counts(&[("ff", self.ff), ("mult", self.mult)])?;
        if let Mixing::Cascade(n) | Mixing::Level(n) = self.mixing
            && !(1..=4).contains(&n)
        {
            return Err(format!("wavelet levels go from 1 to 4, got {n}"));
        }
        if self.resize == Resize::Deconvolution {
            return Ok(());
        }
        if self.ff != self.dim {
            return Err(format!(
                "resizing without weights needs ff = dim = {}, got {}",
                self.dim, self.ff
            ));
        }
        if matches!(self.mixing, Mixing::Identity | Mixing::Dft) {
            return Err(format!(
                "mixing `{}` works at full size: there is nothing to resize",
                self.mixing
            ));
        }
        if self.resize == Resize::InverseDwt
            && !matches!(self.mixing, Mixing::Cascade(1) | Mixing::Level(1))
        {
            return Err("the inverse transform undoes one wavelet level only".into());
        }
        Ok(())
    }

    /// Whether an image is as large as a pixel behind the stem.
    fn check_stem(&self, common: &Common) -> Result<(), String> {
        match self.stem(common.size, common.task) {
            Stem::Patchify(0) => Err("patches need a side of at least 1".into()),
            Stem::Strided(strides) if strides.contains(&0) => Err("strides start at 1".into()),
            stem if stem.reduction() > common.size => {
                let (by, size) = (stem.reduction(), common.size);
                Err(format!(
                    "the stem `{stem}` reduces a side {by} times, and the smaller one of the images is {size}"
                ))
            }
            _ => Ok(()),
        }
    }

    /// Whether WaveMix's levels share the channels evenly.
    fn check_levels(&self, common: &Common) -> Result<(), String> {
        if let Some(levels) = self
            .levels
            .filter(|levels| !(1..=MOST_LEVELS).contains(levels))
        {
            return Err(format!(
                "the number of levels must be between 1 and {MOST_LEVELS}, got {levels}"
            ));
        }
        let levels = self.parallel_levels(common.size, common.task);
        if self.block == BlockKind::Parallel && !self.dim.is_multiple_of(levels) {
            return Err(format!(
                "the number of levels must divide dim = {}, got {levels}",
                self.dim
            ));
        }
        Ok(())
    }
}
