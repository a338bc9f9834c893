//! A crate of a user's own, `tests/outside/`: a model, a data set, an optimizer and an op with its
//! CUDA kernel, built and trained without a change of this crate.
//!
//! Its tests run here by cargo, on a GPU where there is one, else on the stand-in.

#![cfg(target_os = "linux")]

#[path = "cuda/stand_in.rs"]
mod stand_in;

use std::io::Write;
use std::path::Path;
use std::process::Command;

#[test]
fn a_crate_of_a_users_own_is_built_and_trained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Tests lie in target/PROFILE/deps, or target/TRIPLE/PROFILE/deps.
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(2).unwrap().file_name().unwrap();
    let profile = if folder == "debug" {
        "dev".as_ref()
    } else {
        folder
    };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(root)
        .args(["test", "--package", "outside", "--profile"])
        .arg(profile);
    if wavemix::cuda::usable(0).is_err() {
        match stand_in::build(root) {
            Ok(libraries) => {
                cargo
                    .env("LD_LIBRARY_PATH", libraries)
                    .env("WAVEMIX_TESTS_ON_STAND_IN", "1");
                cargo.env(
                    "WAVEMIX_KERNELS",
                    Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernels-outside"),
                );
            }
            Err(why) => {
                let strict = std::env::var_os("WAVEMIX_NO_SKIP").is_some();
                assert!(!strict, "must not be skipped here: {why}");
                let _ = writeln!(
                    std::io::stderr(),
                    "skipped: the kernels of a user's own: {why}"
                );
            }
        }
    }
    let output = cargo.output().unwrap();
    let said =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert!(output.status.success(), "{}\n{}", said[0], said[1]);
    assert!(
        said[0].contains("they_are_trained_on_a_gpu_too ... ok"),
        "{}",
        said[0]
    );
}
