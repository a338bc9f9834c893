//! Training that is killed or told to stop at some moment, and goes on: it ends with the bytes of a
//! run left alone.
//!
//! The trainer runs in a child process, which is this very test binary: with its arguments in the
//! environment, the test `child` is the main function of an example.

#![cfg(unix)]

mod helpers;

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use helpers::on_threads;
use wavemix::cli::{self, Job};
use wavemix::data::{Source, Split, TensorDataset};
use wavemix::io::checkpoint::State;
use wavemix::nn::Linear;
use wavemix::optim::Schedule;
use wavemix::prelude::*;
use wavemix::train::{Config, Trainer};

const KEY: &str = "WAVEMIX_TEST_ARGUMENTS";

const JOB: Job = Job {
    name: "emnist_balanced",
    about: "A run small enough to be killed in a test.",
    splits: &[("digits", Source::Emnist(Split::Digits))],
    model: "WaveMixLite-8/1",
    stem: None,
    batch_size: "64",
    epochs: "4",
    dropout: "0.2",
    lr: 0.01,
    glyphs: [24, 2],
    mirrors: false,
};

/// Not a test of its own: what the child processes run.
#[test]
fn child() {
    let Ok(arguments) = std::env::var(KEY) else {
        return;
    };
    let arguments: Vec<OsString> = arguments.lines().map(OsString::from).collect();
    let settings = cli::Settings::parse(&JOB, arguments).unwrap().unwrap();
    // Whoever runs this test may have the real files; it is meant for the built-in ones.
    let settings = cli::Settings {
        default_data: Some(folder("no-data")),
        ..settings
    };
    if let Err(error) = on_threads(settings.threads, || cli::run(settings)) {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

/// A fresh folder for one run, under the build's own.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("interrupt-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

/// Starts a run in `folder`, or goes on with the one that is there.
fn start(folder: &Path, flags: &[&str]) -> Child {
    start_under(&[], folder, flags)
}

/// [`start`], by way of a command that runs the one behind its arguments.
fn start_under(wrapper: &[&str], folder: &Path, flags: &[&str]) -> Child {
    let folder_text = folder.to_str().unwrap();
    let mut arguments = vec!["child"];
    match folder.join("config.json").exists() {
        true => arguments.extend(["--resume", folder_text, "--threads", "2"]),
        false => arguments.extend([&["--out", folder_text, "--threads", "1"], flags].concat()),
    }
    let test = std::env::current_exe().unwrap();
    let mut words = wrapper
        .iter()
        .map(OsString::from)
        .chain([test.into_os_string()]);
    let mut child = Command::new(words.next().unwrap());
    child
        .args(words)
        .args(["--exact", "child", "--nocapture"])
        .env(KEY, arguments.join("\n"));
    child
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for the end; what it said on stderr.
fn finish(mut child: Child) -> String {
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    said
}

fn weights(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("last/model.safetensors")).unwrap()
}

fn best(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("best/model.safetensors")).unwrap()
}

/// Another one at each run of the test.
fn random() -> Rng {
    Rng::new(
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_nanos() as u64,
    )
}

fn killed_and_resumed(name: &str, flags: &[&str]) {
    let whole = folder(&format!("{name}-whole"));
    let began = Instant::now();
    finish(start(&whole, flags));
    let length = began.elapsed().as_secs_f64();

    let (parts, mut rng, mut moments) = (folder(&format!("{name}-parts")), random(), Vec::new());
    for _ in 0..4 {
        let mut child = start(&parts, flags);
        moments.push(length * f64::from(rng.uniform()));
        std::thread::sleep(Duration::from_secs_f64(moments[moments.len() - 1]));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    finish(start(&parts, flags));
    assert!(
        weights(&whole) == weights(&parts),
        "{name}: killed after {moments:?} s, it ended with other weights"
    );
    assert!(
        best(&whole) == best(&parts),
        "{name}: killed after {moments:?} s, it chose other weights"
    );
    let metrics = std::fs::read_to_string(parts.join("metrics.jsonl")).unwrap();
    assert_eq!(
        metrics.lines().count(),
        5,
        "a line for each epoch and the best: {metrics}"
    );
}

#[test]
fn a_run_killed_at_random_moments_ends_with_the_same_bytes() {
    killed_and_resumed("plain", &[]);
}

/// The last moment of all: the state is written, the weights beside it are not.
#[test]
fn killed_between_the_files_of_the_last_checkpoint() {
    let run = folder("between");
    finish(start(&run, &["--ema", "0.9"]));
    let want = weights(&run);
    std::fs::write(run.join("last/model.safetensors"), b"of the epoch before").unwrap();
    std::fs::write(
        run.join("last/model.safetensors.tmp"),
        &want[..want.len() / 2],
    )
    .unwrap();
    finish(start(&run, &[]));
    assert!(
        weights(&run) == want,
        "resumed behind its end, it has other weights than its state"
    );
}

#[test]
fn so_does_one_of_two_phases() {
    killed_and_resumed("papers", &["--protocol", "papers", "--optimizer", "lion"]);
}

/// Starts a run of a few long steps, and sends it two signals of this kind in its first step; what
/// it said on stderr.
fn hung_up(wrapper: &[&str], run: &Path, signal: &str) -> (std::process::ExitStatus, String) {
    let flags = [
        "--epochs",
        "1",
        "--model",
        "WaveMixLite-16/3",
        "--batch-size",
        "40",
    ];
    let mut child = start_under(wrapper, run, &flags);
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(
        said.any(|line| line.unwrap().contains("; results in ")),
        "the run does not begin"
    );
    let twice = format!(
        "kill -{signal} {0}; sleep 0.005; kill -{signal} {0}",
        child.id()
    );
    Command::new("sh").args(["-c", &twice]).status().unwrap();
    let said = said.map(Result::unwrap).collect::<Vec<_>>().join("\n");
    (child.wait().unwrap(), said)
}

/// A terminal that closes sends SIGHUP twice: the shell hands it on to its jobs, and the system
/// sends it as the shell ends.
#[test]
fn a_closed_terminal_ends_a_run_with_its_state_saved() {
    for signal in ["HUP", "TERM"] {
        let run = folder(&format!("closed-{signal}"));
        // Whoever runs this test may have it ignore SIGHUP, which child processes take over.
        let wrapper = if ignores_hangups() {
            &["env", "--default-signal=HUP"][..]
        } else {
            &[]
        };
        let (status, said) = hung_up(wrapper, &run, signal);
        assert!(
            status.success() && said.contains("stopped after 0 of 1 epochs and "),
            "{signal}: {status}, {said}"
        );
        let state = State::read(run.join("last/state.safetensors")).unwrap();
        assert!(
            state.get::<usize>("batch").unwrap() > 0,
            "{signal}: the step it was at is lost"
        );
    }
}

fn ignores_hangups() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & 1 == 1)
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_under_nohup_goes_on_when_the_terminal_closes() {
    let run = folder("nohup");
    let (status, said) = hung_up(&["nohup"], &run, "HUP");
    assert!(
        status.success() && said.contains("best so far") && !said.contains("stopped after"),
        "{status}, {said}"
    );
    assert!(run.join("mistakes.svg").exists());
}

/// Whatever becomes of the terminal or of the process then: what is told of is on the disk.
#[test]
fn an_epoch_that_is_told_of_is_saved() {
    let run = folder("told-of");
    let mut child = start(&run, &["--epochs", "30"]);
    let mut told = 0;
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        let number = |rest: &str| rest.split('/').next()?.trim().parse::<usize>().ok();
        let Some(epoch) = line.strip_prefix("epoch ").and_then(number) else {
            continue;
        };
        let state = State::read(run.join("last/state.safetensors")).unwrap();
        let kept = ["epoch", "best_epoch"].map(|key| state.get::<usize>(key).unwrap());
        let best = line.ends_with("best so far");
        assert!(
            kept[0] >= epoch && (!best || kept[1] >= epoch),
            "the state is of {kept:?} where this is said: {line}"
        );
        told += 1;
    }
    assert!(child.wait().unwrap().success() && told == 30, "{told}");
}

/// Where a run is written whose first step makes the weights infinite, while it is told to stop.
const DIVERGING: &str = "WAVEMIX_TEST_DIVERGING";

/// Not a test of its own: the process of `a_stopped_run_that_diverged_is_not_saved`.
#[test]
fn diverging_child() {
    let Some(out) = std::env::var_os(DIVERGING) else {
        return;
    };
    let x = Tensor::normal([64, 2], 0.0, 1.0, DType::F32, &Rng::new(0));
    let set = TensorDataset::new(x, Tensor::zeros([64], DType::I64)).unwrap();
    let (layer, params) = Params::declare(DType::F32, &Rng::new(0), |names| {
        Linear::new(names, "layer", [2, 3])
    })
    .unwrap();
    let model = move |pass: &Pass, x: &Var| {
        // Two samples are tried before the run begins to listen.
        if pass.is_training() && x.shape()[0] == 8 {
            let own = std::process::id().to_string();
            Command::new("kill").args(["-TERM", &own]).status().unwrap();
            std::thread::sleep(Duration::from_millis(500));
        }
        layer.forward(pass, x)
    };
    let config = Config {
        lr: 1e39,
        schedule: Schedule::Constant,
        out: Some(out.into()),
        ..Config::default()
    };
    let mut trainer = Trainer::new(model, params, Loader::new(set, 8).unwrap(), config).unwrap();
    let outcome = trainer.run().map(drop);
    eprintln!(
        "outcome: {}",
        outcome.map_or_else(|e| e.to_string(), |()| "none".into())
    );
}

/// The loss tells of the weights before a step: those that a run is stopped with are looked at too.
#[test]
fn a_stopped_run_that_diverged_is_not_saved() {
    let out = folder("diverging");
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "diverging_child", "--nocapture"])
        .env(DIVERGING, &out)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(
        said.contains("outcome: training diverged: after 1 steps `layer.weight` holds "),
        "{said}"
    );
    let state = State::read(out.join("last/state.safetensors")).unwrap();
    assert_eq!(state.get::<usize>("step").unwrap(), 0);
}

#[test]
fn a_run_told_to_stop_goes_on_within_the_epoch() {
    // One long epoch: wherever the signal arrives, batches are left.
    let flags = ["--epochs", "1", "--batch-size", "1"];
    let whole = folder("told-whole");
    finish(start(&whole, &flags));

    let (parts, mut rng, mut before) = (folder("told-parts"), random(), 0);
    for _ in 0..2 {
        let mut child = start(&parts, &flags);
        // It listens before it announces itself.
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(
            said.any(|line| line.unwrap().contains("; results in ")),
            "the run does not begin"
        );
        std::thread::sleep(Duration::from_secs_f64(0.015 * f64::from(rng.uniform())));
        assert!(
            Command::new("kill")
                .args(["-TERM", &child.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
        let said = said.map(Result::unwrap).collect::<Vec<_>>().join("\n");
        assert!(child.wait().unwrap().success(), "{said}");
        let state = State::read(parts.join("last/state.safetensors")).unwrap();
        let (epoch, batch): (usize, usize) =
            (state.get("epoch").unwrap(), state.get("batch").unwrap());
        assert!(
            epoch == 0 && batch > before,
            "stopped in epoch {epoch} after batch {batch}, begun after {before}"
        );
        let how = format!(
            "cargo run --release --example emnist_balanced -- --resume {}",
            parts.display()
        );
        let stopped =
            format!("stopped after 0 of 1 epochs and {batch} batches; go on with:\n  {how}");
        assert!(said.contains(&stopped), "{said}");
        before = batch;
    }
    finish(start(&parts, &flags));
    assert!(
        weights(&whole) == weights(&parts),
        "stopped after {before} batches, it ended with other weights"
    );
}
