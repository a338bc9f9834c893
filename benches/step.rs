//! Training and inference steps: images a second, memory.
//!
//! ```text
//! cargo bench --bench step -- --model WaveMixLite-128/7 --channels 3 --classes 47 --size 28 --batch 64 --threads 2 --json
//! ```
//!
//! Figures are medians over steps of at least two seconds each way, after two steps to warm up. Other programs on the
//! machine disturb them: compare two sides by running them in turns, and by ratios.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Arg, ArgAction, ArgMatches, Command};
use wavemix::metrics::peak_bytes;
use wavemix::models::{Config, Model, Task};
use wavemix::ops::{CrossEntropyOptions, cross_entropy};
use wavemix::optim::{Method, Optimizer};
use wavemix::{DType, Device, Error, Params, Pass, Result, Rng, Tensor};

/// Time to spend on each of training and inference.
const TIME: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<()> {
    let text = |name: &'static str, default: &'static str| Arg::new(name).long(name).default_value(default);
    let m = Command::new("step")
        .about("Times training and inference steps on random images.")
        .arg(text("model", "WaveMixLite-128/7"))
        .arg(text("channels", "3"))
        .arg(text("classes", "47"))
        .arg(text("size", "28"))
        .arg(text("batch", "64"))
        .arg(text("threads", "2"))
        .arg(text("precision", "f32"))
        .arg(text("device", "cpu"))
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print one line of JSON"))
        .arg(Arg::new("bench").long("bench").action(ArgAction::SetTrue).hide(true))
        .get_matches();
    let number = |name: &str| -> Result<usize> {
        let text = value(&m, name);
        text.parse().map_err(|_| Error::Argument(format!("--{name} takes a number, not `{text}`")))
    };
    let (size, batch, threads) = (number("size")?, number("batch")?, number("threads")?);
    if value(&m, "precision") != "f32" || value(&m, "device").parse::<Device>()? != Device::Cpu {
        return Err(Error::Device("only --device cpu --precision f32 computes so far".into()));
    }
    let task = Task::Classify { classes: number("classes")? };
    let config = Config { channels: number("channels")?, size, task, ..Config::parse(value(&m, "model"))? };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|e| Error::Argument(format!("cannot start {threads} threads: {e}")))?;
    let (train, infer) = pool.install(|| measure(&config, batch))?;
    let saved = config.summary([size, size])?.saved_bytes() * batch;
    if m.get_flag("json") {
        let line = serde_json::json!({
            "model": config.name(), "batch": batch, "threads": threads, "precision": "f32", "device": "cpu",
            "train_images_per_s": train, "infer_images_per_s": infer, "peak_bytes": peak_bytes(), "saved_bytes": saved,
        });
        println!("{line}");
    } else {
        let (peak, saved) = (peak_bytes() >> 20, saved >> 20);
        println!("{config}, batch {batch}, {threads} threads: training {train:.0} images/s, inference {infer:.0} images/s");
        println!("peak {peak} MiB, of which {saved} MiB are activations saved for the backward pass");
    }
    Ok(())
}

fn value<'a>(m: &'a ArgMatches, name: &str) -> &'a str {
    m.get_one::<String>(name).map_or("", String::as_str)
}

/// Median images a second of training and of inference.
fn measure(config: &Config, batch: usize) -> Result<(f64, f64)> {
    let (model, mut params) = config.build(DType::F32, &Rng::new(0))?;
    let Task::Classify { classes } = config.task else { return Err(Error::Argument("classification only".into())) };
    let images = Tensor::normal([batch, config.size, config.size, config.channels], 0.0, 1.0, DType::F32, &Rng::new(1));
    let labels = Tensor::from_vec((0..batch).map(|i| (i % classes) as i64).collect(), [batch])?;
    let mut optimizer = Optimizer::new("adamw".parse::<Method>()?, &params)?;
    let train = rate(batch, || train_step(&model, &mut params, &mut optimizer, &images, &labels))?;
    let infer = rate(batch, || model.forward(&Pass::eval(&params), &images.clone().into()).map(drop))?;
    Ok((train, infer))
}

fn train_step(model: &Model, params: &mut Params, optimizer: &mut Optimizer, images: &Tensor, labels: &Tensor) -> Result<()> {
    let pass = Pass::train(params, Rng::new(2).child(optimizer.steps()));
    let loss = cross_entropy(&model.forward(&pass, &images.into())?, labels, CrossEntropyOptions::default())?;
    let gradients = loss.backward()?;
    let statistics = pass.into_updates();
    optimizer.step(params, &gradients, 1e-3)?;
    params.apply(statistics);
    Ok(())
}

/// Images a second by the median time of a step.
fn rate(batch: usize, mut step: impl FnMut() -> Result<()>) -> Result<f64> {
    step()?;
    step()?;
    let (began, mut times) = (Instant::now(), Vec::new());
    while times.len() < 3 || began.elapsed() < TIME {
        let start = Instant::now();
        step()?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(batch as f64 / times[times.len() / 2])
}
