//! Every op on a GPU against f64 on the CPU, gradients included; errors; whole training
//! steps.
//!
//! Where there is a GPU these tests run on it, and `all_of_these_on_the_stand_in` runs them once
//! more on a stand-in for NVIDIA's libraries, which runs the very kernels on the CPU. Where there
//! is none they run on the stand-in alone: the first test that asks for a GPU builds it and starts
//! this program again with the same arguments, and each test has the outcome that it has there. So
//! a filter runs what it names. A test that can run in neither way says "skipped".

#[path = "cuda/empty.rs"]
mod empty;
#[path = "empty/mod.rs"]
mod empty_cases;
#[path = "cuda/errors.rs"]
mod errors;
#[path = "trainer/events.rs"]
mod events;
#[path = "cuda/faults.rs"]
mod faults;
#[path = "cuda/harness.rs"]
mod harness;
mod helpers;
#[path = "cuda/layers.rs"]
mod layers;
#[path = "cuda/long.rs"]
mod long;
#[path = "cuda/nn.rs"]
mod nn;
#[path = "cuda/ops.rs"]
mod ops;
#[path = "cuda/plumbing.rs"]
mod plumbing;
#[path = "cuda/skipped.rs"]
mod skipped;
#[path = "cuda/special.rs"]
mod special;
#[path = "cuda/stand_in.rs"]
mod stand_in;
#[path = "cuda/tf32.rs"]
mod tf32;
#[path = "cuda/trainer.rs"]
mod trainer;
#[path = "cuda/training.rs"]
mod training;
#[path = "cuda/transformers.rs"]
mod transformers;

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::{ON_STAND_IN, not_run, skip};

/// Runs the tests of this filter on the stand-in, in a process of their own: a process opens
/// NVIDIA's libraries once.
fn on_stand_in(filter: &[&str], variables: &[(&str, &str)]) {
    if std::env::var_os(ON_STAND_IN).is_some() {
        return;
    }
    match stand_in::build(Path::new(env!("CARGO_MANIFEST_DIR"))) {
        Ok(folder) => {
            let (passed, said) = child(&folder, filter, variables);
            assert!(passed, "on the stand-in, {variables:?}:\n{said}");
        }
        Err(why) => skip(&why),
    }
}

/// Runs this program with its own arguments on the stand-in, once for all tests of it, and fails
/// where the test `name` did, or any, where there is no name.
fn same_on_stand_in(name: Option<&str>) {
    static SAME: OnceLock<Result<(bool, String), String>> = OnceLock::new();
    let outcome = SAME.get_or_init(|| {
        let folder = stand_in::build(Path::new(env!("CARGO_MANIFEST_DIR")))?;
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        Ok(child(
            &folder,
            &arguments.iter().map(String::as_str).collect::<Vec<_>>(),
            &[],
        ))
    });
    match outcome {
        Ok((passed, said)) => {
            let own = name.is_some_and(|name| said.contains(&format!("test {name} ... ok")));
            assert!(
                own || *passed,
                "on the stand-in:\n{}",
                name.and_then(|name| printed_by(name, said)).unwrap_or(said)
            );
        }
        Err(why) => skip(why),
    }
}

/// What the test of this name printed, where it failed: each test that did repeats its own part of
/// what all did.
fn printed_by<'a>(name: &str, said: &'a str) -> Option<&'a str> {
    let (_, own) = said.split_once(&format!("---- {name} stdout ----"))?;
    let ends = ["\n---- ", "\nfailures:"].map(|end| own.find(end).unwrap_or(own.len()));
    Some(&own[..ends[0].min(ends[1])])
}

/// Whether the tests of this filter pass on the stand-in in this folder, and what they print. Some
/// must run.
fn child(folder: &Path, filter: &[&str], variables: &[(&str, &str)]) -> (bool, String) {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let kernels = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("kernels-{}-{number}", std::process::id()));
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(filter)
        .env(ON_STAND_IN, "1")
        .env("WAVEMIX_EXACT_ALLOCATIONS", "1")
        .env("LD_LIBRARY_PATH", folder)
        .env("WAVEMIX_KERNELS", &kernels);
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let _ = std::fs::remove_dir_all(kernels);
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let ran = out.lines().find_map(|line| {
        line.strip_prefix("running ")?
            .split(' ')
            .next()?
            .parse::<usize>()
            .ok()
    });
    assert!(
        ran.is_some_and(|count| count > 0),
        "nothing ran:\n{out}\n{err}"
    );
    (output.status.success(), format!("{out}\n{err}"))
}

#[test]
fn all_of_these_on_the_stand_in() {
    // Without a GPU and a filter that is what the other tests do.
    match std::env::args().len() {
        1 if wavemix::cuda::usable(0).is_err() => same_on_stand_in(None),
        _ => on_stand_in(&[], &[]),
    }
}

/// Without a GPU, a test that a filter names runs on the stand-in: what is injected there makes it
/// fail.
#[test]
fn a_filter_runs_what_it_names() {
    if std::env::var_os(ON_STAND_IN).is_some() {
        return;
    }
    if wavemix::cuda::usable(0).is_ok() {
        return not_run("there is a GPU, and tests run on it");
    }
    if let Err(why) = stand_in::build(Path::new(env!("CARGO_MANIFEST_DIR"))) {
        return skip(&why);
    }
    for launches in ["0", "1"] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["ops::gradients_of_two_uses_add_up", "--exact"])
            .env("WAVEMIX_STAND_IN_FAIL_LAUNCH", launches);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            output.status.success(),
            launches == "0",
            "with launch {launches} failing:\n{said}"
        );
        assert!(
            output.status.success() || said.contains("a kernel failed while it ran"),
            "{said}"
        );
    }
}

/// cuBLAS's workspace takes 32 MiB of this.
#[test]
fn with_little_memory() {
    on_stand_in(
        &["the_largest_batch_is_found"],
        &[("WAVEMIX_STAND_IN_MEMORY", "34600000")],
    );
}

/// The second stream brings batches beside the work of the first; here each does everything as late
/// as it may.
#[test]
fn with_late_streams() {
    for late in ["1", "2", "12"] {
        on_stand_in(
            &["plumbing::", "the_trainer_runs_alike"],
            &[("WAVEMIX_STAND_IN_LATE", late)],
        );
    }
}

/// A barrier that is missing shows where threads take turns in another order.
#[test]
fn in_any_order_of_threads() {
    on_stand_in(
        &["ops::", "layers::"],
        &[("WAVEMIX_STAND_IN_ORDER", "reverse")],
    );
    on_stand_in(
        &["ops::", "layers::"],
        &[("WAVEMIX_STAND_IN_ORDER", "shuffle")],
    );
}
