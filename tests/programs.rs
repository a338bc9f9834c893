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

#[path = "programs/export.rs"]
mod export;
#[path = "programs/folders.rs"]
mod folders;
#[path = "programs/of_users.rs"]
mod of_users;
#[path = "programs/own_pictures.rs"]
mod own_pictures;
#[path = "programs/reading.rs"]
mod reading;

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

/// Pictures of two classes in `place`, so many of each: stripes that lie, and stripes that stand, of
/// many widths and tones.
fn write_stripes(folder: &Folder, place: &str, each: usize) {
    for i in 0..each {
        for (class, along) in [("lying", 1), ("standing", 0)] {
            let (h, w) = (48 + i % 5, 60 - i % 7);
            let pixel = |k: usize| {
                let at = if along == 1 { k / w } else { k % w };
                let tone = if at / (3 + i % 4) % 2 == 0 { 40 } else { 200 };
                (tone + (i % 9) * 3 + k % 5) as u8
            };
            let pixels: Vec<u8> = (0..h * w).map(pixel).collect();
            let mut bytes = Vec::new();
            let mut encoder = png::Encoder::new(&mut bytes, w as u32, h as u32);
            encoder.set_color(png::ColorType::Grayscale);
            encoder
                .write_header()
                .unwrap()
                .write_image_data(&pixels)
                .unwrap();
            folder.write(&format!("{place}/{class}/{i}.png"), &bytes);
        }
    }
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
    // A `main` that returns a `Result` begins with a capital.
    said.split_once("error: ")
        .or_else(|| said.split_once("Error: "))
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
        ("regression", run_in(folder, "regression", &[])),
        ("serve", run_in(folder, "serve", &[weights])),
        (
            "glyphs",
            run_in(folder, "glyphs", &["page.png", "--writers", "1"]),
        ),
        (
            "predict",
            run_in(folder, "predict", &[weights, "data/t10k-images-idx3-ubyte"]),
        ),
        ("export", run_in(folder, "export", &["before", "m.onnx"])),
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
