//! Trains a WaveMix-Lite on handwritten characters: EMNIST where there is one, built-in glyphs of
//! the same classes otherwise.
//!
//! ```text
//! cargo run --release --example emnist_balanced
//! cargo run --release --example emnist_balanced -- --data DIR --model WaveMixLite-128/7 --channels 3 --epochs 100
//! ```

use std::process::ExitCode;

use wavemix::cli::{self, Job};
use wavemix::data::{Source, Split};

fn main() -> ExitCode {
    let job = Job {
        name: "emnist_balanced",
        about: "Trains a WaveMix model on EMNIST, or on built-in glyphs where there is none.",
        splits: &[
            ("balanced", Source::Emnist(Split::Balanced)),
            ("byclass", Source::Emnist(Split::ByClass)),
            ("bymerge", Source::Emnist(Split::ByMerge)),
            ("letters", Source::Emnist(Split::Letters)),
            ("digits", Source::Emnist(Split::Digits)),
            ("mnist", Source::Emnist(Split::Mnist)),
        ],
        model: "WaveMixLite-32/4",
        stem: Some("strided:2,1"),
        batch_size: "32",
        epochs: "5",
        dropout: "0",
        lr: 0.006,
        glyphs: [600, 100],
        mirrors: false,
    };
    cli::main(&job, cli::run)
}
