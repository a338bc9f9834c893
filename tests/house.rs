//! The rules of the house, checked mechanically: where things stand, how long they may be, what may
//! know of what.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "house/arrows.rs"]
mod arrows;
#[path = "house/functions.rs"]
mod functions;
mod public_ops;
#[path = "house/tables.rs"]
mod tables;

/// Lines of the longest file allowed. Most stop well before: a file ought to become two at about
/// 400.
const LONGEST_FILE: usize = 500;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `folder` with this ending, as paths from the root, and their text.
fn files(folder: &str, endings: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if endings
                .iter()
                .any(|ending| path.extension().is_some_and(|e| e == *ending))
            {
                let name = path
                    .strip_prefix(root())
                    .unwrap()
                    .to_string_lossy()
                    .replace('\\', "/");
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn stems(folder: &str, ending: &str) -> BTreeSet<String> {
    let inside = |name: &str| Path::new(name).parent() == Some(Path::new(folder));
    let names = files(folder, &[ending])
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| inside(name));
    names
        .map(|name| {
            Path::new(&name)
                .file_stem()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

#[test]
fn every_op_has_its_arithmetic_and_its_tests() {
    let list = fs::read_to_string(root().join("tests/ops.rs")).unwrap();
    for op in stems("src/ops", "rs").into_iter().filter(|op| op != "mod") {
        // Convolutions share a wing.
        let wing = ["conv2d", "conv_transpose2d"].contains(&op.as_str());
        assert!(
            wing || root().join(format!("src/cpu/{op}.rs")).exists(),
            "src/ops/{op}.rs lacks src/cpu/{op}.rs"
        );
        assert!(
            root().join(format!("tests/ops/{op}.rs")).exists(),
            "src/ops/{op}.rs lacks tests/ops/{op}.rs"
        );
        assert!(
            list.contains(&format!("mod {op};")),
            "tests/ops.rs does not list {op}"
        );
    }
}

#[test]
fn every_op_has_its_launch_and_its_kernel() {
    let (ops, arithmetic) = (stems("src/ops", "rs"), stems("src/cpu", "rs"));
    let known = |name: &String| ops.contains(name) || arithmetic.contains(name);
    let (launches, kernels) = (stems("src/cuda", "rs"), stems("kernels", "cu"));
    let rooms = [
        "mod", "compile", "launch", "memory", "library", "gemm", "graph", "profile", "staging",
        "training",
    ]
    .map(String::from);
    for name in launches.iter().filter(|name| !rooms.contains(name)) {
        assert!(known(name), "src/cuda/{name}.rs has no op");
    }
    for name in &kernels {
        assert!(
            known(name) && launches.contains(name),
            "kernels/{name}.cu has no op or no launch"
        );
    }
    // Products of matrices are cuBLAS's.
    for name in ops.iter().filter(|op| *op != "mod") {
        assert!(
            launches.contains(name),
            "src/ops/{name}.rs lacks src/cuda/{name}.rs"
        );
        assert!(
            kernels.contains(name) || name == "matmul",
            "src/ops/{name}.rs lacks kernels/{name}.cu"
        );
    }
}

/// Each op's file has a function that is called in the tests on a GPU.
#[test]
fn every_op_is_tested_on_a_gpu() {
    let tests = files("tests/cuda", &["rs"]);
    let is_called = |name: &String| {
        let call = format!("{name}(");
        tests.iter().any(|(_, text)| text.contains(&call))
    };
    for op in stems("src/ops", "rs").into_iter().filter(|op| op != "mod") {
        let own = fs::read_to_string(root().join(format!("src/ops/{op}.rs"))).unwrap();
        let names = public_ops::names_in(&own);
        assert!(
            names.iter().any(is_called),
            "tests/cuda calls none of src/ops/{op}.rs: {names:?}"
        );
    }
}

#[test]
fn every_op_says_what_it_takes_saves_and_where_it_comes_from() {
    for (name, text) in files("src/ops", &["rs"])
        .into_iter()
        .filter(|(name, _)| !name.ends_with("mod.rs"))
    {
        for part in [
            "**Shapes**",
            "**Backward**",
            "**Saves**",
            "**Errors**",
            "**Source**",
        ] {
            assert!(text.contains(part), "{name} does not say {part}");
        }
    }
}

#[test]
fn unsafe_code_stays_in_its_rooms_and_says_why_it_is_sound() {
    for (name, text) in files("src", &["rs"]) {
        let lines: Vec<&str> = text.lines().collect();
        let is_unsafe = |line: &str| {
            ["unsafe {", "unsafe impl", "unsafe fn"]
                .iter()
                .any(|form| line.contains(form))
        };
        for (i, _) in lines
            .iter()
            .enumerate()
            .filter(|(_, line)| is_unsafe(line) && !line.trim_start().starts_with("//"))
        {
            let allowed = [
                "src/cpu/simd/",
                "src/cpu/gemm/",
                "src/tensor/pool.rs",
                "src/tensor/dtype.rs",
                "src/cuda/",
            ]
            .iter()
            .any(|room| name.starts_with(room));
            assert!(
                allowed,
                "{name}:{}: unsafe code outside of its rooms",
                i + 1
            );
            // A method that a trait declares unsafe may leave the contract to the trait, and say
            // below how it keeps to it.
            let below = if lines[i].contains("unsafe fn") { 3 } else { 0 };
            let around = &lines[i.saturating_sub(5)..(i + below).min(lines.len())];
            assert!(
                around
                    .iter()
                    .any(|line| line.contains("SAFETY") || line.contains("# Safety")),
                "{name}:{}: no SAFETY line",
                i + 1
            );
        }
    }
}

#[test]
fn files_are_short() {
    let mut total = 0;
    for (name, text) in files("src", &["rs"])
        .into_iter()
        .chain(files("kernels", &["cu", "cuh"]))
        .chain(files("tests", &["rs"]))
    {
        let lines = text.lines().count();
        assert!(
            lines <= LONGEST_FILE,
            "{name} has {lines} lines; the limit is {LONGEST_FILE}"
        );
        total += lines;
    }
    println!("src + kernels + tests: {total} lines");
}

#[test]
fn every_fuzz_target_has_a_fuzzer_and_seeds_and_no_fuzzer_is_left_out() {
    let targets = wavemix::fuzzing::TARGETS.iter();
    let names: BTreeSet<String> = targets.map(|(name, _)| name.to_string()).collect();
    let seeds = fs::read_dir(root().join("tests/seeds")).unwrap();
    let seeds = seeds.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names, seeds.collect());
    assert_eq!(names, stems("fuzz/fuzz_targets", "rs"));
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    for name in names {
        assert!(
            manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")),
            "fuzz/Cargo.toml lacks {name}"
        );
    }
}

/// `println!` and its kin panic where a pipe is closed or a disk is full; `console` does not.
#[test]
fn nothing_is_printed_by_macros_that_panic() {
    let macros = ["println!", "eprintln!", "print!", "eprint!", "dbg!"];
    for (name, text) in ["src", "examples", "benches"]
        .into_iter()
        .flat_map(|folder| files(folder, &["rs"]))
    {
        let code = text.split("#[cfg(test)]").next().unwrap();
        for (i, line) in code
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
        {
            let printed = macros.iter().find(|printed| line.contains(**printed));
            assert!(
                printed.is_none(),
                "{name}:{}: {} panics where nothing can be printed",
                i + 1,
                printed.unwrap()
            );
        }
    }
}
