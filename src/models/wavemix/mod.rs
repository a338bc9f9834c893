//! WaveMix and WaveMix-Lite: a stem of convolutions, blocks that mix by wavelets, a head for the
//! task.

mod choices;
mod config;
mod head;
mod lite_block;
mod parallel_block;
mod stem;

pub use choices::{BlockKind, Mixing, Resize, Stem};
pub use config::WaveMix;
pub use lite_block::Block as LiteBlock;

use serde_json::Value;

use super::family::{Common, Family, number, two_numbers};
use crate::params::Names;
use crate::{Module, Pass, Result, Var};
use head::Head;

impl Family for WaveMix {
    fn form() -> &'static str {
        "WaveMixLite-<dim>/<blocks>, WaveMix-<dim>/<blocks>"
    }

    fn parse(name: &str) -> Option<WaveMix> {
        let of = |block: BlockKind| {
            let [dim, depth] = two_numbers(name, block.prefix())?;
            Some(WaveMix::new(block, dim, depth))
        };
        of(BlockKind::Lite).or_else(|| of(BlockKind::Parallel))
    }

    fn name(&self) -> String {
        format!("{}{}/{}", self.block.prefix(), self.dim, self.depth)
    }

    fn settings(&self, common: &Common) -> Vec<(&'static str, Value)> {
        let stem = self.stem(common.size, common.task);
        vec![
            ("ff", self.ff.into()),
            ("mult", self.mult.into()),
            ("mixing", self.mixing.to_string().into()),
            ("resize", self.resize.to_string().into()),
            ("levels", self.levels.into()),
            ("stem", stem.to_string().into()),
        ]
    }

    fn set(&mut self, setting: &str, value: &str) -> Result<bool> {
        match setting {
            "ff" => self.ff = number(setting, value)?,
            "mult" => self.mult = number(setting, value)?,
            "mixing" => self.mixing = value.parse()?,
            "resize" => self.resize = value.parse()?,
            "levels" => self.levels = Some(number(setting, value)?),
            "stem" => self.stem = Some(value.parse()?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn check(&self, common: &Common) -> Result<(), String> {
        self.check_settings(common)
    }

    fn layers(&self, names: &mut Names, common: &Common) -> Result<Box<dyn Module>> {
        let stem = stem::StemLayers::new(&mut names.within("conv"), self, common)?;
        let block = |i: usize| -> Result<Box<dyn Module>> {
            let mut names = names.within(&format!("layers.{i}"));
            Ok(match self.block {
                BlockKind::Lite => Box::new(LiteBlock::new(&mut names, self, common.dropout)?),
                BlockKind::Parallel => {
                    let levels = self.parallel_levels(common.size, common.task);
                    Box::new(parallel_block::Block::new(
                        &mut names,
                        [self.dim, levels],
                        common.dropout,
                    )?)
                }
            })
        };
        let blocks = (0..self.depth).map(block).collect::<Result<_>>()?;
        let head = Head::new(names, self, common)?;
        Ok(Box::new(Network { stem, blocks, head }))
    }
}

/// A WaveMix model's layers, in the order of the forward pass.
struct Network {
    stem: stem::StemLayers,
    blocks: Vec<Box<dyn Module>>,
    head: Head,
}

impl Module for Network {
    #[track_caller]
    fn forward(&self, pass: &Pass, images: &Var) -> Result<Var> {
        let mut x = self.stem.forward(pass, images)?;
        for (i, block) in self.blocks.iter().enumerate() {
            let _layer = pass.enter(format!("layers.{i}"));
            x = block.forward(pass, &x)?;
        }
        self.head.forward(pass, &x, images.shape())
    }
}
