//! Trains a WaveMix-Lite on MNIST or Fashion-MNIST.
//!
//! ```text
//! cargo run --release --example mnist -- --data DIR --model WaveMixLite-8/10 --upsample
//! cargo run --release --example mnist -- --train-on builtin --data DIR
//! ```

use std::process::ExitCode;

use wavemix::cli::{self, Job};
use wavemix::data::Source;

fn main() -> ExitCode {
    let job = Job {
        name: "mnist",
        about: "Trains a WaveMix model on MNIST or Fashion-MNIST.",
        splits: &[("mnist", Source::Mnist), ("fashion", Source::FashionMnist)],
        model: "WaveMixLite-32/4",
        stem: Some("strided:2,1"),
        batch_size: "32",
        epochs: "5",
        dropout: "0",
        lr: 0.006,
        glyphs: [3000, 500],
        mirrors: false,
    };
    cli::main(&job, cli::run)
}
