//! The examples as programs: what becomes of what they print, the folders they write, and the
//! environment they run in.
//!
//! The tests run the built examples, and have cargo build them first where that was not done yet.

#![cfg(target_os = "linux")]

mod files;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use files::{Folder, idx_images, idx_labels};

/// The program of an example.
fn program(name: &str) -> &'static Path {
    static BUILT: OnceLock<Vec<PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        // Tests lie in target/PROFILE/deps, or target/TRIPLE/PROFILE/deps.
        let test = std::env::current_exe().unwrap();
        let folder = test.ancestors().nth(2).unwrap().file_name().unwrap();
        let profile = if folder == "debug" {
            OsStr::new("dev")
        } else {
            folder
        };
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.current_dir(env!("CARGO_MANIFEST_DIR")).args([
            "build",
            "--examples",
            "--message-format=json",
            "--profile",
        ]);
        let built = build
            .arg(profile)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(
            built.status.success(),
            "the examples do not build: {}",
            text(&built.stdout)
        );
        let lines = text(&built.stdout);
        let artifacts = lines
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        artifacts
            .filter_map(|artifact| Some(artifact["executable"].as_str()?.into()))
            .collect()
    });
    built
        .iter()
        .find(|path| path.file_name() == Some(OsStr::new(name)))
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Writes a set like MNIST, of 20 training images and 2 test images a class: a bright row at a
/// height that tells the class.
fn write_digits(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for (part, each) in [("train", 20), ("t10k", 2)] {
        let labels: Vec<u8> = (0..10 * each).map(|i| i % 10).collect();
        let image = |&label: &u8| {
            (0..784).map(move |i| {
                if i / 56 == usize::from(label) {
                    255
                } else {
                    (i % 7) as u8
                }
            })
        };
        let pixels: Vec<u8> = labels.iter().flat_map(image).collect();
        fs::write(
            folder.join(format!("{part}-images-idx3-ubyte")),
            idx_images(labels.len() as u32, 28, 28, &pixels),
        )
        .unwrap();
        fs::write(
            folder.join(format!("{part}-labels-idx1-ubyte")),
            idx_labels(&labels),
        )
        .unwrap();
    }
}

/// A folder with data in `data`.
fn with_digits(name: &str) -> Folder {
    let folder = Folder::new(name);
    write_digits(&folder.path().join("data"));
    folder
}

const SMALL: [&str; 8] = [
    "--model",
    "WaveMixLite-8/1",
    "--batch-size",
    "20",
    "--device",
    "cpu",
    "--threads",
    "1",
];

/// The example, run in the folder, with these arguments.
fn run_in(folder: &Path, name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program(name));
    command
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::null());
    command
}

/// A training run on `data`, with more flags.
fn train(folder: &Path, flags: &[&str]) -> Command {
    run_in(
        folder,
        "mnist",
        &[&["--data", "data", "--epochs", "2"], &SMALL[..], flags].concat(),
    )
}

/// What the program says on stdout, where it ends well.
#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    assert!(status.success(), "{status}: {}", text(&stderr));
    text(&stdout)
}

/// The last lines on stderr of a program that ends with status 1, behind `error: `.
#[track_caller]
fn fails(command: &mut Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    let said = text(&stderr);
    assert_eq!(status.code(), Some(1), "{said}");
    said.split_once("error: ")
        .unwrap_or_else(|| panic!("{said}"))
        .1
        .trim_end()
        .to_owned()
}

fn weights(run: &Path) -> Vec<u8> {
    fs::read(run.join("last/model.safetensors")).unwrap()
}

/// A pipe that nobody reads.
fn closed_pipe() -> Stdio {
    std::io::pipe().unwrap().1.into()
}

fn full_disk() -> Stdio {
    File::options()
        .write(true)
        .open("/dev/full")
        .unwrap()
        .into()
}

/// Every program that prints, on its own.
fn programs(folder: &Path) -> Vec<(&'static str, Command)> {
    succeeds(&mut train(folder, &["--out", "before", "--epochs", "1"]));
    let weights = "before/best/model.safetensors";
    vec![
        ("summary", run_in(folder, "summary", &["WaveMixLite-8/1"])),
        ("tensors", run_in(folder, "tensors", &[])),
        ("custom_op", run_in(folder, "custom_op", &[])),
        (
            "glyphs",
            run_in(folder, "glyphs", &["page.png", "--writers", "1"]),
        ),
        (
            "predict",
            run_in(folder, "predict", &[weights, "data/t10k-images-idx3-ubyte"]),
        ),
        ("help", run_in(folder, "mnist", &["--help"])),
        ("evaluation", train(folder, &["--evaluate", weights])),
        ("training", train(folder, &["--out", "trained"])),
    ]
}

#[test]
fn a_closed_pipe_ends_programs_quietly_with_the_status_of_a_filter() {
    let folder = with_digits("closed-pipe");
    for (name, mut command) in programs(folder.path()) {
        let Output { status, stderr, .. } = command.stdout(closed_pipe()).output().unwrap();
        let said = text(&stderr);
        assert_eq!(status.code(), Some(141), "{name}: {said}");
        assert!(
            !said.contains("error") && !said.contains("panic"),
            "{name}: {said}"
        );
    }
    assert!(
        folder.path().join("trained/mistakes.svg").exists(),
        "the results are written before they are printed"
    );
}

#[test]
fn a_full_disk_behind_stdout_is_an_error_and_no_panic() {
    let folder = with_digits("full-stdout");
    for (name, mut command) in programs(folder.path()) {
        let said = fails(command.stdout(full_disk()));
        assert_eq!(
            said, "cannot write to standard output: No space left on device (os error 28)",
            "{name}"
        );
    }
    assert!(
        folder.path().join("trained/mistakes.svg").exists(),
        "the results are written before they are printed"
    );
}

#[test]
fn programs_run_without_a_stdout() {
    let folder = with_digits("no-stdout");
    for (name, command) in programs(folder.path()) {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "exec \"$0\" \"$@\" >&- 2>&-"])
            .arg(command.get_program())
            .args(command.get_args());
        assert!(
            shell.current_dir(folder.path()).status().unwrap().success(),
            "{name}"
        );
    }
}

#[test]
fn progress_that_cannot_be_shown_does_not_stop_training() {
    let folder = with_digits("progress");
    succeeds(&mut train(folder.path(), &["--out", "shown"]));
    for (name, stderr) in [("pipe", closed_pipe()), ("disk", full_disk())] {
        let said = succeeds(train(folder.path(), &["--out", name]).stderr(stderr));
        assert!(said.starts_with("best weights, of epoch "), "{said}");
        assert!(
            weights(&folder.path().join(name)) == weights(&folder.path().join("shown")),
            "{name}: other weights"
        );
    }
}

#[test]
fn an_environment_without_a_home_is_enough() {
    let folder = with_digits("no-home");
    let homeless = |mut command: Command| {
        command
            .env_remove("HOME")
            .env_remove("XDG_CACHE_HOME")
            .env_remove("WAVEMIX_DATA");
        command
    };
    succeeds(&mut homeless(train(folder.path(), &[])));
    let nowhere = "no place for data sets: none of WAVEMIX_DATA, XDG_CACHE_HOME and HOME is set";
    let built_in = [
        &["--split", "digits", "--limit", "100", "--epochs", "1"],
        &SMALL[..],
    ]
    .concat();
    let Output { status, stderr, .. } =
        homeless(run_in(folder.path(), "emnist_balanced", &built_in))
            .output()
            .unwrap();
    assert!(
        status.success()
            && text(&stderr).starts_with(&format!("{nowhere}: using the built-in glyphs\n")),
        "{}",
        text(&stderr)
    );
    assert_eq!(
        fails(&mut homeless(run_in(folder.path(), "cifar10", &SMALL))),
        nowhere
    );
    assert_eq!(
        fails(&mut homeless(run_in(
            folder.path(),
            "mnist",
            &["--download"]
        ))),
        nowhere
    );
}

#[test]
fn absurd_numbers_of_threads_are_refused_at_once() {
    let folder = with_digits("threads");
    let cores = std::thread::available_parallelism().unwrap().get();
    let most = (16 * cores).min(256).max(cores);
    for asked in [most + 1, 1000.max(cores + 1), 1 << 32] {
        let began = Instant::now();
        let said = fails(&mut train(
            folder.path(),
            &["--threads", &asked.to_string()],
        ));
        assert_eq!(
            said,
            format!(
                "--threads {asked}: at most {most} can be asked for here, 16 for each of {cores} cores and 256 in all; more \
                 threads than cores make nothing faster"
            )
        );
        assert!(began.elapsed() < Duration::from_secs(5));
    }
    succeeds(&mut train(folder.path(), &["--threads", &most.to_string()]));
}

#[test]
fn runs_started_together_have_a_folder_each() {
    let folder = with_digits("together");
    // A link that leads nowhere does not exist for who looks, and is in the way of who creates.
    fs::create_dir(folder.path().join("runs")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("runs/mnist-1")).unwrap();
    let runs: Vec<_> = (0..8)
        .map(|seed| train(folder.path(), &["--seed", &seed.to_string()]).output_later())
        .collect();
    let said: Vec<String> = runs
        .into_iter()
        .map(|run| text(&run.wait_with_output().unwrap().stdout))
        .collect();
    let names: Vec<String> = (2..=9).map(|n| format!("mnist-{n}")).collect();
    for name in &names {
        let weights = format!("weights: runs/{name}/best/model.safetensors");
        assert_eq!(
            said.iter().filter(|said| said.contains(&weights)).count(),
            1,
            "runs/{name}: {said:?}"
        );
    }
    // Each of the eight seeds is in one of the folders, with the seed's own lines.
    let seed = |name: &String| {
        let config =
            fs::read_to_string(folder.path().join("runs").join(name).join("config.json")).unwrap();
        serde_json::from_str::<serde_json::Value>(&config).unwrap()["settings"]["seed"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let mut seeds: Vec<String> = names.iter().map(seed).collect();
    seeds.sort();
    assert_eq!(seeds, ["0", "1", "2", "3", "4", "5", "6", "7"]);
    for name in names {
        let metrics =
            fs::read_to_string(folder.path().join("runs").join(&name).join("metrics.jsonl"))
                .unwrap();
        assert_eq!(metrics.lines().count(), 3, "{name}: {metrics}");
    }
}

trait OutputLater {
    fn output_later(&mut self) -> std::process::Child;
}

impl OutputLater for Command {
    /// Starts it, with its output kept for [`std::process::Child::wait_with_output`].
    fn output_later(&mut self) -> std::process::Child {
        self.stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

#[test]
fn a_second_writer_is_told_of_the_first_and_a_killed_one_is_not_in_the_way() {
    let folder = with_digits("second");
    let mut first = train(folder.path(), &["--out", "run", "--epochs", "100000"]).output_later();
    let mut said = BufReader::new(first.stderr.take().unwrap()).lines();
    assert!(
        said.any(|line| line.unwrap().contains("best so far")),
        "the first run does not begin"
    );
    // What it says from now on is not of interest, but has to be read.
    let reader = std::thread::spawn(move || said.for_each(drop));
    let in_use = format!(
        "run is in use: process {} trains there; wait for it or stop it first",
        first.id()
    );
    for flags in [&["--out", "run"][..], &["--out", "run", "--force"]] {
        assert_eq!(fails(&mut train(folder.path(), flags)), in_use);
    }
    assert_eq!(
        fails(&mut run_in(folder.path(), "mnist", &["--resume", "run"])),
        in_use
    );
    first.kill().unwrap();
    first.wait().unwrap();
    reader.join().unwrap();
    succeeds(&mut run_in(
        folder.path(),
        "mnist",
        &["--resume", "run", "--stop-after", "1"],
    ));
    let had = fails(&mut train(folder.path(), &["--out", "run"]));
    assert_eq!(
        had,
        "run holds a run already: go on with it by --resume, take another --out, or write over it by --force"
    );
}

#[test]
fn a_folder_that_holds_anything_is_left_alone_unless_forced() {
    let folder = with_digits("holds");
    let (at, notes) = (folder.path(), folder.write("photos/notes.txt", b"mine"));
    let refused = "photos holds other files, such as notes.txt: take another --out, or write beside them by --force";
    assert_eq!(fails(&mut train(at, &["--out", "photos"])), refused);
    assert_eq!(
        fs::read_dir(at.join("photos")).unwrap().count(),
        1,
        "a refused folder is left as it is"
    );
    succeeds(&mut train(at, &["--out", "photos", "--force"]));
    assert_eq!(fs::read(&notes).unwrap(), b"mine");
    // Forced once more, by a run that is stopped: nothing is left of the one before, whose pictures
    // would tell of others.
    succeeds(&mut train(
        at,
        &[
            "--out",
            "photos",
            "--force",
            "--stop-after",
            "1",
            "--seed",
            "7",
        ],
    ));
    assert!(!at.join("photos/curves.svg").exists() && notes.exists());
    succeeds(&mut run_in(at, "mnist", &["--resume", "photos"]));
    succeeds(&mut train(at, &["--out", "plain", "--seed", "7"]));
    assert!(weights(&at.join("photos")) == weights(&at.join("plain")));

    fs::create_dir(at.join("empty")).unwrap();
    succeeds(&mut train(at, &["--out", "empty"]));
    // A process killed before its run could be resumed leaves nothing of worth.
    folder.write("begun/.lock", b"4194303\nbeginning");
    folder.write("begun/last/state.safetensors.tmp", b"half");
    folder.write("begun/metrics.jsonl", b"");
    succeeds(&mut train(at, &["--out", "begun"]));
    assert!(weights(&at.join("begun")) == weights(&at.join("empty")));
}

#[test]
fn resuming_finds_out_at_once_that_it_cannot_write() {
    let folder = with_digits("unwritable");
    let at = folder.path();
    succeeds(&mut train(at, &["--out", "run", "--stop-after", "1"]));
    let state = fs::read(at.join("run/last/state.safetensors")).unwrap();
    fs::rename(at.join("run/best"), at.join("best")).unwrap();
    fs::write(at.join("run/best"), "in the way").unwrap();
    // Before anything else: that the data are gone is not noticed.
    let said = fails(&mut run_in(
        at,
        "mnist",
        &["--resume", "run", "--data", "nowhere"],
    ));
    assert_eq!(
        said,
        "cannot write to run/best: Not a directory (os error 20)"
    );
    assert!(fs::read(at.join("run/last/state.safetensors")).unwrap() == state);
    fs::remove_file(at.join("run/best")).unwrap();
    fs::rename(at.join("best"), at.join("run/best")).unwrap();
    succeeds(&mut run_in(at, "mnist", &["--resume", "run"]));
}

/// Stops a run after an epoch and goes on as it says, in a shell; the weights are those of a run
/// left alone.
fn resumed_as_told(name: &str, data: OsString, out: OsString, hint: &str) {
    let folder = Folder::new(name);
    let at = folder.path();
    write_digits(&at.join(&data));
    let start = |out: &OsStr, flags: &[&str]| {
        let mut command = run_in(
            at,
            "mnist",
            &[&["--epochs", "2"], &SMALL[..], flags].concat(),
        );
        for (flag, value) in [("--data=", data.as_os_str()), ("--out=", out)] {
            let mut argument = OsString::from(flag);
            argument.push(value);
            command.arg(argument);
        }
        command
    };
    succeeds(&mut start(OsStr::new("whole"), &[]));
    let stopped = start(&out, &["--stop-after", "1"]).output().unwrap();
    let said = text(&stopped.stderr);
    let told = said.lines().last().unwrap().trim_start();
    assert_eq!(
        told,
        format!("cargo run --release --example mnist -- --resume {hint}"),
        "{said}"
    );
    let flags = told
        .strip_prefix("cargo run --release --example mnist -- ")
        .unwrap();
    let mut shell = Command::new("bash");
    shell
        .args(["-c", &format!("exec \"$0\" {flags}")])
        .arg(program("mnist"))
        .current_dir(at);
    succeeds(&mut shell);
    assert!(
        weights(&at.join(&out)) == weights(&at.join("whole")),
        "{name}: resumed, it ends with other weights"
    );
}

#[test]
fn any_path_can_be_resumed_as_the_hint_says() {
    resumed_as_told(
        "plain-path",
        "data".into(),
        "some/run-1".into(),
        "some/run-1",
    );
    resumed_as_told(
        "quoted-path",
        "it's data; $HOME".into(),
        "it's a `run`".into(),
        r"'it'\''s a `run`'",
    );
    resumed_as_told("dashed-path", "true".into(), "-1".into(), "./-1");
    let bytes = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    resumed_as_told(
        "other-path",
        bytes(b"caf\xe9 data"),
        bytes(b"l'\xe9t\xe9\n1"),
        r"$'l\047\351t\351\0121'",
    );
}
