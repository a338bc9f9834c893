//! The page in a real browser, where there is one: it draws by itself, with a mouse, a finger and
//! keys, and writes down what it then shows.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::server::{Server, folder};

/// The browser of `WAVEMIX_BROWSER`, or one that is on the path.
fn browser() -> Option<PathBuf> {
    if let Some(browser) = std::env::var_os("WAVEMIX_BROWSER") {
        return Some(browser.into());
    }
    let names = [
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
    ];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|path| path.is_file())
}

/// The finished page at an address, as text, and what the browser's console said.
fn page(browser: &Path, address: &str) -> (String, String) {
    let profile = folder("browser");
    let mut command = Command::new(browser);
    command
        .args([
            "--headless=new",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ])
        // As root, which CI is, it runs without its sandbox alone.
        .args([
            "--no-sandbox",
            "--enable-logging=stderr",
            "--window-size=1280,1100",
        ])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(["--virtual-time-budget=120000", "--dump-dom", address]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let _ = std::fs::remove_dir_all(&profile);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let console: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("CONSOLE"))
        .collect();
    assert!(output.status.success(), "{said}");
    (
        String::from_utf8(output.stdout).unwrap(),
        console.join("\n"),
    )
}

#[test]
fn the_page_reads_what_a_browser_draws() {
    let Some(browser) = browser() else {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: the drawing page in a browser: no Chromium (apt-get install chromium, or set WAVEMIX_BROWSER)"
        );
        return;
    };
    let server = Server::with_weights("page");
    let (page, console) = page(&browser, &format!("http://{}/?selftest", server.address));
    assert_eq!(console, "");
    let found = page
        .split_once("<pre id=\"selftest\"")
        .and_then(|(_, rest)| rest.split_once('>'));
    let found = found
        .and_then(|(_, rest)| rest.split_once("</pre>"))
        .map(|(found, _)| found);
    let found: Value = serde_json::from_str(found.unwrap_or_else(|| panic!("{page}"))).unwrap();
    assert_eq!(found["failed"], Value::Null, "{found}");
    assert_eq!(found["errors"], serde_json::json!([]), "{found}");
    for name in ["7", "T", "e", "L"] {
        assert_eq!(found["answers"][name], name, "{found}");
    }
    for bars in found["bars"].as_array().unwrap() {
        let widths: Vec<f64> = bars
            .as_array()
            .unwrap()
            .iter()
            .map(|w| w.as_f64().unwrap())
            .collect();
        assert!(
            widths.len() == 5 && widths.is_sorted_by(|a, b| a >= b),
            "{widths:?}"
        );
        assert!(
            widths[0] > 20.0 && widths.iter().sum::<f64>() < 100.01,
            "{widths:?}"
        );
    }
    let checks = found["checks"].as_object().unwrap();
    assert_eq!(checks.len(), 11, "{found}");
    assert!(checks.values().all(|check| *check == true), "{found}");
}
