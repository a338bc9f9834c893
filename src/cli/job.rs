//! What one example trains.

use crate::data::Source;

/// What one example trains, and its defaults.
pub struct Job {
    /// The example's name, which also names its folders under `runs/`.
    pub name: &'static str,
    /// One line for `--help`.
    pub about: &'static str,
    /// The names that `--split` takes, and the sets they stand for; the first is the default. None
    /// where `--data` is a folder of the user's own pictures.
    pub splits: &'static [(&'static str, Source)],
    /// Default of `--model`.
    pub model: &'static str,
    /// The stem of the default model, as `--stem` takes it; models asked for by name take what the
    /// image size calls for.
    pub stem: Option<&'static str>,
    /// Default of `--batch-size`.
    pub batch_size: &'static str,
    /// Default of `--epochs`.
    pub epochs: &'static str,
    /// Default of `--dropout`.
    pub dropout: &'static str,
    /// Default of `--lr` with Adam and AdamW.
    pub lr: f64,
    /// Built-in glyphs a class to train on and to test on.
    pub glyphs: [usize; 2],
    /// Whether a mirrored image is still of its class: true of photographs, not of characters.
    pub mirrors: bool,
}
