//! Accuracies, or mIoUs, of runs that were trained: folders that the trainer wrote under `runs/papers/`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use wavemix::data::Source;
use wavemix::io::safetensors::TensorFile;
use wavemix::models::Config;
use wavemix::train::read_config;

use super::table::Set;

/// A run's best weights, in its folder.
const WEIGHTS: &str = "best/model.safetensors";

/// A finished run.
pub struct Run {
    model: Config,
    data_set: String,
    /// The share of the test images that its best weights know; of maps of classes, the mIoU.
    share: f64,
    /// Of maps, the ratio that the papers' scripts report.
    papers_iou: Option<f64>,
}

/// The folders below one that hold weights, in the order of their names.
pub fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let folders = entries.flatten().map(|entry| entry.path());
    let mut folders: Vec<PathBuf> =
        folders.filter(|folder| folder.join(WEIGHTS).is_file()).collect();
    folders.sort();
    folders
}

/// All finished runs below a folder. What is no run, or not finished, is passed over; and so are runs
/// on fewer images than the set has, and on glyphs that stand in for it.
pub fn finished(folder: &Path) -> Vec<Run> {
    folders(folder).iter().filter_map(|folder| read(folder)).collect()
}

fn read(folder: &Path) -> Option<Run> {
    let metrics = fs::read_to_string(folder.join("metrics.jsonl")).ok()?;
    let mut lines = metrics.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let best = lines.find(|line| line["phase"] == "best")?;
    let file = TensorFile::read(folder.join(WEIGHTS)).ok()?;
    let json = |key: &str| serde_json::from_str::<Value>(file.metadata.get(key)?).ok();
    let images = json("images")?;
    let data_set = images["data_set"].as_str()?.to_owned();
    let source: Source = data_set.parse().ok()?;
    let is_part = !read_config(folder).ok()?["settings"]["limit"].is_null();
    if is_part || !images["trained_on"].as_str()?.starts_with(&source.title()) {
        return None;
    }
    Some(Run {
        model: Config::from_json(&json("config")?).ok()?,
        data_set,
        share: best["test_top1"].as_f64().or(best["test_miou"].as_f64())?,
        papers_iou: best["test_papers_iou"].as_f64(),
    })
}

/// The best test accuracy or mIoU in percent among runs of this model on this set.
pub fn accuracy(runs: &[Run], config: &Config, set: &Set) -> Option<f64> {
    best(runs, config, set).map(|run| 100.0 * run.share)
}

/// The papers' ratio in percent of the run whose mIoU is the best.
pub fn papers_iou(runs: &[Run], config: &Config, set: &Set) -> Option<f64> {
    best(runs, config, set)?.papers_iou.map(|ratio| 100.0 * ratio)
}

fn best<'a>(runs: &'a [Run], config: &Config, set: &Set) -> Option<&'a Run> {
    let same = |run: &&Run| {
        // How it was trained may differ, what it computes may not.
        let model = Config { dropout: config.dropout, ..run.model.clone() };
        model.to_json() == config.to_json() && run.data_set == set.source.to_string()
    };
    runs.iter().filter(same).max_by(|a, b| a.share.total_cmp(&b.share))
}
