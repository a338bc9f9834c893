//! Serving: eight threads share one model and its weights.
//!
//! `cargo run --release --example serve -- [WEIGHTS]`, with a file that training wrote
//! (`runs/*/best/model.safetensors`); a model that has learned nothing serves without.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use wavemix::console::Stdout;
use wavemix::data::Source;
use wavemix::models::{Config, Saved};
use wavemix::prelude::*;

fn main() -> Result<()> {
    let config = Config { channels: 1, size: 28, ..Config::parse("WaveMixLite-16/5")? };
    let (model, params) = match std::env::args().nth(1) {
        Some(path) => Saved::load(path, None).map(|saved| (saved.model, saved.params))?,
        None => config.build(DType::F32, &Rng::new(0))?,
    };
    let (_, digits) = Source::Mnist.drawn([1, 40], 0)?.loaders(1)?;
    let requests: Vec<Batch> = digits.in_order()?.collect::<Result<_>>()?;
    let (next, began) = (AtomicUsize::new(0), Instant::now());
    // Layers and weights are only read: no lock, no copy. A pass is made for each request.
    let serve = || -> Result<usize> {
        let mine = std::iter::from_fn(|| requests.get(next.fetch_add(1, Ordering::Relaxed)));
        let answer = |request: &Batch| {
            model.forward(&Pass::eval(&params), &Var::from(&request.inputs))?.value().argmax(1)
        };
        mine.map(answer).try_fold(0, |served, answer| answer.map(|_class| served + 1))
    };
    thread::scope(|scope| {
        for thread in [(); 8].map(|()| scope.spawn(serve)) {
            writeln!(Stdout, "a thread answered {} requests", thread.join().expect("no panic")?)?;
        }
        Result::Ok(())
    })?;
    writeln!(Stdout, "{:.0} requests/s", requests.len() as f64 / began.elapsed().as_secs_f64())
}
