//! What may know of what: imports resolved to files, through re-exports.

use std::collections::{BTreeMap, BTreeSet};

use crate::files;

/// Rooms from the ground up: each file may use those on its own floor and below.
const FLOORS: [&[&str]; 10] = [
    &[
        "tensor/error",
        "tensor/scope",
        "tensor/timeline",
        "tensor/shape",
        "tensor/dtype",
        "tensor/device",
        "tensor/rng",
        "tensor/window",
        "tensor/pool",
        "console",
    ],
    &["cpu", "cuda", "tensor/float"],
    &["tensor"],
    &["params", "autograd"],
    &["ops"],
    &["nn"],
    &["optim", "io", "data", "models"],
    &["metrics", "plots", "profile", "train", "onnx"],
    &["cli"],
    &["lib", "fuzzing"],
];

/// The crate's modules and what they take from one another.
struct Crate {
    /// The file of each module.
    files: BTreeMap<Vec<String>, String>,
    /// Re-exports: module and name, and the path that they stand for.
    exports: BTreeMap<(Vec<String>, String), Vec<String>>,
    /// Paths that each file names.
    uses: BTreeMap<String, Vec<Vec<String>>>,
}

fn segments(path: &str) -> Vec<String> {
    path.split("::").map(str::to_owned).collect()
}

/// The module that a file of src/ is.
fn module(file: &str) -> Vec<String> {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if path == "lib" {
        return Vec::new();
    }
    path.split('/').map(str::to_owned).collect()
}

/// Code without comments and unit tests.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod").next().unwrap();
    let lines = code
        .lines()
        .map(|line| line.split("//").next().unwrap().to_owned() + "\n");
    lines.collect()
}

/// `a::{b, c::{d, e as f}}` as `a::b`, `a::c::d`, `a::c::e as f`.
fn leaves(tree: &str, prefix: &str, out: &mut Vec<String>) {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, c) in tree.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&tree[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&tree[start..]);
    for part in parts
        .iter()
        .map(|part| part.trim())
        .filter(|p| !p.is_empty())
    {
        match part.split_once('{') {
            Some((before, inside)) => {
                let inside = inside.rsplit_once('}').unwrap().0;
                leaves(inside, &format!("{prefix}{}", before.trim()), out);
            }
            None => out.push(format!("{prefix}{part}")),
        }
    }
}

impl Crate {
    fn read() -> Crate {
        let sources = files("src", &["rs"]);
        let files = sources.iter().map(|(file, _)| (module(file), file.clone()));
        let mut all = Crate {
            files: files.collect(),
            exports: BTreeMap::new(),
            uses: BTreeMap::new(),
        };
        for (file, text) in &sources {
            all.add(file, &code(text));
        }
        all
    }

    fn add(&mut self, file: &str, code: &str) {
        let own = module(file);
        let (mut uses, mut rest) = (Vec::new(), String::new());
        for statement in code.split(';') {
            let start = (statement.find("use ")).filter(|at| {
                let line = statement[..*at].rfind('\n').map_or(0, |at| at + 1);
                let before = statement[line..*at].trim();
                before.is_empty() || (before.starts_with("pub") && !before.contains("fn"))
            });
            let Some(start) = start else {
                rest += &format!("{};", statement);
                continue;
            };
            let line = statement[..start].rfind('\n').map_or(0, |at| at + 1);
            let public = statement[line..start].contains("pub");
            rest += &statement[..line];
            let mut paths = Vec::new();
            leaves(&statement[start + 4..], "", &mut paths);
            for path in paths {
                let (path, name) = match path.split_once(" as ") {
                    Some((path, name)) => (path.to_owned(), name.to_owned()),
                    None => {
                        let path = path.trim_end_matches("::self").to_owned();
                        let name = path.rsplit("::").next().unwrap().to_owned();
                        (path, name)
                    }
                };
                let path = path.trim_end_matches("::self");
                match self.absolute(path, &own) {
                    Some(path) if public => {
                        self.exports.insert((own.clone(), name), path);
                    }
                    Some(path) => uses.push(path),
                    None => {}
                }
            }
        }
        uses.extend(self.paths_in(&rest, &own));
        self.uses.insert(file.to_owned(), uses);
    }

    /// Paths with `::` in code: of this crate, or beginning with a module of this one.
    fn paths_in(&self, code: &str, own: &[String]) -> Vec<Vec<String>> {
        let word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        let words = code.split(|c: char| !word(c));
        let paths = words.filter(|path| path.contains("::") && !path.starts_with(':'));
        let paths = paths.map(|path| path.trim_end_matches(':'));
        paths.filter_map(|path| self.absolute(path, own)).collect()
    }

    /// A path from the crate's root; none for what is outside of it.
    fn absolute(&self, path: &str, own: &[String]) -> Option<Vec<String>> {
        let mut path = segments(path);
        let mut from = own.to_vec();
        match path[0].as_str() {
            "crate" => return Some(path.split_off(1)),
            "super" | "self" => {
                while ["super", "self"].contains(&path.first()?.as_str()) {
                    if path.remove(0) == "super" {
                        from.pop();
                    }
                }
            }
            first => {
                let child = [own, &[first.to_owned()]].concat();
                self.files.get(&child)?;
            }
        }
        Some([from, path].concat())
    }

    /// The file that an item is defined in.
    fn file(&self, path: &[String]) -> &str {
        let deepest = (0..=path.len()).rev();
        let depth = deepest
            .into_iter()
            .find(|&n| self.files.contains_key(&path[..n]))
            .unwrap();
        let own = path[..depth].to_vec();
        if let Some(name) = path.get(depth)
            && let Some(target) = self.exports.get(&(own.clone(), name.clone()))
            && target[..] != path[..=depth]
        {
            return self.file(&[target, &path[depth + 1..]].concat());
        }
        &self.files[&own]
    }

    /// The files that each file uses.
    fn arrows(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let arrows = self.uses.iter().map(|(file, uses)| {
            let used = uses.iter().map(|path| self.file(path));
            (&**file, used.filter(|used| used != file).collect())
        });
        arrows.collect()
    }
}

fn floor(file: &str) -> usize {
    let path = module(file).join("/");
    let path = if path.is_empty() { "lib" } else { &path };
    let within = |room: &&&str| path == **room || path.starts_with(&format!("{room}/"));
    let rooms = FLOORS.iter().enumerate();
    let rooms = rooms.filter_map(|(i, rooms)| Some((rooms.iter().find(within)?.len(), i)));
    let found = rooms.max_by_key(|(length, _)| *length);
    found
        .unwrap_or_else(|| panic!("{file}: which floor is it on?"))
        .1
}

#[test]
fn arrows_point_downward() {
    let all = Crate::read();
    let arrows = all.arrows();
    assert!(arrows.values().map(BTreeSet::len).sum::<usize>() > 500);
    for (file, used) in &arrows {
        for used in used {
            let (own, theirs) = (floor(file), floor(used));
            assert!(theirs <= own, "{file} uses {used}, which is above it");
        }
    }
}

#[test]
fn no_files_form_a_circle() {
    let all = Crate::read();
    let mut arrows = all.arrows();
    // Files that use nothing that is left, or that nothing left uses, are taken away, until nothing
    // is left, or circles are.
    loop {
        let used: BTreeSet<&str> = arrows.values().flatten().copied().collect();
        let ends = arrows
            .iter()
            .filter(|(file, uses)| uses.is_empty() || !used.contains(*file));
        let ends: Vec<&str> = ends.map(|(file, _)| *file).collect();
        if ends.is_empty() {
            break;
        }
        arrows.retain(|file, _| !ends.contains(file));
        for uses in arrows.values_mut() {
            uses.retain(|file| !ends.contains(file));
        }
    }
    assert!(arrows.is_empty(), "circles among {arrows:#?}");
}

#[test]
fn imports_are_resolved() {
    let mut found = Vec::new();
    leaves("crate::a::{b, c::{self, D as E}}", "", &mut found);
    assert_eq!(
        found,
        ["crate::a::b", "crate::a::c::self", "crate::a::c::D as E"]
    );
    let all = Crate::read();
    let file = |path: &str| all.file(&segments(path)).to_owned();
    assert_eq!(file("Tensor"), "src/tensor/mod.rs");
    assert_eq!(file("Var::record"), "src/autograd/var.rs");
    assert_eq!(file("cuda::Slice"), "src/cuda/runtime/slice.rs");
    let arrows = all.arrows();
    assert!(arrows["src/ops/linear.rs"].contains("src/cpu/linear.rs"));
    assert!(arrows["src/ops/linear.rs"].contains("src/autograd/var.rs"));
    assert!(!arrows["src/tensor/error.rs"].contains("src/autograd/trace.rs"));
}
