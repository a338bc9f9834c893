//! Our side of a row: counts, memory, speed.

use std::time::{Duration, Instant};

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
    /// A step of each kind or two, of as many images as take about so many seconds in all.
    Quick(f64),
    /// The median of several steps of 64 images.
    Full,
}

/// What a model has and does.
pub struct Ours {
    pub parameters: usize,
    /// Bytes that a training step keeps for its backward pass, an image.
    pub saved_bytes: usize,
    /// The most bytes that inference takes at once, an image.
    pub inference_bytes: usize,
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
/// Seconds that a parameter takes: to be drawn, and updated by two steps.
const PARAMETER: f64 = 3e-8;
/// The smaller side that images are not made smaller than.
const SMALLEST: usize = 32;

/// Measures a model on images of a data set's size.
///
/// # Errors
/// Those of the model, and of the device.
pub fn measure(config: &Config, set: &Set, effort: Effort, device: Device) -> Result<Ours> {
    let summary = config.summary(set.image, Precision::F32)?;
    let inference_bytes = config.inference_bytes(set.image, Precision::F32)?;
    let (parameters, saved_bytes) = (summary.parameters, summary.saved_bytes());
    let fitting = |bytes: usize| (MEMORY / bytes.max(1)).clamp(1, BATCH);
    let (mut image, mut batch) = (set.image, fitting(saved_bytes));
    let timing = match effort {
        Effort::Counts => None,
        // A first step that takes an eighth of the time has no time for a second one.
        Effort::Quick(seconds) => {
            Some(Timing { warm: Duration::from_secs_f64(seconds.max(0.0) / 8.0), steps: 1 })
        }
        Effort::Full => Some(Timing { warm: Duration::MAX, steps: STEPS }),
    };
    if let Effort::Quick(seconds) = effort {
        // Two training steps of three times the forward pass's work, and two inference steps.
        let mut each = 8.0 * summary.flops() as f64 / OPERATIONS + saved_bytes as f64 / BYTES;
        let seconds = seconds - PARAMETER * parameters as f64;
        let can_shrink = matches!(config.task, Task::Segment { .. });
        while can_shrink && each > seconds && image[0].min(image[1]) > SMALLEST {
            image = image.map(|side| side / 2);
            each /= 4.0;
        }
        batch = ((seconds / each).max(1.0) as usize).min(batch);
    }
    let speed = timing.map(|timing| speed(config, set, (batch, image), (timing, device)));
    let speed = speed.transpose()?;
    Ok(Ours { parameters, saved_bytes, inference_bytes, speed })
}

/// Rates of training and inference steps on random images.
fn speed(
    config: &Config,
    set: &Set,
    (batch, image): (usize, [usize; 2]),
    (timing, device): (Timing, Device),
) -> Result<Speed> {
    let mut load = Load::new(config, batch, image, device)?;
    let share = image.iter().product::<usize>() as f64 / set.image.iter().product::<usize>() as f64;
    let rate = |time: Duration| share * batch as f64 / time.as_secs_f64();
    let train = rate(timing.median(|| load.train())?);
    let infer = rate(timing.median(|| load.infer())?);
    Ok(Speed { train, infer, batch, image })
}

/// How many steps are timed.
#[derive(Clone, Copy)]
struct Timing {
    /// The time of a first step above which it is the only one.
    warm: Duration,
    /// Steps after the first one, which is to warm up.
    steps: usize,
}

impl Timing {
    /// The median time of the steps.
    fn median(self, mut step: impl FnMut() -> Result<()>) -> Result<Duration> {
        let mut timed = || {
            let start = Instant::now();
            step().map(|()| start.elapsed())
        };
        let first = timed()?;
        if first > self.warm {
            return Ok(first);
        }
        let mut times = (0..self.steps).map(|_| timed()).collect::<Result<Vec<_>>>()?;
        times.sort();
        Ok(times[times.len() / 2])
    }
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
