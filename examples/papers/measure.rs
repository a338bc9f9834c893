//! Our side of a row: counts, memory, speed.

use std::time::Instant;

use wavemix::models::{Config, Model, Task};
use wavemix::ops::{CrossEntropyOptions, cross_entropy, focal_loss};
use wavemix::optim::{AdamW, Optimizer};
use wavemix::{DType, Device, Module, Params, Pass, Precision, Result, Rng, Tensor, Var};

use super::table::Set;

/// How much of a row to measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effort {
    /// Counts, and no speed.
    Counts,
    /// One step of each kind, of as many images as take about so many seconds.
    Quick(f64),
    /// The median of several steps of 64 images.
    Full,
}

/// What a model has and does.
pub struct Ours {
    pub parameters: usize,
    /// Bytes that a training step keeps for its backward pass, an image.
    pub saved_bytes: usize,
    pub speed: Option<Speed>,
}

/// Images a second.
pub struct Speed {
    pub train: f64,
    pub infer: f64,
    pub batch: usize,
    /// The images' height and width: less than the table's where those would take too long. The
    /// rates are then those of the table's images, at equal time a pixel.
    pub image: [usize; 2],
}

/// The batch of the papers' speeds.
const BATCH: usize = 64;
/// Steps whose median counts, after one to warm up.
const STEPS: usize = 5;
/// Bytes of activations that a measurement may keep.
const MEMORY: usize = 4 << 30;
/// What two cores reach at least, for choosing a batch: operations and bytes a second.
const OPERATIONS: f64 = 2.5e10;
const BYTES: f64 = 2e8;

/// Measures a model on images of a data set's size.
///
/// # Errors
/// Those of the model, and of the device.
pub fn measure(config: &Config, set: &Set, effort: Effort, device: Device) -> Result<Ours> {
    let summary = config.summary(set.image, Precision::F32)?;
    let (parameters, saved_bytes) = (summary.parameters, summary.saved_bytes());
    let fitting = |bytes: usize| (MEMORY / bytes.max(1)).clamp(1, BATCH);
    let mut image = set.image;
    let mut batch = fitting(saved_bytes);
    if let Effort::Quick(seconds) = effort {
        // Two training steps of three times the forward pass's work, and two inference steps.
        let mut each = 8.0 * summary.flops() as f64 / OPERATIONS + saved_bytes as f64 / BYTES;
        let can_shrink = matches!(config.task, Task::Segment { .. });
        while can_shrink && each > seconds && image[0].min(image[1]) > 64 {
            image = image.map(|side| side / 2);
            each /= 4.0;
        }
        batch = ((seconds / each) as usize).clamp(1, batch);
    }
    let steps = match effort {
        Effort::Counts => 0,
        Effort::Quick(_) => 1,
        Effort::Full => STEPS,
    };
    let speed = match steps {
        0 => None,
        _ => Some(speed(config, set, (batch, image), (steps, device))?),
    };
    Ok(Ours { parameters, saved_bytes, speed })
}

/// Rates of training and inference steps on random images.
fn speed(
    config: &Config,
    set: &Set,
    (batch, image): (usize, [usize; 2]),
    (steps, device): (usize, Device),
) -> Result<Speed> {
    let mut load = Load::new(config, batch, image, device)?;
    let share = image.iter().product::<usize>() as f64 / set.image.iter().product::<usize>() as f64;
    let rate = |seconds: f64| share * batch as f64 / seconds;
    let train = rate(median(steps, || load.train())?);
    let infer = rate(median(steps, || load.infer())?);
    Ok(Speed { train, infer, batch, image })
}

/// The median time of a step in seconds, after one step to warm up.
fn median(steps: usize, mut step: impl FnMut() -> Result<()>) -> Result<f64> {
    step()?;
    let mut times = Vec::new();
    for _ in 0..steps {
        let start = Instant::now();
        step()?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// A model and random images, on the device.
struct Load {
    model: Model,
    params: Params,
    optimizer: Optimizer,
    images: Var,
    labels: Tensor,
    task: Task,
}

impl Load {
    fn new(config: &Config, batch: usize, [h, w]: [usize; 2], device: Device) -> Result<Load> {
        let (model, mut params) = config.build(DType::F32, &Rng::new(0))?;
        params.to_device(device)?;
        let optimizer = Optimizer::new(AdamW::default(), &params)?;
        let shape = [batch, h, w, config.channels];
        let images = Tensor::normal(shape, 0.0, 1.0, DType::F32, &Rng::new(1)).to_device(device)?;
        let label = |i: usize, classes: usize| (i % classes) as i64;
        let labels = match config.task {
            Task::Segment { classes } => {
                let labels = (0..batch * h * w).map(|i| label(i, classes)).collect();
                Tensor::from_vec(labels, [batch, h, w])?
            }
            Task::Classify { classes } | Task::Upscale { channels: classes } => {
                Tensor::from_vec((0..batch).map(|i| label(i, classes)).collect(), [batch])?
            }
        };
        let labels = labels.to_device(device)?;
        Ok(Load { model, params, optimizer, images: images.into(), labels, task: config.task })
    }

    /// A training step, over once its loss is here.
    fn train(&mut self) -> Result<()> {
        let Load { model, params, optimizer, images, labels, task } = self;
        let loss = optimizer.train_step(params, 1e-3, |pass| {
            let logits = model.forward(pass, images)?;
            match task {
                Task::Segment { .. } => focal_loss(&logits, labels, 2.0, Some(255)),
                _ => cross_entropy(&logits, labels, CrossEntropyOptions::default()),
            }
        })?;
        loss.item().map(drop)
    }

    fn infer(&mut self) -> Result<()> {
        let logits = self.model.forward(&Pass::eval(&self.params), &self.images)?;
        logits.into_value().to_device(Device::Cpu).map(drop)
    }
}
