//! The names of all public ops, as the source files have them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The files in `folder` and in the folders there.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => files_in(&path),
            false => vec![path],
        })
        .collect()
}

/// The public functions of `src/ops`: `pub fn` in the files, and the rows of the tables that
/// functions are made from.
pub fn public_ops() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ops");
    let mut names: BTreeSet<String> = ["add", "sub", "mul", "div"].map(String::from).into();
    for file in files_in(&folder) {
        names.extend(names_in(&fs::read_to_string(file).unwrap()));
    }
    names
}

/// Those of one file.
pub fn names_in(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in text.lines().map(str::trim_start) {
        let function = line.strip_prefix("pub fn ");
        let rest = function.unwrap_or(line);
        let (name, rest) = rest.split_at(
            rest.find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len()),
        );
        // A row is `neg(), "-x", ..;` or `eq, "=", ..;`
        let behind = rest
            .split_once(')')
            .filter(|(before, _)| !before.contains('"'))
            .map_or(rest, |(_, behind)| behind);
        let row = rest.starts_with(['(', ',']) && behind.starts_with(", \"") && line.ends_with(';');
        if !name.is_empty() && (function.is_some() || row) {
            names.insert(name.to_owned());
        }
    }
    names
}
