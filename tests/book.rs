//! The book in book/: its listings are parts of the programs in examples/book/ and of tests here, what it says that
//! they print and draw is what they do, and the solutions of its exercises pass the tests that the
//! exercises wait for.
//!
//! `WAVEMIX_BOOK=write cargo test --release --test book` writes listings, outputs and figures into
//! the book, from the programs.

// The exercises' tests name their crate; here the solutions stand in its place.
extern crate self as exercises;

mod built;
#[path = "book/op_test.rs"]
mod op_test;
#[path = "book/pages.rs"]
mod pages;
#[path = "book/programs.rs"]
mod programs;

#[path = "../book/solutions/chain_rule.rs"]
pub mod chain_rule;
#[path = "../book/solutions/classes.rs"]
pub mod classes;
#[path = "../book/solutions/convolution.rs"]
pub mod convolution;
#[path = "../book/solutions/deeper.rs"]
pub mod deeper;
#[path = "../book/solutions/fast.rs"]
pub mod fast;
#[path = "../book/solutions/optimizers.rs"]
pub mod optimizers;
#[path = "../book/solutions/shapes.rs"]
pub mod shapes;
#[path = "../book/solutions/slope.rs"]
pub mod slope;
#[path = "../book/solutions/sure.rs"]
pub mod sure;
#[path = "../book/solutions/tensors.rs"]
pub mod tensors;
#[path = "../book/solutions/wavelets.rs"]
pub mod wavelets;
#[path = "../book/solutions/wavemix_lite.rs"]
pub mod wavemix_lite;

#[path = "../book/exercises/tests/chain_rule.rs"]
mod chain_rule_tests;
#[path = "../book/exercises/tests/classes.rs"]
mod classes_tests;
#[path = "../book/exercises/tests/convolution.rs"]
mod convolution_tests;
#[path = "../book/exercises/tests/deeper.rs"]
mod deeper_tests;
#[path = "../book/exercises/tests/fast.rs"]
mod fast_tests;
#[path = "../book/exercises/tests/optimizers.rs"]
mod optimizers_tests;
#[path = "../book/exercises/tests/shapes.rs"]
mod shapes_tests;
#[path = "../book/exercises/tests/slope.rs"]
mod slope_tests;
#[path = "../book/exercises/tests/sure.rs"]
mod sure_tests;
#[path = "../book/exercises/tests/tensors.rs"]
mod tensors_tests;
#[path = "../book/exercises/tests/wavelets.rs"]
mod wavelets_tests;
#[path = "../book/exercises/tests/wavemix_lite.rs"]
mod wavemix_lite_tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a folder with this ending: names without it, and texts.
fn files(folder: &str, ending: &str) -> BTreeMap<String, String> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let wanted = paths.filter(|path| path.extension().is_some_and(|e| e == ending));
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, fs::read_to_string(&path).unwrap())
    };
    wanted.map(read).collect()
}

/// Whether the book is to be written rather than checked.
fn writes() -> bool {
    std::env::var_os("WAVEMIX_BOOK").is_some_and(|what| what == "write")
}

/// The signature lines of the public functions of a file.
fn signatures(text: &str) -> Vec<&str> {
    let lines = text.lines();
    lines.filter(|line| line.starts_with("pub fn ")).collect()
}

/// Every exercise is there to be done, has a solution of the same signature, and three a chapter.
#[test]
fn exercises_are_open_and_have_solutions() {
    let (exercises, solutions) = (
        files("book/exercises/src", "rs"),
        files("book/solutions", "rs"),
    );
    let tests = files("book/exercises/tests", "rs");
    for (name, text) in exercises.iter().filter(|(name, _)| *name != "lib") {
        let open = signatures(text);
        let solved = solutions
            .get(name)
            .unwrap_or_else(|| panic!("{name} has no solutions"));
        assert_eq!(open, signatures(solved), "{name}");
        assert_eq!(
            text.matches("    todo!()\n").count(),
            open.len(),
            "{name}: done already"
        );
        for number in 1..=3 {
            assert!(
                text.contains(&format!("/// Exercise {number}.")),
                "{name}: exercise {number}"
            );
            let test = format!("fn exercise_{number}_");
            assert!(
                tests[name].contains(&test),
                "{name}: exercise {number} has no test"
            );
        }
        let included = fs::read_to_string(root().join("tests/book.rs")).unwrap();
        assert!(
            included.contains(&format!("mod {name}_tests;")),
            "{name} is not tested here"
        );
    }
    assert_eq!(exercises.len(), solutions.len() + 1);
}

/// The table of contents has every page, and every page is there.
#[test]
fn the_summary_lists_every_page() {
    let pages = files("book/src", "md");
    let summary = &pages["SUMMARY"];
    let listed: Vec<&str> = summary
        .split("](")
        .skip(1)
        .map(|rest| rest.split(".md)").next().unwrap())
        .collect();
    for name in pages.keys().filter(|name| *name != "SUMMARY") {
        assert!(listed.contains(&&**name), "SUMMARY.md lacks {name}.md");
    }
    for name in listed {
        assert!(
            Path::new(&root())
                .join(format!("book/src/{name}.md"))
                .exists(),
            "{name}.md"
        );
    }
}
