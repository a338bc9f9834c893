//! Fine-tuning: a body trained on digits learns 47 characters, by a new head first and then as a
//! whole, with a learning rate for the body and another for the head.
//!
//! `cargo run --release --example fine_tune -- [WEIGHTS]`, with the weights of a WaveMixLite-16/2
//! for grey images in safetensors; without, they are trained here and written to a temporary file.

use wavemix::console::Stdout;
use wavemix::data::{Source, Split, TrainTest};
use wavemix::io::weights;
use wavemix::metrics::top_k;
use wavemix::models::{Config, Model, Task};
use wavemix::prelude::*;

fn built(classes: usize) -> Result<(Model, Params)> {
    let config = Config::parse("WaveMixLite-16/2")?.with("stem", "strided:2,1")?;
    let task = Task::Classify { classes };
    Config { channels: 1, task, ..config }.build(DType::F32, &Rng::new(1))
}

/// Trains an epoch, and gives the percentage of test images that are then read right.
fn epoch(model: &Model, params: &mut Params, data: &TrainTest) -> Result<f64> {
    let (train, test) = data.clone().loaders(32)?;
    let mut optimizer = Optimizer::new(AdamW::default(), params)?;
    for batch in train.epoch(&Rng::new(2), 0, 0)? {
        let (x, labels) = batch?.into_parts();
        optimizer
            .train_step(params, 1e-2, |pass| model.forward(pass, &x)?.cross_entropy(&labels))?;
    }
    let mut right = 0;
    for batch in test.in_order()? {
        let (x, labels) = batch?.into_parts();
        let logits = model.forward(&Pass::eval(params), &x)?;
        right += top_k(logits.value(), &labels.to_vec()?, 1)?;
    }
    Ok(100.0 * right as f64 / data.test.len() as f64)
}

fn main() -> Result<()> {
    let file = std::env::temp_dir().join("digits.safetensors");
    let path = std::env::args_os().nth(1).map_or(file.clone(), Into::into);
    if path == file {
        let (model, mut params) = built(10)?;
        let accuracy = epoch(&model, &mut params, &Source::Mnist.drawn([1000, 50], 0)?)?;
        writeln!(Stdout, "digits: {accuracy:.1} %")?;
        weights::save(&path, &params, &Default::default())?;
    }
    let (model, mut params) = built(47)?;
    writeln!(Stdout, "{}", weights::load_matching(&path, &mut params)?)?;
    let characters = Source::Emnist(Split::Balanced).drawn([200, 20], 0)?;
    let body = |name: &str| !name.starts_with("pool.2");
    params.set_groups(|name| Group { frozen: body(name), ..Group::default() });
    writeln!(Stdout, "head alone: {:.1} %", epoch(&model, &mut params, &characters)?)?;
    params.set_groups(|name| Group {
        lr_scale: if body(name) { 0.2 } else { 1.0 },
        ..Group::default()
    });
    writeln!(Stdout, "all of it: {:.1} %", epoch(&model, &mut params, &characters)?)
}
