//! Accuracies of runs that were trained: folders that the trainer wrote under `runs/papers/`.

use std::fs;
use std::path::Path;

use serde_json::Value;
use wavemix::io::safetensors::TensorFile;
use wavemix::models::Config;

use super::table::Set;

/// A finished run.
pub struct Run {
    model: Config,
    data_set: String,
    /// The share of the test images that its best weights know.
    top1: f64,
}

/// All finished runs below a folder. What is no run, or not finished, is passed over.
pub fn finished(folder: &Path) -> Vec<Run> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut folders: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    folders.iter().filter_map(|folder| read(folder)).collect()
}

fn read(folder: &Path) -> Option<Run> {
    let metrics = fs::read_to_string(folder.join("metrics.jsonl")).ok()?;
    let mut lines = metrics.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let best = lines.find(|line| line["phase"] == "best")?;
    let file = TensorFile::read(folder.join("best/model.safetensors")).ok()?;
    let json = |key: &str| serde_json::from_str::<Value>(file.metadata.get(key)?).ok();
    Some(Run {
        model: Config::from_json(&json("config")?).ok()?,
        data_set: json("images")?["data_set"].as_str()?.to_owned(),
        top1: best["test_top1"].as_f64()?,
    })
}

/// The best test accuracy in percent among runs of this model on this set.
pub fn accuracy(runs: &[Run], config: &Config, set: &Set) -> Option<f64> {
    let same = |run: &&Run| {
        // How it was trained may differ, what it computes may not.
        let model = Config { dropout: config.dropout, ..run.model.clone() };
        model.to_json() == config.to_json() && run.data_set == set.source.to_string()
    };
    runs.iter().filter(same).map(|run| 100.0 * run.top1).max_by(f64::total_cmp)
}
