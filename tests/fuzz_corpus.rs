//! Every decoder against its seeds, seeds damaged at random, and noise: none may panic.

use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use wavemix::fuzzing::TARGETS;

/// The seeds of one target.
fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/seeds");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder.join(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn seeds_are_replayed() {
    for (name, target) in TARGETS {
        let seeds = seeds(name);
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
            let seeds = seeds(name);
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
