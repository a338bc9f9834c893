//! Programs that tests run.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The built programs of these examples, built first where that was not done yet.
pub fn examples<S: AsRef<str>>(names: &[S]) -> Vec<PathBuf> {
    // Tests lie in target/PROFILE/deps, or target/TRIPLE/PROFILE/deps.
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(2).unwrap();
    let profile = folder.file_name().unwrap();
    let profile = if profile == "debug" {
        "dev".as_ref()
    } else {
        profile
    };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .arg("build")
        .arg("--profile")
        .arg(profile);
    cargo.args(names.iter().flat_map(|name| ["--example", name.as_ref()]));
    assert!(cargo.stderr(Stdio::inherit()).status().unwrap().success());
    let place = folder.join("examples");
    let program = |name: &S| {
        place
            .join(name.as_ref())
            .with_extension(std::env::consts::EXE_EXTENSION)
    };
    names.iter().map(program).collect()
}
