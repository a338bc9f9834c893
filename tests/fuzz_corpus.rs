//! Every decoder against its seed corpus, the corpus damaged at random, and noise: none may panic.

use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use wavemix::fuzzing::TARGETS;

fn fuzz(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz")
        .join(path)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
}

/// The seeds of one target; cargo-fuzz adds to the folder, and what it adds is replayed too.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    entries(&fuzz("corpus").join(name))
        .iter()
        .map(|path| fs::read(path).unwrap())
        .collect()
}

#[test]
fn every_target_has_a_fuzzer_and_seeds_and_no_fuzzer_is_left_out() {
    let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| name.to_string()).collect();
    let stems = |folder| {
        entries(&fuzz(folder))
            .iter()
            .map(|p| p.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names, stems("fuzz_targets"));
    assert_eq!(names, stems("corpus"));
    let manifest = fs::read_to_string(fuzz("Cargo.toml")).unwrap();
    for name in names {
        assert!(
            manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")),
            "fuzz/Cargo.toml lacks {name}"
        );
    }
}

#[test]
fn seeds_are_replayed() {
    for (name, target) in TARGETS {
        let seeds = corpus(name);
        assert!(!seeds.is_empty(), "no seeds for {name}");
        seeds.iter().for_each(|bytes| target(bytes));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    /// Shapes of many tasks: which of them an image is cut into decides what a task reads.
    #[test]
    fn convolutions_in_tasks_of_any_size_are_exact(bytes in prop::collection::vec(any::<u8>(), 20)) {
        wavemix::fuzzing::convolution(&bytes);
    }
}

proptest! {
    #[test]
    fn damaged_seeds_do_no_harm(pick in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>(),
                                whole in any::<bool>(), hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
        for (name, target) in TARGETS {
            let seeds = corpus(name);
            let mut bytes = pick.get(&seeds).clone();
            if !bytes.is_empty() {
                hits.iter().for_each(|(at, value)| *at.get_mut(&mut bytes) = *value);
                bytes.truncate(if whole { bytes.len() } else { cut.index(bytes.len()) });
            }
            target(&bytes);
        }
    }

    #[test]
    fn noise_does_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        TARGETS.iter().for_each(|(_, target)| target(&bytes));
    }
}
