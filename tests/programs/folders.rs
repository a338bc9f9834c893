//! Folders of runs: one a run, one writer each, found again by the hint.

use super::*;

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
