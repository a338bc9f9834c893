//! Trains any model on your own pictures, in a folder for each class.
//!
//! ```text
//! cargo run --release --example train -- --data FOLDER --model ResNet-18
//! cargo run --release --example train -- --data FOLDER --model WaveMixLite-64/5 --size 128 --augment
//! ```

use std::process::ExitCode;

use wavemix::cli::{self, Job};

fn main() -> ExitCode {
    let job = Job {
        name: "train",
        about: "Trains any model on your own pictures, in a folder for each class.",
        splits: &[],
        model: "WaveMixLite-32/5",
        stem: None,
        batch_size: "32",
        epochs: "20",
        dropout: "0",
        lr: 0.001,
        glyphs: [0, 0],
        mirrors: true,
    };
    cli::main(&job, cli::run)
}
