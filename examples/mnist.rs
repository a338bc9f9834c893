//! Trains a WaveMix-Lite on MNIST or Fashion-MNIST.
//!
//! ```text
//! cargo run --release --example mnist -- --data DIR --model WaveMixLite-8/10 --upsample
//! cargo run --release --example mnist -- --train-on builtin --data DIR
//! ```

use std::process::ExitCode;

use wavemix::cli::{self, Job};
use wavemix::data::Source;
use wavemix::train;

fn main() -> ExitCode {
    let job = Job {
        name: "mnist",
        about: "Trains a WaveMix model on MNIST or Fashion-MNIST.",
        splits: &[("mnist", Source::Mnist), ("fashion", Source::FashionMnist)],
        model: "WaveMixLite-16/5",
        batch_size: "64",
        epochs: "5",
        dropout: "0",
        lr: 0.01,
        glyphs: [3000, 500],
        mirrors: false,
    };
    cli::main(&job, train::run)
}
