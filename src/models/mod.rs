//! The WaveMix models: a stem of convolutions, blocks that mix by wavelets, a head for the task.
//!
//! [`Config`] says which model; [`Model`] is its layers. Weights live beside it in [`Params`].

mod config;
mod head;
mod saved;
mod stem;
mod summary;
mod wavemix;
mod wavemix_lite;

pub use config::{Config, Family, Mixing, Resize, Stem, Task};
pub use saved::{ImageMeta, Saved};
pub use summary::{Row, Summary};
pub use wavemix_lite::Block as LiteBlock;

use head::Head;

use crate::params::Names;
use crate::{DType, Module, Params, Pass, Result, Rng, Var};

/// A WaveMix model: its layers, in the order of the forward pass.
///
/// ```
/// use wavemix::{DType, Module, Pass, Rng, Tensor, models::Config};
/// let config = Config { channels: 1, ..Config::parse("WaveMixLite-8/2")? };
/// let (model, params) = config.build(DType::F32, &Rng::new(0))?;
/// let images = Tensor::zeros([4, 28, 28, 1], DType::F32);
/// let logits = model.forward(&Pass::eval(&params), &images.into())?;
/// assert_eq!(logits.shape().to_string(), "[4, 10]");
/// # Ok::<(), wavemix::Error>(())
/// ```
pub struct Model {
    config: Config,
    stem: stem::StemLayers,
    blocks: Vec<Box<dyn Module>>,
    head: Head,
}

impl Config {
    /// The model, and its weights drawn from `rng`.
    ///
    /// # Errors
    /// Where the settings contradict one another; the message names them.
    pub fn build(&self, dtype: DType, rng: &Rng) -> Result<(Model, Params)> {
        Params::declare(dtype, rng, |names| Model::new(names, self))
    }
}

impl Model {
    /// Declares all layers of a model.
    ///
    /// # Errors
    /// Where the settings contradict one another; the message names them.
    pub fn new(names: &mut Names, config: &Config) -> Result<Model> {
        config.check()?;
        let stem = stem::StemLayers::new(&mut names.within("conv"), config)?;
        let block = |i: usize| -> Result<Box<dyn Module>> {
            let mut names = names.within(&format!("layers.{i}"));
            Ok(match config.family {
                Family::WaveMixLite => Box::new(LiteBlock::new(&mut names, config)?),
                Family::WaveMix => Box::new(wavemix::Block::new(&mut names, config)?),
            })
        };
        let blocks = (0..config.depth).map(block).collect::<Result<_>>()?;
        let head = Head::new(names, config)?;
        Ok(Model {
            config: config.clone(),
            stem,
            blocks,
            head,
        })
    }

    /// What it is.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

impl Module for Model {
    /// Images `[n, h, w, channels]` to logits `[n, classes]`, to logits of every pixel `[n, h, w,
    /// classes]`, or to images of twice the size, as the task is.
    ///
    /// # Errors
    /// Those of its layers, with the layer's name.
    #[track_caller]
    fn forward(&self, pass: &Pass, images: &Var) -> Result<Var> {
        let mut x = self.stem.forward(pass, &pass.input(images)?)?;
        for (i, block) in self.blocks.iter().enumerate() {
            let _layer = pass.enter(format!("layers.{i}"));
            x = block.forward(pass, &x)?;
        }
        pass.output(self.head.forward(pass, &x, images.shape())?)
    }
}
