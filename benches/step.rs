//! Training and inference steps: images a second, memory.
//!
//! ```text
//! cargo bench --bench step -- --model WaveMixLite-128/7 --channels 3 --classes 47 --size 28 --batch 64 --threads 2 --json
//! ```
//!
//! Figures are medians over steps of at least two seconds each way, after two steps to warm up.
//! Other programs on the machine disturb them: compare two sides by running them in turns, and by
//! ratios. `compare.py` does so with PyTorch; for it `--serve` answers each line of the input,
//! `train SECONDS` or `infer SECONDS`, with the times of so many steps.

use std::io::BufRead;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Arg, ArgAction, ArgMatches, Command};
use wavemix::console::{Stdout, exit_status};
use wavemix::cuda::{self, Capture, CapturedGraph, KernelTime};
use wavemix::metrics::peak_bytes;
use wavemix::models::{Config, Model, Task};
use wavemix::ops::{CrossEntropyOptions, cross_entropy};
use wavemix::optim::{Method, Optimizer};
use wavemix::{DType, Device, Error, Module, Params, Pass, Precision, Result, Rng, Tensor, Var};

/// Time to spend on each of training and inference.
const TIME: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    exit_status(bench())
}

fn bench() -> Result<()> {
    let m = command().get_matches();
    if m.get_flag("serve") {
        writeln!(
            Stdout,
            "{}",
            serde_json::json!({"imported": true, "peak_bytes": peak_bytes()})
        )?;
    }
    let (batch, threads) = (number(&m, "batch")?, number(&m, "threads")?);
    let (precision, device): (Precision, Device) = (
        value(&m, "precision").parse()?,
        value(&m, "device").parse()?,
    );
    precision.check(device)?;
    let config = Config::parse(value(&m, "model"))?;
    let config = match m.get_flag("segment") {
        true => Config {
            task: Task::Segment { classes: 0 },
            ..config
        },
        false => config,
    };
    let config = Config {
        channels: number(&m, "channels")?,
        size: number(&m, "size")?,
        ..config.with_outputs(number(&m, "classes")?)
    };
    let gpu = |flag: &str| match device {
        Device::Cuda(ordinal) => Ok(ordinal),
        Device::Cpu => Err(Error::Argument(format!(
            "--{flag} is for a GPU: --device cuda"
        ))),
    };
    if m.get_flag("largest") {
        return largest(&config, gpu("largest")?, precision);
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|e| Error::Argument(format!("cannot start {threads} threads: {e}")))?;
    let mut load = Load::new(&config, batch, device, precision)?;
    if m.get_flag("serve") {
        return pool.install(|| serve(&mut load));
    }
    if m.get_flag("kernels") {
        return kernels(&mut load, gpu("kernels")?);
    }
    let rates = pool.install(|| Ok([load.rate(Load::train)?, load.rate(Load::infer)?]))?;
    if m.get_flag("json") {
        print_json(&config, &load, threads, rates)
    } else {
        print(&config, &load, threads, rates)
    }
}

fn command() -> Command {
    let text = |name: &'static str, default: &'static str| {
        Arg::new(name).long(name).default_value(default)
    };
    Command::new("step")
        .about("Times training and inference steps on random images.")
        .arg(text("model", "WaveMixLite-128/7"))
        .arg(
            Arg::new("segment")
                .long("segment")
                .action(ArgAction::SetTrue)
                .help("A class at every pixel; networks that only segment do so anyway"),
        )
        .arg(text("channels", "3"))
        .arg(text("classes", "47"))
        .arg(text("size", "28"))
        .arg(text("batch", "64"))
        .arg(text("threads", "2"))
        .arg(text("precision", "f32"))
        .arg(text("device", "cpu"))
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print one line of JSON"))
        .arg(
            Arg::new("kernels")
                .long("kernels")
                .action(ArgAction::SetTrue)
                .help("On a GPU: what each kernel of a training step takes"),
        )
        .arg(
            Arg::new("largest")
                .long("largest")
                .action(ArgAction::SetTrue)
                .help("On a GPU: find the largest batch that it can train with, to within a fiftieth, and print a line of JSON"),
        )
        .arg(Arg::new("serve").long("serve").action(ArgAction::SetTrue).help("Take turns: answer lines of the input with times"))
        .arg(Arg::new("bench").long("bench").action(ArgAction::SetTrue).hide(true))
}

fn number(m: &ArgMatches, name: &str) -> Result<usize> {
    let text = value(m, name);
    text.parse()
        .map_err(|_| Error::Argument(format!("--{name} takes a number, not `{text}`")))
}

fn value<'a>(m: &'a ArgMatches, name: &str) -> &'a str {
    m.get_one::<String>(name).map_or("", String::as_str)
}

/// Prints images a second, training and inference, and memory, for programs.
fn print_json(config: &Config, load: &Load, threads: usize, rates: [f64; 2]) -> Result<()> {
    let line = serde_json::json!({
        "model": config.name(),
        "batch": load.batch(),
        "threads": threads,
        "precision": load.precision.to_string(),
        "device": load.params.device().to_string(),
        "train_images_per_s": rates[0],
        "infer_images_per_s": rates[1],
        "peak_bytes": load.peak_bytes(),
        "saved_bytes": load.saved_bytes(config)?,
    });
    writeln!(Stdout, "{line}")
}

/// The same for people.
fn print(config: &Config, load: &Load, threads: usize, [train, infer]: [f64; 2]) -> Result<()> {
    let (batch, peak) = (load.batch(), load.peak_bytes() >> 20);
    writeln!(
        Stdout,
        "{config}, batch {batch}, {threads} threads: training {train:.0} images/s, inference {infer:.0} images/s"
    )?;
    match load.saved_bytes(config)? {
        Some(saved) => writeln!(
            Stdout,
            "peak {peak} MiB, of which {} MiB are activations saved for the backward pass",
            saved >> 20
        ),
        None => writeln!(Stdout, "peak {peak} MiB"),
    }
}

/// A model with random images that stay in memory.
struct Load {
    model: Model,
    params: Params,
    optimizer: Optimizer,
    images: Tensor,
    labels: Tensor,
    precision: Precision,
    steps: u64,
    /// On a GPU, a training step and its loss, and an inference step and its logits.
    recorded: Option<(CapturedGraph, Tensor)>,
    recorded_inference: Option<(CapturedGraph, Tensor)>,
    inferences: u64,
}

impl Load {
    fn new(config: &Config, batch: usize, device: Device, precision: Precision) -> Result<Load> {
        let (model, mut params) = config.build(DType::F32, &Rng::new(0))?;
        params.to_device(device)?;
        let size = config.size;
        let (classes, places) = match config.task {
            Task::Classify { classes } => (classes, vec![batch]),
            Task::Segment { classes } => (classes, vec![batch, size, size]),
            Task::Upscale { .. } => return Err(Error::Argument("classes only".into())),
        };
        let images = Tensor::normal(
            [batch, size, size, config.channels],
            0.0,
            1.0,
            DType::F32,
            &Rng::new(1),
        );
        let labels = (0..places.iter().product()).map(|i| (i % classes) as i64);
        let labels = Tensor::from_vec(labels.collect(), places)?;
        let optimizer = Optimizer::new("adamw".parse::<Method>()?, &params)?;
        let optimizer = if precision.scales_loss() {
            optimizer.with_loss_scaling()?
        } else {
            optimizer
        };
        let (images, labels) = (images.to_device(device)?, labels.to_device(device)?);
        Ok(Load {
            model,
            params,
            optimizer,
            images,
            labels,
            precision,
            steps: 0,
            recorded: None,
            recorded_inference: None,
            inferences: 0,
        })
    }

    fn train(&mut self) -> Result<()> {
        self.optimizer.set_lr(1e-3)?;
        self.steps += 1;
        let rng = Rng::new(2).child(self.steps);
        let loss = match (&mut self.recorded, self.params.device()) {
            (Some((recording, loss)), _) => {
                recording.replay(&rng)?;
                loss.clone()
            }
            // The first step finds what lasts a place in memory; the second is rehearsed, and
            // recorded for all others.
            (None, Device::Cuda(ordinal)) if self.steps == 2 => {
                let mut capture = Capture::new(ordinal)?;
                let loss = capture.warm_up(|| self.work(&rng))?;
                self.recorded = Some(capture.capture(|| self.work(&rng))?);
                loss
            }
            _ => self.work(&rng)?,
        };
        // Where a GPU computes, a step is over once its result is here.
        loss.item().map(drop)
    }

    fn work(&mut self, rng: &Rng) -> Result<Tensor> {
        let pass = Pass::train(&self.params, rng.clone()).in_precision(self.precision)?;
        let logits = self.model.forward(&pass, &(&self.images).into())?;
        let loss = cross_entropy(&logits, &self.labels, CrossEntropyOptions::default())?;
        let gradients = loss
            .backward_from(self.optimizer.loss_scale(&loss)?, &[])?
            .flatten(&self.params)?;
        let statistics = pass.into_updates();
        self.optimizer
            .advance(&mut self.params, &gradients, statistics)?;
        Ok(loss.into_value())
    }

    fn infer(&mut self) -> Result<()> {
        self.inferences += 1;
        let forward = || -> Result<Tensor> {
            let pass = Pass::eval(&self.params).in_precision(self.precision)?;
            Ok(self
                .model
                .forward(&pass, &(&self.images).into())?
                .into_value())
        };
        let logits = match (&mut self.recorded_inference, self.params.device()) {
            (Some((recording, logits)), _) => {
                recording.replay(&Rng::new(0))?;
                logits.clone()
            }
            (None, Device::Cuda(ordinal)) if self.inferences == 2 => {
                let mut capture = Capture::new(ordinal)?;
                let logits = capture.warm_up(forward)?;
                self.recorded_inference = Some(capture.capture(forward)?);
                logits
            }
            _ => forward()?,
        };
        logits.to_device(Device::Cpu).map(drop)
    }

    /// Images of a step.
    fn batch(&self) -> usize {
        self.images.shape()[0]
    }

    /// The most memory held so far: on a GPU in tensors, else resident.
    fn peak_bytes(&self) -> usize {
        match self.params.device() {
            Device::Cuda(ordinal) => cuda::pool_stats(ordinal).map_or(0, |stats| stats.peak_bytes),
            Device::Cpu => peak_bytes(),
        }
    }

    /// What a training step saves for its backward pass. The summary counts what the CPU keeps; a GPU
    /// keeps other things.
    fn saved_bytes(&self, config: &Config) -> Result<Option<usize>> {
        if self.params.device() != Device::Cpu {
            return Ok(None);
        }
        let image = config
            .summary([config.size, config.size], self.precision)?
            .saved_bytes();
        Ok(Some(image * self.batch()))
    }

    /// Images a second by the median time of a step.
    fn rate(&mut self, step: Step) -> Result<f64> {
        step(self)?;
        step(self)?;
        let mut times = self.times(step, TIME)?;
        times.sort_by(f64::total_cmp);
        Ok(self.batch() as f64 / times[times.len() / 2])
    }

    /// Times of at least two steps, and of at least `time` together, in seconds.
    fn times(&mut self, step: Step, time: Duration) -> Result<Vec<f64>> {
        let (began, mut times) = (Instant::now(), Vec::new());
        while times.len() < 2 || began.elapsed() < time {
            let start = Instant::now();
            step(self)?;
            times.push(start.elapsed().as_secs_f64());
        }
        Ok(times)
    }
}

type Step = fn(&mut Load) -> Result<()>;

/// Finds the largest batch whose step can be done, recorded and replayed: doubled until one cannot,
/// then halved between.
fn largest(config: &Config, ordinal: usize, precision: Precision) -> Result<()> {
    let fits = |batch: usize| -> Result<bool> {
        cuda::release_free_memory(ordinal)?;
        let steps = Load::new(config, batch, Device::Cuda(ordinal), precision)
            .and_then(|mut load| (0..3).try_for_each(|_| load.train()));
        match steps {
            Err(Error::OutOfMemory(_)) => Ok(false),
            // The driver's own needs, for a graph, may be what is too much.
            Err(Error::Device(what)) if what.contains("OUT_OF_MEMORY") => Ok(false),
            outcome => outcome.map(|()| true),
        }
    };
    let (mut most, mut over) = (0, 1);
    while over < 1 << 20 && fits(over)? {
        (most, over) = (over, 2 * over);
    }
    while over - most > (most / 50).max(1) {
        let middle = most + (over - most) / 2;
        if fits(middle)? {
            most = middle
        } else {
            over = middle
        }
    }
    writeln!(
        Stdout,
        "{}",
        serde_json::json!({"model": config.name(), "precision": precision.to_string(), "largest": most})
    )
}

/// What cuBLAS reaches with large square matrices, by whatever instructions it chooses: the matrix
/// units' own limit.
fn product_rate(ordinal: usize, precision: Precision) -> Result<f64> {
    // On the stand-in the number means nothing, and would take hours.
    let n = if std::env::var_os("WAVEMIX_EXACT_ALLOCATIONS").is_some() {
        16
    } else {
        8192
    };
    let x = Tensor::full_on(Device::Cuda(ordinal), [n, n], 0.5, precision.compute())?;
    let x = Var::from(x).with_tf32(precision == Precision::Tf32);
    x.matmul(&x)?;
    let ((), times) = cuda::profile(ordinal, || (0..8).try_for_each(|_| x.matmul(&x).map(drop)))?;
    Ok(times[0].flops as f64 / times[0].seconds)
}

/// The times of each kernel in so many training steps, profiled one at a time; the longest first.
fn kernel_times(load: &mut Load, ordinal: usize, steps: usize) -> Result<Vec<KernelTime>> {
    // Not recorded, as what is replayed as a whole cannot be looked into.
    let rng = Rng::new(2);
    load.work(&rng)?;
    load.work(&rng)?;
    let mut sums: Vec<KernelTime> = Vec::new();
    for _ in 0..steps {
        for time in cuda::profile(ordinal, || load.work(&rng))?.1 {
            match sums.iter_mut().find(|sum| sum.name == time.name) {
                Some(sum) => {
                    sum.launches += time.launches;
                    sum.seconds += time.seconds;
                    sum.bytes += time.bytes;
                    sum.flops += time.flops;
                }
                None => sums.push(time),
            }
        }
    }
    sums.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    Ok(sums)
}

/// A line for each kernel of a training step: its time, what it achieves, and the share of its
/// limit, which is the memory or the arithmetic, whichever takes longer at the rates measured here
/// and now: for our kernels that of the instruction they use, for cuBLAS what it reaches at best.
fn kernels(load: &mut Load, ordinal: usize) -> Result<()> {
    const STEPS: usize = 5;
    let copy = cuda::copy_rate(ordinal)?;
    let matrix = cuda::matrix_rate(
        ordinal,
        load.precision.compute(),
        load.precision == Precision::Tf32,
    )?;
    let best = product_rate(ordinal, load.precision)?;
    let times = kernel_times(load, ordinal, STEPS)?;
    let all: f64 = times.iter().map(|time| time.seconds).sum();
    let (batch, ms) = (load.batch(), all * 1e3 / STEPS as f64);
    writeln!(
        Stdout,
        "{}: copies {:.0} GB/s read and written; products of {} {:.1} TFLOP/s from registers by our instruction, {:.1} by cuBLAS",
        cuda::name(ordinal)?,
        copy / 1e9,
        load.precision,
        matrix / 1e12,
        best / 1e12
    )?;
    writeln!(Stdout, "a step of {batch} images: {ms:.3} ms in kernels")?;
    writeln!(
        Stdout,
        "{:<32} {:>6} {:>9} {:>6} {:>8} {:>9} {:>9}",
        "kernel", "runs", "us a step", "share", "GB/s", "TFLOP/s", "of limit"
    )?;
    for time in times {
        let rate = if time.name.starts_with("cuBLAS") {
            best
        } else {
            matrix
        };
        let limit = (time.bytes as f64 / copy).max(time.flops as f64 / rate);
        let (per_step, share) = (
            time.seconds * 1e6 / STEPS as f64,
            time.seconds / all * 100.0,
        );
        let (bytes, flops, runs) = (
            time.bytes as f64 / time.seconds / 1e9,
            time.flops as f64 / time.seconds / 1e12,
            time.launches / STEPS,
        );
        let name = time.name;
        writeln!(
            Stdout,
            "{name:<32} {runs:>6} {per_step:>9.1} {share:>5.1}% {bytes:>8.0} {flops:>9.1} {:>8.0}%",
            limit / time.seconds * 100.0
        )?;
    }
    Ok(())
}

/// Answers lines of the input until it ends.
fn serve(load: &mut Load) -> Result<()> {
    let parameters = load.params.count();
    writeln!(
        Stdout,
        "{}",
        serde_json::json!({"ready": true, "parameters": parameters})
    )?;
    let mut warm = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| Error::Argument(format!("cannot read the input: {e}")))?;
        let wrong = || {
            Error::Argument(format!(
                "`{line}` is neither `train SECONDS` nor `infer SECONDS`"
            ))
        };
        let (what, seconds) = line.split_once(' ').ok_or_else(wrong)?;
        let step: Step = match what {
            "train" => Load::train,
            "infer" => Load::infer,
            _ => return Err(wrong()),
        };
        let time = seconds
            .parse()
            .ok()
            .and_then(|s| Duration::try_from_secs_f64(s).ok())
            .ok_or_else(wrong)?;
        if !warm.contains(&what.to_owned()) {
            step(load)?;
            step(load)?;
            warm.push(what.to_owned());
        }
        let times = load.times(step, time)?;
        writeln!(
            Stdout,
            "{}",
            serde_json::json!({"times": times, "peak_bytes": load.peak_bytes()})
        )?;
    }
    Ok(())
}
