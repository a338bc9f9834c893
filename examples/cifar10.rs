//! Trains a WaveMix-Lite on CIFAR-10 or CIFAR-100.
//!
//! ```text
//! cargo run --release --example cifar10 -- --data DIR
//! cargo run --release --example cifar10 -- --data DIR --model WaveMixLite-144/7 --dropout 0.5 --protocol papers --epochs 150
//! ```

use std::process::ExitCode;

use wavemix::cli::{self, Job};
use wavemix::data::Source;

fn main() -> ExitCode {
    let job = Job {
        name: "cifar10",
        about: "Trains a WaveMix model on CIFAR-10 or CIFAR-100.",
        splits: &[("cifar10", Source::Cifar10), ("cifar100", Source::Cifar100)],
        model: "WaveMixLite-32/7",
        stem: None,
        batch_size: "64",
        epochs: "20",
        dropout: "0",
        lr: 0.005,
        glyphs: [0, 0],
        mirrors: true,
    };
    cli::main(&job, cli::run)
}
